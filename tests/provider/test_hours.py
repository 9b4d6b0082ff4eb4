"""Hours are read as written, and follow the clock on the wall, also when it is changed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candela.errors import UsageError
from candela.provider.hours import ALWAYS, Hours

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
ZONES = [UTC, BERLIN, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")]
NIGHT = "22:00-08:00"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

times_of_day = st.integers(0, 24 * 60 - 1)
moments = st.integers(1_700_000_000, 1_900_000_000)


def at(text: str, zone: ZoneInfo, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@st.composite
def hours(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        begin, end = draw(times_of_day), draw(st.integers(0, 24 * 60))
        if begin == end:
            end = (end + 1) % (24 * 60)
        days = draw(st.sampled_from(["", "mon ", "fri-mon ", "tue-thu ", "sun "]))
        parts.append(f"{days}{clock(begin)}-{clock(end)}")
    return ", ".join(parts)


def reference(text: str, wall: datetime) -> bool:
    """Whether a wall clock's time is within hours, found by walking through each of their ranges' minutes."""
    for part in text.split(", "):
        days, _, span = part.rpartition(" ")
        begin, end = span.split("-")
        first, _, last = days.partition("-")
        names = DAYS if not days else {DAYS[i % 7] for i in range(DAYS.index(first), DAYS.index(first) + 7)}
        if days:
            count = (DAYS.index(last or first) - DAYS.index(first)) % 7 + 1
            names = {DAYS[(DAYS.index(first) + i) % 7] for i in range(count)}
        for back in (0, 1):
            day = (wall - timedelta(days=back)).replace(hour=0, minute=0, second=0, microsecond=0)
            if DAYS[day.weekday()] not in names:
                continue
            start, stop = (day + timedelta(hours=int(t[:2]), minutes=int(t[3:])) for t in (begin, end))
            stop += timedelta(days=1) if stop <= start else timedelta()
            if start <= wall < stop:
                return True
    return False


@given(text=hours(), moment=moments, zone=st.sampled_from(ZONES))
def test_hours_hold_what_the_wall_clock_shows(text: str, moment: int, zone: ZoneInfo) -> None:
    wall = datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
    assert Hours(text, zone).contains(moment) is reference(text, wall)


@given(text=hours(), moment=moments, zone=st.sampled_from(ZONES), share=st.floats(0, 1, exclude_max=True))
def test_the_next_opening_is_within_and_nothing_before_it_is(
    text: str, moment: int, zone: ZoneInfo, share: float
) -> None:
    found = Hours(text, zone)
    opening = found.next_opening(moment)
    assert found.contains(opening)
    if opening > moment:
        assert not found.contains(moment)
        assert not found.contains(opening - 1)
        assert not found.contains(moment + share * (opening - moment - 1))
    else:
        assert opening == moment


@given(text=hours(), moment=moments, zone=st.sampled_from(ZONES))
def test_hours_close_after_they_open_unless_they_leave_nothing_out(text: str, moment: int, zone: ZoneInfo) -> None:
    found = Hours(text, zone)
    closing = found.next_closing(moment)
    assert (closing is None) is found.always
    if closing is not None:
        assert not found.contains(closing)
        assert closing == moment or found.contains(closing - 1)


def test_a_night_that_loses_an_hour_still_ends_at_eight() -> None:
    night = Hours(NIGHT, BERLIN)
    evening = at("2027-03-27 21:00", BERLIN)
    opens = night.next_opening(evening)
    closes = night.next_closing(opens)
    assert opens == at("2027-03-27 22:00", BERLIN)
    assert closes == at("2027-03-28 08:00", BERLIN)
    assert closes - opens == 9 * 3600


def test_an_hour_that_the_clock_leaves_out_begins_with_the_next_it_shows() -> None:
    assert Hours("02:30-05:00", BERLIN).next_opening(at("2027-03-28 01:00", BERLIN)) == at("2027-03-28 03:00", BERLIN)
    only = Hours("02:15-02:45", BERLIN)
    assert only.next_opening(at("2027-03-28 00:00", BERLIN)) == at("2027-03-29 02:15", BERLIN)
    weekly = Hours("sun 02:15-02:45", BERLIN)
    assert weekly.next_opening(at("2027-03-22 00:00", BERLIN)) == at("2027-04-04 02:15", BERLIN)


def test_an_hour_that_the_clock_shows_twice_is_open_twice() -> None:
    found = Hours("02:00-02:30", BERLIN)
    first, second = (at("2027-10-31 02:00", BERLIN, fold) for fold in (0, 1))
    assert second - first == 3600
    assert found.next_closing(first) == first + 1800
    assert found.next_opening(first + 1800) == second


def test_a_range_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    found = Hours("fri 22:00-08:00", NEW_YORK)
    assert found.contains(at("2027-01-08 23:00", NEW_YORK)), "a Friday"
    assert found.contains(at("2027-01-09 07:59", NEW_YORK))
    assert not found.contains(at("2027-01-08 07:00", NEW_YORK))
    assert not found.contains(at("2027-01-09 08:00", NEW_YORK))


def test_what_the_clock_shows_is_told_with_when_it_changes() -> None:
    night = Hours(NIGHT, BERLIN)
    assert night.describe(at("2027-01-08 13:05", BERLIN)) == "Fri 13:05 CET; opens in 8 h 55 min"
    assert night.describe(at("2027-07-09 07:30", BERLIN)) == "Fri 07:30 CEST; closes in 30 min"
    assert Hours(ALWAYS, UTC).describe(0) == "Thu 00:00 UTC"


def test_whole_weeks_are_known_however_they_are_written() -> None:
    assert all(Hours(each).always for each in (ALWAYS, "00:00-12:00,12:00-24:00", "08:00-07:59, 07:59-08:00"))
    assert not Hours("mon-sat 00:00-24:00").always
    assert Hours("mon-sun 00:00-24:00").always


def test_without_a_zone_the_machine_s_clock_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()
        found = Hours(NIGHT)
        assert found.next_opening(at("2027-07-08 12:00", NEW_YORK)) == at("2027-07-08 22:00", NEW_YORK)
        assert "EDT" in found.describe(at("2027-07-08 12:00", NEW_YORK))
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is not a range"),
        ("22-08", "'22-08' is not a range"),
        ("22:00-08:00,", "'' is not a range"),
        ("22:00-08:00 mon", "is not a range"),
        ("22:00-25:00", "a time that no day has"),
        ("24:00-08:00", "a time that no day has"),
        ("10:60-12:00", "a time that no day has"),
        ("08:00-08:00", "'08:00-08:00' is empty"),
        ("son 08:00-09:00", "'son' is no day of the week"),
        ("mon-fry 08:00-09:00", "'fry' is no day of the week"),
    ],
)
def test_bad_text_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(UsageError) as raised:
        Hours(text)
    assert why in raised.value.why
    assert raised.value.fix
