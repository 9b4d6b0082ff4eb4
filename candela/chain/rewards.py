"""The contract that pays for proved compute."""

from __future__ import annotations

from functools import cached_property

import msgspec

from candela.chain.client import Client, successful
from candela.chain.contract import Contract
from candela.chain.message import Message
from candela.economics.rewards import WINDOWS, WORK
from candela.network.genesis import REWARDS

_BY_PROVIDER = ("points", "payout", "paid", "due")
MAX_DEVICES = 64
MAX_DAYS = 200
MAX_AUDITS = 50
"""Most that one transaction reports, pays, and shares out."""


class DayLine(msgspec.Struct):
    """What a day has brought one provider; times in Unix seconds."""

    day: int
    reports_from: int
    sealed_at: int
    points: str
    """Operations that were measured and that the stake covers."""
    payout_nit: str
    """Of both pools, like what follows."""
    paid_nit: str
    due_nit: str
    fees_nit: str
    """What the market burned of the day's payments for jobs."""
    work_payout_nit: str
    """What the pool for work pays back of them."""


class Rewards(Contract):
    """Reads days and makes transactions for them.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = REWARDS) -> None:
        super().__init__(client, "Rewards", address)

    @property
    def deployed(self) -> bool:
        """Whether the chain has it: chains of early builds have not."""
        return self.client.call("eth_getCode", self.address, "latest") != "0x"

    @cached_property
    def day_seconds(self) -> int:
        """Seconds in a day of 24 windows."""
        return self.read("period") * WINDOWS

    def today(self) -> int:
        """The day of the latest block."""
        return self.client.timestamp() // self.day_seconds

    def days(self, provider: str, first: int, last: int) -> list[DayLine]:
        """What days have brought a provider."""
        days = range(first, last + 1)
        asked = [(name, self.view(name, day)) for day in days for name in ("reports_from", "sealed_at")]
        keys = [key for day in days for key in (day, WORK | day)]
        asked += [(name, self.view(name, key, provider)) for key in keys for name in _BY_PROVIDER]
        outcomes = self.client.batch([("eth_call", (view, "latest")) for _, view in asked])
        found = [self.decode_result(name, successful(each)) for (name, _), each in zip(asked, outcomes, strict=True)]
        times, amounts = found[: 2 * len(days)], found[2 * len(days) :]
        size, lines = len(_BY_PROVIDER), []
        for i, day in enumerate(days):
            points, *capacity = amounts[2 * i * size : (2 * i + 1) * size]
            fees, *work = amounts[(2 * i + 1) * size : (2 * i + 2) * size]
            both = [one + other for one, other in zip(capacity, work, strict=True)]
            lines.append(DayLine(day, *times[2 * i : 2 * i + 2], *map(str, (points, *both, fees, work[0]))))
        return lines

    def unreported(self, provider: str, day: int, devices: list[int]) -> list[int]:
        """Those of the devices that have not been reported for a day."""
        calls = [("eth_call", (self.view("reported", day, provider, each), "latest")) for each in devices]
        answers = [self.decode_result("reported", successful(each)) for each in self.client.batch(calls)]
        return [device for device, done in zip(devices, answers, strict=True) if not done]

    def prospect(self, provider: str, day: int, work: int) -> int:
        """A provider's payout of a day in nit, if ``work`` more operations were reported now.

        Others who report later lower it, so it is the most that the day can bring.
        """
        state, before = self.read("days", day), self.read("points", day, provider)
        known = self.read("work", day, provider)
        points = max(min(known + work, self.read("covered", provider)), before)
        pool = state["pool"] if state["points"] else self.read("emission", day)
        return pool * points // (state["points"] - before + points) if points else 0

    def reporting(self, day: int, devices: list[int]) -> Message:
        """The transaction that counts what devices of the sender's provider have proved."""
        return self.message("report", day, devices)

    def set_aside(self, customer: str) -> int:
        """What a customer's payments have set aside for auditors and no audit has used, in nit."""
        return self.read("audit_pools", customer) % (1 << 128)

    def sharing_out(self, audit_ids: list[int]) -> Message:
        """The transaction that credits those who judged audits with what is set aside for them."""
        return self.message("share_out", audit_ids)

    def paying(self, provider: str, days: list[int]) -> Message:
        """The transaction that pays a provider what has vested."""
        return self.message("pay", provider, days)
