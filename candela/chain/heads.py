"""Wait for new blocks without polling."""

from __future__ import annotations

import contextlib
import json
import threading
from types import TracebackType
from typing import Self

_RETRY_SECONDS = 0.5


class Heads:
    """Follows a node's blocks over WebSocket in a thread of its own, reconnecting when the node goes away.

    It only says *that* there is news; readers then ask for the logs since the last block they saw, so that no event is
    missed over a broken connection.

    Args:
        url: the node's WebSocket endpoint.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._news = threading.Condition()
        self._count = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="candela-heads", daemon=True)

    def __enter__(self) -> Self:
        """Start following."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop following."""
        self.stop()

    def stop(self) -> None:
        """Stop following; waiters return."""
        self._stopped.set()
        self.wake()

    def wake(self) -> None:
        """Make waiters look for news now."""
        with self._news:
            self._count += 1
            self._news.notify_all()

    def wait(self, seen: int, timeout: float) -> int:
        """Return the count of news once it exceeds ``seen``, or after ``timeout`` seconds."""
        with self._news:
            self._news.wait_for(lambda: self._count > seen, timeout)
            return self._count

    def _follow(self) -> None:
        while not self._stopped.is_set():
            # Whatever breaks the connection, the next one catches up.
            with contextlib.suppress(Exception):
                self._listen()
            self.wake()
            self._stopped.wait(_RETRY_SECONDS)

    def _listen(self) -> None:
        from websockets.sync.client import connect

        with connect(self._url, open_timeout=5, max_size=1 << 22, proxy=None) as socket:
            socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}))
            self.wake()
            while not self._stopped.is_set():
                try:
                    socket.recv(timeout=1)
                except TimeoutError:
                    continue
                self.wake()
