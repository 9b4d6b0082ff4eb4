"""What an owner has asked for holds while the agent runs: outside its hours nothing new begins."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from candela.chain.audits import NEVER, Audits
from candela.chain.intensity import Intensity
from candela.network import genesis as network

from .conftest import Chain, started

NAP = "import time\ndef main(seconds):\n    time.sleep(seconds)\n    return time.time()\n"
START_SECONDS, OPEN_SECONDS = 25, 20


def command(chain: Chain, verb: str, *options: str) -> tuple[str, Any]:
    """What ``candela provider`` says of provider 1, to people and to programs."""
    line = [sys.executable, "-m", "candela", "provider", verb, "--data", str(chain.folder / "provider-1"), *options]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return text, json.loads(subprocess.run([*line, "--json"], capture_output=True, text=True, check=True).stdout)


def standing(chain: Chain) -> dict[str, dict]:
    """The conditions of ``why`` by name."""
    return {each["name"]: each for each in command(chain, "why")[1]["standing"]}


def clock(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%H:%M")


@pytest.fixture
def opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Chain, int]]:
    """A chain with a window in the minute after the next full one, and that minute."""
    closes = (int(time.time()) + START_SECONDS) // 60 * 60 + 60
    monkeypatch.setattr(network, "WINDOW_PERIOD_SECONDS", closes + 3)
    monkeypatch.setattr(network, "WINDOW_OPEN_SECONDS", OPEN_SECONDS)
    running = started(tmp_path)
    yield running, closes
    running.close()


@pytest.mark.slow
def test_outside_its_hours_an_agent_ends_what_it_has_and_begins_nothing(opening: tuple[Chain, int]) -> None:
    chain, closes = opening
    hours = f"{clock(closes - 60)}-{clock(closes)}, {clock(closes + 60)}-{clock(closes + 180)}"
    audits, owner = Audits(chain.client), chain.accounts[1].address
    chain.provider(1, options=["--hours", hours, "--audit", "--prove"])
    number = chain.wait(lambda: audits.number_of(owner))
    chain.wait(lambda: time.time() > closes - 3, 60)
    first = chain.open_job(NAP, [(5,)])
    lease = chain.wait(lambda: chain.market.job(first).next_task, 10)
    assert (lease, time.time() < closes) == (1, True)
    chain.wait(lambda: time.time() > closes, 10)
    second = chain.open_job(NAP, [(0,)])
    finished = chain.value(chain.wait_for_tasks(first, 1)[0])
    assert finished["value"] > closes, "a lease that runs is finished"  # type: ignore[index]
    chain.wait(lambda: audits.auditor(number).ready_until < NEVER, 40)
    said = standing(chain)["hours"]
    assert (said["holds"], said["wanted"]) == (False, f"now within {hours}")
    assert f"{clock(closes)} " in said["offered"]
    assert "; opens in " in said["offered"]
    assert f"hours {hours}: closed, " in command(chain, "status")[0]
    chain.wait(lambda: time.time() > closes + 3 + OPEN_SECONDS, 60)
    assert not Intensity(chain.client).read("windows", 1, owner, 0)["units"], "no window is opened"
    assert chain.market.job(second).next_task == 0
    began = chain.value(chain.wait_for_tasks(second, 1, 60)[0])
    assert began["value"] >= closes + 60, "taken once the hours begin"  # type: ignore[index]
    assert standing(chain)["hours"]["holds"]


def test_work_is_priced_at_its_energy_and_earnings_say_what_is_left(chain: Chain) -> None:
    process = chain.provider(1, options=["--kwh-price", "10000"])
    job = chain.open_job(NAP, [(0,)])
    (answer,) = command(chain, "why", str(job))[1]["jobs"]
    (price,) = (each for each in answer["constraints"] if each["name"] == "price")
    assert not price["holds"], "its energy costs more than the job pays"
    process.terminate()
    assert process.wait(30) == 0
    assert chain.market.job(job).next_task == 0
    dear = chain.open_job(NAP, [(0,)], max_price_per_unit=10**19, task_work_limit_uwu=10**6)
    chain.provider(1, options=["--kwh-price", "10000", "--price", "0.005"])
    receipt = chain.wait_for_tasks(dear, 1)[0]
    text, found = command(chain, "why")
    assert "per work unit: its energy costs" in text
    assert "at 10000 CND per kWh" in text
    assert found["floors"]["0"]["energy"] > 10**16
    assert "per work unit: its energy costs" in command(chain, "status")[0]
    lease = chain.wait(lambda: chain.market.lease(receipt.lease_id))
    assert receipt.price == receipt.work_uwu * lease.price_per_unit // 10**6
    chain.sender.send(chain.market.message("accept", receipt.lease_id, 1))
    said = command(chain, "earnings")[1]["net"]
    assert said["energy_mj"] == receipt.energy_mj
    assert said["energy"] == -(-receipt.energy_mj * 10**22 // 3_600_000_000)
    assert said["net"] == said["paid"] - said["energy"]
    assert command(chain, "earnings", "--kwh-price", "2")[1]["net"]["kwh_price"] == 2 * 10**18
    assert command(chain, "earnings", "--kwh-price", "0")[1]["net"] is None


def test_a_cap_that_nothing_enforces_is_refused_or_said(chain: Chain) -> None:
    with pytest.raises(AssertionError, match="1 of 1 devices can't be held to 65 W"):
        chain.provider(1, options=["--watts", "65"])
    chain.provider(1, options=["--watts", "65", "--watts-unenforced-ok"])
    said = standing(chain)["watts"]
    assert not said["holds"]
    assert said["wanted"].endswith(" at most 65 W")
    assert said["offered"].startswith("a CPU's watts are only estimated")
    assert "65 W, NOT enforced: a CPU's watts" in command(chain, "status")[0]
    chain.wait_for_tasks(chain.open_job(NAP, [(0,)]), 1)


def test_hours_that_make_no_sense_end_the_start(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "candela", "provider", "start", "--store", tmp_path.as_uri(), "--hours", "22-8"]
    done = subprocess.run([*line, "--keyfile", "none"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'22-8' are no hours" in done.stderr
    assert "22:00-08:00" in done.stderr
