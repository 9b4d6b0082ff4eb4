"""Run the same code on this machine with no network: same values, same errors, own processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import candela
from candela import trace, values
from candela.errors import JobEndedError, NotRunningError
from candela.function import Spec
from candela.provider.worker import SOCKET_FD, read_frame, write_frame
from candela.results import Failure, Results, interpret

_START_SECONDS = 60
# The worker finds its socket at a fixed number, as it does in a sandbox.
_PROGRAM = f"""import os, sys
os.dup2(int(sys.argv.pop(1)), {SOCKET_FD})
from candela.provider.worker import main
main()"""
_active: list[LocalRun] = []


def active() -> LocalRun | None:
    """The innermost ``with candela.local()``."""
    return _active[-1] if _active else None


def refuse_in_worker() -> None:
    """Stop a task's module from starting jobs of its own while it is imported.

    Raises:
        NotRunningError: this process runs a task.
    """
    if os.environ.get("CANDELA_WORKER") == "1":
        raise NotRunningError(
            "a task can't start a network run or a local one",
            why="the machine that runs a task imports its file, and with it whatever stands at the top level",
            fix='put what starts the job under: if __name__ == "__main__":',
        )


@contextlib.contextmanager
def local(workers: int | None = None) -> Iterator[LocalRun]:
    """Run functions on this machine, without a network, as they would run on another.

    Args:
        workers: processes at a time; as many as there are cores when absent.
    """
    refuse_in_worker()
    with LocalRun(workers) as run:
        _active.append(run)
        try:
            yield run
        finally:
            _active.remove(run)


class LocalRun:
    """Starts jobs as processes of this machine."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self.jobs: list[LocalJob] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what is still running."""
        for job in self.jobs:
            job.cancel()
            job.join()

    def start(self, spec: Spec) -> LocalJob:
        """Run a job's tasks."""
        job = LocalJob(spec, min(self.workers, len(spec.inputs)))
        self.jobs.append(job)
        return job


class LocalJob:
    """A job in worker processes of this machine; it costs nothing."""

    cost = 0
    energy_joules = 0.0

    def __init__(self, spec: Spec, workers: int) -> None:
        self.results = Results(len(spec.inputs))
        self._spec = spec
        self._tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
        for task in range(len(spec.inputs)):
            self._tasks.put(task)
        self._stopped = threading.Event()
        self._workers: set[_Worker] = set()
        self._lock = threading.Lock()
        self._folder = _unpack(spec.files)
        numbers = itertools.repeat(None, workers)
        self._threads = [threading.Thread(target=self._serve, name="candela-local", daemon=True) for _ in numbers]
        for thread in self._threads:
            thread.start()

    def cancel(self) -> None:
        """Kill what is running."""
        self.results.fail(JobEndedError("the job was cancelled"))
        self._stopped.set()
        with self._lock:
            for worker in self._workers:
                worker.kill()

    def join(self) -> None:
        """Wait until no process is left, and remove its files."""
        for thread in self._threads:
            thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        worker: _Worker | None = None
        try:
            while not self._stopped.is_set():
                task = self._tasks.get_nowait()
                worker = worker or self._begin()
                self.results.put({task: worker.run(self._spec, task)})
                if worker.broken:
                    self._end(worker)
                    worker = None
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - whoever waits for the results must get it
            self.results.fail(error)
        finally:
            if worker is not None:
                self._end(worker)

    def _begin(self) -> _Worker:
        with self._lock:
            if self._stopped.is_set():
                raise JobEndedError("the job was cancelled")
            worker = _Worker(self._spec, self._folder)
            self._workers.add(worker)
        worker.wait_until_ready()
        return worker

    def _end(self, worker: _Worker) -> None:
        worker.kill()
        with self._lock:
            self._workers.discard(worker)


class _Worker:
    """One warm process that runs tasks one after the other."""

    def __init__(self, spec: Spec, folder: Path) -> None:
        ours, theirs = socket.socketpair()
        manifest = spec.manifest
        mode = ["trace"] if manifest.traced else []
        package = str(Path(candela.__file__).parent.parent)
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path, "CANDELA_WORKER": "1"}
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(number), manifest.module, manifest.entry, str(folder), *mode],
                pass_fds=(number,),
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        self._socket = ours
        self.broken = False

    def wait_until_ready(self) -> None:
        self._socket.settimeout(_START_SECONDS)
        try:
            ready = read_frame(self._socket, 1 << 16)
        except (OSError, ValueError):
            ready = None
        if ready is None:
            self.kill()
            raise JobEndedError("the worker process did not start", why=f"exit status {self._process.returncode}")

    def run(self, spec: Spec, task: int) -> object:
        limit, seconds = spec.manifest.output_bytes, spec.manifest.timeout_seconds
        self._socket.settimeout(seconds)
        try:
            request = spec.inputs[task]
            write_frame(self._socket, trace.encode_order(request, b"", 0) if spec.manifest.traced else request)
            output = read_frame(self._socket, limit + (trace.ANSWER_BYTES if spec.manifest.traced else 0))
        except TimeoutError:
            return self._lost(2, f"the task ran longer than its timeout of {seconds} s")
        except (OSError, ValueError) as error:
            return self._lost(3, f"the task ran into a limit: {error}")
        if output is None:
            return self._lost(3, "the task ended its process")
        if spec.manifest.traced:
            steps = trace.decode_steps(output)
            if not steps.error:
                return values.decode(steps.state, limit)
            output = steps.error
        outcome = 0 if "value" in values.decode(output, limit) else 1
        return interpret(outcome, output, limit)

    def _lost(self, outcome: int, message: str) -> Failure:
        self.broken = True
        error = {"type": "", "message": message, "arguments": b"", "traceback": ""}
        return interpret(outcome, values.encode({"error": error}), 1 << 20)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()


def _unpack(files: dict[str, bytes]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="candela-local-"))
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
