"""On a live network a provider that lies about one step of a trace loses, and an honest one does not."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import candela
from candela import values
from candela.accuser import Accuser, stated_trace
from candela.amounts import NIT_PER_CND
from candela.chain.audits import Audits, AuditState, Verdict
from candela.chain.bisection import Bisection, Phase, deposit_of
from candela.chain.registry import ProviderState, Registry
from candela.provider.devices import CPU, LocalDevice
from candela.provider.retracing import Retracer
from candela.provider.sandbox import probe
from candela.trace import Tree
from candela.verification import Replay

from .conftest import Chain, started

sys.path.insert(0, str(Path(__file__).parents[1] / "sdk" / "jobs"))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import calls
from cheats import LIE_AT

STEPS = 25
COUNT = """
def main(end, state=None):
    state = state or {"at": 0, "sum": 0.0}
    while state["at"] < end:
        state = {"at": state["at"] + 1, "sum": state["sum"] + 1 / (state["at"] + 1)}
        yield state
"""
CHEAP, DEAR = ["--price", "0.00001"], ["--price", "0.0005"]
"""Whoever is cheap takes the tasks; the auditors do those that nobody else takes."""
TRACED = Replay(trace=True, fraction=0)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Three auditors."""
    chain = started(tmp_path_factory.mktemp("chain"))
    try:
        for number in (2, 3, 4):
            chain.provider(number, options=["--audit", *DEAR])
        chain.wait(lambda: Audits(chain.client).read("auditor_count") == 3)
        yield chain
    finally:
        chain.close()


def command(chain: Chain, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A run of ``candela``."""
    chain.network().write(chain.folder / "network.json")
    program = [sys.executable, "-m", "candela", *map(str, arguments)]
    program += ["--network", str(chain.folder / "network.json"), "--json"]
    return subprocess.run(program, capture_output=True, text=True, check=check)


def retracer(chain: Chain) -> Retracer:
    device = LocalDevice(CPU, "customer", 4 << 30, 1)
    return Retracer(chain.market, chain.store, chain.folder / "customer-packages", probe().tier, device)


def test_liar_at_one_step_loses_its_bond(chain: Chain) -> None:
    audits, registry, liar = Audits(chain.client), Registry(chain.client), chain.accounts[1].address
    chain.provider(1, cheat="step", options=CHEAP)
    bond = registry.provider(liar).bond
    job = chain.open_job(COUNT, [(STEPS,)], TRACED, retries=0)
    receipt = chain.wait_for_tasks(job, 1)[0]
    assert receipt.provider.lower() == liar.lower()
    quoted = json.loads(command(chain, "dispute", job, 0, "--dry-run").stdout)
    assert (quoted["steps"], int(quoted["deposit_nit"])) == (STEPS, deposit_of(receipt))
    said: dict[str, Any] = json.loads(command(chain, "dispute", job, 0).stdout)
    assert (said["state"], said["step"]) == ("refuted", LIE_AT)
    number = said["audit"]
    game, audit = Bisection(chain.client).game(number), audits.audit(number)
    honest = [values.encode(each) for each in states()]
    assert game.before == hashlib.sha256(honest[LIE_AT - 1]).digest()
    assert game.theirs == hashlib.sha256(values.encode({"made up": LIE_AT})).digest()
    seats = [audits.seat(number, seat) for seat in range(audit.seats)]
    assert [seat.verdict for seat in seats] == [Verdict.WRONG] * 3
    assert {seat.output_hash for seat in seats} == {hashlib.sha256(honest[LIE_AT]).digest()}
    assert registry.provider(liar).bond == bond - audits.read("SLASH")
    assert registry.provider(liar).state == ProviderState.JAILED
    assert chain.client.balance(Bisection(chain.client).address) == 0, "the deposit came back"
    (listed,) = json.loads(command(chain, "audits", job).stdout)
    assert listed["state"] == "refuted"
    assert "audited already" in command(chain, "dispute", job, 0, check=False).stderr


def states() -> Iterator[dict[str, float]]:
    """What ``COUNT`` goes through."""
    total = 0.0
    for at in range(1, STEPS + 1):
        total += 1 / at
        yield {"at": at, "sum": total}


def test_honest_provider_wins_though_it_restarts_in_between(chain: Chain) -> None:
    audits, honest = Audits(chain.client), chain.accounts[5].address
    process = chain.provider(5, options=CHEAP)
    job = chain.open_job(COUNT, [(STEPS,)], TRACED, retries=0)
    receipt = chain.wait_for_tasks(job, 1)[0]
    assert receipt.provider.lower() == honest.lower()
    stated = stated_trace(chain.store, receipt)
    assert stated is not None
    refused = command(chain, "dispute", job, 0, check=False)
    assert f"gives the same {STEPS} states here" in refused.stderr
    accuser = Accuser(chain.sender, retracer(chain), lambda _: None)
    true = retracer(chain).run(job, 0).steps
    assert true is not None
    false = Tree([*true.leaves[:11], *(hashlib.sha256(each).digest() for each in true.leaves[11:])])
    process.kill()
    process.wait()
    number = accuser.challenge(receipt, stated, false)
    before = chain.client.balance(honest)
    chain.provider(5, options=CHEAP)
    assert accuser.play(number, receipt, false) is AuditState.UPHELD
    assert Bisection(chain.client).game(number).index == 11
    assert [audits.seat(number, seat).verdict for seat in range(3)] == [Verdict.RIGHT] * 3
    assert Registry(chain.client).provider(honest).bond == NIT_PER_CND
    assert chain.client.balance(honest) > before, "the deposit is more than the moves cost"
    bisection = Bisection(chain.client)
    assert bisection.game(number).phase == Phase.ENDED
    gas: dict[str, int] = {}
    for event in bisection.events(0, chain.client.block_number()):
        found = chain.client.call("eth_getTransactionReceipt", event.transaction)
        name = f"{event.name} {event.fields['phase']}" if event.name == "Moved" else event.name
        gas[name] = max(gas.get(name, 0), int(found["gasUsed"], 16))
    print(f"gas of a bisection's transactions, by what they led to: {gas}")
    assert max(gas.values()) < 1_000_000


def test_results_of_stepwise_functions_arrive_from_a_network(chain: Chain) -> None:
    app = candela.App("steps", budget="5", network=chain.network(), lease_seconds=5)
    traced = candela.Replay(trace=True, fraction=1.0, auditors=1)
    collatz = app.function(verify=traced, timeout=20, memory="256MiB", sandbox="none")(calls.collatz.function)
    with app.run():
        assert list(collatz.map([6, 27])) == [{"number": 1, "steps": 8}, {"number": 1, "steps": 111}]
        with pytest.raises(ValueError, match="-1 is negative"):
            collatz.remote(-1)
