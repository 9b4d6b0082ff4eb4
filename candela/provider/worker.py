"""The program inside the sandbox: import the customer's module once, then run its tasks one after the other.

It speaks length-prefixed msgpack frames over a socket that it inherits, so that whatever the task prints stays apart.
Everything it says is checked by the host, which trusts none of it.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from candela import values
from candela.trace import MAX_STATES, Steps, decode_order, encode_steps

SOCKET_FD = 3
_MAX_FRAME = 1 << 30


def read_frame(connection: socket.socket, limit_bytes: int = _MAX_FRAME, seconds: float | None = None) -> bytes | None:
    """The next frame, or ``None`` when the other side is gone.

    Args:
        connection: where it comes from.
        limit_bytes: most bytes that are taken.
        seconds: most time that the whole frame may take, however it trickles in.

    Raises:
        ValueError: the frame is larger than ``limit_bytes``.
        TimeoutError: it took too long.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    header = _read_exactly(connection, 4, deadline)
    if header is None:
        return None
    (size,) = struct.unpack("<I", header)
    if size > limit_bytes:
        raise ValueError(f"a frame of {size} bytes was announced, at most {limit_bytes} are taken")
    return _read_exactly(connection, size, deadline)


def write_frame(connection: socket.socket, data: bytes) -> None:
    """Send one frame."""
    connection.sendall(struct.pack("<I", len(data)) + data)


def _read_exactly(connection: socket.socket, size: int, deadline: float | None) -> bytes | None:
    parts, missing = [], size
    while missing:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the frame did not arrive in time")
            connection.settimeout(left)
        part = connection.recv(min(missing, 1 << 20))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _load(module: str, entry: str) -> Callable[..., Any]:
    target: Any = importlib.import_module(module)
    for name in entry.split("."):
        target = getattr(target, name)
    # The decorator keeps the plain function here.
    return getattr(target, "function", target)


def _failure(error: BaseException) -> dict[str, Any]:
    kind = type(error)
    frames = "".join(traceback.format_exception(kind, error, error.__traceback__))
    try:
        arguments = values.encode(list(error.args))
    except Exception:  # noqa: BLE001 - any failure to encode means that the arguments can't travel
        arguments = b""
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        "message": str(error)[:10_000],
        "arguments": arguments,
        "traceback": frames[-50_000:],
    }


def _run(function: Callable[..., Any], task: bytes) -> bytes:
    try:
        call = values.decode(task)
        return values.encode({"value": function(*call["args"], **call["kwargs"])})
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - even SystemExit of the task is its result
        return values.encode({"error": _failure(error)})


def _trace(function: Callable[..., Any], order: bytes) -> bytes:
    task_input, state, limit = decode_order(order)
    steps = Steps([], b"", b"")
    while not limit or len(steps.leaves) < limit:
        kind, content = _apart(function, task_input, state, len(steps.leaves), bool(limit))
        if kind == _ENDED:
            break
        if kind == _FAILED:
            steps.error = content
            break
        state = steps.state = content
        steps.leaves.append(hashlib.sha256(state).digest())
    return encode_steps(steps)


_CONTINUED, _ENDED, _FAILED = b"c", b"e", b"f"


def _apart(
    function: Callable[..., Any], task_input: bytes, state: bytes, done: int, partly: bool
) -> tuple[bytes, bytes]:
    """What one step gives in a process of its own, which begins as the module was imported.

    A committee does this one step only: whatever a task kept in its variables would make an honest host's trace one
    that nobody can repeat.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        try:
            write_frame(theirs, b"".join(_step(function, task_input, state, done, partly)))
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:  # noqa: BLE001 - the host is told by its end
            os._exit(1)
        os._exit(0)
    theirs.close()
    with ours:
        answer = read_frame(ours)
    _, status = os.waitpid(child, 0)
    if not answer or status:
        # As where a whole task ends its process: the host sees the worker end, and calls it a limit.
        sys.exit(1)
    return answer[:1], answer[1:]


def _step(
    function: Callable[..., Any], task_input: bytes, state: bytes, done: int, partly: bool
) -> tuple[bytes, bytes]:
    try:
        following = _next(function, task_input, state)
        if following is None and not done and not partly:
            raise ValueError("a traced task yields at least one state")
        if following is not None and done == MAX_STATES:
            raise OverflowError(f"a traced task yields at most {MAX_STATES} states")
        return (_ENDED, b"") if following is None else (_CONTINUED, following)
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - even SystemExit of the task is its result
        return _FAILED, values.encode({"error": _failure(error)})


def _next(function: Callable[..., Any], task_input: bytes, state: bytes) -> bytes | None:
    call = values.decode(task_input)
    before = values.decode(state) if state else None
    for following in function(*call["args"], **call["kwargs"], state=before):
        if following is None:
            raise TypeError("a state is not None, which stands for the beginning")
        encoded = values.encode(following)
        if encoded == state:
            raise ValueError("a step left the state as it was, so the task would never end; go on from state=")
        return encoded
    return None


def main() -> None:
    """Serve tasks, or with the argument ``trace`` orders of steps, until the host hangs up."""
    module, entry, folder = sys.argv[1:4]
    traced = sys.argv[4:] == ["trace"]
    os.environ["CANDELA_WORKER"] = "1"
    connection = socket.socket(fileno=SOCKET_FD)
    sys.path.insert(0, folder)
    function: Callable[..., Any] | None = None
    broken: dict[str, Any] | None = None
    try:
        function = _load(module, entry)
    except BaseException as error:  # noqa: BLE001 - the import's failure is every task's result
        broken = _failure(error)
    write_frame(connection, b"ready")
    while (task := read_frame(connection)) is not None:
        if function is None:
            output = values.encode({"error": broken})
            output = encode_steps(Steps([], b"", output)) if traced else output
        else:
            output = _trace(function, task) if traced else _run(function, task)
        sys.stdout.flush()
        sys.stderr.flush()
        write_frame(connection, output)


if __name__ == "__main__":
    main()
