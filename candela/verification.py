"""How a job's results are checked: policies with what they cost, and whether lying would pay."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from candela.errors import UsageError

SEAT_FEE_NIT = 10**14
"""What an auditor gets beyond the price of the task; as in ``contracts/compute/Audits.vy``."""
SLASH_NIT = 10**18
"""What a false result costs its provider: the bond of one device."""
MAX_AUDITORS = 15
DISPUTE_AUDITORS = 3
"""Seats of a dispute whose job has no policy."""
_MILLION = 10**6


class _Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    fraction: float = 0.05
    """Share of the tasks that are drawn after delivery; disputed ones come on top."""
    auditors: int = 3
    """Seats of each committee, an odd number."""
    ringers: float = 0.01
    """Share of the tasks, of which each lease has one at most, whose first result is false on purpose to test auditors.

    Such a result is never handed out: the task is done, and paid, twice.
    """

    code: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Refuse what the contract would refuse."""
        if not 0 <= self.fraction <= 1:
            raise UsageError(f"fraction={self.fraction!r} is out of range", why="a share of the tasks, from 0 to 1")
        if self.auditors % 2 == 0 or not 0 < self.auditors <= MAX_AUDITORS:
            raise UsageError(f"auditors={self.auditors!r} is out of range", why=f"odd, from 1 to {MAX_AUDITORS}")
        if not 0 <= self.ringers <= 1:
            raise UsageError(f"ringers={self.ringers!r} is out of range", why="a share of the tasks, from 0 to 1")

    @property
    def fraction_ppm(self) -> int:
        """Tasks drawn of a million."""
        return round(self.fraction * _MILLION)

    @property
    def ringers_ppm(self) -> int:
        """Ringers of a million tasks; none where nothing is drawn."""
        return round(self.ringers * _MILLION) if self.fraction_ppm else 0

    def ringers_nit(self, tasks: int, price: int) -> int:
        """What doing a job's ringers again costs on average, in nit; part of its quote."""
        return tasks * self.ringers_ppm * price // _MILLION

    def most_ringers(self, tasks: int) -> int:
        """For how many ringers of a job its customer pays, so that providers don't plant at will."""
        return 1 + math.ceil(2 * tasks * self.ringers_ppm / _MILLION)

    def audit_nit(self, price: int) -> int:
        """What one audit of a task of ``price`` nit costs."""
        return self.auditors * (price + SEAT_FEE_NIT)

    def expected_nit(self, tasks: int, price: int) -> int:
        """What audits of a job cost on average, in nit; part of its quote."""
        return tasks * self.fraction_ppm * self.audit_nit(price) // _MILLION

    def deposit_nit(self, tasks: int, price: int) -> int:
        """Enough for 999 of 1,000 jobs: the mean and three deviations of what is drawn; the rest comes back."""
        if not self.fraction_ppm:
            return 0
        mean = tasks * self.fraction
        audits = min(tasks, math.ceil(mean + 3 * math.sqrt(mean * (1 - self.fraction))) + 1)
        return audits * self.audit_nit(price)


class Replicate(_Policy, frozen=True, tag="replicate"):
    """Auditors run drawn tasks again; numbers may differ by a tolerance.

    Two numbers match when they differ by at most ``atol + rtol * |own|``, or by at most ``ulp`` units in the last
    place.
    """

    rtol: float = 0.0
    atol: float = 0.0
    ulp: int = 0

    code: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse tolerances that make no sense."""
        super().__post_init__()
        if not (0 <= self.rtol < 1 and 0 <= self.atol < math.inf and 0 <= self.ulp <= 1 << 20):
            raise UsageError(
                "a tolerance is out of range", why="rtol below 1, atol finite, ulp up to 2^20, none negative"
            )


class Replay(_Policy, frozen=True, tag="replay"):
    """Auditors run drawn tasks again; every byte must be the same."""

    trace: bool = False
    """The function is a generator that yields its whole state after each step, and goes on from any ``state=``.

    Its result is the last state; a dispute is narrowed down to one step, and only that is done again.
    """

    code: ClassVar[int] = 2

    @property
    def ringers_ppm(self) -> int:
        """None with a trace, which must end with the result."""
        return 0 if self.trace else super().ringers_ppm


class Freivalds(_Policy, frozen=True, tag="freivalds"):
    """The function returns the product of its two matrices; auditors check it by random vectors without multiplying.

    Integers are checked modulo 2^64, so a product that wraps is right; a false one passes with a chance below 2^-40.
    """

    rtol: float = 1e-6
    """For floating point: most relative error, of the product of the entries' absolute values."""

    code: ClassVar[int] = 3

    def __post_init__(self) -> None:
        """Refuse tolerances that make no sense."""
        super().__post_init__()
        if not 0 <= self.rtol < 1:
            raise UsageError(f"rtol={self.rtol!r} is out of range", why="from 0 to less than 1")


Verification = Replicate | Replay | Freivalds
"""A policy; ``None`` is none, and leaves disputes, which are judged as by :class:`Replay`."""


def parse(text: str) -> Verification | None:
    """A policy as commands take it: ``none``, ``replay``, ``replicate:0.1`` or ``freivalds:0.1:5``.

    Raises:
        UsageError: it is none of these.
    """
    kind, *numbers = text.split(":")
    if kind == "none" and not numbers:
        return None
    policies = {"replicate": Replicate, "replay": Replay, "freivalds": Freivalds}
    try:
        given = dict(zip(("fraction", "auditors"), (float, int), strict=True))
        values = {name: read(number) for (name, read), number in zip(given.items(), numbers, strict=False)}
        if len(numbers) > len(given):
            raise ValueError(text)
        return policies[kind](**values)
    except UsageError:
        raise
    except (KeyError, ValueError):
        raise UsageError(
            f"{text!r} is not a policy", fix="write none, or replicate, replay or freivalds with :FRACTION:AUDITORS"
        ) from None


class Deterrence(msgspec.Struct, frozen=True):
    """Whether a false result pays, for one task: the inequality ``p * (S + R) > G``; amounts in nit."""

    probability: float
    """p: that a false result is judged."""
    slash: int
    """S: what the bond loses."""
    revenue: int
    """R: the price that is lost."""
    gain: int
    """G: what not doing the work saves, at most its price."""

    @property
    def holds(self) -> bool:
        """Whether honesty pays more."""
        return self.probability * (self.slash + self.revenue) > self.gain

    @property
    def least_probability(self) -> float:
        """The share of tasks to audit below which lying pays."""
        return self.gain / (self.slash + self.revenue) if self.slash + self.revenue else 1.0

    def describe(self) -> str:
        """The inequality with its numbers, on one line."""
        share = "" if self.probability == 1 else f"{self.probability:g} x "
        stake = f"{share}(S {_cnd(self.slash)} + R {_cnd(self.revenue)})"
        verdict = "lying does not pay" if self.holds else f"LYING PAYS below p = {self.least_probability:.2g}"
        return f"{stake} {'>' if self.holds else '<='} G {_cnd(self.gain)} CND: {verdict}"


def deterrence(price: int, probability: float, slash: int = SLASH_NIT) -> Deterrence:
    """The inequality of a task of ``price`` nit whose result is judged with ``probability``."""
    return Deterrence(probability, slash, price, price)


def _cnd(nit: int) -> str:
    return f"{nit / 10**18:.3g}"
