"""Say what a job would cost on the devices that are on offer, and who fits or why nobody does."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from candela.amounts import WORK_SCALE, per_hour
from candela.chain.client import Client
from candela.chain.market import ANY_DEVICE, Market, Terms
from candela.chain.registry import Offer, Registry
from candela.economics.rewards import auditors_share, fee
from candela.errors import NoProviderError
from candela.function import Options
from candela.market.matching import Constraint, constraints
from candela.verification import Deterrence, deterrence

_KINDS = {"cpu": 0, "gpu": 1, "any": ANY_DEVICE}
_RECENT_BLOCKS = 10_000
_SHOWN = 5


class Fit(msgspec.Struct):
    """A device on offer and what keeps it from the job."""

    provider: str
    device_id: int
    name: str
    intensity_ucd: int
    unmet: list[Constraint]
    price_per_unit: int | None
    """Nit per work unit in its last lease; ``None`` when it has had none lately."""
    per_hour_nit: int
    """For an hour at that price, else at the highest the job would pay."""

    @property
    def fits(self) -> bool:
        """Whether it can take the job."""
        return not self.unmet


class Quote(msgspec.Struct):
    """What ``tasks`` tasks of ``seconds`` device seconds each would cost."""

    tasks: int
    seconds: float
    lowest_price: int
    """Nit per work unit."""
    highest_price: int
    lowest_total: int
    """Nit."""
    highest_total: int
    most: int
    """Nit that can't be exceeded: every task at its work limit and the highest price."""
    devices: list[Fit]
    audits: int = 0
    """Nit that audits cost on average at the highest total; part of no other figure."""
    ringers: int = 0
    """Nit that ringers cost on average at the highest total: each is done again; part of no other figure."""
    burned: int = 0
    """Nit of the highest total that are burned."""
    to_auditors: int = 0
    """Nit of the highest total that are set aside for auditors."""
    deterrence: Deterrence | None = None
    """Whether a false result would pay; ``None`` without a policy."""

    @property
    def fitting(self) -> int:
        """How many devices can take the job."""
        return sum(each.fits for each in self.devices)


def terms_of(
    options: Options, tasks: int, spec_hash: bytes, lease_seconds: int, audit_window: int, deadline: int
) -> Terms:
    """The conditions on chain of a job that runs a function with ``options``."""
    return Terms(
        spec_hash=spec_hash,
        kind=1,
        task_count=tasks,
        max_price_per_unit=options.max_price_nit,
        task_work_limit_uwu=options.task_work_limit_uwu,
        device_kind=_KINDS[options.device],
        min_tier=options.min_tier,
        min_memory_bytes=options.memory_bytes,
        retries=options.retries,
        task_timeout=options.timeout_seconds,
        lease_seconds=lease_seconds,
        audit_window=audit_window,
        deadline=deadline,
    )


def quote(client: Client, options: Options, tasks: int, seconds: float) -> Quote:
    """What a job would cost on the current offers.

    Args:
        client: a node.
        options: what the function asks for.
        tasks: how many.
        seconds: device seconds of each.
    """
    terms = terms_of(options, tasks, bytes(32), 10, 0, 0)
    prices = recent_prices(client)
    devices = [_fit(offer, terms, prices) for offer in Registry(client).offers()]
    fitting = [each for each in devices if each.fits]
    highest = options.max_price_nit
    lowest = min((each.price_per_unit for each in fitting if each.price_per_unit is not None), default=highest)

    def total(device: Fit, price: int) -> int:
        work = min(int(seconds * device.intensity_ucd), options.task_work_limit_uwu)
        return tasks * (work * price // WORK_SCALE)

    highest_total = max((total(each, highest) for each in fitting), default=0)
    price, policy = highest_total // tasks, options.verify
    return Quote(
        tasks=tasks,
        seconds=seconds,
        lowest_price=lowest,
        highest_price=highest,
        lowest_total=min((total(each, each.price_per_unit or highest) for each in fitting), default=0),
        highest_total=highest_total,
        most=tasks * options.task_escrow_nit,
        devices=sorted(devices, key=lambda each: (len(each.unmet), each.per_hour_nit)),
        audits=policy.expected_nit(tasks, price) if policy else 0,
        ringers=policy.ringers_nit(tasks, price) if policy else 0,
        burned=fee(highest_total),
        to_auditors=auditors_share(highest_total),
        deterrence=deterrence(price, policy.fraction) if policy else None,
    )


def _fit(offer: Offer, terms: Terms, prices: dict[tuple[str, int], int]) -> Fit:
    device = offer.device
    price = prices.get((offer.provider, offer.device_id))
    floor = price or 0
    return Fit(
        provider=offer.provider,
        device_id=offer.device_id,
        name=device.name,
        intensity_ucd=device.intensity_ucd,
        unmet=[each for each in constraints(terms, device, floor) if not each.holds],
        price_per_unit=price,
        per_hour_nit=per_hour(price or terms.max_price_per_unit, device.intensity_ucd),
    )


def recent_prices(client: Client) -> dict[tuple[str, int], int]:
    """Nit per work unit in the last lease of each device, by provider and device id."""
    market, head = Market(client), client.block_number()
    taken = market.events(max(0, head - _RECENT_BLOCKS), head, market.topic("LeaseTaken"))
    return {(each.fields["provider"], each.fields["device_id"]): each.fields["price_per_unit"] for each in taken}


def require_fit(offers: Sequence[Offer], terms: Terms) -> None:
    """Check that some device fits.

    Price floors are the providers' own and not known here.

    Raises:
        NoProviderError: none does; the message tells each device's failing constraints.
    """
    if not offers:
        raise NoProviderError(
            "no provider offers a device now",
            fix="start one with: candela provider start, or a network with: candela up",
        )
    unmet = [(offer, [each for each in constraints(terms, offer.device, 0) if not each.holds]) for offer in offers]
    if any(not failing for _, failing in unmet):
        return
    unmet.sort(key=lambda pair: len(pair[1]))
    lines = [
        f"{offer.device.name}: " + "; ".join(f"{each.name} is {each.offered}, wanted {each.wanted}" for each in failing)
        for offer, failing in unmet[:_SHOWN]
    ]
    more = f"; and {len(unmet) - _SHOWN} more" if len(unmet) > _SHOWN else ""
    raise NoProviderError(
        f"none of the {len(offers)} devices on offer fits",
        why=" | ".join(lines) + more,
        fix="relax device, memory or sandbox of the function",
    )
