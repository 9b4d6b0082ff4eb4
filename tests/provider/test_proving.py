"""An agent that proves fills a window while it is idle, and a job that arrives meanwhile is done as usual."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from candela.chain.intensity import Intensity
from candela.network import genesis as network

from .conftest import Chain, started

OPENS_AFTER_SECONDS, OPEN_SECONDS = 15, 20
JOB = "def main(number):\n    return number * 2\n"


@pytest.fixture
def proving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    """A chain whose first window opens soon."""
    monkeypatch.setattr(network, "WINDOW_PERIOD_SECONDS", int(time.time()) + OPENS_AFTER_SECONDS)
    monkeypatch.setattr(network, "WINDOW_OPEN_SECONDS", OPEN_SECONDS)
    running = started(tmp_path)
    yield running
    running.close()


def test_an_idle_agent_commits_and_a_job_that_arrives_is_done(proving: Chain) -> None:
    proving.provider(1, options=["--prove"])
    intensity, provider = Intensity(proving.client), proving.accounts[1].address
    times = intensity.times
    proving.wait(lambda: time.time() > times.opens(1) + 8, OPENS_AFTER_SECONDS + 10)
    job = proving.open_job(JOB, [(1,), (2,)])
    receipts = proving.wait_for_tasks(job, 2)
    assert [proving.value(receipts[task]) for task in (0, 1)] == [{"value": 2}, {"value": 4}]
    state = proving.wait(lambda: found if (found := intensity.read("windows", 1, provider, 0))["units"] else None)
    assert not state["refuted"]
    assert intensity.read("bonds", provider) == intensity.read("PROOF_BOND")
    assert intensity.read("measured", provider, 0, 1) == 0, "it is not final yet"
