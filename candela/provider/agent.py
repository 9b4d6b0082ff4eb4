"""The provider's agent: keeps the machine listed, its devices busy, its leases alive and its receipts flowing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from candela.artefacts import ArtefactStore
from candela.chain.audits import Audits
from candela.chain.beacon import Beacon
from candela.chain.bisection import Bisection
from candela.chain.client import Client
from candela.chain.heads import Heads
from candela.chain.intensity import Intensity
from candela.chain.market import Lease, LeaseState, Market
from candela.chain.registry import Registry
from candela.chain.sender import Sender
from candela.errors import Error, NetworkError, SandboxError
from candela.intensity.profile import G1
from candela.intensity.remote import RemoteProver
from candela.provider import control, devices, leftovers
from candela.provider.auditor import Auditor
from candela.provider.config import Config
from candela.provider.control import RunningLease, Snapshot
from candela.provider.days import Reporter
from candela.provider.defence import Defence
from candela.provider.draws import Draws
from candela.provider.earnings import Claims, read_leases
from candela.provider.examination import Examiner
from candela.provider.hours import Clock
from candela.provider.jobs import JobBook
from candela.provider.leases import RELEASE_GAS
from candela.provider.listing import Listing
from candela.provider.logs import logger
from candela.provider.owner import Owner
from candela.provider.retracing import Retracer
from candela.provider.ringers import Ringers
from candela.provider.sandbox import Probe, Tier, probe
from candela.provider.settlement import Settlement, Statement
from candela.provider.slots import Bench, Slot
from candela.provider.windows import Windows

_EVENT_SECONDS = 0.1
_QUIET_SECONDS = 3.0
_SWEEP_SECONDS = 1.0
_SNAPSHOT_SECONDS = 1.0
_CLAIM_SECONDS = 5.0
_POWER_SECONDS = 5.0
_GRACE_SECONDS = 5.0
_FLUSH_SECONDS = 10.0


class Agent:
    """One provider process.

    Args:
        config: its settings.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._data = config, Path(config.data)
        self._account, self._owner = config.account(), Owner(config)
        self._client = Client(config.rpc)
        self._market, self._registry = Market(self._client), Registry(self._client)
        self._sender = Sender(self._client, self._account)
        self._heads = Heads(config.ws)
        self._book = JobBook(self._market)
        self._listing = Listing(self._registry, self._sender)
        self._slots: list[Slot] = []
        self._windows: list[Windows] = []
        self._auditor: Auditor | None = None
        self._defence: Defence | None = None
        self._reporter: Reporter | None = None
        self._ringers: Ringers | None = None
        self._signals = 0
        self._drain_asked = False
        self._error = ""
        self._settled = 0
        self._phase = "starting"
        self._last: dict[str, float] = {}
        self._seen = 0
        self._followed, self._followed_at = -1, 0.0

    def run(self, on_ready: Callable[[Snapshot], None]) -> None:
        """Work until told to stop.

        Args:
            on_ready: called once the provider is listed.

        Raises:
            DirectoryHeldError: another agent uses the data folder.
            SandboxError: there is no sandbox, and going without was not allowed.
            ProviderError: the provider can't be listed.
        """
        lock = control.Lock(self._data)
        try:
            self._tier = check_tier(self._config.allow_unsandboxed)
            self._config.save()
            self._install_signals()
            with self._heads:
                self._begin()
                on_ready(self.snapshot())
                self._loop()
                self._end()
        finally:
            self._owner.release()
            self._phase = "stopped"
            control.save_snapshot(self._data, self.snapshot())
            self._client.close()
            lock.release()

    def _install_signals(self) -> None:
        def stop(_number: int, _frame: object) -> None:
            self._signals += 1

        def drain(_number: int, _frame: object) -> None:
            self._drain_asked = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGUSR1, drain)

    def _begin(self) -> None:
        leftovers.clear()
        found, unoffered = devices.detect(self._tier.tier)
        for each in unoffered:
            logger().warning("a GPU is not offered", gpu=each.name, reason=each.why, fix=each.fix)
        self._owner.prepare(found)
        listed = self._listing.ensure(found, self._tier.tier)
        self._settlement = Settlement(self._sender, self._heads, self._on_final)
        self._claims = Claims(self._market, self._settlement, self._data / "unpaid.json")
        self._recover(self._book.load())
        store = ArtefactStore(self._config.store)
        self._ringers = Ringers(self._sender, Audits(self._client), self._data / "ringers.json")
        self._bench = Bench(
            self._config,
            self._market,
            self._registry,
            self._sender,
            store,
            self._book,
            self._settlement,
            self._tier.tier,
            self._owner,
            self._ringers,
        )
        self._owner.floors.load(self._market, self._listing.provider)
        self._slots = [Slot(self._bench, number, device) for number, device in listed.items()]
        self._windows = [self._windows_of(slot) for slot in self._slots] if self._config.prove else []
        if self._config.audit and self._slots:
            self._auditor = self._auditor_on(self._slots[0], store)
        if self._slots:
            self._defence = self._defence_on(self._slots[0], store)
        self._reporter = Reporter(self._sender, self._listing.provider)
        self._phase = "running"
        beside = filter(None, [self._auditor, self._defence])
        for worker in (*self._slots, *self._windows, *beside, self._reporter, self._ringers):
            worker.start()

    def _windows_of(self, slot: Slot) -> Windows:
        def idle() -> bool:
            return slot.lease is None and not self._bench.draining.is_set() and self._owner.open

        beacon, intensity = Beacon(self._client), Intensity(self._client)
        who, number, folder = self._listing.provider, slot.device_id, self._data / "windows"
        if slot.device.kind == devices.CPU:
            return Windows(self._sender, who, number, idle, beacon, intensity, folder)
        prover = RemoteProver(f"cuda:{slot.device.index}", G1)
        return Windows(self._sender, who, number, idle, beacon, intensity, folder, G1, lambda: prover)

    def _auditor_on(self, slot: Slot, store: ArtefactStore) -> Auditor:
        def busy() -> bool:
            return slot.lease is not None

        def open_now() -> bool:
            return self._owner.open

        audits, beacon = Audits(self._client), Beacon(self._client)
        packages = self._data / "packages"
        examiner = Examiner(self._market, store, packages, self._tier.tier, slot.device)
        draws = Draws(self._sender, audits, beacon, self._market)
        provider, path = self._listing.provider, self._data / "verdicts.json"
        return Auditor(self._sender, audits, beacon, provider, slot.device_id, examiner, draws, path, busy, open_now)

    def _defence_on(self, slot: Slot, store: ArtefactStore) -> Defence:
        def busy() -> bool:
            return slot.lease is not None

        bisection, audits = Bisection(self._client), Audits(self._client)
        retracer = Retracer(self._market, store, self._data / "packages", self._tier.tier, slot.device)
        return Defence(self._sender, bisection, audits, self._listing.provider, retracer, busy)

    def _recover(self, active: list[tuple[int, Lease]]) -> None:
        """Give back what this provider held when it died."""
        for lease_id, lease in active:
            if lease.operator.lower() == self._account.address.lower():
                logger().info("giving back a lease from before", lease=lease_id)
                message = self._market.message("release", lease_id, gas=RELEASE_GAS)
                self._settlement.put(Statement("releasing a lease", message, lease_id))
                if lease.done & ~lease.paid:
                    self._claims.expect(lease_id, self._market.terms(lease.job_id).audit_window)

    def _loop(self) -> None:
        while not self._signals and self._phase != "stopping":
            self._seen = self._heads.wait(self._seen, self._config.poll_seconds)
            self._tend(self._follow, _EVENT_SECONDS)
            self._tend(self._keep_leases, 0)
            self._tend(self._sweep, _SWEEP_SECONDS)
            self._tend(self._claims.collect, _CLAIM_SECONDS)
            self._tend(self._owner.check, _POWER_SECONDS)
            self._tend(self._save, _SNAPSHOT_SECONDS)
            self._tend(self._obey, 0)

    def _tend(self, duty: Callable[[], None], seconds: float) -> None:
        """Do something at most every ``seconds``; what fails is tried again later."""
        name, now = duty.__name__, time.monotonic()
        if now - self._last.get(name, float("-inf")) < seconds:
            return
        try:
            duty()
            self._error = ""
        except Exception as error:  # noqa: BLE001 - the agent outlives nodes, stores and surprises
            text = error.what if isinstance(error, Error) else f"{type(error).__name__}: {error}"
            if text != self._error:
                logger().warning(f"{name.strip('_')} failed; trying again", reason=text)
            self._error = text
        self._last[name] = time.monotonic()

    def _follow(self) -> None:
        """Read events when there are new blocks, and now and then in case that the news was missed."""
        if self._seen == self._followed and time.monotonic() - self._followed_at < _QUIET_SECONDS:
            return
        seen = self._seen
        self._book.catch_up()
        self._followed, self._followed_at = seen, time.monotonic()

    def _keep_leases(self) -> None:
        for slot in self._slots:
            lease = slot.lease
            if lease is not None:
                lease.keep()

    def _sweep(self) -> None:
        """End leases of providers that have gone silent, or take them over."""
        own = {slot.lease.lease_id for slot in self._slots if slot.lease is not None}
        others = [each for each in self._book.active_leases() if each not in own]
        if not others:
            return
        # Not all providers at once: each waits a little longer than the one before.
        patience = 0.5 + int(self._account.address[-2:], 16) / 128
        for lease_id, lease in read_leases(self._market, others).items():
            if lease.state != LeaseState.ACTIVE:
                self._book.ended(lease_id)
            elif time.time() > lease.expires_at + patience:
                self._end_lease(lease_id, lease)

    def _end_lease(self, lease_id: int, lease: Lease) -> None:
        job = next((each for each in self._book.open_jobs() if each.job_id == lease.job_id), None)
        bench = self._bench
        wanted = job is not None and bench.suits(job.job_id) and self._owner.open and not bench.draining.is_set()
        if wanted and job is not None and lease.attempt < job.terms.retries and lease.undone:
            self._book.offer_again(lease_id)
        if not wanted or time.time() > lease.expires_at + 5:
            message = self._market.message("expire_lease", lease_id, gas=RELEASE_GAS)
            self._settlement.put(Statement("ending a silent lease", message, lease_id))
            self._book.ended(lease_id)

    def _obey(self) -> None:
        wish = control.wish(self._data)
        if wish == "stop":
            self._phase = "stopping"
        if (wish == "drain" or self._drain_asked) and self._phase == "running":
            self._phase = "draining"
            self._bench.draining.set()
            self._book.wake()
            self._listing.drain()
            if self._auditor is not None:
                self._auditor.rest()
        seated = self._auditor is not None and self._auditor.seated
        accused = self._defence is not None and self._defence.engaged
        working = seated or accused or any(slot.busy for slot in self._slots) or len(self._settlement)
        if self._phase == "draining" and not working:
            logger().info("drained")
            self._phase = "stopping"

    def _end(self) -> None:
        self._phase = "stopping"
        logger().info("stopping")
        control.save_snapshot(self._data, self.snapshot())
        self._bench.draining.set()
        self._book.wake()
        for each in (*self._windows, *filter(None, [self._reporter, self._defence, self._ringers])):
            each.close()
        if self._auditor is not None:
            self._tend(self._auditor.rest, 0)
            self._auditor.close()
        for slot in self._slots:
            if slot.lease is not None:
                slot.lease.finish()
        deadline, signals = time.monotonic() + _GRACE_SECONDS, self._signals
        while any(slot.busy for slot in self._slots) and time.monotonic() < deadline and self._signals == signals:
            self._slots[0].join(0.05)
            self._tend(self._keep_leases, _EVENT_SECONDS)
        for slot in self._slots:
            if slot.lease is not None:
                slot.lease.end("the provider stops")
        for slot in self._slots:
            slot.join(5)
        if not self._settlement.close(_FLUSH_SECONDS if self._reachable() else 0):
            logger().warning("not all receipts became final", waiting=len(self._settlement))

    def _reachable(self) -> bool:
        try:
            self._client.block_number()
        except NetworkError:
            return False
        return True

    def _on_final(self, statement: Statement, reason: str | None) -> None:
        lease = next((s.lease for s in self._slots if s.lease and s.lease.lease_id == statement.lease_id), None)
        if reason is None:
            if lease is not None:
                lease.confirmed()
            if statement.receipt is not None:
                self._settled += 1
                self._owner.floors.learn(statement.receipt)
                self._claims.expect(statement.lease_id, statement.audit_window)
            return
        task = statement.receipt.task if statement.receipt else None
        logger().warning(f"{statement.what} failed", lease=statement.lease_id, task=task, reason=reason)
        if lease is not None and ("not active" in reason or "expired" in reason or "has ended" in reason):
            lease.end(reason)

    def _save(self) -> None:
        control.save_snapshot(self._data, self.snapshot())

    def snapshot(self) -> Snapshot:
        """What the agent does now."""
        bench, tier = getattr(self, "_bench", None), getattr(self, "_tier", Probe(Tier.NONE, ""))
        settlement = getattr(self, "_settlement", ())
        return Snapshot(
            pid=os.getpid(),
            address=self._account.address,
            provider=self._listing.provider,
            tier=tier.tier.name.lower(),
            tier_detail=tier.detail,
            phase=self._phase,
            devices=[describe(slot) for slot in self._slots],
            leases=[
                RunningLease(run.lease_id, run.job.job_id, run.device_id, len(run.tasks), run.done, run.running)
                for slot in self._slots
                if (run := slot.lease) is not None
            ],
            unsuitable={str(job): why for job, why in bench.unsuitable.items()} if bench else {},
            settled=self._settled,
            waiting=len(settlement),
            error=self._error,
            hours=None if self._owner.hours.always else Clock.of(self._owner.hours),
            caps=self._owner.cap.caps if self._owner.cap else [],
            floors={slot.device_id: slot.floor for slot in self._slots},
            reporting=self._reporter.trouble if self._reporter else "",
        )


def describe(slot: Slot) -> dict[str, int | str]:
    """A slot's device, for people and programs."""
    device = slot.device
    kind = "gpu" if device.kind == devices.GPU else "cpu"
    facts: dict[str, int | str] = {"id": slot.device_id, "kind": kind, "name": device.name}
    return facts | {"memory_bytes": device.memory_bytes, "intensity_ucd": device.intensity_ucd}


def check_tier(allow_unsandboxed: bool) -> Probe:
    """The tier that this machine offers.

    Raises:
        SandboxError: it is none, and going without was not allowed.
    """
    found = probe()
    if found.tier is Tier.NONE and not allow_unsandboxed:
        raise SandboxError(
            "this machine can't run other people's code safely",
            why=found.detail,
            fix="install bubblewrap, or offer tier none with --allow-unsandboxed; most customers refuse it",
        )
    return found
