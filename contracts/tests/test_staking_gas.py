"""What staking costs at its bounds, so that no number of validators can stop an election."""

from __future__ import annotations

import boa
import pytest

from .conftest import CND
from .staking import SELF_BOND, STANDING, SYSTEM, Stakes, start

SEATS = 128
CANDIDATES = 256
GAS = {
    "register": 250_000,
    "delegate": 100_000,
    "report": 550_000,
    "attend": 200_000,
    "distribute": 10_000_000,
    "elect": 10_000_000,
}
"""Bounds; `pytest -s` prints what was used."""


@pytest.fixture(scope="module")
def full() -> Stakes:
    """As many candidates as fit, of one owner each, all but the first with delegations, and all seats taken."""
    stakes = start(seats=SEATS)
    for i in range(CANDIDATES):
        validator = stakes.register(stakes.account(f"v{i}"), SELF_BOND + i % 7)
        if i:
            stakes.staking.delegate(validator, value=2 * CND + i % 5, sender=stakes.account(f"d{i}"))
    stakes.elect()
    return stakes


def used(stakes: Stakes) -> int:
    """Gas of the last call, without the 21,000 and the calldata of a transaction."""
    return stakes.staking._computation.get_gas_used()


def within(stakes: Stakes, what: str) -> None:
    gas = used(stakes)
    print(f"{what}: {gas:,} gas")
    assert gas < GAS[what]


def test_elections_among_most_candidates_are_bounded(full: Stakes) -> None:
    with boa.env.anchor():
        epoch = full.staking.epoch() + 1
        full.staking.elect(epoch, sender=SYSTEM)
        within(full, "elect")
        assert len(full.staking.seats(epoch)) == SEATS


def test_distribution_to_all_seats_is_bounded(full: Stakes) -> None:
    with boa.env.anchor():
        for height in (1, 2):
            full.attend(height, *range(SEATS))
        within(full, "attend")
        full.distribute(CND, [100] * SEATS, epoch=1)
        within(full, "distribute")


def test_evidence_among_all_seats_is_bounded(full: Stakes) -> None:
    with boa.env.anchor():
        validator = full.staking.validator_of(full.staking.seats(1)[5].key)
        full.report(validator, full.account("reporter"))
        within(full, "report")


def test_people_pay_the_same_however_many_there_are(full: Stakes) -> None:
    with boa.env.anchor():
        owner, delegator = full.account("new owner"), full.account("new delegator")
        validator = full.register(owner, stand=False)
        within(full, "register")
        full.staking.delegate(validator, value=CND, sender=delegator)
        within(full, "delegate")


def test_full_list_admits_whoever_is_heavier_than_the_one_it_names(full: Stakes) -> None:
    with boa.env.anchor():
        light, heavy = full.account("light"), full.account("heavy")
        first, second = full.register(light, stand=False), full.register(heavy, 10 * SELF_BOND, stand=False)
        with boa.reverts("staking: the weaker one does not stand"):
            full.staking.stand(first, second, sender=light)
        with boa.reverts("staking: the weaker one is not weaker"):
            full.staking.stand(first, 2, sender=light)
        full.staking.stand(second, 1, sender=heavy)
        assert full.staking.validators(1).state != STANDING
        assert len(full.staking.standing()) == CANDIDATES
        assert second in [full.staking.validator_of(seat.key) for seat in full.elect()]
