"""Users that own nothing, one for each sandbox on this machine, whichever agent started it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from candela.errors import SandboxError

FIRST, COUNT = 61_000, 4_000
_LOCKS = Path("/run/candela-users")


class User:
    """A user number that no other sandbox has until :meth:`release`.

    Raises:
        SandboxError: all of them are in use, or no locks can be kept.
    """

    def __init__(self) -> None:
        try:
            _LOCKS.mkdir(mode=0o700, exist_ok=True)
            self._lock, self.uid = _claim()
        except OSError as error:
            raise SandboxError("no user is free for a sandbox", why=str(error)) from error

    def release(self) -> None:
        """Let others have it; an agent that dies releases all of its own."""
        with contextlib.suppress(OSError):
            os.close(self._lock)


def _claim() -> tuple[int, int]:
    for uid in range(FIRST, FIRST + COUNT):
        lock = os.open(_LOCKS / str(uid), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return lock, uid
    raise OSError(f"{COUNT} sandboxes are running")
