"""Compute the rewards for proved compute exactly as ``contracts/compute/Rewards.vy`` does: integers, rounded down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

WINDOWS = 24
EMISSION_DIVISOR = 2_000
FIRST_SHARE, LAST_SHARE, SLOPE_DAYS = 8_000, 2_000, 1_461
BASIS_POINTS = 10_000
COVERED_OPERATIONS = 10**13
WORK = 1 << 128
"""With this bit, the number of a day means its pool for work."""
FEE_BASIS_POINTS = 500
"""Share of each payment to a provider that the market burns."""
AUDITORS_BASIS_POINTS = 200
"""Share of each payment to a provider that is set aside for auditors."""
RELEASE_SECONDS = 60 * 24 * 3600
"""How long after a customer's last payment what no audit has used goes to the reserve."""
REBATE_PERCENT = 80
"""The most of a burned fee that the pool for work pays back."""
LIQUID_PERCENT = 25
VESTING_SECONDS = 180 * 24 * 3600
COIN = 10**18


def capacity_share(age_days: int) -> int:
    """Share of a day's emission that pays for proved capacity, in basis points: 0.8, and 0.2 after four years."""
    return FIRST_SHARE - (FIRST_SHARE - LAST_SHARE) * min(age_days, SLOPE_DAYS) // SLOPE_DAYS


def emission(reserve: int, age_days: int) -> int:
    """What a day shares out of ``reserve`` nit for capacity, ``age_days`` after the first."""
    return reserve * capacity_share(age_days) // (BASIS_POINTS * EMISSION_DIVISOR)


def work_emission(reserve: int, age_days: int) -> int:
    """What a day shares out of ``reserve`` nit for work, at most."""
    return reserve * (BASIS_POINTS - capacity_share(age_days)) // (BASIS_POINTS * EMISSION_DIVISOR)


def fee(amount: int) -> int:
    """What the market burns of a payment of ``amount`` nit."""
    return amount * FEE_BASIS_POINTS // BASIS_POINTS


def auditors_share(amount: int) -> int:
    """What a payment of ``amount`` nit sets aside for auditors."""
    return amount * AUDITORS_BASIS_POINTS // BASIS_POINTS


def after_fees(amount: int) -> int:
    """What a provider gets of a payment of ``amount`` nit."""
    return amount - fee(amount) - auditors_share(amount)


def each_auditor(waiting: int, auditors: int, price: int) -> int:
    """What each auditor of a task of ``price`` nit gets of what the customer's payments have set aside.

    Args:
        waiting: that, in nit.
        auditors: how many said what was decided.
        price: of the task.
    """
    return min(waiting // auditors, price)


def device_work(windows: Sequence[int]) -> int:
    """Operations of a day that count for one device.

    Args:
        windows: operations measured in each window, 0 where nothing was.

    Returns:
        Their sum, but no more than their median (of those that are not 0) for each of them.
    """
    proved = sorted(window for window in windows if window)
    return min(sum(proved), proved[len(proved) // 2] * len(proved)) if proved else 0


def covered(stake: int, open_seconds: int) -> int:
    """Operations of a day that ``stake`` nit cover, where windows are open for ``open_seconds``."""
    return stake * COVERED_OPERATIONS * open_seconds * WINDOWS // COIN


def vested(payout: int, age_seconds: int) -> int:
    """How much of ``payout`` nit can be paid ``age_seconds`` after its day was sealed."""
    liquid = payout * LIQUID_PERCENT // 100
    return liquid + (payout - liquid) * min(age_seconds, VESTING_SECONDS) // VESTING_SECONDS


@dataclass
class Day:
    """One day's pool in nit, what is left of it, and the points of those who share it."""

    pool: int
    remaining: int
    sealed_at: int
    points: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    total: int = 0


@dataclass
class AuditPool:
    """What a customer's payments have set aside for auditors, and when the last of them was made."""

    waiting: int = 0
    paid_at: int = 0


@dataclass
class Rewards:
    """The reserve and what has been shared out of it; the caller checks who may do what, and when."""

    reserve: int = 0
    days: dict[int, Day] = field(default_factory=dict)
    audit_pools: dict[str, AuditPool] = field(default_factory=dict)
    credits: dict[str, int] = field(default_factory=dict)
    """What auditors are due, by provider."""

    @property
    def balance(self) -> int:
        """Every nit in the contract."""
        pools = sum(pool.waiting for pool in self.audit_pools.values())
        return self.reserve + sum(day.remaining for day in self.days.values()) + pools + sum(self.credits.values())

    def report(self, day: int, age_days: int, sealed_at: int, provider: str, points: int) -> None:
        """Set a provider's points of a day; the first report takes the day's pool from the reserve."""
        self._set(day, emission(self.reserve, age_days), sealed_at, provider, points)

    def burn(self, day: int, age_days: int, sealed_at: int, provider: str, amount: int) -> None:
        """Count a fee of ``amount`` nit; the first of a day takes the day's pool for work from the reserve."""
        if amount:
            known = self.days[WORK | day].points.get(provider, 0) if WORK | day in self.days else 0
            self._set(WORK | day, work_emission(self.reserve, age_days), sealed_at, provider, known + amount)

    def set_aside(self, customer: str, amount: int, now: int, audited: bool) -> None:
        """Keep a payment's share for auditors of a customer's jobs; of a job without draws it is the reserve's."""
        if amount and audited:
            pool = self.audit_pools.setdefault(customer, AuditPool())
            pool.waiting, pool.paid_at = pool.waiting + amount, now
        else:
            self.reserve += amount

    def share_out(self, customer: str, price: int, auditors: Sequence[str]) -> int:
        """Credit the auditors of a task of ``price`` nit; returns what was credited in all."""
        pool = self.audit_pools.setdefault(customer, AuditPool())
        each = each_auditor(pool.waiting, len(auditors), price)
        pool.waiting -= each * len(auditors)
        for auditor in auditors:
            self.credits[auditor] = self.credits.get(auditor, 0) + each
        return each * len(auditors)

    def release(self, customer: str) -> int:
        """Give what no audit has used to the reserve; returns how much that was."""
        amount = self.audit_pools.pop(customer, AuditPool()).waiting
        self.reserve += amount
        return amount

    def collect(self, auditor: str) -> int:
        """Pay what an auditor is due."""
        return self.credits.pop(auditor, 0)

    def payout(self, day: int, provider: str) -> int:
        """What a provider gets for a day (or ``WORK | day``) in all; 0 after all of it was paid."""
        state = self.days.get(day)
        if state is None or provider not in state.points:
            return 0
        share = state.pool * state.points[provider] // state.total
        return min(share, state.points[provider] * REBATE_PERCENT // 100) if day >= WORK else share

    def pay(self, day: int, provider: str, now: int) -> int:
        """Pay what has vested of both pools; whoever is paid last gives what is left of a pool back to the reserve."""
        return self._settle(day, provider, now) + self._settle(WORK | day, provider, now)

    def _set(self, day: int, pool: int, sealed_at: int, provider: str, points: int) -> None:
        if day not in self.days:
            self.reserve -= pool
            self.days[day] = Day(pool, pool, sealed_at)
        state = self.days[day]
        state.total += points - state.points.get(provider, 0)
        state.points[provider] = points

    def _settle(self, day: int, provider: str, now: int) -> int:
        state = self.days.get(day)
        if state is None or provider not in state.points:
            return 0
        payout = self.payout(day, provider)
        due = vested(payout, now - state.sealed_at) - state.paid.get(provider, 0)
        state.paid[provider] = state.paid.get(provider, 0) + due
        state.remaining -= due
        if state.paid[provider] == payout:
            del state.points[provider], state.paid[provider]
            if not state.points:
                self.reserve, state.remaining = self.reserve + state.remaining, 0
        return due
