"""On a live network ringers find an auditor that agrees unseen, and cost whoever is honest nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import candela
from candela.amounts import NIT_PER_CND
from candela.chain.audits import AUDITOR_BOND, Audits, AuditState, Verdict
from candela.chain.market import receipt_of
from candela.chain.registry import ProviderState, Registry
from candela.chain.rewards import Rewards
from candela.economics.rewards import after_fees
from candela.provider.earnings import read_earnings
from candela.provider.pay import explain

from .conftest import Chain, started

sys.path.insert(0, str(Path(__file__).parents[1] / "sdk" / "jobs"))
import calls

WORKER, LAZY, HONEST = 1, 2, (3, 4)
CHEAP, DEAR = ["--price", "0.00001"], ["--audit", "--price", "0.0005"]
"""The worker takes the tasks, since nobody else works at this price."""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A worker, an auditor that agrees unseen, and two honest ones."""
    chain = started(tmp_path_factory.mktemp("chain"))
    try:
        chain.provider(LAZY, cheat="audits", options=DEAR)
        for number in HONEST:
            chain.provider(number, options=DEAR)
        chain.provider(WORKER, options=CHEAP)
        chain.wait(lambda: Audits(chain.client).read("auditor_count") == 3)
        yield chain
    finally:
        chain.close()


def squares(chain: Chain, numbers: list[int], **policy: Any) -> tuple[list[int], Any, candela.App]:
    """Let tasks be done, of which the first try of each lease has a ringer."""
    app = candela.App("squares", budget="5", network=chain.network(), lease_seconds=5)
    verify = candela.Replay(ringers=1.0, **policy)
    square = app.function(verify=verify, retries=1, timeout=20, memory="256MiB", sandbox="none")(calls.square.function)
    with app.run():
        stream = square.map(numbers)
        return list(stream), stream.job, app


def test_auditor_that_agrees_unseen_pays_for_a_ringer(chain: Chain) -> None:
    audits, registry, worker = Audits(chain.client), Registry(chain.client), chain.accounts[WORKER].address
    found, job, app = squares(chain, [3, 5], fraction=1.0, auditors=3)
    assert found == [9, 25], "a false result is never handed out"
    opened = audits.events(0, chain.client.block_number(), audits.topic("Opened"))
    numbers = [event.fields["audit_id"] for event in opened]
    ringers = [number for number in numbers if audits.audit(number).state == AuditState.RINGER]
    assert ringers
    seats = [audits.seat(number, seat) for number in ringers for seat in range(audits.audit(number).seats)]
    lazy = chain.accounts[LAZY].address.lower()
    unseen = [seat for seat in seats if audits.auditor(seat.auditor).provider == lazy]
    assert unseen, "a committee of three has all three auditors"
    assert {seat.verdict for seat in unseen} == {Verdict.RIGHT}
    assert {seat.verdict for seat in seats if seat not in unseen} == {Verdict.WRONG}
    penalties = audits.events(0, chain.client.block_number(), audits.topic("AuditorPenalised"))
    assert [each.fields["auditor"] for each in penalties] == [seat.auditor for seat in unseen]
    assert {each.fields["amount"] for each in penalties} == {audits.read("MISJUDGED_PENALTY")}
    honest = [audits.auditor(audits.number_of(chain.accounts[number].address)) for number in HONEST]
    assert [each.bond for each in honest] == [AUDITOR_BOND] * 2
    assert registry.provider(worker).bond == NIT_PER_CND
    assert registry.provider(worker).state == ProviderState.LISTED
    (account,) = read_earnings(chain.market, worker)
    assert account.settled > sum(each.price for each in job.receipts)
    assert account.refused == 0, "its ringers are paid like any other task"
    assert account.paid == pytest.approx(after_fees(account.settled), abs=20)
    assert account.paid + account.fees + account.to_auditors == account.settled
    audit_fees = sum(audits.audit(number).fee * len(audits.read("winners", number)[2]) for number in numbers)
    assert app.spent == account.settled + audit_fees


def test_ringer_that_is_not_drawn_is_done_again_without_an_audit(chain: Chain) -> None:
    audits = Audits(chain.client)
    opened = audits.read("audit_count")
    found, job, _ = squares(chain, [7], fraction=1e-6)
    assert found == [49]
    assert audits.read("audit_count") == opened
    events = audits.events(0, chain.client.block_number(), audits.topic("Retracted"), f"0x{job.id:064x}")
    assert [event.fields["task"] for event in events] == [0]
    assert [receipt.attempt for receipt in job.receipts] == [1]
    false, true = (chain.value(each) for each in _tries(chain, job.id))
    assert (false, true) == ({"value": 50}, {"value": 49})


def test_auditors_share_what_the_customer_s_payments_set_aside(chain: Chain) -> None:
    audits, rewards, worker = Audits(chain.client), Rewards(chain.client), chain.accounts[WORKER].address
    waiting = sum(each.to_auditors for each in read_earnings(chain.market, worker))
    assert rewards.set_aside(chain.customer.address) == waiting > 0
    opened = audits.events(0, chain.client.block_number(), audits.topic("Opened"))
    numbers = [event.fields["audit_id"] for event in opened]
    chain.sender.send(rewards.sharing_out(numbers), "sharing out")
    due = {account.address: rewards.read("credits", account.address) for account in chain.accounts}
    assert sum(due.values()) + rewards.set_aside(chain.customer.address) == waiting
    honest = [chain.accounts[number].address for number in HONEST]
    assert all(due[each] >= due[chain.accounts[LAZY].address] for each in honest)
    assert min(due[each] for each in honest) > 0
    before = chain.client.balance(honest[0])
    chain.sender.send(rewards.paying(honest[0], []), "paying an auditor")
    assert chain.client.balance(honest[0]) - before >= due[honest[0]]
    (share,) = [each for each in explain(chain.market, honest[0]) if each.name == "audit shares"]
    assert share.amount == due[honest[0]]


def _tries(chain: Chain, job_id: int) -> list[Any]:
    """The receipts of task 0, the first first."""
    events = chain.market.job_events(job_id, 0, chain.client.block_number())
    return [receipt_of(each) for each in events if each.name == "TaskSettled"]
