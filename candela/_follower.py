"""Follow the events of all jobs of a run in one thread."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from candela.chain.client import Client
from candela.chain.contract import Event
from candela.chain.heads import Heads
from candela.chain.market import Market
from candela.errors import NetworkError, RpcError

if TYPE_CHECKING:
    from candela.job import Job

_TICK_SECONDS = 0.5
_PATIENCE_SECONDS = 60
_MAX_BLOCKS = 256
_JOBS_PER_QUERY = 50


class Follower:
    """Reads what happened to the jobs whenever there are new blocks, and lets them act on time.

    Args:
        client: the node.
        market: the contract.
        ws: the node's WebSocket endpoint.
    """

    def __init__(self, client: Client, market: Market, ws: str) -> None:
        self._client, self._market, self._heads = client, market, Heads(ws)
        self._jobs: dict[int, Job] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._blocks = _MAX_BLOCKS
        self._thread = threading.Thread(target=self._follow, name="candela-follower", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._heads.__enter__()
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopped.set()
        self._heads.stop()
        self._thread.join()

    def add(self, job: Job) -> None:
        """Follow another job, from its opening on."""
        with self._lock:
            self._jobs[job.id] = job
        self._heads.wake()

    def _follow(self) -> None:
        seen, healthy = 0, time.monotonic()
        while not self._stopped.is_set():
            seen = self._heads.wait(seen, _TICK_SECONDS)
            jobs = self._live()
            try:
                self._step(jobs)
                healthy = time.monotonic()
            except (NetworkError, RpcError) as error:
                # A node that restarts is back within seconds; nothing is missed meanwhile.
                if time.monotonic() - healthy > _PATIENCE_SECONDS:
                    self._give_up(jobs, error)
            except Exception as error:  # noqa: BLE001 - whoever waits for the jobs must learn of it
                self._give_up(jobs, error)

    def _give_up(self, jobs: list[Job], error: Exception) -> None:
        for job in jobs:
            job.results.fail(error)

    def _live(self) -> list[Job]:
        with self._lock:
            self._jobs = {job_id: job for job_id, job in self._jobs.items() if not job.ended}
            return list(self._jobs.values())

    def _step(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        head = self._client.block_number()
        while not self._stopped.is_set():
            first = min(job.next_block for job in jobs)
            if first > head:
                break
            last = min(head, first + self._blocks - 1)
            self._read(jobs, first, last)
        for job in jobs:
            job.tick()

    def _read(self, jobs: list[Job], first: int, last: int) -> None:
        topics = [f"0x{job.id:064x}" for job in jobs]
        events: list[Event] = []
        try:
            for start in range(0, len(topics), _JOBS_PER_QUERY):
                events += self._market.events(first, last, None, topics[start : start + _JOBS_PER_QUERY])
        except RpcError:
            if last == first:
                raise
            self._blocks = max(1, (last - first + 1) // 2)
            return
        self._blocks = min(2 * self._blocks, _MAX_BLOCKS)
        by_job: dict[int, list[Event]] = {}
        for event in events:
            by_job.setdefault(event.fields["job_id"], []).append(event)
        for job in jobs:
            if job.next_block <= last:
                own = [event for event in by_job.get(job.id, []) if event.block >= job.next_block]
                job.next_block = last + 1
                job.absorb(own)
