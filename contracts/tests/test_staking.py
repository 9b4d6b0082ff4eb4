"""Who may validate, for how much, and what faults cost."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest
from eth_abi import encode
from eth_utils import keccak

from .conftest import CND
from .staking import (
    ATTENDANCES,
    BURNED,
    DAY,
    FINALIZE,
    JAILED,
    NOTARIZE,
    NULLIFY_FINALIZE,
    PERIOD,
    RESTING,
    SELF_BOND,
    STANDING,
    SYSTEM,
    TOMBSTONED,
    UNBONDING,
    Stakes,
    double_vote,
    start,
)


@pytest.fixture
def stakes() -> Iterator[Stakes]:
    with boa.env.anchor():
        boa.env.set_balance(BURNED, 0)
        yield start()


def state(stakes: Stakes, validator: int) -> int:
    return stakes.staking.validators(validator).state


# Registration


def test_genesis_seats_are_the_first_set(stakes: Stakes) -> None:
    [seat] = stakes.staking.seats(0)
    assert (seat.key, seat.stake) == (next(iter(stakes.voters)), 1)
    assert stakes.staking.set_root(0) != bytes(32)
    assert stakes.staking.set_root(1) == bytes(32)


def test_set_root_commits_to_epoch_keys_and_stakes_in_one_slot(stakes: Stakes) -> None:
    stakes.register(stakes.account("a"))
    seats = stakes.elect()
    expected = keccak(encode(["uint256", "(bytes32,uint256)[]"], [1, [(seat.key, seat.stake) for seat in seats]]))
    assert stakes.staking.set_root(1) == expected
    slot = int.from_bytes(keccak((0).to_bytes(32, "big") + (1).to_bytes(32, "big")), "big")
    assert boa.env.get_storage(stakes.staking.address, slot).to_bytes(32, "big") == expected


def test_a_validator_needs_a_bond_a_key_of_its_own_and_a_commission_in_bounds(stakes: Stakes) -> None:
    owner, other, voter = stakes.account("a"), stakes.account("b"), stakes.voter()
    proof = voter.possession(owner, stakes.staking.address)
    register = stakes.staking.register
    with boa.reverts("staking: self-bond is too small"):
        register(voter.key, proof, 500, value=SELF_BOND - 1, sender=owner)
    with boa.reverts("staking: commission is too low"):
        register(voter.key, proof, 499, value=SELF_BOND, sender=owner)
    with boa.reverts("staking: commission is too high"):
        register(voter.key, proof, 2501, value=SELF_BOND, sender=owner)
    with boa.reverts("staking: key is not the caller's"):
        register(voter.key, proof, 500, value=SELF_BOND, sender=other)
    register(voter.key, proof, 500, value=SELF_BOND, sender=owner)
    with boa.reverts("staking: key is taken"):
        register(voter.key, proof, 500, value=SELF_BOND, sender=owner)


def test_commission_falls_at_once_and_rises_slowly(stakes: Stakes) -> None:
    owner = stakes.account("a")
    validator = stakes.register(owner, commission=1000)
    change = stakes.staking.set_commission
    stakes.pass_time(7 * DAY)
    with boa.reverts("staking: commission rises too far"):
        change(validator, 1101, sender=owner)
    change(validator, 1100, sender=owner)
    with boa.reverts("staking: commission rises too soon"):
        change(validator, 1101, sender=owner)
    change(validator, 500, sender=owner)
    stakes.pass_time(7 * DAY - 1)
    with boa.reverts("staking: commission rises too soon"):
        change(validator, 600, sender=owner)
    with boa.reverts("staking: commission is too low"):
        change(validator, 499, sender=owner)
    with boa.reverts("staking: caller is not the owner"):
        change(validator, 500, sender=stakes.account("b"))


# Seats


def test_only_the_system_elects_and_distributes_and_epochs_follow_each_other(stakes: Stakes) -> None:
    with boa.reverts("staking: caller is not the system"):
        stakes.staking.elect(1, sender=stakes.account("a"))
    with boa.reverts("staking: caller is not the system"):
        stakes.staking.distribute(0, sender=stakes.account("a"))
    with boa.reverts("staking: caller is not the system"):
        stakes.staking.attend(1, 1, sender=stakes.account("a"))
    for epoch in (0, 2):
        with boa.reverts("staking: epoch is not the next"):
            stakes.staking.elect(epoch, sender=SYSTEM)


def test_too_few_candidates_leave_the_seats_as_they_are() -> None:
    with boa.env.anchor():
        stakes = start(genesis=2, min_seats=2)
        before = stakes.staking.seats(0)
        stakes.register(stakes.account("a"))
        assert [(seat.key, seat.stake) for seat in stakes.elect()] == [(seat.key, seat.stake) for seat in before]
        stakes.register(stakes.account("b"))
        assert {seat.stake for seat in stakes.elect()} == {SELF_BOND}


def test_the_heaviest_win_and_seats_are_sorted_by_key() -> None:
    with boa.env.anchor():
        stakes = start(seats=3)
        validators = [stakes.register(stakes.account(f"v{i}"), SELF_BOND + i) for i in range(5)]
        seats = stakes.elect()
        assert [seat.key for seat in seats] == sorted(seat.key for seat in seats)
        assert {stakes.staking.validator_of(seat.key) for seat in seats} == set(validators[2:])


def test_equal_stakes_are_ordered_by_key() -> None:
    with boa.env.anchor():
        stakes = start(seats=3)
        for i in range(8):
            stakes.register(stakes.account(f"v{i}"))
        keys = sorted(stakes.staking.validators(i + 1).key for i in range(8))
        assert [seat.key for seat in stakes.elect()] == keys[:3]


def test_one_owner_has_at_most_a_tenth_of_the_seats() -> None:
    with boa.env.anchor():
        stakes = start(seats=20)
        rich, poor = stakes.account("rich"), stakes.account("poor")
        for _ in range(4):
            stakes.register(rich, 10 * SELF_BOND)
        stakes.register(poor)
        owners = [seat.owner for seat in stakes.elect()]
        assert (owners.count(rich), owners.count(poor)) == (2, 1)
        owners = [seat.owner for seat in stakes.elect()]
        assert owners.count(rich) == 2, "the count begins anew"


FACTOR = """
# pragma version 0.4.3
factors: HashMap[address, uint256]
broken: public(bool)
@external
def set(owner: address, factor_bp: uint256):
    self.factors[owner] = factor_bp
@external
def spoil():
    self.broken = True
@external
@view
def factor(owner: address) -> uint256:
    assert not self.broken
    return self.factors[owner]
"""


def test_intensity_weighs_within_its_bounds_and_can_not_stop_an_election() -> None:
    with boa.env.anchor():
        intensity = boa.loads(FACTOR)
        stakes = start(seats=1, intensity=intensity.address)
        large, small = stakes.account("large"), stakes.account("small")
        stakes.register(large, 140 * CND)
        stakes.register(small, 100 * CND)
        intensity.set(small, 10**30)
        intensity.set(large, 0)
        [seat] = stakes.elect()
        assert (seat.owner, seat.stake) == (small, 100 * CND)
        stakes.staking.bond(1, value=10 * CND + 1, sender=large)
        assert stakes.elect()[0].owner == large, "at most 1.5 times the stake"
        intensity.set(large, 0)
        intensity.spoil()
        assert stakes.elect()[0].owner == large


def test_a_rotated_key_votes_from_the_next_election_and_the_old_one_stays_taken(stakes: Stakes) -> None:
    owner = stakes.account("a")
    validator = stakes.register(owner)
    [before] = stakes.elect()
    voter = stakes.voter()
    stakes.staking.rotate(validator, voter.key, voter.possession(owner, stakes.staking.address), sender=owner)
    assert stakes.staking.seats(1)[0].key == before.key
    assert stakes.elect()[0].key == voter.key
    old = stakes.voters[before.key]
    with boa.reverts("staking: key is taken"):
        stakes.staking.rotate(validator, old.key, old.possession(owner, stakes.staking.address), sender=owner)


def test_leaving_ends_candidacy_and_not_the_bond(stakes: Stakes) -> None:
    owner = stakes.account("a")
    validator = stakes.register(owner)
    stakes.register(stakes.account("b"))
    stakes.staking.leave(validator, sender=owner)
    assert state(stakes, validator) == RESTING
    assert [seat.owner for seat in stakes.elect()] != [owner]
    with boa.reverts("staking: not standing"):
        stakes.staking.leave(validator, sender=owner)
    stakes.staking.stand(validator, 0, sender=owner)
    assert owner in [seat.owner for seat in stakes.elect()]


# Delegation and unbonding


def test_the_bond_is_free_when_the_last_election_it_backed_can_be_accused_no_more(stakes: Stakes) -> None:
    owner = stakes.account("a")
    validator = stakes.register(owner)
    stakes.elect()
    elected_at = boa.env.timestamp
    stakes.pass_time(DAY)
    number = stakes.staking.unbond(validator, SELF_BOND, sender=owner)
    assert state(stakes, validator) == RESTING
    assert stakes.staking.unbondings(number).release_at == elected_at + UNBONDING
    with boa.reverts("staking: not the caller's"):
        stakes.staking.withdraw(number, sender=stakes.account("b"))
    stakes.pass_time(UNBONDING - DAY - 1)
    with boa.reverts("staking: still unbonding"):
        stakes.staking.withdraw(number, sender=owner)
    stakes.pass_time(1)
    before = boa.env.get_balance(owner)
    stakes.staking.withdraw(number, sender=owner)
    assert boa.env.get_balance(owner) == before + SELF_BOND
    assert stakes.held() == 0
    with boa.reverts("staking: not the caller's"):
        stakes.staking.withdraw(number, sender=owner)


def test_a_self_bond_is_whole_or_gone(stakes: Stakes) -> None:
    owner = stakes.account("a")
    validator = stakes.register(owner, SELF_BOND + 5)
    with boa.reverts("staking: too little would remain"):
        stakes.staking.unbond(validator, 6, sender=owner)
    stakes.staking.unbond(validator, 5, sender=owner)
    assert state(stakes, validator) == STANDING
    for amount in (0, SELF_BOND + 1):
        with boa.reverts("staking: not bonded that much"):
            stakes.staking.unbond(validator, amount, sender=owner)


def test_delegations_are_bounded_below_and_need_a_validator_with_a_bond(stakes: Stakes) -> None:
    owner, delegator = stakes.account("a"), stakes.account("d")
    validator = stakes.register(owner)
    with boa.reverts("staking: delegation is too small"):
        stakes.staking.delegate(validator, value=CND - 1, sender=delegator)
    with boa.reverts("staking: no such validator"):
        stakes.staking.delegate(validator + 1, value=CND, sender=delegator)
    stakes.staking.delegate(validator, value=2 * CND, sender=delegator)
    with boa.reverts("staking: too little would remain"):
        stakes.staking.undelegate(validator, CND + 1, sender=delegator)
    with boa.reverts("staking: not delegated that much"):
        stakes.staking.undelegate(validator, 2 * CND + 1, sender=delegator)
    stakes.staking.unbond(validator, SELF_BOND, sender=owner)
    with boa.reverts("staking: validator has left"):
        stakes.staking.delegate(validator, value=CND, sender=delegator)
    stakes.staking.undelegate(validator, 2 * CND, sender=delegator)


def test_stake_moves_between_validators_only_after_it_has_unbonded(stakes: Stakes) -> None:
    delegator = stakes.account("d")
    first, second = stakes.register(stakes.account("a")), stakes.register(stakes.account("b"))
    stakes.staking.delegate(first, value=2 * CND, sender=delegator)
    stakes.elect()
    number = stakes.staking.undelegate(first, 2 * CND, sender=delegator)
    with boa.reverts("staking: still unbonding"):
        stakes.staking.redelegate(number, second, sender=delegator)
    stakes.pass_time(UNBONDING)
    stakes.staking.redelegate(number, second, sender=delegator)
    assert stakes.staking.delegations(second, delegator).amount == 2 * CND
    with boa.reverts("staking: not the caller's"):
        stakes.staking.redelegate(number, second, sender=delegator)


# Earnings


def test_seats_earn_by_participation_and_owners_take_their_commission(stakes: Stakes) -> None:
    a, b, delegator = stakes.account("a"), stakes.account("b"), stakes.account("d")
    first, second = stakes.register(a, commission=1000), stakes.register(b)
    stakes.staking.delegate(first, value=SELF_BOND, sender=delegator)
    stakes.elect()
    counts = [0, 0]
    counts[stakes.seat(first)], counts[stakes.seat(second)] = 3, 1
    stakes.distribute(4 * CND, counts)
    assert stakes.staking.credits(b) == CND
    # Half of 3 CND is the delegator's, less a tenth.
    assert stakes.staking.earned(first, delegator) == 135 * CND // 100
    assert stakes.staking.credits(a) == 165 * CND // 100
    before = boa.env.get_balance(delegator)
    stakes.staking.claim(first, sender=delegator)
    assert boa.env.get_balance(delegator) == before + 135 * CND // 100
    stakes.staking.claim(first, sender=delegator)
    assert boa.env.get_balance(delegator) == before + 135 * CND // 100
    stakes.staking.pay(b, sender=delegator)
    assert stakes.staking.credits(b) == 0


def test_what_floor_leaves_is_shared_the_next_time(stakes: Stakes) -> None:
    for name in "abc":
        stakes.register(stakes.account(name))
    stakes.elect()
    stakes.distribute(10)
    assert stakes.staking.pot() == 1
    stakes.elect()
    stakes.staking.fund(value=1, sender=stakes.account("d"))
    stakes.distribute(1)
    assert stakes.staking.pot() == 0


def test_fractions_of_a_nit_are_earned_too(stakes: Stakes) -> None:
    delegators = [stakes.account(f"d{i}") for i in range(3)]
    validator = stakes.register(stakes.account("a"), commission=500)
    for delegator in delegators:
        stakes.staking.delegate(validator, value=SELF_BOND, sender=delegator)
    for _ in range(30):
        stakes.elect()
        stakes.distribute(4)
    # Three quarters of 4, no commission of so little: 1 nit each and epoch.
    assert [stakes.staking.earned(validator, each) for each in delegators] == [30, 30, 30]
    for expected in (30, 30, 31):
        stakes.elect()
        stakes.distribute(2)
        # Floor of three quarters of 2 is 1: a third of a nit each, which is kept until it is whole.
        assert {stakes.staking.earned(validator, each) for each in delegators} == {expected}, "after a third more"


def test_a_newcomer_earns_nothing_of_the_past(stakes: Stakes) -> None:
    early, late = stakes.account("early"), stakes.account("late")
    validator = stakes.register(stakes.account("a"))
    stakes.staking.delegate(validator, value=SELF_BOND, sender=early)
    stakes.elect()
    stakes.distribute(CND)
    stakes.staking.delegate(validator, value=SELF_BOND, sender=late)
    assert stakes.staking.earned(validator, late) == 0
    assert stakes.staking.earned(validator, early) > 0


def test_an_epoch_is_distributed_once(stakes: Stakes) -> None:
    stakes.register(stakes.account("a"))
    stakes.elect()
    with boa.reverts("staking: epoch is unknown or too old"):
        stakes.staking.distribute(2, sender=SYSTEM)
    stakes.distribute(CND)
    for epoch in (0, 1):
        with boa.reverts("staking: already distributed"):
            stakes.staking.distribute(epoch, sender=SYSTEM)


def test_each_certificate_counts_once_for_those_who_signed_it_and_for_one_epoch(stakes: Stakes) -> None:
    count = 20
    owners = [stakes.account(f"a{i}") for i in range(count)]
    for owner in owners:
        stakes.register(owner)
    seats = stakes.elect()
    boa.env.set_balance(SYSTEM, 100 * CND)
    for height in range(1, 5):
        stakes.attend(height, *range(count - height))
    stakes.attend(9, 0, count - 1)
    for height in (0, 4, 8, 9):
        with boa.reverts("staking: a certificate of this height was shown"):
            stakes.attend(height, 0)
    signed = [5, *[4] * 15, 3, 2, 1, 1]
    stakes.staking.distribute(1, value=sum(signed) * CND, sender=SYSTEM)
    assert [stakes.staking.credits(seat.owner) for seat in seats] == [each * CND for each in signed]
    stakes.elect()
    stakes.attend(10, 3)
    stakes.staking.distribute(2, value=CND, sender=SYSTEM)
    paid = [stakes.staking.credits(seat.owner) // CND - each for seat, each in zip(seats, signed, strict=True)]
    assert paid == [0, 0, 0, 1, *[0] * 16], "what an epoch counted counts no more in the next"


def test_counters_are_where_the_ledger_and_these_tests_expect_them(stakes: Stakes) -> None:
    stakes.attend(7, 1, 9, 127)
    words = [boa.env.get_storage(stakes.staking.address, slot) for slot in range(1, ATTENDANCES + 16)]
    assert words[0] == stakes.staking.attended() == 7
    counters = words[ATTENDANCES - 1 :]
    assert (counters[0], counters[1], counters[15]) == (1 << 32, 1 << 32, 1 << 7 * 32)
    stakes.distribute(0, [2**32 - 1], epoch=0)
    words = [boa.env.get_storage(stakes.staking.address, slot) for slot in range(1, ATTENDANCES + 16)]
    assert words[0] == 7 and not any(words[1:])


def test_owners_of_genesis_seats_earn_without_a_bond(stakes: Stakes) -> None:
    [seat] = stakes.staking.seats(0)
    stakes.distribute(CND, epoch=0)
    assert stakes.staking.credits(seat.owner) == CND


# Absence


def test_the_absent_are_jailed_without_losing_stake_and_come_back(stakes: Stakes) -> None:
    a = stakes.account("a")
    absent, present = stakes.register(a), stakes.register(stakes.account("b"))
    stakes.elect()
    counts = [0, 0]
    counts[stakes.seat(absent)], counts[stakes.seat(present)] = 4, 100
    stakes.distribute(0, counts)
    assert (state(stakes, absent), state(stakes, present)) == (JAILED, STANDING)
    assert stakes.staking.validators(absent).self_bond == SELF_BOND
    assert [stakes.staking.validator_of(seat.key) for seat in stakes.elect()] == [present]
    with boa.reverts("staking: still in jail"):
        stakes.staking.stand(absent, 0, sender=a)
    stakes.pass_time(3600)
    stakes.staking.stand(absent, 0, sender=a)
    assert len(stakes.elect()) == 2


@pytest.mark.parametrize("counts", [(5, 100), (0, 99)])
def test_slow_validators_and_short_samples_jail_nobody(stakes: Stakes, counts: tuple[int, int]) -> None:
    slow, quick = stakes.register(stakes.account("a")), stakes.register(stakes.account("b"))
    stakes.elect()
    participation = [0, 0]
    participation[stakes.seat(slow)], participation[stakes.seat(quick)] = counts
    stakes.distribute(0, participation)
    assert state(stakes, slow) == STANDING


# Faults


@pytest.mark.parametrize("tag", [NOTARIZE, FINALIZE, NULLIFY_FINALIZE])
def test_a_double_vote_tombstones_and_pays_the_reporter(stakes: Stakes, tag: int) -> None:
    a, reporter = stakes.account("a"), stakes.account("r")
    validator = stakes.register(a)
    for i in range(39):
        stakes.register(stakes.account(f"v{i}"))
    stakes.elect()
    stakes.report(validator, reporter, tag=tag)
    assert state(stakes, validator) == TOMBSTONED
    penalty = SELF_BOND * 5 // 100
    assert stakes.staking.credits(reporter) == penalty * 30 // 100
    assert stakes.staking.credits(stakes.safety) == penalty * 20 // 100
    assert boa.env.get_balance(BURNED) == penalty * 50 // 100
    with boa.reverts("staking: already tombstoned"):
        stakes.report(validator, reporter, tag=tag)
    with boa.reverts("staking: tombstoned"):
        stakes.staking.stand(validator, 0, sender=a)
    with boa.reverts("staking: tombstoned"):
        stakes.staking.unbond(validator, SELF_BOND, sender=a)
    with boa.reverts("staking: no such validator"):
        stakes.staking.delegate(validator, value=CND, sender=reporter)
    assert validator not in [stakes.staking.validator_of(seat.key) for seat in stakes.elect()]


def test_one_fault_of_forty_seats_costs_three_fortieths_in_all(stakes: Stakes) -> None:
    a, reporter = stakes.account("a"), stakes.account("r")
    validator = stakes.register(a)
    for i in range(39):
        stakes.register(stakes.account(f"v{i}"))
    stakes.elect()
    stakes.report(validator, reporter)
    with boa.reverts("staking: no settled penalty"):
        stakes.staking.recover(validator, sender=a)
    with boa.reverts("staking: the period after the report is not over"):
        stakes.staking.settle(validator)
    stakes.pass_time(2 * PERIOD)
    stakes.staking.settle(validator)
    with boa.reverts("staking: no open penalty"):
        stakes.staking.settle(validator)
    before = boa.env.get_balance(a)
    stakes.staking.recover(validator, sender=a)
    assert boa.env.get_balance(a) - before == SELF_BOND * 37 // 40
    with boa.reverts("staking: nothing to recover"):
        stakes.staking.recover(validator, sender=a)


def test_a_third_of_the_seats_loses_everything(stakes: Stakes) -> None:
    owners = [stakes.account(f"v{i}") for i in range(3)]
    validators = [stakes.register(owner) for owner in owners]
    stakes.elect()
    stakes.report(validators[0], stakes.account("r"))
    stakes.pass_time(2 * PERIOD)
    stakes.staking.settle(validators[0])
    before = boa.env.get_balance(owners[0])
    stakes.staking.recover(validators[0], sender=owners[0])
    # 3 x a third, counted in parts of 10^9 and floored.
    assert boa.env.get_balance(owners[0]) - before == SELF_BOND // 10**9


def test_faults_of_neighbouring_periods_count_together_and_later_ones_do_not() -> None:
    with boa.env.anchor():
        stakes = start()
        reporter = stakes.account("r")
        owners = [stakes.account(f"v{i}") for i in range(20)]
        validators = [stakes.register(owner) for owner in owners]
        stakes.elect()
        stakes.report(validators[0], reporter)
        stakes.pass_time(PERIOD)
        stakes.elect()
        stakes.report(validators[1], reporter, epoch=1)
        stakes.pass_time(PERIOD)
        stakes.elect()
        stakes.report(validators[2], reporter, epoch=2)
        stakes.pass_time(3 * PERIOD)
        for validator in validators[:3]:
            stakes.staking.settle(validator)
        # Seats: 20 in epoch 1, 19 in epoch 2.
        shares = [10**9 // 20, 10**9 // 20, 10**9 // 19]
        expected = [sum(shares[:2]), sum(shares), sum(shares[1:])]
        for owner, validator, share in zip(owners, validators, expected, strict=False):
            before = boa.env.get_balance(owner)
            stakes.staking.recover(validator, sender=owner)
            assert boa.env.get_balance(owner) - before == SELF_BOND - SELF_BOND * 3 * share // 10**9


def test_the_self_bond_pays_first_and_delegators_share_the_rest_alike(stakes: Stakes) -> None:
    a, reporter = stakes.account("a"), stakes.account("r")
    delegators = [stakes.account(f"d{i}") for i in range(2)]
    validator = stakes.register(a)
    for i in range(3):
        stakes.register(stakes.account(f"v{i}"), 5 * SELF_BOND)
    for delegator, amount in zip(delegators, (SELF_BOND, 3 * SELF_BOND), strict=True):
        stakes.staking.delegate(validator, value=amount, sender=delegator)
    stakes.elect()
    stakes.report(validator, reporter)
    stakes.pass_time(2 * PERIOD)
    stakes.staking.settle(validator)
    # A quarter of the stake and of the seats faulted: three quarters of 500 CND, of which 100 are the owner's.
    before = [boa.env.get_balance(each) for each in (a, *delegators)]
    for each in (a, *delegators):
        stakes.staking.recover(validator, sender=each)
    gains = [boa.env.get_balance(each) - was for each, was in zip((a, *delegators), before, strict=True)]
    assert gains == [0, 125 * CND // 4, 375 * CND // 4]


def test_stake_that_unbonds_pays_for_what_it_backed_and_not_for_what_came_later(stakes: Stakes) -> None:
    early, late = stakes.account("early"), stakes.account("late")
    validator = stakes.register(stakes.account("a"))
    for i in range(5):
        stakes.register(stakes.account(f"v{i}"), 3 * SELF_BOND)
    for delegator in (early, late):
        stakes.staking.delegate(validator, value=SELF_BOND, sender=delegator)
    stakes.elect()
    free = stakes.staking.undelegate(validator, SELF_BOND, sender=early)
    stakes.elect()
    bound = stakes.staking.undelegate(validator, SELF_BOND, sender=late)
    stakes.pass_time(DAY)
    # The fault is of epoch 2: `early` had left before its election, `late` had not.
    stakes.report(validator, stakes.account("r"), epoch=2)
    stakes.pass_time(UNBONDING)
    before = boa.env.get_balance(early)
    stakes.staking.withdraw(free, sender=early)
    assert boa.env.get_balance(early) - before == SELF_BOND
    with boa.reverts("staking: penalty is not settled"):
        stakes.staking.withdraw(bound, sender=late)
    stakes.staking.settle(validator)
    before = boa.env.get_balance(late)
    stakes.staking.withdraw(bound, sender=late)
    liable, share = 2 * SELF_BOND, max(10**9 // 6, 2 * 10**9 // 17)
    penalty = liable * 3 * share // 10**9
    assert boa.env.get_balance(late) - before == min(SELF_BOND, liable - penalty)


def test_a_fault_of_a_key_before_its_rotation_is_paid_by_the_validator(stakes: Stakes) -> None:
    owner = stakes.account("a")
    validator = stakes.register(owner)
    stakes.elect()
    voter = stakes.voter()
    stakes.staking.rotate(validator, voter.key, voter.possession(owner, stakes.staking.address), sender=owner)
    stakes.elect()
    stakes.report(validator, stakes.account("r"), epoch=1)
    assert state(stakes, validator) == TOMBSTONED


def test_evidence_needs_a_known_epoch_a_seat_with_a_bond_and_its_time(stakes: Stakes) -> None:
    reporter = stakes.account("r")
    [genesis] = stakes.staking.seats(0)
    with boa.reverts("staking: the seat has no bond"):
        stakes.staking.report(double_vote(stakes.voters[genesis.key], 0, 0), sender=reporter)
    validator = stakes.register(stakes.account("a"))
    stakes.elect()
    voter = stakes.voters[stakes.staking.seats(1)[0].key]
    for epoch in (2, 2**64 - 1):
        with boa.reverts("staking: epoch is unknown or too old"):
            stakes.staking.report(double_vote(voter, 0, epoch), sender=reporter)
    with boa.reverts("staking: no such seat"):
        stakes.staking.report(double_vote(voter, 1, 1), sender=reporter)
    with boa.reverts("staking: evidence proves nothing"):
        stakes.staking.report(double_vote(stakes.voter(), 0, 1), sender=reporter)
    stakes.pass_time(UNBONDING - 1)
    with boa.env.anchor():
        stakes.report(validator, reporter, epoch=1)
    stakes.pass_time(1)
    with boa.reverts("staking: evidence is too old"):
        stakes.report(validator, reporter, epoch=1)


def test_the_tombstoned_earn_nothing_and_what_was_earned_stays_theirs(stakes: Stakes) -> None:
    delegator = stakes.account("d")
    validator = stakes.register(stakes.account("a"))
    stakes.staking.delegate(validator, value=SELF_BOND, sender=delegator)
    stakes.register(stakes.account("b"))
    stakes.elect()
    stakes.distribute(4 * CND)
    earned = stakes.staking.earned(validator, delegator)
    assert earned > 0
    stakes.elect()
    stakes.report(validator, stakes.account("r"))
    stakes.distribute(4 * CND)
    assert stakes.staking.pot() == 2 * CND
    before = boa.env.get_balance(delegator)
    stakes.staking.claim(validator, sender=delegator)
    assert boa.env.get_balance(delegator) == before + earned


def test_a_registered_genesis_key_pays_with_its_bond(stakes: Stakes) -> None:
    owner, [genesis] = stakes.account("a"), stakes.staking.seats(0)
    voter = stakes.voters[genesis.key]
    proof = voter.possession(owner, stakes.staking.address)
    validator = stakes.staking.register(voter.key, proof, 500, value=SELF_BOND, sender=owner)
    stakes.report(validator, stakes.account("r"), epoch=0)
    assert state(stakes, validator) == TOMBSTONED
