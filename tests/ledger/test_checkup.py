"""What the doctor makes of a clock, of stake, and of votes that nobody hears."""

from pathlib import Path

import pytest

from candela.chain.staking import ValidatorLine
from candela.network.card import Card
from candela.network.checkup import judge_clock, judge_stake, judge_votes

KEY, OWNER = "0x" + "ab" * 32, "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
CARD = Card(public_key=KEY, owner=OWNER, address="203.0.113.5:9000")
BOND = 1_000 * 10**18


@pytest.mark.parametrize(
    ("age_ms", "fresh_ms", "ok", "words"),
    [
        (200, 120, True, "0.12 s after"),
        (60_000, -499, True, "after"),
        (60_000, -501, False, "0.5 s behind"),
        (-501, None, False, "0.5 s behind"),
        (200, 5_001, False, "5.00 s after"),
        (60_000, None, True, "ahead by less than that"),
        (75_001, None, False, "75 s old"),
    ],
)
def test_a_clock_is_judged_by_blocks_of_others(age_ms: int, fresh_ms: int | None, ok: bool, words: str) -> None:
    finding = judge_clock(age_ms, fresh_ms)
    assert (finding.ok, words in finding.detail, bool(finding.fix)) == (ok, True, not ok)


def line(**changes: object) -> ValidatorLine:
    fields = {
        "validator": 3,
        "owner": OWNER,
        "key": KEY,
        "state": "standing",
        "bond_nit": str(BOND),
        "delegated_nit": "0",
        "commission": 1_000,
        "seat": True,
    }
    return ValidatorLine(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "ok", "needed", "words"),
    [
        ({}, True, True, "stands for election with 1000 CND"),
        ({"owner": OWNER.lower()}, True, True, "stands"),
        ({"key": "0x" + "cd" * 32}, False, True, "has rotated to 0xcdcdcdcdcd"),
        ({"state": "jailed"}, False, True, "is jailed"),
        ({"state": "tombstoned"}, False, True, "is tombstoned"),
        ({"owner": "0x" + "11" * 20}, False, True, "belongs to 0x1111"),
        ({"state": "resting"}, False, False, "is resting"),
        ({"bond_nit": str(BOND - 1)}, False, False, "with a bond of 999.999999 CND"),
    ],
)
def test_stake_is_judged_by_the_line_of_the_key(changes: dict[str, str], ok: bool, needed: bool, words: str) -> None:
    finding = judge_stake(line(**changes), CARD, BOND, Path("folder"))
    assert (finding.ok, words in finding.detail) == (ok, True)
    assert ok or finding.needed == needed


@pytest.mark.parametrize(("signed", "read", "ok"), [(1, 32, True), (0, 7, True), (0, 8, False), (0, 0, True)])
def test_a_seat_that_signs_nothing_is_not_heard(signed: int, read: int, ok: bool) -> None:
    finding = judge_votes(signed, read, CARD)
    assert finding.ok == ok
    assert f"{signed} of the last {read}" in finding.detail
    assert ok or (KEY in finding.fix and CARD.address in finding.fix)
