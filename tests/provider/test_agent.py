"""Providers take leases, run tasks, settle them, survive each other's death, and leave politely."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

from candela.chain.market import LeaseState, Outcome

DOUBLE = "def main(number):\n    print('doubling', number)\n    return 2 * number\n"
ENDLESS = "import time\ndef main(number):\n    while number >= 0:\n        time.sleep(0.01)\n    return number\n"


def ask(chain, number: int, *arguments: str):
    command = [sys.executable, "-m", "candela.cli.provider", *arguments]
    command += ["--data", str(chain.folder / f"provider-{number}"), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_every_task_is_settled_once_with_its_result(chain) -> None:
    chain.provider(1)
    job = chain.open_job(DOUBLE, [(number,) for number in range(20)])
    receipts = chain.wait_for_tasks(job, 20)
    assert {task: chain.value(each) for task, each in receipts.items()} == {n: {"value": 2 * n} for n in range(20)}
    assert all(each.outcome == Outcome.OK and each.work_uwu > 0 for each in receipts.values())
    assert b"".join(chain.store.log(job, 7, 0)) == b"doubling 7\n"
    (account,) = ask(chain, 1, "earnings")["jobs"]
    assert account["tasks"] == 20
    assert account["settled"] == sum(each.price for each in receipts.values()) == account["pending"]
    status = ask(chain, 1, "status")
    assert status["state"] == "listed"
    assert status["agent"]["phase"] == "running"


def test_what_the_customer_raises_is_a_result(chain) -> None:
    chain.provider(1)
    job = chain.open_job("def main(number):\n    raise ValueError(f'no {number}')\n", [(3,)])
    (receipt,) = chain.wait_for_tasks(job, 1).values()
    assert receipt.outcome == Outcome.USER_ERROR
    assert chain.value(receipt)["error"]["message"] == "no 3"


def test_tasks_of_a_killed_provider_are_done_by_another(chain) -> None:
    first = chain.provider(1)
    job = chain.open_job(ENDLESS, [(1,)], task_timeout=600)
    lease_id = job << 32 | 1
    chain.wait(lambda: chain.market.lease(lease_id).state == LeaseState.ACTIVE)
    first.send_signal(signal.SIGKILL)
    chain.provider(2)
    (second,) = chain.wait(lambda: [each for each in chain.market.leases(job).values() if each.attempt == 1])
    assert second.provider.lower() == chain.accounts[2].address.lower()
    assert chain.market.lease(lease_id).state == LeaseState.LAPSED


def test_stop_gives_the_lease_back_and_ends_quickly(chain) -> None:
    process = chain.provider(1)
    job = chain.open_job(ENDLESS, [(1,), (2,)], task_timeout=600)
    chain.wait(lambda: chain.market.lease(job << 32 | 1).state == LeaseState.ACTIVE)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert time.monotonic() - started < 20
    assert chain.market.lease(job << 32 | 1).state == LeaseState.RELEASED


def test_a_cancelled_job_is_left_at_once(chain) -> None:
    chain.provider(1)
    job = chain.open_job(ENDLESS, [(1,)], task_timeout=600)
    chain.wait(lambda: chain.market.lease(job << 32 | 1).state == LeaseState.ACTIVE)
    chain.sender.send(chain.market.message("cancel", job), "cancelling")
    chain.wait(lambda: chain.market.lease(job << 32 | 1).state == LeaseState.RELEASED)
    after = chain.open_job(DOUBLE, [(1,)])
    chain.wait_for_tasks(after, 1)


def test_a_restarted_provider_gives_back_what_it_held(chain) -> None:
    process = chain.provider(1)
    job = chain.open_job(ENDLESS, [(1,)], task_timeout=600, lease_seconds=3600)
    chain.wait(lambda: chain.market.lease(job << 32 | 1).state == LeaseState.ACTIVE)
    process.send_signal(signal.SIGKILL)
    process.wait()
    chain.provider(1)
    chain.wait(lambda: chain.market.lease(job << 32 | 1).state == LeaseState.RELEASED)


def test_drain_ends_after_the_last_lease(chain) -> None:
    process = chain.provider(1)
    job = chain.open_job(DOUBLE, [(number,) for number in range(3)])
    chain.wait_for_tasks(job, 3)
    ask(chain, 1, "drain")
    assert process.wait(30) == 0
    assert ask(chain, 1, "status")["state"] == "draining"


def test_a_job_without_its_source_is_refused_with_the_reason(chain) -> None:
    chain.provider(1)
    job = chain.open_job(DOUBLE, [(1,)], spec_hash=b"\1" * 32)
    chain.wait(lambda: ask(chain, 1, "why", str(job))["jobs"][0]["failure"])
    (answer,) = ask(chain, 1, "why", str(job))["jobs"]
    assert not answer["fits"]
    assert "CND-300" in answer["failure"]
    assert chain.market.job(job).lease_count == 0


def test_payments_are_claimed_when_the_window_is_over(chain) -> None:
    chain.provider(1)
    job = chain.open_job(DOUBLE, [(1,)], audit_window=1)
    chain.wait_for_tasks(job, 1)
    lease = chain.wait(lambda: (x := chain.market.lease(job << 32 | 1)).paid and x)
    assert lease.owed == 0


def test_a_killed_node_is_waited_for(chain) -> None:
    provider = chain.provider(1)
    job = chain.open_job(DOUBLE, [(number,) for number in range(4)])
    chain.wait_for_tasks(job, 4)
    chain.restart_node()
    job = chain.open_job(DOUBLE, [(number,) for number in range(4)])
    chain.wait_for_tasks(job, 4)
    assert provider.poll() is None


def test_without_bubblewrap_the_tier_is_none_and_a_customer_can_refuse_it(chain) -> None:
    provider = chain.provider(1, path=str(chain.folder), allow_unsandboxed=True)
    refused = chain.open_job(DOUBLE, [(1,)], min_tier=1)
    taken = chain.open_job(DOUBLE, [(1,)])
    chain.wait_for_tasks(taken, 1)
    assert chain.market.job(refused).lease_count == 0
    (answer,) = ask(chain, 1, "why", str(refused))["jobs"]
    (sandbox,) = [each for each in answer["constraints"] if each["name"] == "sandbox"]
    assert (sandbox["holds"], sandbox["wanted"], sandbox["offered"]) == (False, "at least bubblewrap", "none")
    assert provider.poll() is None
