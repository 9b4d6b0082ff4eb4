"""Report each day of proved compute to the contract of rewards, and say which days are reported and which wait."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from candela.amounts import format_cnd
from candela.chain.client import Client
from candela.chain.intensity import Intensity
from candela.chain.message import Message
from candela.chain.registry import Registry
from candela.chain.rewards import MAX_DEVICES, Rewards
from candela.chain.sender import Sender
from candela.durations import format_duration
from candela.economics.rewards import WINDOWS, device_work
from candela.errors import Error, ProviderError
from candela.provider.logs import logger
from candela.provider.tended import Tended

_LOOK_SECONDS = 15.0
_SHOWN_DAYS = 4


class DayState(StrEnum):
    """Where a day stands for one provider."""

    RUNNING = "running"
    """Some of its windows are not final."""
    EMPTY = "empty"
    """No window of it counts."""
    DUE = "due"
    REPORTED = "reported"
    MISSED = "missed"
    """It was sealed before all that was proved in it was reported."""


class ProvedDay(msgspec.Struct):
    """One provider's day; times in Unix seconds."""

    day: int
    state: DayState
    operations: int
    """Measured so far, by the contract's rule."""
    waiting: dict[int, int]
    """Operations of devices that have some and are not reported."""
    reports_from: int
    sealed_at: int
    payout_nit: int
    """It falls while others still report."""
    fee_nit: int = 0
    """What its reports have cost."""

    def describe(self, now: int) -> str:
        """Its state with the numbers that made it, at a moment in Unix seconds."""
        operations = f"{self.operations:.3g} operations"
        match self.state:
            case DayState.RUNNING:
                return f"{operations} so far; can be reported in {format_duration(self.reports_from - now)}"
            case DayState.EMPTY:
                return "no window of it counts"
            case DayState.DUE:
                return f"{operations} wait to be reported, {format_duration(self.sealed_at - now)} left"
            case DayState.REPORTED:
                return f"{operations}, payout {format_cnd(self.payout_nit)}, reporting cost {format_cnd(self.fee_nit)}"
            case DayState.MISSED:
                lost = sum(self.waiting.values())
                return f"{lost:.3g} operations were not reported until it was sealed"


def read_days(client: Client, provider: str, first: int, last: int) -> list[ProvedDay]:
    """Days of a provider, from the chain alone; without what their reports have cost.

    Args:
        client: the node.
        provider: the owner's address, or its vault.
        first, last: numbers of days.
    """
    rewards, intensity, now = Rewards(client), Intensity(client), client.timestamp()
    # A device that was removed since has still proved.
    devices = list(range(Registry(client).provider(provider).next_device))
    days = []
    for line in rewards.days(provider, first, last):
        windows = range(line.day * WINDOWS, (line.day + 1) * WINDOWS)
        work = {device: device_work(found) for device, found in intensity.measured(provider, devices, windows).items()}
        proved = [device for device, operations in work.items() if operations]
        waiting = {device: work[device] for device in rewards.unreported(provider, line.day, proved)}
        total = sum(work.values())
        state = _state(now, line.reports_from, line.sealed_at, total, waiting)
        times = (line.reports_from, line.sealed_at)
        days.append(ProvedDay(line.day, state, total, waiting, *times, int(line.payout_nit)))
    return days


def _state(now: int, reports_from: int, sealed_at: int, total: int, waiting: dict[int, int]) -> DayState:
    if now < reports_from:
        return DayState.RUNNING
    if not total:
        return DayState.EMPTY
    if not waiting:
        return DayState.REPORTED
    return DayState.DUE if now < sealed_at else DayState.MISSED


def recent_days(client: Client, provider: str) -> list[ProvedDay]:
    """The last days in which a provider has proved something, the newest last, with what their reports have cost.

    Args:
        client: the node.
        provider: the owner's address, or its vault.
    """
    rewards = Rewards(client)
    if not rewards.deployed:
        return []
    today = rewards.today()
    days = [each for each in read_days(client, provider, max(today - _SHOWN_DAYS + 1, 0), today) if each.operations]
    word = "0x" + provider.lower().removeprefix("0x").rjust(64, "0")
    topics = [f"0x{each.day:064x}" for each in days]
    events = rewards.events(0, client.block_number(), rewards.topic("Reported"), topics, word) if days else []
    receipts = client.receipts([each.transaction for each in events])
    for event, receipt in zip(events, receipts, strict=True):
        for day in days:
            if day.day == event.fields["day"] and receipt is not None:
                day.fee_nit += receipt.fee_nit
    return days


class Reporter(Tended):
    """Reports a provider's days by itself, tended by a thread of its own. What is reported, the chain remembers.

    Args:
        sender: the operator's.
        provider: address of the provider.
    """

    def __init__(self, sender: Sender, provider: str) -> None:
        super().__init__("candela-days", _LOOK_SECONDS)
        self._sender, self._client, self._provider = sender, sender.client, provider
        self._rewards = Rewards(self._client)
        self._settled: set[int] = set()
        self._found = False

    def tend(self) -> None:
        """Report what is due now.

        Raises:
            ProviderError: a report would not be worth its fee, or would count for another provider.
            NetworkError: the node can't be reached; what is due is tried again with the next call.
            RpcError: the node refused a transaction.
            TransactionFailed: the contract did.
        """
        if not self._found and not self._rewards.deployed:
            # A chain of an early build never pays.
            self._stopped.set()
            return
        self._found = True
        now, today = self._client.timestamp(), self._rewards.today()
        # The last windows of a day can be final before the day is over.
        for line in self._rewards.days(self._provider, max(today - 1, 0), today):
            if line.reports_from <= now < line.sealed_at and line.day not in self._settled:
                (day,) = read_days(self._client, self._provider, line.day, line.day)
                if day.state is DayState.DUE:
                    self._report(day)
                self._settled.add(line.day)

    def _reason(self, error: Exception) -> str:
        return f"{error.what}: {error.why}" if isinstance(error, Error) and error.why else str(error)

    def _warn(self, reason: str) -> None:
        logger().warning("a day is not reported; trying again", reason=reason)

    def _report(self, day: ProvedDay) -> None:
        self._check_standing()
        devices = list(day.waiting)
        fee = 0
        for start in range(0, len(devices), MAX_DEVICES):
            part = devices[start : start + MAX_DEVICES]
            message = self._worthwhile(day, part)
            fee += self._sender.send(message, f"reporting day {day.day}").fee_nit
        payout = self._rewards.read("payout", day.day, self._provider)
        logger().info(
            "day reported",
            day=day.day,
            devices=len(devices),
            operations=sum(day.waiting.values()),
            payout=format_cnd(payout),
            fee=format_cnd(fee),
        )

    def _check_standing(self) -> None:
        own = self._sender.account.address
        if own.lower() != self._provider.lower() and Registry(self._client).provider(own).state:
            raise ProviderError(
                f"the days of {self._provider} can't be reported by its operator",
                why=f"{own} is a provider itself, and its reports count for itself",
                fix="let the owner report them: candela provider rewards report --keyfile OWNER",
            )

    def _worthwhile(self, day: ProvedDay, devices: list[int]) -> Message:
        """The report of some devices, if it can bring more than it costs."""
        message = self._rewards.reporting(day.day, devices)
        gas, cost = self._client.estimate(self._sender.account.address, message)
        payout = self._rewards.prospect(self._provider, day.day, sum(day.waiting[each] for each in devices))
        if payout <= cost:
            raise ProviderError(
                f"the report of day {day.day} is not worth its fee",
                why=f"the day can bring {format_cnd(payout)} and the report costs {format_cnd(cost)}",
                fix="report it with: candela provider rewards report, or wait for the reserve to be filled",
            )
        return msgspec.structs.replace(message, gas=gas * 5 // 4)
