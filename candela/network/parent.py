"""End with the process that started this one, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

PARENT_VARIABLE = "CANDELA_PARENT"
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 1.0
_GRACE_SECONDS = 20.0


def die_with_parent() -> None:
    """Get SIGTERM when the parent dies, and end for certain soon after."""
    parent = int(os.environ.get(PARENT_VARIABLE) or os.getppid())
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent or parent == 1:
        raise SystemExit("the parent died before this process had started")
    threading.Thread(target=_outlive, args=(parent,), daemon=True).start()


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)
