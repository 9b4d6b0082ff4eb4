"""Know the jobs and leases on chain: a snapshot at the start, then events."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from candela.chain.contract import Event
from candela.chain.market import Job, JobState, Lease, LeaseState, Market, Terms
from candela.errors import RpcError

_EVENTS = ("JobOpened", "JobStateChanged", "LeaseTaken", "LeaseClosed", "TaskDisputed", "TaskRefuted", "TaskRepeated")
_BATCH = 100
_BLOCKS = 2_000
MAX_JOBS = 100_000
"""Most jobs that are followed at a time; newer ones wait."""


class KnownJob(msgspec.Struct):
    """A job that has not ended."""

    job_id: int
    customer: str
    terms: Terms
    state: JobState
    next_task: int
    task_seconds: float = 0.0
    """How long its tasks took here lately; 0 when unknown."""

    @property
    def tasks_left(self) -> int:
        """Tasks that nobody has leased yet."""
        return self.terms.task_count - self.next_task


class JobBook:
    """The jobs that have not ended, their running leases, and the leases that left something undone.

    Args:
        market: the contract.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._changed = threading.Condition()
        self._changes = 0
        self._jobs: dict[int, KnownJob] = {}
        self._active: dict[int, float] = {}
        self._undone: dict[int, set[int]] = {}
        self._redo: set[int] = set()
        self._block = -1
        self._topics = [market.topic(name) for name in _EVENTS]

    def load(self) -> list[tuple[int, Lease]]:
        """Read everything that runs; returns the active leases."""
        self._block = self._market.client.block_number()
        count = self._market.read("job_count")
        found: list[tuple[int, Lease]] = []
        for first in range(1, count + 1, _BATCH):
            ids = list(range(first, min(first + _BATCH, count + 1)))
            jobs = [msgspec.convert(each, Job) for each in self._read("jobs", ids)]
            for job_id, job in zip(ids, jobs, strict=True):
                if job.open_leases or not JobState(job.state).ended:
                    found += self._load_job(job_id, job)
        self._notify()
        return found

    def _load_job(self, job_id: int, job: Job) -> list[tuple[int, Lease]]:
        ids = [job_id << 32 | number for number in range(1, job.lease_count + 1)]
        leases = []
        for start in range(0, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            answers = [msgspec.convert(each, Lease) for each in self._read("leases", part)]
            leases += list(zip(part, answers, strict=True))
        active = [(lease_id, lease) for lease_id, lease in leases if lease.state == LeaseState.ACTIVE]
        undone = {i for i, each in leases if each.state != LeaseState.ACTIVE and each.undone}
        with self._changed:
            self._active.update((lease_id, time.monotonic()) for lease_id, _ in active)
            if not JobState(job.state).ended:
                self._jobs[job_id] = KnownJob(
                    job_id, job.customer, self._market.terms(job_id), JobState(job.state), job.next_task
                )
                self._undone[job_id] = undone
        return active

    def _read(self, function: str, ids: list[int]) -> list[object]:
        answers = self._market.client.batch(
            [("eth_call", (self._market.view(function, each), "latest")) for each in ids]
        )
        decoded = []
        for each in answers:
            if isinstance(each, RpcError):
                raise each
            decoded.append(self._market.decode_result(function, each))
        return decoded

    def catch_up(self) -> None:
        """Apply the events since the last block seen."""
        head = self._market.client.block_number()
        while self._block < head:
            last = min(head, self._block + _BLOCKS)
            self.apply(self._market.events(self._block + 1, last, self._topics))
            self._block = last

    def apply(self, events: Iterable[Event]) -> None:
        """Learn from events; the same one may come twice."""
        changed = False
        for event in events:
            action: Callable[[dict], None] | None = getattr(self, f"_on_{_snake(event.name)}", None)
            if action is not None:
                action(event.fields)
                changed = True
        if changed:
            self._notify()

    def _on_job_opened(self, fields: dict) -> None:
        job_id = fields["job_id"]
        if job_id in self._jobs or len(self._jobs) >= MAX_JOBS:
            return
        terms = self._market.terms(job_id)
        with self._changed:
            self._jobs[job_id] = KnownJob(job_id, fields["customer"], terms, JobState.OPEN, 0)
            self._undone.setdefault(job_id, set())

    def _on_job_state_changed(self, fields: dict) -> None:
        state = JobState(fields["state"])
        with self._changed:
            if state.ended:
                self._jobs.pop(fields["job_id"], None)
                self._undone.pop(fields["job_id"], None)
            elif fields["job_id"] in self._jobs:
                self._jobs[fields["job_id"]].state = state

    def _on_lease_taken(self, fields: dict) -> None:
        with self._changed:
            self._active[fields["lease_id"]] = time.monotonic()
            job = self._jobs.get(fields["job_id"])
            if job is not None and fields["attempt"] == 0:
                job.next_task = max(job.next_task, fields["first_task"] + fields["mask"].bit_length())

    def _on_lease_closed(self, fields: dict) -> None:
        with self._changed:
            lease_id = fields["lease_id"]
            self._active.pop(lease_id, None)
            if (fields["undone"] or lease_id in self._redo) and fields["job_id"] in self._undone:
                self._undone[fields["job_id"]].add(lease_id)
            self._redo.discard(lease_id)

    def _on_task_disputed(self, fields: dict) -> None:
        with self._changed:
            lease_id = fields["lease_id"]
            if lease_id in self._active:
                self._redo.add(lease_id)
            elif lease_id >> 32 in self._undone:
                self._undone[lease_id >> 32].add(lease_id)

    def _on_task_refuted(self, fields: dict) -> None:
        self._on_task_disputed(fields)

    def _on_task_repeated(self, fields: dict) -> None:
        self._on_task_disputed(fields)

    def _notify(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout: float) -> int:
        """Return the count of changes once it exceeds ``seen``, or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes > seen, timeout)
            return self._changes

    def wake(self) -> None:
        """Let waiters look again."""
        self._notify()

    def open_jobs(self) -> list[KnownJob]:
        """Jobs that give leases, oldest first."""
        with self._changed:
            return sorted(
                (each for each in self._jobs.values() if each.state == JobState.OPEN), key=lambda each: each.job_id
            )

    def running(self, job_id: int) -> bool:
        """Whether a job has not ended."""
        return job_id in self._jobs

    def is_active(self, lease_id: int) -> bool:
        """Whether a lease has not ended, as far as events tell."""
        return lease_id in self._active

    def active_leases(self) -> list[int]:
        """All running leases, of anybody."""
        with self._changed:
            return list(self._active)

    def ended(self, lease_id: int) -> None:
        """A lease turned out to have ended."""
        with self._changed:
            self._active.pop(lease_id, None)

    def offer_again(self, lease_id: int) -> None:
        """A lease has expired with tasks undone: it can be taken over."""
        with self._changed:
            if lease_id >> 32 in self._undone and lease_id not in self._undone[lease_id >> 32]:
                self._undone[lease_id >> 32].add(lease_id)
                self._changes += 1
                self._changed.notify_all()

    def undone(self, job_id: int) -> list[int]:
        """Leases of a job that left tasks undone, in random order so that providers rarely reach for the same."""
        with self._changed:
            found = list(self._undone.get(job_id, ()))
        random.shuffle(found)
        return found

    def settled_undone(self, lease_id: int) -> None:
        """Somebody else has taken a lease over, or nobody can."""
        with self._changed:
            self._undone.get(lease_id >> 32, set()).discard(lease_id)

    def took(self, job_id: int, seconds: float) -> None:
        """Learn how long a job's tasks take here."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.task_seconds = seconds if not job.task_seconds else 0.8 * job.task_seconds + 0.2 * seconds


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")
