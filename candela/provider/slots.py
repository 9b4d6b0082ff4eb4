"""One device at work: find a job that fits, take a lease, run it, again."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

from candela.artefacts import ArtefactStore
from candela.chain.client import Receipt
from candela.chain.contract import Event
from candela.chain.market import LeaseState, Market
from candela.chain.message import Message
from candela.chain.registry import Device, Offer, ProviderState, Registry
from candela.chain.sender import Sender
from candela.errors import ArtefactError, Error, NetworkError, RpcError, TransactionFailed
from candela.market import matching
from candela.provider.config import Config
from candela.provider.devices import LocalDevice
from candela.provider.floor import Floor
from candela.provider.jobs import JobBook, KnownJob
from candela.provider.leases import LeaseRun, as_error
from candela.provider.logs import logger
from candela.provider.owner import Owner
from candela.provider.preparation import Prepared, prepare
from candela.provider.ringers import Ringers
from candela.provider.sandbox import Tier
from candela.provider.settlement import Settlement

LEASE_GAS = 1_500_000
_MAX_COUNT = 256
_WORTHWHILE_SECONDS = 0.5
"""A lease should last so long, or taking it costs more than it brings."""
_OFFER_SECONDS = 2.0
_LISTED_SECONDS = 3.0
_IDLE_SECONDS = 1.0
_RETRY_SECONDS = 0.5
_REJECT_SECONDS = 30.0
_TAKE_SECONDS = 20
_WARM_SECONDS = 30.0
"""How long a sandbox waits for another job that is alike."""
_MAX_REJECTIONS = 5
"""A job that has failed here so often, for whatever reason, is left to others for good."""


class Bench:
    """What all slots of an agent share.

    Args:
        config: the agent's settings.
        market, registry, sender, store, book, settlement: what they work with.
        tier: the sandbox that they offer.
        owner: what the owner has decided.
        ringers: those that it plants.
    """

    def __init__(
        self,
        config: Config,
        market: Market,
        registry: Registry,
        sender: Sender,
        store: ArtefactStore,
        book: JobBook,
        settlement: Settlement,
        tier: Tier,
        owner: Owner,
        ringers: Ringers,
    ) -> None:
        self.config, self.market, self.registry, self.sender = config, market, registry, sender
        self.store, self.book, self.settlement, self.tier = store, book, settlement, tier
        self.unsuitable: dict[int, str] = {}
        """Jobs that failed here for a reason of this machine, with the reason."""
        self._retry_at: dict[int, float] = {}
        self._rejections: dict[int, int] = {}
        self.draining = threading.Event()
        self.owner, self.ringers = owner, ringers
        self._offers: list[Offer] = []
        self._offers_at = -math.inf
        self._listed, self._listed_at = True, -math.inf
        self._lock = threading.Lock()

    def reject(self, job_id: int, error: Error) -> None:
        """Leave a job to others; for good, unless a store was to blame and has not been too often."""
        reason = f"{error.what} ({error.why})" if error.why else error.what
        self.unsuitable[job_id] = f"{error.code}: {reason}"
        self._rejections[job_id] = self._rejections.get(job_id, 0) + 1
        transient = isinstance(error, ArtefactError | NetworkError) and self._rejections[job_id] < _MAX_REJECTIONS
        self._retry_at[job_id] = time.monotonic() + (_REJECT_SECONDS if transient else math.inf)
        logger().warning("a job can't be run here", job=job_id, code=error.code, reason=reason)

    def suits(self, job_id: int) -> bool:
        """Whether a job has not failed here, or may be tried again."""
        return job_id not in self.unsuitable or time.monotonic() > self._retry_at[job_id]

    def listed(self) -> bool:
        """Whether the registry lets this provider take leases; what is in jail takes none."""
        with self._lock:
            if time.monotonic() - self._listed_at > _LISTED_SECONDS:
                address = self.sender.account.address
                owner = self.registry.read("provider_of", address)
                state = ProviderState(self.registry.provider(owner).state)
                if self._listed and state == ProviderState.JAILED:
                    logger().error("in jail: no leases are taken", provider=owner, why="candela provider why")
                self._listed, self._listed_at = state == ProviderState.LISTED, time.monotonic()
            return self._listed

    def rivals(self, job: KnownJob) -> int:
        """Listed devices that could work on a job, at least 1."""
        with self._lock:
            if time.monotonic() - self._offers_at > _OFFER_SECONDS:
                self._offers = self.registry.offers()
                self._offers_at = time.monotonic()
            return max(sum(matching.fits(job.terms, offer.device, 0) for offer in self._offers), 1)


class Slot:
    """A thread that keeps one device busy.

    Args:
        bench: what it shares with other slots.
        device_id: the device's number on chain.
        device: the device.
    """

    def __init__(self, bench: Bench, device_id: int, device: LocalDevice) -> None:
        self._bench, self.device_id, self.device = bench, device_id, device
        tier = int(bench.tier)
        self.offered = Device(True, device.kind, tier, device.memory_bytes, device.intensity_ucd, device.name)
        self.lease: LeaseRun | None = None
        self._prepared: Prepared | None = None
        self._used_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"candela-slot-{device_id}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    @property
    def floor(self) -> Floor:
        """The least price that it works for now."""
        return self._bench.owner.floors.of(self.device_id, self.device)

    @property
    def busy(self) -> bool:
        """Whether it still works."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> bool:
        """Wait until it has stopped; whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._bench.draining.is_set():
            seen = self._bench.book.wait(-1, 0)
            worked, pause = False, _IDLE_SECONDS
            try:
                worked = self._work_once()
            except NetworkError as error:
                logger().warning("the node can't be reached; no lease is taken", reason=error.what)
            except Error as error:
                logger().info("no lease was taken", reason=error.what, why=error.why)
                pause = _RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - one job must not end the agent
                logger().error("a slot failed", device=self.device_id, reason=f"{type(error).__name__}: {error}")
            if not worked:
                self._bench.book.wait(seen, pause)
        self._put_away()

    def _put_away(self) -> None:
        if self._prepared is not None:
            self._prepared.executor.close()
            self._prepared = None

    def _work_once(self) -> bool:
        """Work on the first job that gives a lease; whether one did."""
        bench = self._bench
        # The customer's next job may be alike, and its sandbox warm already.
        idle = time.monotonic() - self._used_at > _WARM_SECONDS
        if idle and self._prepared is not None and not bench.book.running(self._prepared.job_id):
            self._put_away()
        jobs = bench.book.open_jobs()
        if not jobs or not bench.owner.open or not bench.listed():
            return False
        floor = self.floor.price
        for job in jobs:
            if not bench.suits(job.job_id) or not matching.fits(job.terms, self.offered, floor):
                continue
            if time.time() > job.terms.deadline:
                continue
            undone = self._first_undone(job)
            if undone is None and job.tasks_left <= 0:
                continue
            prepared = self._prepare(job)
            if prepared is None or (undone is None and job.tasks_left <= 0):
                continue
            try:
                taken = self._take(job, undone, floor)
            except TransactionFailed as error:
                # Most often another provider was quicker; the next job may still be free.
                logger().info("no lease was taken", job=job.job_id, reason=error.what, why=error.why)
                continue
            if taken is not None:
                self._work(job, prepared, taken)
                self._used_at = time.monotonic()
                return True
        return False

    def _first_undone(self, job: KnownJob) -> int | None:
        """A lease that can be taken over now."""
        bench = self._bench
        for lease_id in bench.book.undone(job.job_id):
            lease = bench.market.lease(lease_id)
            own = lease.operator.lower() == bench.sender.account.address.lower()
            if lease.redo and own and lease_id not in bench.ringers:
                # Its customer, or a committee, has refused what was done here.
                continue
            open_again = lease.state != LeaseState.ACTIVE or lease.expires_at < time.time()
            if open_again and lease.undone and lease.attempt < job.terms.retries:
                return lease_id
            bench.book.settled_undone(lease_id)
        return None

    def _prepare(self, job: KnownJob) -> Prepared | None:
        if self._prepared is not None and self._prepared.job_id == job.job_id:
            return self._prepared
        bench = self._bench
        packages = Path(bench.config.data) / "packages"
        warm, self._prepared = self._prepared, None
        try:
            self._prepared = prepare(job, bench.store, packages, bench.tier, self.device, warm)
            self._used_at = time.monotonic()
            bench.unsuitable.pop(job.job_id, None)
        except Exception as error:  # noqa: BLE001 - whatever this machine lacks, the agent goes on
            bench.reject(job.job_id, as_error(error))
        return self._prepared

    def _take(self, job: KnownJob, undone: int | None, price: int) -> dict | None:
        """The fields of a new lease's event."""
        bench = self._bench
        if undone is not None:
            message = bench.market.message("take_over", undone, self.device_id, price, gas=LEASE_GAS)
            bench.book.settled_undone(undone)
        else:
            count = lease_size(job, bench.rivals(job), bench.config.max_lease_tasks)
            message = bench.market.message("take_lease", job.job_id, self.device_id, price, count, gas=LEASE_GAS)
        receipt = self._send(message)
        events = []
        for log in receipt.logs:
            decoded = bench.market.decode_log(log)
            if decoded is not None:
                events.append(Event(*decoded, int(receipt.block_number, 16), receipt.transaction_hash))
        bench.book.apply(events)
        return next((event.fields for event in events if event.name == "LeaseTaken"), None)

    def _send(self, message: Message) -> Receipt:
        try:
            return self._bench.sender.send(message, "taking a lease", timeout=_TAKE_SECONDS)
        except TransactionFailed:
            raise
        except (NetworkError, RpcError):
            self._bench.sender.resync()
            raise

    def _work(self, job: KnownJob, prepared: Prepared, taken: dict) -> None:
        bench = self._bench
        run = LeaseRun(
            job,
            prepared,
            taken,
            bench.market,
            bench.store,
            bench.book,
            bench.settlement,
            bench.sender.account,
            bench.ringers,
        )
        logger().info("lease taken", job=job.job_id, lease=run.lease_id, tasks=len(run.tasks), attempt=run.attempt)
        self.lease = run
        if bench.draining.is_set():
            run.finish()
        try:
            failure = run.work()
        finally:
            self.lease = None
        if failure is not None:
            bench.reject(job.job_id, failure)
        if failure is not None or run.ended_because:
            self._put_away()


def lease_size(job: KnownJob, rivals: int, most: int) -> int:
    """How many tasks to take: a share that shrinks towards the job's end, so that all finish together.

    Args:
        job: whose tasks.
        rivals: devices that work on it, this one included.
        most: upper bound.
    """
    count = math.ceil(job.tasks_left / (2 * rivals))
    if job.task_seconds:
        worthwhile = math.ceil(_WORTHWHILE_SECONDS / max(job.task_seconds, 1e-6))
        count = max(count, min(worthwhile, math.ceil(job.tasks_left / rivals)))
    return max(1, min(count, most, _MAX_COUNT))
