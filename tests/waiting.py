"""Waiting for what other processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    """Ask until it holds.

    Args:
        condition: what is asked, fifty times a second.
        what: what is waited for, in words that stand in the failure.
        seconds: how long it may take.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
