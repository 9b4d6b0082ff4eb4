"""Run the tasks of one job in a warm sandbox."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from candela import trace, values
from candela.chain.market import Outcome
from candela.errors import SandboxError
from candela.manifest import JobManifest
from candela.provider import environment, gpus
from candela.provider.devices import GPU, LocalDevice
from candela.provider.metering import Usage
from candela.provider.sandbox import Limits, Sandbox, Tier
from candela.provider.worker import read_frame, write_frame

FOLDER_PREFIX = "candela-job-"
_START_SECONDS = 60
_LOG_BYTES_PER_TASK = 10 << 20
_LOG_SECONDS = 0.5
_SCRATCH_BYTES = 1 << 30
_GPU_PROCESSES, _GPU_FILES = 256, 1024
"""A GPU's driver and compilers use threads and files of their own."""
_Judged = tuple[Outcome, bytes, trace.Steps | None]
_VALUE, _ERROR = b"\x81\xa5value", b"\x81\xa5error"
"""How an encoded result begins: a map with one of these keys."""


class Finished(msgspec.Struct):
    """A task that ran, whatever came of it."""

    outcome: Outcome
    output: bytes
    usage: Usage
    steps: trace.Steps | None = None
    """Where the job is traced and no limit cut it short: what it went through."""


class Executor:
    """Keeps one sandbox warm for one job, or for several that are alike; restarts it after a task that broke it.

    Args:
        manifest, files: the job.
        packages: folder with its requirements, if the machine's own don't satisfy them.
        tier: the sandbox to use.
        device: what it runs on.
        on_log: called with what tasks print.
    """

    def __init__(
        self,
        manifest: JobManifest,
        files: dict[str, bytes],
        packages: Path | None,
        tier: Tier,
        device: LocalDevice,
        on_log: Callable[[bytes], None],
    ) -> None:
        self._manifest, self._packages, self._tier, self._device = manifest, packages, tier, device
        self._on_log = on_log
        self._log_left = 0
        self._log_lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))
        self._folder.chmod(0o755)
        self._held: int | None = None
        try:
            self._lay_out(files)
            self._held = environment.hold(packages) if packages is not None else None
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _lay_out(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o644)

    def serve(self, manifest: JobManifest, on_log: Callable[[bytes], None]) -> None:
        """Go on with another job of the same customer that runs the same code within the same limits."""
        self._manifest, self._on_log = manifest, on_log

    def run(self, task_input: bytes) -> Finished:
        """Run one task; of a traced one the output is a commitment to its states.

        Raises:
            SandboxError: the sandbox doesn't start; nothing of the task ran.
        """
        if self._manifest.traced:
            return self.step(task_input)
        return self._serve(task_input, self._manifest.output_bytes, self._judge)

    def step(self, task_input: bytes, state: bytes = b"", limit: int = 0) -> Finished:
        """Run steps of a traced task.

        Args:
            task_input: the task's.
            state: what the first of them begins from, encoded; empty for the task's beginning.
            limit: most steps, 0 for all.

        Raises:
            SandboxError: the sandbox doesn't start; nothing of the task ran.
        """
        order = trace.encode_order(task_input, state, limit)
        return self._serve(order, self._manifest.output_bytes + trace.ANSWER_BYTES, self._judge_steps)

    def _serve(self, request: bytes, limit_bytes: int, judge: Callable[[bytes], _Judged]) -> Finished:
        sandbox = self._sandbox or self._start()
        self._log_left = _LOG_BYTES_PER_TASK
        usage = Usage(sandbox, self._device)
        sandbox.connection.settimeout(self._manifest.timeout_seconds)
        outcome, output, steps = Outcome.LIMIT, b"", None
        try:
            write_frame(sandbox.connection, request)
            answer = read_frame(sandbox.connection, limit_bytes, self._manifest.timeout_seconds)
            if answer is not None:
                outcome, output, steps = judge(answer)
        except TimeoutError:
            outcome = Outcome.TIMEOUT
        except (OSError, ValueError):
            outcome = Outcome.LIMIT
        usage.stop()
        self._await_log(sandbox)
        if outcome in (Outcome.TIMEOUT, Outcome.LIMIT):
            output = values.encode({"error": self._describe(outcome, sandbox)})
            self.close_sandbox()
        return Finished(outcome, output, usage, steps)

    def warm(self) -> None:
        """Start the sandbox now rather than with the first task.

        Raises:
            SandboxError: it doesn't start.
        """
        if self._sandbox is None:
            self._start()

    def interrupt(self) -> None:
        """End the running task from another thread; its result is worthless."""
        sandbox = self._sandbox
        if sandbox is not None:
            sandbox.end()

    def _judge(self, output: bytes) -> _Judged:
        # What is inside is the customer's own affair; decoding it here would only offer their code a target.
        for outcome, start in ((Outcome.OK, _VALUE), (Outcome.USER_ERROR, _ERROR)):
            if output.startswith(start):
                return outcome, output, None
        raise ValueError("the worker answered with something else than a result")

    def _judge_steps(self, answer: bytes) -> _Judged:
        steps = trace.decode_steps(answer)
        if max(len(steps.state), len(steps.error)) > self._manifest.output_bytes:
            raise ValueError("the worker's answer is larger than the job allows")
        if not steps.error:
            return Outcome.OK, trace.commit(steps.leaves).encode() if steps.leaves else b"", steps
        if not steps.error.startswith(_ERROR):
            raise ValueError("the worker answered with something else than an exception")
        return Outcome.USER_ERROR, steps.error, steps

    def _describe(self, outcome: Outcome, sandbox: Sandbox) -> dict[str, object]:
        if outcome is Outcome.TIMEOUT:
            message = f"the task ran longer than its timeout of {self._manifest.timeout_seconds} s"
            return {"type": "TimeoutError", "message": message, "arguments": b"", "traceback": ""}
        memory = self._manifest.memory_bytes >> 20
        starved = sandbox.group is not None and sandbox.group.ran_out_of_memory()
        message = (
            f"the task used more than its {memory} MiB of memory"
            if starved
            else f"the task ended its process, or ran into a limit (memory {memory} MiB, output "
            f"{self._manifest.output_bytes >> 20} MiB)"
        )
        return {"type": "MemoryError", "message": message, "arguments": b"", "traceback": ""}

    def _start(self) -> Sandbox:
        manifest = self._manifest
        limits = Limits(manifest.memory_bytes, scratch_bytes=min(_SCRATCH_BYTES, manifest.memory_bytes))
        gpu = None
        if self._device.kind == GPU:
            gpu = gpus.gpu(self._device.index)
            limits = msgspec.structs.replace(limits, processes=_GPU_PROCESSES, open_files=_GPU_FILES)
        names = (manifest.module, manifest.entry)
        sandbox = Sandbox(self._tier, self._folder, self._packages, *names, limits, gpu, manifest.traced)
        self._log_left = _LOG_BYTES_PER_TASK
        threading.Thread(target=self._drain, args=(sandbox,), name="candela-logs", daemon=True).start()
        try:
            ready = read_frame(sandbox.connection, 1 << 16, _START_SECONDS)
        except (OSError, ValueError):
            ready = None
        if ready is None:
            sandbox.kill()
            raise SandboxError("the sandbox's worker did not start", why=f"exit status {sandbox.process.returncode}")
        self._sandbox = sandbox
        return sandbox

    def _drain(self, sandbox: Sandbox) -> None:
        # Read to the end even beyond the bound, or a task that prints too much would block.
        while True:
            select.select([sandbox.output], [], [])
            with self._log_lock:
                chunk = os.read(sandbox.output, 1 << 16)
                if not chunk:
                    sandbox.close_output()
                    return
                taken = chunk[: max(self._log_left, 0)]
                self._log_left -= len(chunk)
                if taken:
                    self._on_log(taken)

    def _await_log(self, sandbox: Sandbox) -> None:
        """Let what the task has printed arrive before the next one prints."""
        deadline = time.monotonic() + _LOG_SECONDS
        try:
            while time.monotonic() < deadline and _readable(sandbox.output):
                time.sleep(0.0005)
        except OSError:
            return
        with self._log_lock:
            return

    def close_sandbox(self) -> None:
        """End the sandbox; the next task starts another."""
        if self._sandbox is not None:
            self._sandbox.kill()
            self._sandbox = None

    def close(self) -> None:
        """End the sandbox and remove the job's files."""
        self.close_sandbox()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _readable(descriptor: int) -> int:
    """Bytes that wait in a pipe."""
    return struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
