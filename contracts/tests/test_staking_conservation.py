"""No sequence of calls creates, loses or traps a nit of stake, and elections are what a model says."""

from __future__ import annotations

import os
from collections import defaultdict
from fractions import Fraction
from typing import Any

import boa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from .conftest import CND
from .staking import (
    BURNED,
    FINALIZE,
    NOTARIZE,
    NULLIFY_FINALIZE,
    PERIOD,
    SELF_BOND,
    STANDING,
    SYSTEM,
    TOMBSTONED,
    UNBONDING,
    start,
)

LONG = os.environ.get("CANDELA_HYPOTHESIS") == "long"
SCALE = 10**28
SEATS = 4
AMOUNTS = st.integers(1, 3 * SELF_BOND) | st.sampled_from([CND, SELF_BOND, 10 * SELF_BOND])
WHO, WHICH = st.integers(0, 3), st.integers(1, 6)


class Stakeholders(RuleBasedStateMachine):
    """Four accounts own validators, delegate, and cheat as they like; calls that revert change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._anchor = boa.env.anchor()
        self._anchor.__enter__()
        boa.env.set_balance(BURNED, 0)
        boa.env.set_balance(SYSTEM, 0)
        self.stakes = start(genesis=2, seats=SEATS, min_seats=2)
        self.staking = self.stakes.staking
        self.people = [self.stakes.account(f"p{i}") for i in range(4)]
        self.genesis = [seat.owner for seat in self.staking.seats(0)]
        self.total = self._everything()
        # What each delegation is due, exactly, and what it was paid.
        self.due: dict[tuple[int, str], Fraction] = defaultdict(Fraction)
        self.paid: dict[tuple[int, str], int] = defaultdict(int)
        # When each epoch was elected.
        self.elected_at = {0: boa.env.timestamp}

    def teardown(self) -> None:
        """Undo everything on the shared chain."""
        self._anchor.__exit__(None, None, None)

    def _accounts(self) -> list[str]:
        return [*self.people, *self.genesis, self.stakes.safety]

    def _everything(self) -> int:
        everyone = [*self._accounts(), self.staking.address, BURNED, SYSTEM]
        return sum(boa.env.get_balance(each) for each in everyone)

    def _count(self) -> range:
        return range(1, self.staking.validator_count() + 1)

    def _try(self, call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except boa.BoaError:
            return None

    # What people do

    @precondition(lambda self: self.staking.validator_count() < 6)
    @rule(who=WHO, bond=AMOUNTS, commission=st.integers(500, 2500), stand=st.booleans())
    def register(self, who: int, bond: int, commission: int, stand: bool) -> None:
        self._try(self.stakes.register, self.people[who], SELF_BOND + bond, commission, stand)

    @rule(who=WHO, validator=WHICH, leave=st.booleans())
    def stand_or_leave(self, who: int, validator: int, leave: bool) -> None:
        if leave:
            self._try(self.staking.leave, validator, sender=self.people[who])
        else:
            self._try(self.staking.stand, validator, 0, sender=self.people[who])

    @rule(who=WHO, validator=WHICH)
    def rotate(self, who: int, validator: int) -> None:
        voter = self.stakes.voter()
        proof = voter.possession(self.people[who], self.staking.address)
        self._try(self.staking.rotate, validator, voter.key, proof, sender=self.people[who])

    @rule(who=WHO, validator=WHICH, amount=AMOUNTS, own=st.booleans())
    def add(self, who: int, validator: int, amount: int, own: bool) -> None:
        call = self.staking.bond if own else self.staking.delegate
        self._try(call, validator, value=amount, sender=self.people[who])

    @rule(who=WHO, validator=WHICH, amount=AMOUNTS, everything=st.booleans(), own=st.booleans())
    def take(self, who: int, validator: int, amount: int, everything: bool, own: bool) -> None:
        account = self.people[who]
        if everything:
            delegated = self.staking.delegations(validator, account).amount
            amount = self.staking.validators(validator).self_bond if own else delegated
        call = self.staking.unbond if own else self.staking.undelegate
        self._try(call, validator, amount, sender=account)

    @rule(pick=st.integers(0, 99), validator=WHICH, again=st.booleans())
    def end_unbonding(self, pick: int, validator: int, again: bool) -> None:
        count = self.staking.unbonding_count()
        if count == 0:
            return
        number = pick % count + 1
        entry = self.staking.unbondings(number)
        if int(entry.account, 16) == 0:
            return
        if again:
            self._try(self.staking.redelegate, number, validator, sender=entry.account)
            return
        before = boa.env.get_balance(entry.account)
        self._try(self.staking.withdraw, number, sender=entry.account)
        assert boa.env.get_balance(entry.account) - before <= entry.amount, "unbonding paid more than was staked"

    @rule(who=WHO, validator=st.integers(0, 6))
    def claim(self, who: int, validator: int) -> None:
        account = self.people[who]
        before = boa.env.get_balance(account) + self.staking.credits(account)
        self.staking.claim(validator, sender=account)
        self.paid[validator, account] += boa.env.get_balance(account) - before

    @rule(who=WHO, validator=WHICH)
    def recover(self, who: int, validator: int) -> None:
        account = self.people[who]
        stake = self.staking.delegations(validator, account).amount
        if self.staking.validators(validator).owner == account:
            stake += self.staking.validators(validator).self_bond
        before = boa.env.get_balance(account)
        self._try(self.staking.recover, validator, sender=account)
        assert boa.env.get_balance(account) - before <= stake, "recovery paid more than was staked"

    @rule(who=WHO, validator=WHICH, back=st.integers(0, 3), tag=st.sampled_from([NOTARIZE, FINALIZE, NULLIFY_FINALIZE]))
    def accuse(self, who: int, validator: int, back: int, tag: int) -> None:
        epoch = self.staking.epoch() - back
        if epoch < 0 or validator not in [self.staking.validator_of(seat.key) for seat in self.staking.seats(epoch)]:
            return
        known = self.staking.validators(validator).state == TOMBSTONED
        young = boa.env.timestamp < self.elected_at[epoch] + UNBONDING
        done = self._try(lambda: self.stakes.report(validator, self.people[who], epoch, tag) or True)
        assert (done is True) == (young and not known), "proved faults are punished once, while they can be"

    @rule(validator=WHICH)
    def settle(self, validator: int) -> None:
        self._try(self.staking.settle, validator)

    @rule(seconds=st.sampled_from([1, 3_601, PERIOD, 2 * PERIOD, UNBONDING]))
    def wait(self, seconds: int) -> None:
        self.stakes.pass_time(seconds)

    # What the system does

    @rule()
    def elect(self) -> None:
        expected = self._election()
        found = [(seat.key, seat.stake) for seat in self.stakes.elect()]
        self.elected_at[self.staking.epoch()] = boa.env.timestamp
        assert found == expected

    def _election(self) -> list[tuple[bytes, int]]:
        """The next seats, by the rules alone: heaviest first, then the smaller key; one an owner; sorted by key."""
        standing = [each for each in map(self.staking.validators, self._count()) if each.state == STANDING]
        standing.sort(key=lambda each: (-each.self_bond - each.delegated, each.key))
        owners, chosen = set(), []
        for each in standing:
            if each.owner not in owners and len(chosen) < SEATS:
                owners.add(each.owner)
                chosen.append((each.key, each.self_bond + each.delegated))
        if len(chosen) < 2:
            return [(seat.key, seat.stake) for seat in self.staking.seats(self.staking.epoch())]
        return sorted(chosen)

    @rule(
        amount=st.integers(0, 10**6) | st.integers(0, CND), counts=st.lists(st.integers(0, 200), min_size=4, max_size=4)
    )
    def distribute(self, amount: int, counts: list[int]) -> None:
        epoch = self.staking.epoch()
        seats = self.staking.seats(epoch)
        counts, pot = counts[: len(seats)], self.staking.pot() + amount
        before = {each: self.staking.validators(each) for each in self._count()}
        if self._try(lambda: self.stakes.distribute(amount, counts) or True) is None:
            boa.env.set_balance(SYSTEM, 0)
            return
        self.total += amount
        for seat, count in zip(seats, counts, strict=True):
            validator = self.staking.validator_of(seat.key)
            if validator and sum(counts) and before[validator].state != TOMBSTONED:
                self._count_due(validator, before[validator], pot * count // sum(counts))

    def _count_due(self, validator: int, entry: Any, reward: int) -> None:
        if entry.delegated == 0:
            return
        shared = reward * entry.delegated // (entry.self_bond + entry.delegated)
        shared -= shared * entry.commission_bp // 10_000
        for account in self.people:
            amount = self.staking.delegations(validator, account).amount
            self.due[validator, account] += Fraction(shared * amount, entry.delegated)

    # What always holds

    @invariant()
    def nothing_is_created_or_lost(self) -> None:
        assert self._everything() == self.total

    @invariant()
    def every_nit_that_is_held_is_owed(self) -> None:
        owed = self.staking.pot() + sum(self.staking.credits(each) for each in self._accounts())
        scaled = 0
        for validator in self._count():
            entry = self.staking.validators(validator)
            delegations = [self.staking.delegations(validator, each) for each in self.people]
            assert sum(each.amount for each in delegations) == entry.delegated
            scaled += entry.carry
            scaled += sum(each.earned + each.amount * (entry.accumulator - each.accumulator) for each in delegations)
            if entry.state == TOMBSTONED:
                owed += self.staking.own_remainder(validator).held + self.staking.delegated_remainder(validator).held
            else:
                owed += entry.self_bond + entry.delegated
        for number in range(1, self.staking.unbonding_count() + 1):
            entry = self.staking.unbondings(number)
            if int(entry.account, 16) and not self._liable(entry):
                owed += entry.amount
        assert scaled % SCALE == 0, "fractions add up to whole nits"
        assert self.stakes.held() == owed + scaled // SCALE

    def _liable(self, entry: Any) -> bool:
        fault = self.staking.faults(entry.validator)
        baseline = fault.baseline >> 128 if entry.own else fault.baseline % 2**128
        return int(fault.reporter, 16) != 0 and entry.position >= baseline

    @invariant()
    def open_liabilities_are_the_stake_that_is_left(self) -> None:
        opened: dict[tuple[int, bool], int] = defaultdict(int)
        for number in range(1, self.staking.unbonding_count() + 1):
            entry = self.staking.unbondings(number)
            if int(entry.account, 16) and self._liable(entry):
                opened[entry.validator, entry.own] += entry.amount
        for validator in self._count():
            entry = self.staking.validators(validator)
            if entry.state == TOMBSTONED:
                assert self.staking.own_remainder(validator).open == entry.self_bond + opened[validator, True]
                assert self.staking.delegated_remainder(validator).open == entry.delegated + opened[validator, False]

    @invariant()
    def nobody_gains_from_rounding(self) -> None:
        for validator in self._count():
            for account in self.people:
                had = self.paid[validator, account] + self.staking.earned(validator, account)
                due = self.due[validator, account]
                assert had <= due, "earned more than its share"
                assert due - had < 2, "a nit or more is missing for good"


TestStakeholders = Stakeholders.TestCase
TestStakeholders.settings = settings(
    max_examples=300 if LONG else 10,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
