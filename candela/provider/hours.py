"""The hours of the week in which a machine is offered, by the clock on its wall."""

from __future__ import annotations

import re
import time
from datetime import datetime, tzinfo

import msgspec

from candela.durations import format_duration
from candela.errors import UsageError

ALWAYS = "00:00-24:00"
"""Every hour of every day."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_HORIZON_MINUTES = 15 * _DAY_MINUTES
"""Two weeks: a clock that is put forward can leave out the one range of a week."""
_RANGE = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? +)?(\d{2}):(\d{2})-(\d{2}):(\d{2})")
_FORM = 'write ranges like "22:00-08:00" or "mon-fri 18:00-08:00, sat-sun 00:00-24:00"'


class Range(msgspec.Struct, frozen=True):
    """Some minutes on some days of the week; one that ends on the next day belongs to the day on which it begins."""

    days: frozenset[int]
    """0 is Monday."""
    begin: int
    """First minute of the day."""
    end: int
    """Minute after the last; not more than ``begin`` where it ends on the next day."""

    def contains(self, day: int, minute: int) -> bool:
        """Whether a minute of a day of the week is in it."""
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


class Hours:
    """Hours of the week. The wall clock decides: what it shows twice when summer ends is in them twice.

    Args:
        text: ranges of the wall clock, separated by commas, each with the days on which it begins or for every day:
            ``22:00-08:00``, ``mon-fri 18:00-08:00, sat-sun 00:00-24:00``.
        zone: whose clock; this machine's when absent.

    Raises:
        UsageError: the text is not of this form.
    """

    def __init__(self, text: str, zone: tzinfo | None = None) -> None:
        self.text, self._zone = text.strip(), zone
        self._ranges = [_range(part, text) for part in text.lower().split(",")]
        self.always = all(any(r.contains(d, m) for r in self._ranges) for d in range(7) for m in range(_DAY_MINUTES))
        """Whether they leave nothing out."""
        self._span = (0.0, 0.0)

    def contains(self, moment: float) -> bool:
        """Whether a moment in Unix time is within them."""
        clock = self._clock(moment)
        return any(each.contains(clock.weekday(), clock.hour * 60 + clock.minute) for each in self._ranges)

    def next_opening(self, moment: float) -> float:
        """The first moment from this one on that is within them, both in Unix time."""
        return self._next(moment, True)

    def next_closing(self, moment: float) -> float | None:
        """The first moment from this one on that is outside; ``None`` where there is none."""
        return None if self.always else self._next(moment, False)

    def describe(self, moment: float) -> str:
        """What the clock shows at a moment and when that changes, such as ``13:05 CET; opens in 8 h 55 min``."""
        shown = self._clock(moment).strftime("%a %H:%M %Z")
        if not self.contains(moment):
            return f"{shown}; opens in {format_duration(self.next_opening(moment) - moment)}"
        closes = self.next_closing(moment)
        return shown if closes is None else f"{shown}; closes in {format_duration(closes - moment)}"

    def _clock(self, moment: float) -> datetime:
        return datetime.fromtimestamp(moment, self._zone).astimezone(self._zone)

    def _next(self, moment: float, within: bool) -> float:
        if self.contains(moment) is within:
            return moment
        begin, end = self._span
        if begin <= moment < end:
            return end
        # Clocks are changed by whole minutes, so looking at each is right in every zone and every week.
        minute = moment // 60 * 60
        later = (minute + 60 * i for i in range(1, _HORIZON_MINUTES))
        change = next(each for each in later if self.contains(each) is within)
        self._span = (moment, change)
        return change


class Clock(msgspec.Struct):
    """What the hours say at a moment, as an agent tells it."""

    text: str
    open: bool
    now: str
    """What the clock shows, and when that changes."""

    @classmethod
    def of(cls, hours: Hours) -> Clock:
        """What they say now."""
        now = time.time()
        return cls(hours.text, hours.contains(now), hours.describe(now))


def _range(part: str, text: str) -> Range:
    match = _RANGE.fullmatch(part.strip())
    if match is None:
        raise UsageError(f"{text!r} are no hours", why=f"{part.strip()!r} is not a range of the day", fix=_FORM)
    first, last, *numbers = match.groups()
    times = [int(numbers[at]) * 60 + int(numbers[at + 1]) for at in (0, 2)]
    if any(int(minutes) > 59 for minutes in numbers[1::2]) or times[0] >= _DAY_MINUTES or times[1] > _DAY_MINUTES:
        raise UsageError(
            f"{text!r} are no hours",
            why=f"{part.strip()!r} names a time that no day has: it begins from 00:00 to 23:59 and ends until 24:00",
            fix=_FORM,
        )
    if times[0] == times[1]:
        raise UsageError(
            f"{text!r} are no hours", why=f"{part.strip()!r} is empty", fix=f"write {ALWAYS} for a whole day"
        )
    return Range(_days(first, last, text), *times)


def _days(first: str | None, last: str | None, text: str) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    for name in (first, last or first):
        if name not in _DAYS:
            raise UsageError(f"{text!r} are no hours", why=f"{name!r} is no day of the week", fix=_FORM)
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    return frozenset((begin + i) % 7 for i in range((end - begin) % 7 + 1))
