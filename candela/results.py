"""Collect the results of a job's tasks as they arrive, and hand them out in order."""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, Protocol, TypeVar

from candela import values
from candela.errors import ArtefactError, Error, RemoteError, TaskLimitError, TaskTimeoutError, WaitTimeoutError
from candela.trace import decode_commitment

R = TypeVar("R")
_FAILURE = {"type": str, "message": str, "arguments": bytes, "traceback": str}
_OK, _USER_ERROR, _TIMEOUT, _LIMIT = range(4)


class Failure:
    """A task that ended with an exception."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Results:
    """A place for each task's result; safe to share between threads.

    Args:
        count: how many tasks there are.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._changed = threading.Condition()
        self._values: dict[int, Any] = {}
        self._arrived: list[int] = []
        self._broken: BaseException | None = None
        self.explain: Callable[[], str] = str
        """Why results that are missing have not come, as far as it is known."""

    @property
    def done(self) -> int:
        """How many have arrived."""
        return len(self._arrived)

    @property
    def complete(self) -> bool:
        """Whether all have arrived."""
        return self.done == self.count

    def put(self, results: dict[int, Any]) -> None:
        """Add results by task number; a second one of a task is ignored."""
        with self._changed:
            for task, value in results.items():
                if task not in self._values:
                    self._values[task] = value
                    self._arrived.append(task)
            self._changed.notify_all()

    def missing(self) -> list[int]:
        """Tasks whose results have not arrived."""
        with self._changed:
            return [task for task in range(self.count) if task not in self._values]

    def fail(self, error: BaseException) -> None:
        """Let everybody who waits for a missing result get ``error``; the first one counts."""
        with self._changed:
            self._broken = self._broken or error
            self._changed.notify_all()

    def get(self, task: int, timeout: float | None = None) -> Any:
        """The value of one task.

        Raises:
            TimeoutError: it has not arrived within ``timeout`` seconds.
            Exception: what the task raised, or why the job ended.
        """
        self._wait(lambda: task in self._values, timeout)
        return _unwrap(self._values[task])

    def ordered(self, timeout: float | None = None) -> Iterator[Any]:
        """All values in the order of the tasks, each as soon as it and those before it have arrived.

        Args:
            timeout: most seconds to wait for any one of them.
        """
        for task in range(self.count):
            yield self.get(task, timeout)

    def as_they_arrive(self, timeout: float | None = None) -> Iterator[Any]:
        """All values in the order of arrival; ``timeout`` as for :meth:`ordered`."""
        for position in range(self.count):
            self._wait(lambda wanted=position: len(self._arrived) > wanted, timeout)
            yield _unwrap(self._values[self._arrived[position]])

    def _wait(self, ready: Callable[[], bool], timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not ready():
                if self._broken is not None:
                    raise self._broken
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise WaitTimeoutError(f"no result within {timeout:g} s; the task goes on", why=self.explain())
                self._changed.wait(left)


def _unwrap(value: Any) -> Any:
    if isinstance(value, Failure):
        raise value.error
    return value


class Work(Protocol):
    """A job, remote or local."""

    results: Results

    def cancel(self) -> None:
        """End it; what is finished stays finished."""
        ...


class Handle(Generic[R]):
    """One call that runs elsewhere while the caller goes on."""

    def __init__(self, job: Work) -> None:
        self.job = job

    def get(self, timeout: float | None = None) -> R:
        """The call's value.

        Args:
            timeout: seconds to wait; the call itself goes on.

        Raises:
            TimeoutError: it is not done yet.
            Exception: what the function raised.
        """
        return self.job.results.get(0, timeout)

    @property
    def done(self) -> bool:
        """Whether :meth:`get` would return or raise at once."""
        return self.job.results.complete

    def cancel(self) -> None:
        """End the call if it has not ended."""
        self.job.cancel()


class Stream(Generic[R]):
    """The values of a ``map``, as an iterator; the job runs whether or not they are read.

    Attributes:
        job: the job behind it, ``None`` for a map over nothing.
    """

    def __init__(self, job: Work | None, values: Generator[R, None, None]) -> None:
        self.job = job
        self._values = values

    def __iter__(self) -> Iterator[R]:
        """Itself."""
        return self

    def __next__(self) -> R:
        """The next value."""
        return next(self._values)

    def close(self) -> None:
        """Cancel what is not done."""
        self._values.close()
        if self.job is not None and not self.job.results.complete:
            self.job.cancel()


def interpret(outcome: int, output: bytes, limit_bytes: int) -> Any:
    """What a task's output means: its value, or a :class:`Failure`.

    Args:
        outcome: 0 returned, 1 raised, 2 timeout, 3 other limit.
        output: the encoded result, from anybody.
        limit_bytes: most bytes to take.

    Raises:
        ArtefactError: the output is not what a worker makes.
    """
    decoded = values.decode(output, limit_bytes)
    if isinstance(decoded, dict) and len(decoded) == 1:
        if outcome == _OK and "value" in decoded:
            return decoded["value"]
        if outcome != _OK and _is_failure(decoded.get("error")):
            return Failure(_error(outcome, decoded["error"]))
    raise ArtefactError("an output was refused", why=f"it does not have the form of a result with outcome {outcome}")


def last_state(output: bytes, fetch: Callable[[str], bytes], limit_bytes: int) -> Any:
    """What a traced task's output means: the last state that it commits to.

    Args:
        output: the commitment, from anybody.
        fetch: gives the bytes with a SHA-256.
        limit_bytes: most bytes to take.

    Raises:
        ArtefactError: the output is no commitment, or the state can't be read.
    """
    commitment = decode_commitment(output)
    if commitment is None:
        raise ArtefactError("an output was refused", why="it does not have the form of a trace")
    return values.decode(fetch(commitment.last.hex()), limit_bytes)


def _is_failure(error: Any) -> bool:
    return (
        isinstance(error, dict)
        and error.keys() == _FAILURE.keys()
        and all(isinstance(error[name], kind) for name, kind in _FAILURE.items())
    )


def _error(outcome: int, error: dict[str, Any]) -> BaseException:
    if outcome == _TIMEOUT:
        return TaskTimeoutError(error["message"], fix="raise the function's timeout, or give each task less to do")
    if outcome == _LIMIT:
        return TaskLimitError(error["message"], fix="raise the function's memory, or give each task less to do")
    raised = _builtin(error) or RemoteError(f"the task raised {error['type']}: {error['message']}")
    if error["traceback"]:
        raised.add_note("The remote traceback:\n" + error["traceback"].rstrip())
    return raised


def _builtin(error: dict[str, Any]) -> Exception | None:
    kind = getattr(builtins, error["type"], None) if "." not in error["type"] else None
    if not isinstance(kind, type) or not issubclass(kind, Exception) or not error["arguments"]:
        return None
    try:
        arguments = values.decode(error["arguments"], 1 << 20)
        raised = kind(*arguments)
    except (TypeError, ValueError, Error):
        return None
    # AttributeError and NameError would look the name up again for their hints.
    return raised if isinstance(raised, Exception) else None
