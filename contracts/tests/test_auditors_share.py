"""Two per cent of what an audited job pays go to those who judged it, and nobody profits by judging itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest

from candela.economics.rewards import RELEASE_SECONDS, after_fees, auditors_share, each_auditor, fee

from .audits import REPLAY, RIGHT, TASK, UNDECIDED, Court, court
from .conftest import CND, HASH
from .economy import deploy_rewards, measurements

FAIR = (RIGHT, HASH)
ALL = 10**6


@pytest.fixture
def bench() -> Iterator[tuple[Court, Any]]:
    """A court, and the rewards that keep its auditors' share."""
    with boa.env.anchor():
        made = court()
        yield made, deploy_rewards(made.world.registry, measurements().deploy(), made.world.market)


def waiting(rewards: Any, customer: str) -> int:
    """What no audit has used."""
    return rewards.audit_pools(customer) % 2**128


def judged(made: Court, verdicts: list[tuple[int, bytes] | None], fraction: int = ALL) -> int:
    """A job of four tasks whose first was audited and that has paid for all; returns the audit."""
    world = made.world
    lease = made.settled(4)
    made.audits.set_policy(lease >> 32, REPLAY, fraction, 3, False, value=CND, sender=world.customer)
    made.record(made.audits.moment_of(lease, 0))
    audit = made.audits.open(lease, 0, *made.receipt()) if fraction else 0
    if audit:
        made.audits.draw(audit)
        made.say(audit, verdicts)
        made.audits.conclude(audit)
    world.market.accept(lease, 15, sender=world.customer)
    return audit


def test_those_who_judged_share_equally_and_the_rest_waits(bench: tuple[Court, Any]) -> None:
    made, rewards = bench
    audit = judged(made, [FAIR] * 3)
    share = auditors_share(4 * TASK)
    assert waiting(rewards, made.world.customer) == share == rewards.allocated()
    each = each_auditor(share, 3, TASK)
    assert each == share // 3
    assert rewards.share_out([audit]) == 3 * each
    assert waiting(rewards, made.world.customer) == share - 3 * each, "what rounding leaves"
    with boa.reverts("rewards: the audit has had its share"):
        rewards.share_out([audit])
    before = boa.env.get_balance(made.auditors[0])
    assert rewards.pay(made.auditors[0], []) == each
    assert boa.env.get_balance(made.auditors[0]) - before == each
    assert rewards.pay(made.auditors[0], []) == 0
    assert rewards.allocated() == share - each


def test_silent_auditors_and_open_audits_get_nothing(bench: tuple[Court, Any]) -> None:
    made, rewards = bench
    audit = judged(made, [FAIR, FAIR, None])
    members = made.committee(audit)
    rewards.share_out([audit])
    assert [rewards.credits(member) > 0 for member in members] == [True, True, False]
    undecided = judged(made, [None])
    assert made.audit(undecided).state == UNDECIDED
    for number in (undecided, 99):
        with boa.reverts("rewards: the audit has no verdict"):
            rewards.share_out([number])


def test_one_audit_gets_at_most_its_price_a_seat(bench: tuple[Court, Any]) -> None:
    made, rewards = bench
    customer = made.world.customer
    audit = judged(made, [FAIR] * 3)
    boa.env.set_balance(made.world.market.address, CND)
    told = (made.world.provider, customer, made.audit(audit).job_id, 0)
    rewards.charge(*told, value=CND, sender=made.world.market.address)
    assert rewards.share_out([audit]) == 3 * TASK
    assert waiting(rewards, customer) == CND + auditors_share(4 * TASK) - 3 * TASK


def test_who_pays_works_and_judges_itself_loses_a_fifth_of_the_fee(bench: tuple[Court, Any]) -> None:
    made, rewards = bench
    world = made.world
    own = [world.customer, world.provider, *made.auditors]
    before = sum(map(boa.env.get_balance, own))
    audit = judged(made, [FAIR] * 3)
    rewards.share_out([audit])
    for auditor in made.auditors:
        rewards.pay(auditor, [])
    made.audits.take_back(1, sender=world.customer)
    world.market.close_job(1, sender=world.customer)
    lost = before - sum(map(boa.env.get_balance, own))
    paid = 4 * TASK
    assert paid - after_fees(paid) - auditors_share(paid) <= lost, "the fee is gone"
    rebate = fee(paid) * 80 // 100
    assert lost - rebate >= fee(paid) // 5 > 0, "all that the pool for work can pay back"


def test_what_no_audit_can_use_is_the_reserve_s(bench: tuple[Court, Any]) -> None:
    made, rewards = bench
    judged(made, [], fraction=0)
    assert waiting(rewards, made.world.customer) == 0, "nothing is drawn in this job"
    assert boa.env.get_balance(rewards.address) == auditors_share(4 * TASK)
    judged(made, [FAIR] * 3)
    with boa.reverts("rewards: auditors may still share it"):
        rewards.release(made.world.customer)
    boa.env.time_travel(seconds=RELEASE_SECONDS + 1)
    before = rewards.reserve()
    rewards.release(made.world.customer)
    assert rewards.reserve() - before == auditors_share(4 * TASK)
    assert waiting(rewards, made.world.customer) == 0
