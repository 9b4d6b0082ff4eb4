"""Send receipts to the chain in order and in bulk, and see to it that each becomes final."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec

from candela.chain.heads import Heads
from candela.chain.market import TaskReceipt
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.errors import Error, NetworkError, RpcError, TransactionFailed
from candela.provider.logs import logger

_BATCH = 64
_MAX_IN_FLIGHT = 512
_MAX_QUEUE = 1024
_LOST_SECONDS = 15
_MAX_REFUSALS = 40
_PAUSE_SECONDS = 0.5


class Statement(msgspec.Struct):
    """A transaction about a lease on its way to the chain."""

    what: str
    message: Message
    lease_id: int
    receipt: TaskReceipt | None = None
    audit_window: int = 0
    """Of the job whose task is settled, in seconds."""
    refusals: int = 0
    submitted_at: float = 0.0


class Settlement:
    """A queue with a thread that submits it and checks what became of each statement.

    Args:
        sender: the operator's.
        heads: tells when there are new blocks.
        on_final: called with each statement that is final, and why it failed or ``None``.
    """

    def __init__(self, sender: Sender, heads: Heads, on_final: Callable[[Statement, str | None], None]) -> None:
        self._sender, self._heads, self._on_final = sender, heads, on_final
        self._queue: deque[Statement] = deque()
        self._in_flight: dict[str, Statement] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._outage = False
        self._thread = threading.Thread(target=self._run, name="candela-settlement", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Statements that are not final."""
        return len(self._queue) + len(self._in_flight)

    def put(self, statement: Statement) -> None:
        """Queue a statement; waits while too many are queued."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) < _MAX_QUEUE or self._closed)
            self._queue.append(statement)
            self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """Wait until everything is final or ``timeout`` seconds are over; whether it is."""
        with self._changed:
            done = self._changed.wait_for(lambda: not self._queue and not self._in_flight, timeout)
            self._closed = True
            self._changed.notify_all()
        self._heads.wake()
        self._thread.join(2)
        return done

    def _run(self) -> None:
        seen = 0
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._in_flight or self._closed)
                batch = [each for each, _ in zip(self._queue, range(self._room()), strict=False)]
            try:
                if batch:
                    self._submit(batch)
                if self._in_flight:
                    seen = self._heads.wait(seen, 0.05 if self._queue else 0.25)
                    self._collect()
                self._outage = False
            except NetworkError as error:
                self._wait_out(error)
            except Error as error:
                logger().error("settling failed", reason=error.what, why=error.why)
                time.sleep(_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - receipts are money: whatever is wrong, the next try may succeed
                logger().error("settling failed", reason=f"{type(error).__name__}: {error}")
                time.sleep(_PAUSE_SECONDS)

    def _room(self) -> int:
        if self._queue and self._queue[0].refusals:
            return 1
        return min(_BATCH, _MAX_IN_FLIGHT - len(self._in_flight))

    def _submit(self, batch: list[Statement]) -> None:
        try:
            hashes = self._sender.submit([each.message for each in batch])
        except Error as error:
            # How far it came is not known. Saying a thing twice is harmless: the contract takes a receipt once.
            self._sender.resync()
            if isinstance(error, RpcError):
                self._refused(batch[0], error)
            raise
        now = time.monotonic()
        with self._changed:
            for digest, statement in zip(hashes, batch, strict=True):
                self._queue.popleft()
                statement.submitted_at = now
                self._in_flight[digest] = statement
            self._changed.notify_all()

    def _refused(self, statement: Statement, error: RpcError) -> None:
        if "insufficient funds" in error.what:
            # The owner can mend this; the receipts are worth waiting for.
            return
        statement.refusals += 1
        if statement.refusals < _MAX_REFUSALS:
            return
        with self._changed:
            self._queue.popleft()
            self._changed.notify_all()
        self._on_final(statement, error.what)

    def _collect(self) -> None:
        hashes = list(self._in_flight)[:_BATCH]
        client = self._sender.client
        for digest, receipt in zip(hashes, client.receipts(hashes), strict=True):
            if receipt is None:
                continue
            reason = None
            try:
                client.check(receipt, self._in_flight[digest].what)
            except TransactionFailed as error:
                reason = error.why
            with self._changed:
                statement = self._in_flight.pop(digest)
                self._changed.notify_all()
            self._on_final(statement, reason)
        self._resend_lost()

    def _resend_lost(self) -> None:
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is None or time.monotonic() - oldest.submitted_at < _LOST_SECONDS:
            return
        logger().warning("the node has lost transactions; sending them again", count=len(self._in_flight))
        self._sender.resync()
        with self._changed:
            self._queue.extendleft(reversed(self._in_flight.values()))
            self._in_flight.clear()

    def _wait_out(self, error: NetworkError) -> None:
        if not self._outage:
            logger().warning("the node can't be reached; receipts wait", reason=error.what, waiting=len(self))
        self._outage = True
        time.sleep(_PAUSE_SECONDS)
