"""Tasks run one after the other in a warm sandbox that shows them almost nothing of the host."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from candela import values
from candela.chain.market import Outcome
from candela.errors import SandboxError
from candela.manifest import JobManifest
from candela.provider.agent import check_tier
from candela.provider.devices import CPU, LocalDevice
from candela.provider.executor import Executor, Finished
from candela.provider.gpus import Gpu
from candela.provider.sandbox import Probe, Tier, probe, refusal
from candela.provider.users import User

DEVICE = LocalDevice(CPU, "test", 1 << 34, 10**9)
Start = Callable[..., Executor]


@pytest.fixture(params=[Tier.NONE, Tier.BUBBLEWRAP], ids=["plain", "bubblewrap"])
def tier(request: pytest.FixtureRequest) -> Tier:
    if request.param > probe().tier:
        pytest.skip(f"no bubblewrap here: {probe().detail}")
    return request.param


@pytest.fixture
def start(tier: Tier) -> Iterator[Start]:
    running: list[Executor] = []

    def begin(source: str, **changes: object) -> Executor:
        manifest = JobManifest(
            **{
                "name": "test",
                "module": "job",
                "entry": "main",
                "source": "0" * 64,
                "requirements": [],
                "python": f"{sys.version_info.major}.{sys.version_info.minor}",
                "inputs": ["0" * 64],
                "memory_bytes": 1 << 30,
                "timeout_seconds": 20,
            }
            | changes
        )
        logs: list[bytes] = []
        executor = Executor(manifest, {"job.py": source.encode()}, None, tier, DEVICE, logs.append)
        executor.logs = logs  # type: ignore[attr-defined]
        running.append(executor)
        return executor

    yield begin
    for executor in running:
        executor.close()


def call(executor: Executor, *arguments: object) -> Finished:
    return executor.run(values.encode({"args": list(arguments), "kwargs": {}}))


def value(finished: Finished) -> object:
    return values.decode(finished.output)["value"]


def test_tasks_share_one_process(start: Start) -> None:
    executor = start("import os\ndef main():\n    return os.getpid()\n")
    assert value(call(executor)) == value(call(executor))


def test_an_import_that_fails_is_the_result_of_every_task(start: Start) -> None:
    executor = start("import no_such_module\n")
    for _ in range(2):
        finished = call(executor)
        assert finished.outcome is Outcome.USER_ERROR
        assert values.decode(finished.output)["error"]["type"] == "ModuleNotFoundError"


def test_a_task_that_exits_its_process_is_a_limit_and_the_next_one_runs(start: Start) -> None:
    executor = start("import os\ndef main(end):\n    if end: os._exit(3)\n    return 1\n")
    assert call(executor, True).outcome is Outcome.LIMIT
    assert value(call(executor, False)) == 1


def test_a_task_that_raises_system_exit_has_raised(start: Start) -> None:
    finished = call(start("def main():\n    raise SystemExit(2)\n"))
    assert finished.outcome is Outcome.USER_ERROR


def test_what_a_task_prints_comes_before_its_result(start: Start) -> None:
    executor = start("import sys\ndef main(text):\n    print(text)\n    print('worse', file=sys.stderr)\n")
    for number in range(20):
        call(executor, str(number))
        assert b"".join(executor.logs) == f"{number}\nworse\n".encode()  # type: ignore[attr-defined]
        executor.logs.clear()  # type: ignore[attr-defined]


def test_the_environment_tells_nothing_of_the_host(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDELA_TEST_SECRET", "hunter2")
    seen = value(call(start("import os\ndef main():\n    return dict(os.environ)\n")))
    assert isinstance(seen, dict)
    assert "hunter2" not in str(seen)


def test_interrupting_ends_a_task_from_another_thread(start: Start) -> None:
    import threading

    executor = start("def main():\n    while True: pass\n")
    executor.warm()
    threading.Timer(0.2, executor.interrupt).start()
    assert call(executor).outcome is Outcome.LIMIT


def test_the_sandbox_has_no_capabilities_and_no_new_privileges(start: Start, tier: Tier) -> None:
    if tier is Tier.NONE:
        pytest.skip("a plain process keeps its user's rights")
    source = "def main():\n    return open('/proc/self/status').read()\n"
    status = dict(line.split(":\t") for line in str(value(call(start(source)))).splitlines() if ":\t" in line)
    assert {
        name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    } == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split()[0] != "0" or os.geteuid() != 0


def test_a_host_without_a_sandbox_says_so_and_needs_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("candela.provider.agent.probe", lambda: Probe(Tier.NONE, "bubblewrap is not installed"))
    with pytest.raises(SandboxError, match="bubblewrap is not installed"):
        check_tier(allow_unsandboxed=False)
    assert check_tier(allow_unsandboxed=True).tier is Tier.NONE


def test_bundles_are_read_only_for_the_task(start: Start, tier: Tier) -> None:
    if tier is Tier.NONE:
        pytest.skip("a plain process can write what its user can")
    finished = call(start("def main():\n    open(__file__, 'w')\n"))
    assert values.decode(finished.output)["error"]["type"] in ("PermissionError", "OSError")


def test_frames_have_a_length_in_front() -> None:
    import socket

    from candela.provider.worker import read_frame, write_frame

    here, there = socket.socketpair()
    with here, there:
        write_frame(here, b"abc")
        assert read_frame(there) == b"abc"
        here.sendall(struct.pack("<I", 100))
        with pytest.raises(ValueError, match="at most 99"):
            read_frame(there, 99)
        here.sendall(struct.pack("<I", 5) + b"ab")
        with pytest.raises(TimeoutError):
            read_frame(there, seconds=0.05)
        here.close()
        assert read_frame(there) is None


def test_the_job_folder_is_removed(start: Start) -> None:
    executor = start("def main():\n    return 1\n")
    folder: Path = executor._folder
    assert folder.exists()
    executor.close()
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="without root every sandbox runs as the provider's user")
def test_no_two_sandboxes_of_a_machine_share_a_user() -> None:
    program = "from candela.provider.users import User\nuser = User()\nprint(user.uid, flush=True)\ninput()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        mine = [User() for _ in range(5)]
        uids = [each.uid for each in mine]
        for user in mine:
            user.release()
        other.communicate("\n")
    assert len({theirs, *uids}) == 6


@pytest.mark.skipif(probe().tier is Tier.NONE, reason="no bubblewrap here")
def test_a_gpu_that_no_sandbox_can_hold_is_told_with_the_reason() -> None:
    absent = Gpu(index=0, minor=99, name="none", memory_bytes=1 << 30)
    assert "does not work in a sandbox" in refusal(absent)
