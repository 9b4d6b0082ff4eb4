"""Functions that the tests of the SDK run elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import candela

app = candela.App("calls", budget="50")


@app.function(timeout=20, memory="256MiB", sandbox="none")
def square(number: int) -> int:
    """The square, later for smaller numbers."""
    time.sleep(max(0, 4 - number) * 0.05)
    return number**2


@app.function(timeout=20, memory="256MiB", sandbox="none", verify=candela.Replay(trace=True))
def collatz(number: int, state: dict[str, int] | None = None) -> Iterator[dict[str, int]]:
    """The states of the sequence down to 1."""
    if number < 0:
        raise ValueError(f"{number} is negative")
    state = state or {"number": number, "steps": 0}
    while state["number"] > 1:
        following = state["number"] // 2 if state["number"] % 2 == 0 else 3 * state["number"] + 1
        state = {"number": following, "steps": state["steps"] + 1}
        yield state


@app.function(timeout=20, memory="256MiB", sandbox="none")
def echo(*args: Any, **kwargs: Any) -> Any:
    """Its arguments."""
    return args, kwargs


@app.function(timeout=20, memory="256MiB", sandbox="none")
def mean(array: np.ndarray) -> np.ndarray:
    """Of the rows."""
    return array.mean(axis=0)


class OwnError(Exception):
    """An exception that nobody else knows."""


@app.function(timeout=20, memory="256MiB", sandbox="none")
def fail(kind: str) -> Any:
    """Fail in the given way."""
    failures = {
        "value": ValueError("bad", 7),
        "key": KeyError("missing"),
        "own": OwnError("mine"),
        "exit": SystemExit(3),
        "unicode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"),
    }
    if kind == "result":
        return object()
    if kind == "print":
        print("to stdout", file=sys.stdout)
        return os.getpid()
    raise failures[kind]


@app.function(timeout=1, memory="256MiB", sandbox="none")
def sleep(seconds: float) -> float:
    """Sleep."""
    time.sleep(seconds)
    return seconds


@app.function(timeout=20, memory="256MiB", sandbox="none")
def die(number: int) -> int:
    """End the process for 2."""
    if number == 2:
        os._exit(9)
    return number


@app.function(timeout=20, memory="256MiB", sandbox="none")
def nested(number: int) -> int:
    """Try to start a job from within a task."""
    return square.remote(number)
