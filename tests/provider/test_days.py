"""On a chain whose first day is over at once: days of proved compute are reported once, by the agent itself."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vyper
from vyper.compiler.settings import Settings

from candela.chain.account import Account
from candela.chain.beacon import Beacon
from candela.chain.client import Client
from candela.chain.intensity import Intensity
from candela.chain.message import Message
from candela.chain.randomness import recorded
from candela.chain.registry import Registry
from candela.chain.rewards import Rewards
from candela.chain.sender import Sender
from candela.durations import format_duration
from candela.economics.rewards import WINDOWS
from candela.errors import ProviderError
from candela.network import genesis as network
from candela.provider import days
from candela.provider.days import DayState, ProvedDay, Reporter, read_days, recent_days

from .conftest import RICH, Chain

CND = 10**18
UNIT = 2 * 2048**3
LAST = WINDOWS - 1
SOURCE = Path(__file__).parents[2] / "contracts" / "compute" / "Intensity.vy"


def hasty_intensity() -> str:
    """Creation code of the contract with less time for demands, so that a test can wait for a window to be final."""
    text = SOURCE.read_text()
    for name, seconds, fewer in (("DEMAND_SECONDS", 3600, 12), ("SHOW_SECONDS", 600, 1)):
        stated = f"{name}: public(constant(uint256)) = {seconds}"
        assert stated in text
        text = text.replace(stated, f"{name}: public(constant(uint256)) = {fewer}")
    return vyper.compile_code(text, output_formats=["bytecode"], settings=Settings(evm_version="prague"))["bytecode"]


def chain_of(folder: Path, opens_after: int, open_seconds: int) -> Chain:
    """A chain on which the last window of day 0 opens soon."""
    period = -(-(int(time.time()) + opens_after) // LAST)
    accounts = [Account(secrets.token_bytes(32)) for _ in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "WINDOW_PERIOD_SECONDS", period)
        patch.setattr(network, "WINDOW_OPEN_SECONDS", open_seconds)
        document = network.genesis({each.address: RICH for each in accounts}, int(time.time() * 1000))
    times = f"{period:064x}{open_seconds:064x}"
    words = "".join(each.removeprefix("0x").rjust(64, "0") for each in (network.REGISTRY, network.BEACON))
    for deployment in document["deployments"]:
        if deployment["name"] == "Intensity":
            deployment["initCode"] = hasty_intensity() + words + times
    return Chain(folder, document, accounts)


def wait_for_block(chain: Chain, moment: float) -> None:
    """Wait until a block is at or after a moment; somebody has to make one."""

    def reached() -> bool:
        if time.time() > moment:
            chain.sender.send(Message(to=chain.customer.address, gas=21_000))
        return chain.client.timestamp() >= moment

    chain.wait(reached, 60)


def fill_reserve(chain: Chain, amount: int) -> None:
    chain.sender.send(Message(to=network.REWARDS, value=amount), "filling the reserve")


class Proved:
    """A chain on which two providers have proved in the last window of day 0, which is final."""

    def __init__(self, folder: Path) -> None:
        self.chain = chain_of(folder, 4, 8)
        self.one, self.two, self.operator = self.chain.accounts[1:4]
        self.senders = {each.address: Sender(self.chain.client, each, session=None) for each in self.chain.accounts}
        self.registry, self.intensity = Registry(self.chain.client), Intensity(self.chain.client)
        for owner in (self.one, self.two):
            self.send(owner, self.registry.message("register", owner.address, value=3 * CND))
            for _ in range(2):
                self.send(owner, self.registry.message("add_device", 0, 1, 1 << 30, 100_000, "cpu"))
            self.send(owner, self.intensity.message("deposit", owner.address, value=2 * CND))

    def send(self, account: Account, message: Message) -> None:
        self.senders[account.address].send(message)

    def prove(self) -> None:
        """Commit to what nobody will ask about: the contract counts it once the window is final."""
        sender, beacon, times = self.senders[self.two.address], Beacon(self.chain.client), self.intensity.times
        self.chain.wait(lambda: time.time() > times.opens(LAST))
        self.chain.wait(lambda: recorded(sender, beacon, times.opens(LAST)))
        for owner, device, units in ((self.one, 0, 5), (self.one, 1, 2), (self.two, 1, 3)):
            self.send(owner, self.intensity.message("commit", LAST, device, 1, secrets.token_bytes(32), units))
        wait_for_block(self.chain, times.draws(LAST))
        self.chain.wait(lambda: recorded(sender, beacon, times.draws(LAST)))

    def reporter(self, account: Account, provider: Account | None = None) -> Reporter:
        return Reporter(Sender(self.chain.client, account), (provider or account).address)

    def nonce(self, account: Account) -> int:
        return int(self.chain.client.call("eth_getTransactionCount", account.address, "latest"), 16)


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    found = Proved(tmp_path_factory.mktemp("chain"))
    try:
        found.prove()
        early = read_days(found.chain.client, found.one.address, 0, 0)
        assert [each.state for each in early] == [DayState.RUNNING]
        assert "can be reported in" in early[0].describe(found.chain.client.timestamp())
        found.reporter(found.one).tend()
        wait_for_block(found.chain, found.intensity.times.final(LAST))
        yield found
    finally:
        found.chain.close()


def test_a_report_that_costs_more_than_it_brings_waits(proved: Proved) -> None:
    before = proved.nonce(proved.one)
    with pytest.raises(ProviderError) as raised:
        proved.reporter(proved.one).tend()
    assert "can bring 0 CND and the report costs 0.0" in raised.value.why
    assert proved.nonce(proved.one) == before
    (day,) = read_days(proved.chain.client, proved.one.address, 0, 0)
    assert (day.state, day.operations, day.waiting) == (DayState.DUE, 7 * UNIT, {0: 5 * UNIT, 1: 2 * UNIT})
    assert "wait to be reported" in day.describe(proved.chain.client.timestamp())


def test_a_day_is_reported_once_whoever_asks_and_however_often(proved: Proved) -> None:
    fill_reserve(proved.chain, 100_000 * CND)
    rewards, before = Rewards(proved.chain.client), proved.nonce(proved.one)
    # A part was reported by hand.
    proved.send(proved.one, rewards.reporting(0, [1]))
    first = proved.reporter(proved.one)
    first.tend()
    first.tend()
    proved.reporter(proved.one).tend()
    assert proved.nonce(proved.one) == before + 2, "one report by hand, one by itself"
    assert rewards.read("points", 0, proved.one.address) == 7 * UNIT
    (day,) = recent_days(proved.chain.client, proved.one.address)
    assert (day.state, day.waiting) == (DayState.REPORTED, {})
    spent = RICH - 5 * CND - proved.chain.client.balance(proved.one.address)
    assert 0 < day.fee_nit < spent, "the two reports, of all that it has sent"
    assert f"payout {100_000 // 2_500} CND" in day.describe(0)


def test_a_device_without_proof_is_left_out(proved: Proved) -> None:
    fill_reserve(proved.chain, CND)
    proved.reporter(proved.two).tend()
    rewards = Rewards(proved.chain.client)
    assert rewards.read("points", 0, proved.two.address) == 3 * UNIT
    assert not rewards.read("reported", 0, proved.two.address, 0)


def test_the_prospect_is_the_payout_with_what_is_not_reported(proved: Proved) -> None:
    rewards, more = Rewards(proved.chain.client), 10 * UNIT
    payout = rewards.read("payout", 0, proved.two.address)
    pool = rewards.read("days", 0)["pool"]
    assert payout == pool * 3 // 10
    assert rewards.prospect(proved.two.address, 0, more) == pool * 13 // 20
    assert rewards.prospect(proved.operator.address, 0, more) == 0, "no stake covers it"


def test_an_operator_that_is_a_provider_itself_is_told_that_its_reports_are_its_own(proved: Proved) -> None:
    reporter = proved.reporter(proved.two, proved.operator)
    with pytest.raises(ProviderError, match="can't be reported by its operator"):
        reporter._report(read_days(proved.chain.client, proved.one.address, 0, 0)[0])


def test_trouble_is_told_once_and_kept(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(days, "_LOOK_SECONDS", 0.01)
    reporter = Reporter(Sender(Client("http://127.0.0.1:9"), Account(secrets.token_bytes(32))), "0x" + "11" * 20)
    tries: list[Exception] = []
    reason = reporter._reason

    def counted(error: Exception) -> str:
        tries.append(error)
        return reason(error)

    monkeypatch.setattr(reporter, "_reason", counted)
    reporter.start()
    deadline = time.monotonic() + 20
    while len(tries) < 3:
        assert time.monotonic() < deadline
        os.sched_yield()
    reporter.close()
    assert "can't be reached" in reporter.trouble
    assert capfd.readouterr().out.count("a day is not reported") == 1


@pytest.mark.parametrize(
    ("now", "total", "waiting", "state"),
    [
        (99, 5, {0: 5}, DayState.RUNNING),
        (100, 0, {}, DayState.EMPTY),
        (100, 5, {0: 5}, DayState.DUE),
        (199, 5, {1: 2}, DayState.DUE),
        (199, 5, {}, DayState.REPORTED),
        (200, 5, {}, DayState.REPORTED),
        (200, 5, {1: 2}, DayState.MISSED),
    ],
)
def test_a_day_s_state_follows_from_time_and_what_waits(
    now: int, total: int, waiting: dict[int, int], state: DayState
) -> None:
    assert days._state(now, 100, 200, total, waiting) is state
    day = ProvedDay(3, state, total, waiting, 100, 200, 0)
    assert day.describe(now)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (8 * 3600 + 55 * 60 + 3, "8 h 55 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def why(chain: Chain, number: int) -> Any:
    command = [sys.executable, "-m", "candela", "provider", "why", "--data", str(chain.folder / f"provider-{number}")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return text, json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_an_agent_reports_its_day_by_itself_and_not_again_after_a_restart(tmp_path: Path) -> None:
    chain = chain_of(tmp_path, 12, 16)
    try:
        fill_reserve(chain, 100_000 * CND)
        process = chain.provider(1, options=["--prove"])
        intensity, rewards, provider = Intensity(chain.client), Rewards(chain.client), chain.accounts[1].address
        chain.wait(lambda: intensity.read("windows", LAST, provider, 0)["units"], 70)
        wait_for_block(chain, intensity.times.final(LAST))
        chain.wait(lambda: rewards.read("points", 0, provider), 60)
        text, found = why(chain, 1)
        assert "day 0, reported" in text
        assert [(each["day"], each["state"]) for each in found["days"]] == [(0, "reported")]
        assert found["days"][0]["fee_nit"] > 0
        assert all(each["holds"] for each in found["standing"])
        process.terminate()
        assert process.wait(60) == 0
        chain.provider(1, options=["--prove"])
        log = tmp_path / "provider-1.log"
        chain.wait(lambda: (tmp_path / "provider-1" / "state.json").exists(), 10)
        assert log.read_text().count("day reported") == 1
        assert len(rewards.events(0, chain.client.block_number(), rewards.topic("Reported"))) == 1
    finally:
        chain.close()
