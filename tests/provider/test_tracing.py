"""A sandbox's trace is the chain of its single steps, whatever a task hides from its states."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

import pytest

from candela import values
from candela.chain.market import Outcome
from candela.manifest import JobManifest
from candela.provider.devices import CPU, LocalDevice
from candela.provider.executor import Executor, Finished
from candela.provider.sandbox import probe
from candela.trace import commit
from candela.verification import Replay

SOURCE = b"""
def count(end, state=None):
    state = state or {"at": 0}
    while state["at"] < end:
        state = {"at": state["at"] + 1}
        yield state

everywhere = 0

def hidden(end, state=None):
    global everywhere
    secret = 0
    for at in range(state["at"] if state else 0, end):
        secret, everywhere = secret + 1, everywhere + 1
        yield {"at": at + 1, "secret": (secret, everywhere)}

def ends(end, state=None):
    import os
    if state:
        os._exit(3)
    yield 1

def fails(end, state=None):
    for state in count(end, state):
        if state["at"] == end:
            raise ValueError("at the end")
        yield state

def nothing(end, state=None):
    yield None

def forgets(end, state=None):
    yield {"at": end}

def grows(end, state=None):
    if state is None:
        yield bytes(end)
"""


def executor(entry: str, output_bytes: int = 1 << 20) -> Executor:
    manifest = JobManifest(
        name="test",
        module="job",
        entry=entry,
        source="",
        requirements=[],
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        inputs=[],
        memory_bytes=1 << 30,
        timeout_seconds=20,
        output_bytes=output_bytes,
        verify=Replay(trace=True),
    )
    return Executor(
        manifest, {"job.py": SOURCE}, None, probe().tier, LocalDevice(CPU, "cpu", 4 << 30, 1), lambda _: None
    )


def call(end: int) -> bytes:
    return values.encode({"args": [end], "kwargs": {}})


@pytest.fixture
def counting() -> Iterator[Executor]:
    running = executor("count")
    yield running
    running.close()


def leaves(finished: Finished) -> list[bytes]:
    assert finished.steps is not None
    return finished.steps.leaves


def test_output_commits_to_every_state(counting: Executor) -> None:
    finished = counting.run(call(5))
    expected = [hashlib.sha256(values.encode({"at": at})).digest() for at in range(1, 6)]
    assert finished.outcome is Outcome.OK
    assert leaves(finished) == expected
    assert finished.output == commit(expected).encode()
    assert finished.steps is not None
    assert values.decode(finished.steps.state) == {"at": 5}


def test_one_step_follows_from_the_state_before_it(counting: Executor) -> None:
    whole = leaves(counting.run(call(5)))
    for index in range(5):
        up_to = counting.step(call(5), limit=index) if index else None
        state = up_to.steps.state if up_to is not None and up_to.steps is not None else b""
        assert leaves(counting.step(call(5), state, 1)) == [whole[index]]
    last = counting.step(call(5), values.encode({"at": 5}), 1)
    assert (last.outcome, leaves(last)) == (Outcome.OK, [])


def test_what_a_task_hides_from_its_states_is_not_in_its_trace() -> None:
    running = executor("hidden")
    try:
        expected = [hashlib.sha256(values.encode({"at": at, "secret": (1, 1)})).digest() for at in range(1, 4)]
        assert leaves(running.run(call(3))) == expected
    finally:
        running.close()


def test_an_exception_keeps_the_states_before_it() -> None:
    running = executor("fails")
    try:
        finished = running.run(call(3))
        assert finished.outcome is Outcome.USER_ERROR
        assert "at the end" in values.decode(finished.output)["error"]["message"]
        assert len(leaves(finished)) == 2
    finally:
        running.close()


@pytest.mark.parametrize(("entry", "reason"), [("nothing", "stands for the beginning"), ("forgets", "never end")])
def test_states_that_can_not_be_gone_on_from_are_refused(entry: str, reason: str) -> None:
    running = executor(entry)
    try:
        finished = running.run(call(1))
        assert finished.outcome is Outcome.USER_ERROR
        assert reason in values.decode(finished.output)["error"]["message"]
    finally:
        running.close()


def test_a_step_that_ends_its_process_is_a_limit() -> None:
    running = executor("ends")
    try:
        finished = running.run(call(1))
        assert (finished.outcome, finished.steps) == (Outcome.LIMIT, None)
        assert "ended its process" in values.decode(finished.output)["error"]["message"]
        assert running.run(call(1)).outcome is Outcome.LIMIT, "in a new sandbox"
    finally:
        running.close()


def test_a_last_state_beyond_the_limit_of_outputs_is_a_limit() -> None:
    running = executor("grows", output_bytes=1000)
    try:
        assert running.run(call(2000)).outcome is Outcome.LIMIT
        assert running.run(call(500)).outcome is Outcome.OK
    finally:
        running.close()
