"""The agent's own log, and the logs of tasks on their way to the store."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import structlog

from candela.artefacts import CHUNK_BYTES, ArtefactStore
from candela.errors import ArtefactError

_FLUSH_SECONDS = 0.5


def configure(as_json: bool) -> None:
    """Write the agent's log to standard error, as lines of text or of JSON."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def logger() -> Any:
    """The agent's log."""
    return structlog.get_logger()


class TaskLog:
    """Gathers what tasks print into chunks; a task that prints letter by letter makes few.

    Args:
        store: where the chunks go.
        job_id: the job.
    """

    def __init__(self, store: ArtefactStore, job_id: int) -> None:
        self._store, self._job_id = store, job_id
        self._lock = threading.Lock()
        self._task, self._attempt, self._sequence = 0, 0, 0
        self._buffer = bytearray()
        self._oldest = 0.0

    def begin(self, task: int, attempt: int) -> None:
        """What comes now is from another task."""
        with self._lock:
            self._flush()
            self._task, self._attempt, self._sequence = task, attempt, 0

    def write(self, data: bytes) -> None:
        """Take output."""
        with self._lock:
            if not self._buffer:
                self._oldest = time.monotonic()
            self._buffer += data
            if len(self._buffer) >= CHUNK_BYTES:
                self._flush()

    def flush(self, force: bool = True) -> None:
        """Store what was gathered; without ``force`` only if it has waited."""
        with self._lock:
            if force or time.monotonic() - self._oldest > _FLUSH_SECONDS:
                self._flush()

    def _flush(self) -> None:
        while self._buffer:
            chunk = bytes(self._buffer[:CHUNK_BYTES])
            del self._buffer[:CHUNK_BYTES]
            try:
                self._store.append_log(self._job_id, self._task, self._attempt, self._sequence, chunk)
            except ArtefactError as error:
                # Logs are a courtesy; the result and its receipt do not wait for them.
                logger().warning("a task's log was lost", job=self._job_id, task=self._task, reason=error.why)
            self._sequence += 1
