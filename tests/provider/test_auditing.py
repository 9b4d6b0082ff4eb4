"""On a live network a committee of agents finds who lied, and its customer is made whole from the bond."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import candela
from candela.amounts import NIT_PER_CND
from candela.chain.audits import AUDITOR_BOND, NEVER, Audit, Audits, AuditState, PolicyKind, Seat, Verdict
from candela.chain.registry import ProviderState, Registry

from .conftest import Chain, started

sys.path.insert(0, str(Path(__file__).parents[1] / "sdk" / "jobs"))
import calls

SQUARE = "import time\ndef main(number):\n    time.sleep(1)\n    return number * number\n"
NAMES = "def main(number):\n    return {str(each) for each in range(number)}\n"
CHEAP, DEAR = ["--price", "0.00001"], ["--price", "0.0005"]
"""The liar takes the tasks that are offered; the auditors do those that nobody else takes."""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A liar and three auditors."""
    chain = started(tmp_path_factory.mktemp("chain"))
    try:
        for number in (2, 3, 4):
            chain.provider(number, options=["--audit", *DEAR])
        chain.provider(1, cheat="results", options=CHEAP)
        chain.wait(lambda: Audits(chain.client).read("auditor_count") == 3)
        yield chain
    finally:
        chain.close()


def candela_command(chain: Chain, *arguments: object) -> Any:
    """What a command answers in JSON."""
    chain.network().write(chain.folder / "network.json")
    command = [sys.executable, "-m", "candela", *map(str, arguments)]
    command += ["--network", str(chain.folder / "network.json"), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def ended(chain: Chain, audits: Audits, audit_id: int) -> tuple[Audit, list[Seat], dict]:
    """The audit, its seats and its conclusion once it has ended."""
    audit = chain.wait(lambda: found if AuditState((found := audits.audit(audit_id)).state).ended else None, 60)
    seats = [audits.seat(audit_id, seat) for seat in range(audit.seats)]
    word = f"0x{audit_id:064x}"
    (conclusion,) = audits.events(0, chain.client.block_number(), audits.topic("Concluded"), word)
    return audit, seats, conclusion.fields


def test_liar_loses_its_bond_and_its_customer_is_refunded_first(chain: Chain) -> None:
    audits, registry, liar = Audits(chain.client), Registry(chain.client), chain.accounts[1].address
    bond = registry.provider(liar).bond
    job = chain.open_job(SQUARE, [(7,)], retries=0)
    receipt = chain.wait_for_tasks(job, 1)[0]
    assert receipt.provider.lower() == liar.lower()
    available = chain.market.job(job).available
    number = candela_command(chain, "dispute", job, 0)["audit"]
    chain.wait(lambda: audits.audit(number).state == AuditState.DRAWN, 40)
    # One auditor dies over its examination, and is back in time.
    chain.processes[0].kill()
    chain.processes[0].wait()
    chain.provider(2, options=["--audit", *DEAR])
    audit, seats, conclusion = ended(chain, audits, number)
    assert AuditState(audit.state) is AuditState.REFUTED
    assert [seat.verdict for seat in seats] == [Verdict.WRONG] * 3
    assert len({seat.output_hash for seat in seats}) == 1, "all three found the same"
    assert registry.provider(liar).bond == bond - conclusion["slashed"] == bond - audits.read("SLASH")
    assert registry.provider(liar).state == ProviderState.JAILED
    assert conclusion["refunded"] == receipt.price
    assert chain.market.job(job).available == available + receipt.price
    rest = conclusion["slashed"] - 3 * audit.fee
    assert conclusion["burned"] == rest // 2
    assert conclusion["to_auditors"] == rest * 30 // 100 // 3 * 3
    assert conclusion["to_customer"] + conclusion["burned"] + conclusion["to_auditors"] == conclusion["slashed"]
    assert chain.market.lease(receipt.lease_id).redo == 1, "the task is to be done again"
    (listed,) = candela_command(chain, "audits", job)
    assert (listed["state"], int(listed["slashed_nit"])) == ("refuted", conclusion["slashed"])


def test_auditors_open_what_is_drawn_where_the_customer_does_not(chain: Chain) -> None:
    audits, registry = Audits(chain.client), Registry(chain.client)
    job = chain.open_job(NAMES, [(50,)], max_price_per_unit=10**15, task_work_limit_uwu=10**9)
    deposit = NIT_PER_CND
    chain.sender.send(audits.message("set_policy", job, PolicyKind.REPLAY, 10**6, 3, False, value=deposit))
    receipt = chain.wait_for_tasks(job, 1)[0]
    audit_id = chain.wait(lambda: audits.read("audit_of", receipt.lease_id, 0), 40)
    audit, seats, conclusion = ended(chain, audits, audit_id)
    assert not audit.disputed
    assert AuditState(audit.state) is AuditState.UPHELD
    assert [seat.verdict for seat in seats] == [Verdict.RIGHT], "of the two other auditors one is seated"
    assert (conclusion["slashed"], conclusion["to_auditors"]) == (0, 0)
    assert audits.read("budgets", job) == deposit - audit.fee
    assert registry.provider(receipt.provider).state == ProviderState.LISTED
    lease = chain.market.lease(audit.lease_id)
    assert (lease.owed, lease.paid) == (receipt.price, 0), "paid in its own time"


def test_an_audit_costs_a_bounded_amount_of_gas(chain: Chain) -> None:
    audits, gas = Audits(chain.client), {}
    bounds = {"Opened": 700_000, "Drawn": 2_000_000, "Committed": 150_000, "Revealed": 150_000, "Concluded": 700_000}
    for event in audits.events(0, chain.client.block_number(), [audits.topic(name) for name in bounds]):
        receipt = chain.client.call("eth_getTransactionReceipt", event.transaction)
        gas[event.name] = max(gas.get(event.name, 0), int(receipt["gasUsed"], 16))
    print(f"gas of an audit's steps, most seen with committees of up to three: {gas}")
    assert gas.keys() == bounds.keys()
    assert all(gas[name] <= bounds[name] for name in bounds), gas


def test_drawn_lies_never_reach_the_customer_and_are_done_again(chain: Chain) -> None:
    liar = chain.accounts[5].address
    chain.provider(5, cheat="results", options=CHEAP)
    app = candela.App("squares", budget="5", network=chain.network(), lease_seconds=5)
    square = app.function(
        verify=candela.Replay(fraction=1.0, auditors=1, ringers=0), timeout=20, memory="256MiB", sandbox="none"
    )(calls.square.function)
    with app.run():
        stream = square.map([3, 5])
        job: Any = stream.job
        settled = chain.wait_for_tasks(job.id, 2)
        assert {each.provider.lower() for each in settled.values()} == {liar.lower()}
        # Nobody else takes tasks at this price until an honest provider comes.
        chain.provider(6, options=CHEAP)
        assert list(stream) == [9, 25]
    assert {each.provider.lower() for each in job.receipts} == {chain.accounts[6].address.lower()}
    assert Registry(chain.client).provider(liar).state == ProviderState.JAILED
    states = {each["state"] for each in candela_command(chain, "audits", job.id)}
    assert states == {"refuted", "upheld"}
    assert Audits(chain.client).read("budgets", job.id) == 0, "what audits left came back"
    fees = sum(audit_fee(chain, each) for each in candela_command(chain, "audits", job.id))
    assert app.spent == sum(each.price for each in job.receipts) + fees


def why(chain: Chain, number: int) -> tuple[dict[str, dict], dict[str, dict]]:
    """What ``candela provider why`` says of a provider: its standing and its pay, by name."""
    command = [sys.executable, "-m", "candela", "provider", "why", "--json"]
    command += ["--data", str(chain.folder / f"provider-{number}")]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return tuple({each["name"]: each for each in answer[part]} for part in ("standing", "pay"))  # type: ignore[return-value]


def test_why_tells_a_liar_what_it_lost_and_an_auditor_what_it_earned(chain: Chain) -> None:
    standing, pay = why(chain, 1)
    assert not standing["state"]["holds"]
    assert standing["state"]["offered"] == "jailed"
    assert "s left" in standing["jail"]["offered"]
    assert pay["slashed"]["amount"] == -Audits(chain.client).read("SLASH")
    assert (pay["paid"]["amount"], pay["refused"]["amount"] > 0) == (0, True)
    standing, pay = why(chain, 2)
    assert all(each["holds"] for each in standing.values())
    account = chain.accounts[2].address.lower()
    audits = Audits(chain.client)
    shares = 0
    for event in audits.events(0, chain.client.block_number(), audits.topic("Revealed")):
        audit = event.fields["audit_id"]
        seat = audits.seat(audit, event.fields["seat"])
        if audits.auditor(seat.auditor).provider.lower() == account:
            shares += audits.audit(audit).fee
    assert pay["audit fees"]["amount"] == shares > 0
    assert "audit penalties" not in pay


def test_an_auditor_that_drains_is_drawn_no_more_and_loses_nothing(chain: Chain) -> None:
    process, audits = chain.processes[1], Audits(chain.client)
    number = audits.number_of(chain.accounts[3].address)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 0
    auditor = audits.auditor(number)
    assert auditor.ready_until < NEVER
    assert auditor.bond == AUDITOR_BOND
    assert Registry(chain.client).provider(chain.accounts[3].address).bond == NIT_PER_CND


def audit_fee(chain: Chain, listed: dict[str, Any]) -> int:
    """What an audit took from its job's deposit."""
    audit = Audits(chain.client).audit(listed["audit_id"])
    return audit.fee * audit.revealed
