"""Who lies about a result is found by a drawn committee and pays; who is honest is paid, whatever others say."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest
from eth_abi import abi
from eth_utils import keccak

from candela.economics.rewards import after_fees

from .audits import (
    BOND,
    BURNED,
    DRAWN,
    FEE,
    NOT_CHECKABLE,
    NOT_DELIVERED,
    OPEN,
    REFUTED,
    REPLAY,
    REPLICATE,
    RIGHT,
    RINGER,
    SALT,
    SLASH,
    TASK,
    TRUE,
    UNCHECKABLE,
    UNDECIDED,
    UPHELD,
    WITHHELD,
    WRONG,
    Court,
    court,
)
from .conftest import CND, HASH

LIE = (WRONG, TRUE)
FAIR = (RIGHT, HASH)
SECOND = 10**6


@pytest.fixture
def bench() -> Iterator[Court]:
    with boa.env.anchor():
        yield court()


def money(account: str) -> int:
    return boa.env.get_balance(account)


def test_false_result_costs_the_bond_and_the_customer_nothing(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    customer, burned = money(world.customer), money(BURNED)
    auditors = [money(each) for each in bench.auditors]
    audit = bench.judge(lease, [LIE] * 3)
    assert bench.audit(audit).state == REFUTED
    assert world.registry.providers(world.provider)[1] == 0, "the bond of one device is gone"
    rest = SLASH - 3 * FEE
    each = rest * 30 // 100 // 3
    assert [money(a) - before for a, before in zip(bench.auditors, auditors, strict=True)] == [FEE + each] * 3
    assert money(BURNED) - burned == rest * 50 // 100
    assert money(world.customer) - customer == SLASH - rest * 50 // 100 - 3 * each - 3 * FEE
    assert money(world.customer) > customer, "what the committee cost came back, and a fifth on top"
    assert world.market.jobs(1)[2] == CND - 3 * TASK, "the price is in the job again"
    assert money(bench.audits.address) == 3 * BOND


def test_refuted_task_is_done_again_by_another(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    bench.judge(lease, [LIE] * 3)
    world.market.release(lease, sender=world.provider)
    other = bench.auditors[0]
    second = world.market.take_over(lease, 0, 10**13, sender=other)
    assert world.market.leases(second)[7] == 0b1111


def test_task_refuted_after_the_rest_was_taken_over_is_done_again_too(bench: Court) -> None:
    world, lease = bench.world, bench.settled(2)
    bench.judge(lease, [LIE] * 3)
    world.market.release(lease, sender=world.provider)
    other = bench.auditors[0]
    world.market.take_over(lease, 0, 10**13, sender=other)
    with boa.reverts("market: taken over already"):
        world.market.take_over(lease, 0, 10**13, sender=other)
    world.market.dispute(lease, 1, HASH, sender=world.customer)
    third = world.market.take_over(lease, 0, 10**13, sender=other)
    assert world.market.leases(third)[7] == 0b10, "this one only"
    with boa.reverts("market: taken over already"):
        world.market.take_over(lease, 0, 10**13, sender=other)


def test_accepted_lie_is_made_good_from_the_bond(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    world.market.accept(lease, 1, sender=world.customer)
    customer, escrowed = money(world.customer), money(world.market.address)
    bench.judge(lease, [LIE] * 3, hold=False)
    rest = SLASH - 3 * FEE - TASK
    given = SLASH - rest * 50 // 100 - rest * 30 // 100 // 3 * 3
    assert money(world.customer) - customer == given - 3 * FEE
    assert given >= TASK + 3 * FEE + rest * 20 // 100
    assert money(world.market.address) == escrowed, "other tasks' money is not touched"


def test_honest_provider_is_paid_and_who_doubted_it_pays_the_committee(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    provider, customer = money(world.provider), money(world.customer)
    audit = bench.judge(lease, [FAIR] * 3)
    assert bench.audit(audit).state == UPHELD
    assert money(world.provider) - provider == after_fees(TASK)
    assert customer - money(world.customer) == 3 * FEE
    assert world.registry.providers(world.provider)[1] == CND


def test_liar_takes_no_leases_until_it_has_served_and_bonded_anew(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    bench.judge(lease, [LIE] * 3)
    registry, provider = world.registry, world.provider
    assert registry.providers(provider)[2] == registry.JAILED()
    with boa.reverts("market: device is not listed"):
        world.lease(world.open())
    with boa.reverts("registry: still in jail"):
        registry.leave_jail(sender=provider)
    bench.pass_time(registry.JAIL_SECONDS())
    registry.leave_jail(sender=provider)
    assert registry.providers(provider)[2] == registry.REGISTERED()
    with boa.reverts("registry: not in jail"):
        registry.leave_jail(sender=provider)
    registry.top_up_bond(provider, value=CND, sender=provider)
    assert world.lease(world.open()) != 0


def test_who_leaves_can_still_be_slashed(bench: Court) -> None:
    world, lease = bench.world, bench.settled(audit_window=10_000)
    world.registry.exit(sender=world.provider)
    bench.judge(lease, [LIE] * 3)
    bench.pass_time(world.registry.UNBONDING_SECONDS())
    before = money(world.provider)
    world.registry.withdraw_bond(sender=world.provider)
    assert money(world.provider) == before, "nothing is left of it"


def test_only_audits_may_slash_or_judge(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    with boa.reverts("registry: not the contract of audits"):
        world.registry.slash(world.provider, 1, sender=world.customer)
    for call in (world.market.begin_audit, world.market.end_audit, world.market.uphold, world.market.refute):
        with boa.reverts("market: not the contract of audits"):
            call(lease, 0, sender=world.customer)


def test_one_liar_in_the_committee_loses_and_two_win(bench: Court) -> None:
    first, second = bench.settled(), bench.settled()
    audit = bench.judge(first, [LIE, FAIR, LIE])
    assert bench.audit(audit).state == REFUTED
    dissenter = bench.numbers[bench.committee(audit)[1]]
    assert bench.audits.auditors(dissenter)[2] == BOND - bench.audits.MISJUDGED_PENALTY()
    assert bench.audits.auditors(dissenter)[5] <= boa.env.timestamp, "it rests until its bond is full"
    assert bench.audit(bench.judge(second, [FAIR])).state == UPHELD, "of the two that are left one sits"


def test_task_that_gives_everybody_something_else_convicts_nobody(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    held = money(world.market.address)
    audit = bench.judge(lease, [(WRONG, b"\x02" * 31 + bytes([each])) for each in range(3)])
    assert bench.audit(audit).state == UNDECIDED
    assert world.registry.providers(world.provider)[1] == CND
    assert money(world.market.address) == held, "the payment waits as before"
    world.market.withdraw_dispute(lease, 0, sender=world.customer)


def test_tolerant_policies_count_verdicts_not_hashes(bench: Court) -> None:
    lease = bench.settled()
    bench.audits.set_policy(1, REPLICATE, 0, 3, False, sender=bench.world.customer)
    audit = bench.judge(lease, [(WRONG, b"\x02" * 31 + bytes([each])) for each in range(3)])
    assert bench.audit(audit).state == REFUTED


def test_replay_verdict_must_follow_from_the_hashes(bench: Court) -> None:
    audit = bench.dispute(bench.settled())
    members = bench.draw(audit)
    for seat, (said, member) in enumerate(zip([(RIGHT, TRUE), (WRONG, HASH), LIE], members, strict=True)):
        bench.audits.commit(audit, seat, bench.sealed(audit, seat, member, *said), sender=member)
    for seat, said in enumerate([(RIGHT, TRUE), (WRONG, HASH)]):
        with boa.reverts("audits: verdict contradicts the hashes"):
            bench.audits.reveal(audit, seat, *said, SALT, sender=members[seat])


def test_rules_can_not_change_under_an_audit(bench: Court) -> None:
    audit = bench.dispute(bench.settled())
    bench.audits.set_policy(1, REPLICATE, 0, 3, False, sender=bench.world.customer)
    bench.draw(audit)
    bench.say(audit, [(WRONG, b"\x02" * 31 + bytes([each])) for each in range(3)])
    bench.audits.conclude(audit)
    assert bench.audit(audit).state == UNDECIDED


def test_result_that_nobody_can_read_costs_a_tenth(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    audit = bench.judge(lease, [(WITHHELD, b"\0" * 32)] * 3)
    assert bench.audit(audit).state == NOT_DELIVERED
    assert world.registry.providers(world.provider)[1] == CND - SLASH // 10
    assert world.market.jobs(1)[2] == CND - 3 * TASK


def test_task_that_can_not_be_checked_is_paid(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    before = money(world.provider)
    audit = bench.judge(lease, [(UNCHECKABLE, b"\0" * 32)] * 3)
    assert bench.audit(audit).state == NOT_CHECKABLE
    assert money(world.provider) - before == after_fees(TASK)
    assert world.registry.providers(world.provider)[1] == CND


def test_silent_auditors_lose_and_can_not_hold_up_the_others(bench: Court) -> None:
    lease = bench.settled()
    audit = bench.judge(lease, [LIE, LIE, None])
    assert bench.audit(audit).state == REFUTED
    silent = bench.numbers[bench.committee(audit)[2]]
    assert bench.audits.auditors(silent)[2] == BOND - bench.audits.ABSENT_PENALTY()


def test_silent_committee_decides_nothing_and_costs_nothing(bench: Court) -> None:
    lease, customer = bench.settled(), money(bench.world.customer)
    audit = bench.judge(lease, [None] * 3)
    assert bench.audit(audit).state == UNDECIDED
    assert money(bench.world.customer) == customer
    bench.pass_time(7 * 24 * 3600)
    bench.world.market.burn_disputed(lease, 0)


def test_verdicts_stay_hidden_until_all_are_fixed(bench: Court) -> None:
    audit = bench.dispute(bench.settled())
    members = bench.draw(audit)
    seal = bench.sealed(audit, 0, members[0], *LIE)
    bench.audits.commit(audit, 0, seal, sender=members[0])
    with boa.reverts("audits: others may still commit"):
        bench.audits.reveal(audit, 0, *LIE, SALT, sender=members[0])
    with boa.reverts("audits: verdict is fixed already"):
        bench.audits.commit(audit, 0, seal, sender=members[0])
    for seat in (1, 2):
        # A copied seal names another seat and another provider.
        bench.audits.commit(audit, seat, seal, sender=members[seat])
    bench.audits.reveal(audit, 0, *LIE, SALT, sender=members[0])
    with boa.reverts("audits: not the verdict that was fixed"):
        bench.audits.reveal(audit, 1, *LIE, SALT, sender=members[1])
    with boa.reverts("audits: verdicts are missing"):
        bench.audits.conclude(audit)


def test_strangers_sit_on_no_seat(bench: Court) -> None:
    audit = bench.dispute(bench.settled())
    bench.draw(audit)
    with boa.reverts("audits: not the auditor's operator"):
        bench.audits.commit(audit, 0, TRUE, sender=bench.world.customer)
    with boa.reverts("audits: no such seat"):
        bench.audits.commit(audit, 3, TRUE, sender=bench.auditors[0])


def test_committee_has_neither_the_provider_nor_anybody_twice(bench: Court) -> None:
    world = bench.world
    bench.audits.enrol(0, value=BOND, sender=world.provider)
    world.registry.add_device(0, 1, 1 << 30, 1, "second", sender=bench.auditors[0])
    world.registry.top_up_bond(bench.auditors[0], value=CND, sender=bench.auditors[0])
    bench.audits.enrol(1, value=BOND, sender=bench.auditors[0])
    lease = bench.settled(tasks=4)
    bench.pass_time(20)
    for task in range(4):
        members = bench.draw(bench.dispute(lease, task), keccak(bytes([task])))
        assert sorted(members) == sorted(bench.auditors)


def test_auditor_who_comes_after_the_moment_changes_nothing() -> None:
    def committee(late: int) -> list[int]:
        with boa.env.anchor():
            bench = court(5)
            audit = bench.dispute(bench.settled())
            bench.record(bench.audit(audit).moment)
            for number in range(late):
                bench.enrol(boa.env.generate_address(f"late {number}"))
            bench.audits.draw(audit)
            return [bench.audits.seats(audit, seat)[0] for seat in range(3)]

    assert committee(0) == committee(7)


def test_rest_and_return_can_not_choose_a_committee(bench: Court) -> None:
    audit = bench.dispute(bench.settled())
    bench.record(bench.audit(audit).moment)
    for person in bench.auditors:
        bench.audits.rest(bench.numbers[person], sender=person)
        with boa.reverts("audits: draws may still name it"):
            bench.audits.resume(bench.numbers[person], sender=person)
    bench.audits.draw(audit)
    assert len(bench.committee(audit)) == 3, "they were ready at the moment"
    for person in bench.auditors:
        with boa.reverts("audits: draws may still name it"):
            bench.audits.leave(bench.numbers[person], sender=person)
    bench.pass_time(601)
    with boa.reverts("audits: a seat is open"):
        bench.audits.leave(bench.numbers[bench.auditors[0]], sender=bench.auditors[0])


def test_auditor_gets_its_bond_back(bench: Court) -> None:
    person, number = bench.auditors[0], bench.numbers[bench.auditors[0]]
    before = money(person)
    bench.audits.rest(number, sender=person)
    bench.pass_time(601)
    bench.audits.leave(number, sender=person)
    assert money(person) - before == BOND
    bench.audits.resume(number, value=BOND, sender=person)
    with boa.reverts("audits: not the auditor's operator"):
        bench.audits.rest(number, sender=bench.world.customer)


def test_nobody_to_judge_leaves_the_dispute_as_it_was() -> None:
    with boa.env.anchor():
        bench = court(0)
        lease, customer = bench.settled(), money(bench.world.customer)
        audit = bench.dispute(lease)
        assert bench.draw(audit) == []
        assert bench.audit(audit).state == UNDECIDED
        assert money(bench.world.customer) == customer
        bench.world.market.withdraw_dispute(lease, 0, sender=bench.world.customer)


def test_payment_under_audit_is_neither_withdrawn_nor_burned(bench: Court) -> None:
    lease = bench.settled()
    bench.dispute(lease)
    with boa.reverts("market: an audit decides on the task"):
        bench.world.market.withdraw_dispute(lease, 0, sender=bench.world.customer)
    bench.pass_time(30 * 24 * 3600)
    with boa.reverts("market: an audit decides on the task"):
        bench.world.market.burn_disputed(lease, 0)


def test_dispute_whose_moment_nobody_recorded_gets_another(bench: Court) -> None:
    audit = bench.dispute(bench.settled())
    first = bench.audit(audit).moment
    with boa.reverts("audits: it may still be drawn"):
        bench.audits.postpone(audit)
    bench.pass_time(700)
    bench.audits.postpone(audit)
    assert bench.audit(audit).moment > first
    assert bench.audit(audit).state == OPEN
    bench.draw(audit)
    assert bench.audit(audit).state == DRAWN


def drawn(bench: Court, lease: int, tasks: int) -> dict[int, int]:
    """Open every audit that the moment draws; the audits by task."""
    moment = bench.audits.moment_of(lease, 0)
    bench.record(moment)
    found = {}
    for task in range(tasks):
        try:
            found[task] = bench.audits.open(lease, task, *bench.receipt())
        except boa.BoaError as error:
            assert "audits: task is not drawn" in str(error)
    return found


def test_fraction_of_the_tasks_is_drawn_after_delivery(bench: Court) -> None:
    world, customer = bench.world, bench.world.customer
    job = world.open(task_count=64, value=10 * CND)
    lease = world.lease(job, count=64)
    for task in range(64):
        world.settle(lease, task)
    with boa.reverts("audits: randomness is not recorded"):
        bench.audits.open(lease, 0, *bench.receipt())
    bench.audits.set_policy(job, REPLAY, 250_000, 3, False, value=CND, sender=customer)
    found = drawn(bench, lease, 64)
    assert 6 <= len(found) <= 28, f"{len(found)} of 64 at one in four"
    assert bench.audits.budgets(job) == CND - len(found) * 3 * FEE
    with boa.reverts("audits: task has been audited"):
        bench.audits.open(lease, next(iter(found)), *bench.receipt())


def test_drawn_audit_finds_a_lie_and_pays_the_budget_back(bench: Court) -> None:
    world, customer, lease = bench.world, bench.world.customer, bench.settled()
    bench.audits.set_policy(1, REPLAY, SECOND, 3, False, value=CND, sender=customer)
    audit = drawn(bench, lease, 1)[0]
    bench.audits.draw(audit)
    bench.say(audit, [LIE] * 3)
    bench.audits.conclude(audit)
    assert bench.audit(audit).state == REFUTED
    assert world.market.jobs(1)[2] == CND - 3 * TASK, "the unpaid price is in the job again"
    assert bench.audits.budgets(1) == CND - 3 * FEE
    before = money(customer)
    bench.audits.take_back(1, sender=customer)
    assert money(customer) - before == CND - 3 * FEE
    assert money(bench.audits.address) == 3 * BOND


def test_drawn_audit_leaves_an_honest_task_to_its_own_time(bench: Court) -> None:
    world, lease = bench.world, bench.settled()
    bench.audits.set_policy(1, REPLAY, SECOND, 3, False, value=CND, sender=world.customer)
    audit = drawn(bench, lease, 1)[0]
    bench.audits.draw(audit)
    bench.say(audit, [FAIR] * 3)
    bench.audits.conclude(audit)
    assert world.market.leases(lease)[15] == TASK, "it is still owed"
    world.market.accept(lease, 1, sender=world.customer)


def test_audits_stop_when_the_budget_does(bench: Court) -> None:
    lease = bench.settled()
    bench.audits.set_policy(1, REPLAY, SECOND, 3, False, value=3 * FEE - 1, sender=bench.world.customer)
    bench.record(bench.audits.moment_of(lease, 0))
    with boa.reverts("audits: the job's budget is too small"):
        bench.audits.open(lease, 0, *bench.receipt())


def test_audit_is_about_the_receipt_on_chain(bench: Court) -> None:
    lease = bench.settled()
    bench.world.market.dispute(lease, 0, HASH, sender=bench.world.customer)
    for position, changed in enumerate((1, TRUE, TRUE, TRUE, 1)):
        stated = list(bench.receipt())
        stated[position] = changed
        with boa.reverts("audits: not the receipt of this task"):
            bench.audits.dispute(lease, 0, *stated, value=3 * FEE, sender=bench.world.customer)


def test_only_the_customer_disputes_and_pays_exactly(bench: Court) -> None:
    lease = bench.settled()
    with boa.reverts("audits: not the customer"):
        bench.audits.dispute(lease, 0, *bench.receipt(), value=3 * FEE, sender=bench.world.provider)
    with boa.reverts("audits: value is not the committee's fee"):
        bench.audits.dispute(lease, 0, *bench.receipt(), value=3 * FEE + 1, sender=bench.world.customer)
    bench.pass_time(200)
    with boa.reverts("audits: audit window is over"):
        bench.audits.dispute(lease, 0, *bench.receipt(), value=3 * FEE, sender=bench.world.customer)


KEY = b"\x0b" * 32


def planted(bench: Court) -> int:
    """A lease whose first task is a ringer and settled."""
    world = bench.world
    job = world.open()
    lease = world.lease(job)
    seal = keccak(abi.encode(["uint256", "uint32", "bytes32"], [lease, 0, SALT]))
    with boa.reverts("audits: the job takes no ringers"):
        bench.audits.plant(lease, seal, KEY, sender=world.provider)
    bench.audits.set_policy(job, REPLAY, SECOND, 3, True, value=CND, sender=world.customer)
    with boa.reverts("audits: not the operator of a fresh lease"):
        bench.audits.plant(lease, seal, KEY, sender=world.customer)
    bench.audits.plant(lease, seal, KEY, sender=world.provider)
    with boa.reverts("audits: sealed already"):
        bench.audits.plant(lease, TRUE, KEY, sender=world.provider)
    world.settle(lease, 0)
    return lease


def judged(bench: Court, lease: int, verdicts: list[tuple[int, bytes]]) -> int:
    """The audit of a ringer, with all verdicts in."""
    audit = drawn(bench, lease, 1)[0]
    bench.audits.draw(audit)
    bench.say(audit, verdicts)
    return audit


def bonds(bench: Court, audit: int) -> list[int]:
    return [bench.audits.auditors(bench.numbers[each])[2] for each in bench.committee(audit)]


def test_ringer_can_not_be_chosen_once_a_task_is_settled(bench: Court) -> None:
    lease = bench.settled()
    bench.audits.set_policy(1, REPLAY, SECOND, 3, True, value=CND, sender=bench.world.customer)
    with boa.reverts("audits: not the operator of a fresh lease"):
        bench.audits.plant(lease, TRUE, KEY, sender=bench.world.provider)


@pytest.mark.parametrize("pay", [True, False])
def test_ringer_catches_auditors_who_do_not_look_and_spares_who_planted_it(bench: Court, pay: bool) -> None:
    world, lease = bench.world, planted(bench)
    audit = judged(bench, lease, [FAIR, LIE, LIE])
    with boa.reverts("audits: it may be a ringer"):
        bench.audits.conclude(audit)
    with boa.reverts("audits: not the task that was sealed"):
        bench.audits.unseal(audit, TRUE, pay, sender=world.customer)
    provider, honest = money(world.provider), money(bench.committee(audit)[2])
    bench.audits.unseal(audit, SALT, pay, sender=world.customer)
    assert bench.audit(audit).state == RINGER
    assert bonds(bench, audit) == [BOND - bench.audits.MISJUDGED_PENALTY(), BOND, BOND]
    assert money(bench.committee(audit)[2]) - honest == FEE
    assert world.registry.providers(world.provider)[1] == CND, "it did what the customer had asked for"
    assert money(world.provider) - provider == (after_fees(TASK) if pay else 0)
    assert world.market.jobs(1)[2] == CND - (4 * TASK if pay else 3 * TASK)
    world.market.release(lease, sender=world.provider)
    second = world.market.take_over(lease, 0, 10**13, sender=bench.auditors[0])
    assert world.market.leases(second)[7] == 0b1111, "it is done again"


def test_planting_a_true_result_costs_honest_auditors_nothing(bench: Court) -> None:
    world, lease = bench.world, planted(bench)
    audit = judged(bench, lease, [FAIR] * 3)
    with boa.reverts("audits: its result was not found false"):
        bench.audits.unseal(audit, SALT, True, sender=world.customer)
    bench.audits.conclude(audit)
    assert bench.audit(audit).state == UPHELD, "at once: the salt can change nothing"
    bench.audits.retract(lease, 0, SALT, True, sender=world.customer)
    assert bonds(bench, audit) == [BOND] * 3
    with boa.reverts("audits: retracted already"):
        bench.audits.retract(lease, 0, SALT, True, sender=world.customer)


def test_ringer_that_nobody_names_in_time_is_a_lie(bench: Court) -> None:
    audit = judged(bench, planted(bench), [LIE] * 3)
    bench.pass_time(bench.audits.UNSEAL_SECONDS() + 1)
    bench.audits.conclude(audit)
    assert bench.audit(audit).state == REFUTED
    with boa.reverts("audits: no committee is seated"):
        bench.audits.unseal(audit, SALT, False)


def test_ringer_that_is_not_drawn_is_done_again_and_can_not_be_disputed(bench: Court) -> None:
    world, lease = bench.world, planted(bench)
    with boa.reverts("audits: it may still be drawn"):
        bench.audits.retract(lease, 0, SALT, True, sender=world.customer)
    bench.record(bench.audits.moment_of(lease, 0))
    with boa.reverts("audits: not the task that was sealed"):
        bench.audits.retract(lease, 1, SALT, True, sender=world.customer)
    provider = money(world.provider)
    bench.audits.retract(lease, 0, SALT, True, sender=world.provider)
    assert money(world.provider) == provider, "the customer alone has it paid"
    assert world.market.jobs(1)[2] == CND - 3 * TASK
    assert world.market.leases(lease)[11] == 1, "to be done again"
    with boa.reverts("audits: it was a ringer"):
        bench.audits.open(lease, 0, *bench.receipt())


def test_money_comes_in_by_functions_alone(bench: Court) -> None:
    before = money(bench.audits.address)
    sent = boa.env.execute_code(to_address=bench.audits.address, sender=bench.world.customer, value=1)
    assert sent.is_error
    assert money(bench.audits.address) == before
