"""Duties that a thread of their own does again and again."""

from __future__ import annotations

import threading


class Tended:
    """Something whose :meth:`tend` is called every few seconds; what fails is told once and tried again.

    Args:
        name: of the thread.
        seconds: pause between two calls.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.trouble = ""
        """Why the last call failed; empty when it did not."""

    def start(self) -> None:
        """Tend from now on."""
        self._thread.start()

    def close(self, timeout: float = 5) -> None:
        """Wait for the thread; what it is in is left."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def tend(self) -> None:
        """Do what is due now."""
        raise NotImplementedError

    def _warn(self, reason: str) -> None:
        """Tell a trouble that is new."""
        raise NotImplementedError

    def _reason(self, error: Exception) -> str:
        return f"{type(error).__name__}: {error}"

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.tend()
            except Exception as error:  # noqa: BLE001 - duties outlive nodes and surprises, like the agent
                reason = self._reason(error)
                if reason != self.trouble:
                    self._warn(reason)
                self.trouble = reason
            else:
                self.trouble = ""
            self._stopped.wait(self._seconds)
