"""Jobs on a whole network: a node and two providers, as ``candela up`` starts them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import candela
from candela import receipt
from candela.chain.client import Client
from candela.chain.market import JobState, LeaseState, Market
from candela.errors import ArtefactError, WaitTimeoutError
from candela.function import Function, options
from candela.market.quote import quote
from candela.network.configuration import Network
from candela.network.devnet import Devnet, Settings
from tests.waiting import until

sys.path.insert(0, str(Path(__file__).parent / "jobs"))
import calls

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    folder = tmp_path_factory.mktemp("network")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.delenv("CANDELA_NETWORK", raising=False)
        with Devnet(Settings(data=folder / "data", port=0, providers=2)) as network:
            yield network


@pytest.fixture
def network(devnet: Devnet) -> Network:
    return Network.find(devnet.settings.data / "network.json")


@pytest.fixture
def market(network: Network) -> Market:
    return Market(Client(network.rpc))


def again(function: Function[..., Any], **changes: Any) -> Function[..., Any]:
    """The same function with other options, in an app of its own."""
    budget = changes.pop("budget", "50")
    app = candela.App("test", budget=budget, lease_seconds=5)
    chosen: dict[str, Any] = {"timeout": 20, "memory": "256MiB", "sandbox": "none"} | changes
    return app.function(**chosen)(function.function)


def test_results_errors_and_payment(network: Network, market: Market) -> None:
    square, fail = again(calls.square), again(calls.fail)
    with square.app.run(network=network) as run:
        assert list(square.map(range(40))) == [number**2 for number in range(40)]
    (job,) = run.jobs
    assert market.job(job.id).state == JobState.SETTLED
    assert market.job(job.id).available == 0
    leases = market.leases(job.id).values()
    assert all(lease.paid == lease.mask == lease.done and lease.escrow == 0 for lease in leases)
    assert square.app.spent == job.cost == sum(each.price for each in job.receipts) > 0
    assert [each.task for each in job.receipts] == list(range(40))
    assert job.energy_joules >= 0
    with fail.app.run(network=network):
        with pytest.raises(ValueError, match="bad") as caught:
            fail.remote("value")
        assert caught.value.args == ("bad", 7)
        assert "in fail" in caught.value.__notes__[0]
        with pytest.raises(candela.RemoteError, match="OwnError: mine"):
            fail.remote("own")


def test_limits_come_back_as_errors(network: Network) -> None:
    sleep, die = again(calls.sleep, timeout=1), again(calls.die)
    with sleep.app.run(network=network), pytest.raises(candela.TaskTimeoutError):
        sleep.remote(30.0)
    with die.app.run(network=network), pytest.raises(candela.TaskLimitError):
        die.remote(2)


def test_budget_that_can_not_fund_a_task_is_refused_with_the_numbers(network: Network) -> None:
    square = again(calls.square, budget="0.0001")
    with (
        square.app.run(network=network),
        pytest.raises(candela.BudgetError, match=r"0\.0004 CND.*0\.0001 CND") as caught,
    ):
        square.remote(1)
    assert "budget=" in caught.value.fix
    assert square.app.remaining == square.app.budget_nit


def test_small_budget_suffices_when_tasks_cost_little(network: Network) -> None:
    square = again(calls.square, budget="0.001")
    with square.app.run(network=network):
        assert list(square.map(range(4, 14))) == [number**2 for number in range(4, 14)]
    assert square.app.spent < square.app.budget_nit


def test_job_out_of_funds_waits_and_goes_on_when_topped_up(network: Network, market: Market) -> None:
    # At the lowest price that providers take, whatever the first task costs leaves too little for the second.
    sleep = again(calls.sleep, timeout=1, max_price="0.00001", budget="0.00001")
    with sleep.app.run(network=network):
        stream = sleep.map([0.1] * 4)
        job: Any = stream.job
        until(lambda: job.status.startswith("waiting: it is out of funds") or job.status == "done", "the job waits")
        assert job.status != "done"
        assert market.job(job.id).state == JobState.PAUSED_FUNDS
        job.top_up("0.001")
        assert list(stream) == [0.1] * 4
    assert job.status == "done"
    assert market.job(job.id).state == JobState.SETTLED


def test_job_that_nobody_fits_names_each_constraint(network: Network) -> None:
    square = again(calls.square, device="gpu", memory="1TiB")
    with square.app.run(network=network), pytest.raises(candela.NoProviderError) as caught:
        square.remote(1)
    assert "device kind is cpu, wanted gpu" in caught.value.why
    assert "wanted 1048576 MiB" in caught.value.why


def test_cancelled_job_returns_its_escrow(network: Network, market: Market) -> None:
    sleep = again(calls.sleep, timeout=20)
    with sleep.app.run(network=network) as run:
        handle = sleep.spawn(15.0)
        handle.cancel()
        with pytest.raises(candela.JobEndedError):
            handle.get(timeout=30)
    assert market.job(run.jobs[0].id).state == JobState.CANCELLED
    assert market.job(run.jobs[0].id).available == 0


def test_wrong_output_is_disputed_not_paid_and_done_again(network: Network, market: Market) -> None:
    square = again(calls.square)
    with square.app.run(network=network) as run:
        get, refused = run.store.get, []

        def lying(digest: str, limit_bytes: int) -> bytes:
            if len(refused) < 4 and (not refused or refused[0] == digest):
                refused.append(digest)
                raise ArtefactError("the content is something else")
            return get(digest, limit_bytes)

        run.store.get = lying
        assert list(square.map(range(5, 8))) == [25, 36, 49]
    (job,) = run.jobs
    leases = market.leases(job.id)
    disputed = [lease for lease in leases.values() if lease.disputed]
    assert len(disputed) == 1
    assert disputed[0].paid & disputed[0].disputed == 0
    assert max(each.attempt for each in job.receipts) == 1


def test_receipt_and_quote(network: Network) -> None:
    square = again(calls.square)
    with square.app.run(network=network) as run:
        assert list(square.map([7, 8])) == [49, 64]
    client = Client(network.rpc)
    document = receipt.export(client, run.jobs[0].id, 1)
    assert receipt.holds(receipt.verify(document))
    with pytest.raises(candela.ReceiptError):
        receipt.export(client, run.jobs[0].id, 2)
    found = quote(client, square.options, tasks=10, seconds=2)
    assert found.fitting == 2
    assert 0 < found.lowest_price <= found.highest_price == square.options.max_price_nit
    assert 0 < found.lowest_total <= found.highest_total <= found.most
    refused = quote(client, options_for_gpu(), tasks=10, seconds=2)
    assert refused.fitting == 0
    assert all("device kind" in [each.name for each in device.unmet] for device in refused.devices)


def options_for_gpu() -> Any:
    return options(device="gpu", timeout=1, retries=0, memory=1, requirements=(), max_price="1", sandbox="none")


def busy(devnet: Devnet, market: Market, job_id: int) -> int:
    """The number of a provider with a lease that has much left to do."""
    assert devnet.ready is not None
    addresses = [each["address"].lower() for each in devnet.ready.providers]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for lease in market.leases(job_id).values():
            if lease.state == LeaseState.ACTIVE and (lease.mask & ~lease.done).bit_count() > 1:
                return addresses.index(lease.provider.lower())
    raise AssertionError("nobody took a lease of several tasks")


def test_job_whose_providers_are_gone_says_why_it_waits(network: Network, devnet: Devnet) -> None:
    sleep = again(calls.sleep, timeout=20)
    with sleep.app.run(network=network):
        for provider in devnet.providers:
            os.killpg(provider.process.pid, signal.SIGSTOP)
        try:
            stream = sleep.map([0.1] * 2, timeout=12)
            job: Any = stream.job
            with pytest.raises(WaitTimeoutError, match="no provider has taken its tasks") as caught:
                next(stream)
            assert caught.value.code == "CND-408"
            assert "offline" in job._waiting_for
        finally:
            for provider in devnet.providers:
                os.killpg(provider.process.pid, signal.SIGCONT)


def test_tasks_of_a_killed_provider_are_done_by_another(network: Network, market: Market, devnet: Devnet) -> None:
    sleep = again(calls.sleep, timeout=20)
    with sleep.app.run(network=network) as run:
        stream = sleep.map([0.4] * 24)
        job: Any = stream.job
        assert next(stream) == 0.4
        os.killpg(devnet.providers[busy(devnet, market, job.id)].process.pid, signal.SIGKILL)
        assert list(stream) == [0.4] * 23
    assert run.jobs == [job]
    assert max(each.attempt for each in job.receipts) == 1
    assert len({each.task for each in job.receipts}) == 24
    assert sum(lease.paid.bit_count() for lease in market.leases(job.id).values()) == 24
