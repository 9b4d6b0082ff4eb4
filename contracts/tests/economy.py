"""The contracts of the economy on a fresh chain, beside the real registry, market and Proof of Intensity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import boa

from candela.economics.rewards import WINDOWS

from .audits import AUDITS
from .conftest import CND, World, compiled, deploy

PERIOD, OPEN = 3_600, 60
COMMISSION = 1_000
REWARDS = "0x0000000000000000000000000000000000000cd7"
SHARES = "0x0000000000000000000000000000000000000cd6"
STAKE = 10 * CND
WEEK = 7 * 24 * 3600
DAY = WINDOWS * PERIOD


@dataclass
class Vaults:
    """A factory, one vault of a provider that owns it, and who plays."""

    registry: Any
    market: Any
    intensity: Any
    factory: Any
    vault: Any
    owner: str
    operator: str
    payer: str
    holders: list[str]

    def now(self) -> int:
        """The chain's time."""
        return boa.env.timestamp

    def at(self, moment: int) -> None:
        """Let time pass until ``moment``."""
        boa.env.time_travel(seconds=moment - self.now())

    def mature(self) -> None:
        """Let every claim mature."""
        boa.env.time_travel(seconds=8 * WEEK)

    def pay(self, amount: int) -> None:
        """Send income to the vault."""
        boa.env.set_balance(self.payer, boa.env.get_balance(self.payer) + amount)
        boa.env.raw_call(self.vault.address, value=amount, sender=self.payer)

    def slash(self, amount: int) -> int:
        """Let the contract of audits slash the provider, whose bond is empty unless a test fills it."""
        return self.registry.slash(self.vault.address, amount, sender=AUDITS)

    def request(self, holder: str, shares: int) -> None:
        """Ask shares back for oneself."""
        self.vault.requestRedeem(shares, holder, holder, sender=holder)

    def world(self, customer: str) -> World:
        """The market as its own tests see it, with this vault's operator and a rich customer."""
        boa.env.set_balance(customer, 1_000 * CND)
        return World(self.registry, self.market, customer, self.operator)


def vaults(registry: Any, market: Any, intensity: Any) -> Vaults:
    """Deploy implementation, factory and one vault with a stake of STAKE and a commission of 10 %."""
    names = ("owner", "operator", "payer", "ann", "bob", "eve")
    owner, operator, payer, *holders = (boa.env.generate_address(name) for name in names)
    for account in (owner, *holders):
        boa.env.set_balance(account, 1_000 * CND)
    implementation = deploy("Shares", registry.address, market.address, intensity.address, AUDITS)
    factory = compiled("compute", "SharesFactory").deploy(implementation.address, override_address=SHARES)
    address = factory.create(operator, "Node", "NODE", COMMISSION, value=STAKE, sender=owner)
    vault = compiled("compute", "Shares").at(address)
    return Vaults(registry, market, intensity, factory, vault, owner, operator, payer, holders)


def devices(registry: Any, provider: str, operator: str, count: int = 1) -> None:
    """Give a provider ``count`` listed devices."""
    boa.env.set_balance(operator, boa.env.get_balance(operator) + count * CND)
    registry.top_up_bond(provider, value=count * CND, sender=operator)
    for _ in range(count):
        registry.add_device(0, 1, 1 << 30, 1, "cpu", sender=operator)


_MEASUREMENTS = """
# pragma version 0.4.3
# pragma evm-version prague

period: public(constant(uint256)) = 3600
open_seconds: public(constant(uint256)) = 60
DEMAND_SECONDS: public(constant(uint256)) = 3600
SHOW_SECONDS: public(constant(uint256)) = 600

measured: public(HashMap[address, HashMap[uint256, HashMap[uint256, uint256]]])

@external
def state(provider: address, device: uint256, first: uint256, operations: uint256[24]):
    for i: uint256 in range(24):
        self.measured[provider][device][first + i] = operations[i]
"""


@cache
def measurements() -> Any:
    """A Proof of Intensity that takes a test's word, compiled once."""
    return boa.loads_partial(_MEASUREMENTS)


_JUDGEMENTS = """
# pragma version 0.4.3
# pragma evm-version prague

struct Judgement:
    customer: address
    price: uint256
    winners: DynArray[address, 15]

judgements: HashMap[uint256, Judgement]

@external
@payable
def __default__():
    pass

@external
def judge(audit_id: uint256, customer: address, price: uint256, winners: DynArray[address, 15]):
    self.judgements[audit_id] = Judgement(customer=customer, price=price, winners=winners)

@external
@view
def is_audited(job_id: uint64) -> bool:
    return job_id % 2 == 1

@external
@view
def winners(audit_id: uint256) -> (address, uint256, DynArray[address, 15]):
    found: Judgement = self.judgements[audit_id]
    return found.customer, found.price, found.winners
"""


@cache
def _judgements() -> Any:
    """A contract of audits that takes a test's word, and audits jobs of odd numbers; compiled once."""
    return boa.loads_partial(_JUDGEMENTS)


def deploy_rewards(registry: Any, intensity: Any, market: Any) -> Any:
    """The rewards, where the market looks for them."""
    arguments = (registry.address, intensity.address, SHARES, market.address)
    return compiled("compute", "Rewards").deploy(*arguments, override_address=boa.util.abi.Address(REWARDS))


@dataclass
class Pay:
    """The rewards beside a registry, a vault and measurements that a test states."""

    vaults: Vaults
    judgements: Any
    rewards: Any
    measurements: Any
    payer: str

    def provider(self, name: str, bond: int = CND) -> str:
        """An account that is a provider with ``bond``."""
        account = boa.env.generate_address(name)
        boa.env.set_balance(account, bond)
        self.vaults.registry.register(account, value=bond, sender=account)
        return account

    def fund(self, amount: int) -> None:
        """Pay into the reserve."""
        boa.env.set_balance(self.payer, amount)
        boa.env.raw_call(self.rewards.address, value=amount, sender=self.payer)

    def charge(self, provider: str, customer: str, job: int, burned: int, share: int = 0) -> None:
        """Let the market charge a payment."""
        market = self.vaults.market.address
        boa.env.set_balance(market, boa.env.get_balance(market) + burned + share)
        self.rewards.charge(provider, customer, job, burned, value=burned + share, sender=market)

    def today(self) -> int:
        """The number of the day."""
        return boa.env.timestamp // DAY

    def measure(self, provider: str, day: int, windows: Sequence[int], device: int = 0) -> None:
        """State what a device did in a day's windows."""
        self.measurements.state(provider, device, day * WINDOWS, list(windows))

    def to_reports_of(self, day: int) -> None:
        """Let time pass until a day can be reported."""
        self.vaults.at(self.rewards.reports_from(day))

    def to_seal_of(self, day: int) -> None:
        """Let time pass until a day's payouts begin to vest."""
        self.vaults.at(self.rewards.sealed_at(day))

    def balance(self) -> int:
        """What the contract holds."""
        return boa.env.get_balance(self.rewards.address)


def pay(reserve: int) -> Pay:
    """Deploy everything and fill the reserve."""
    registry = deploy("Registry")
    market = deploy("Market", registry.address)
    stated = measurements().deploy()
    beside = vaults(registry, market, stated)
    judgements = _judgements().deploy(override_address=boa.util.abi.Address(AUDITS))
    rewards = deploy_rewards(registry, stated, market)
    result = Pay(beside, judgements, rewards, stated, boa.env.generate_address("funder"))
    result.fund(reserve)
    return result
