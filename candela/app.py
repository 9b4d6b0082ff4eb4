"""An app: functions that share a budget, and the run that connects them to a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar, overload

import msgspec

from candela import _local, manifest
from candela._follower import Follower
from candela.amounts import format_cnd, parse_cnd
from candela.artefacts import ArtefactStore
from candela.chain.audits import Audits
from candela.chain.client import Client
from candela.chain.market import Market, Terms
from candela.chain.registry import Offer, Registry
from candela.chain.sender import Sender
from candela.errors import BudgetError, NetworkError, NoProviderError, NotRunningError, UsageError
from candela.function import Device, Function, Sandbox, Spec, options
from candela.job import Job
from candela.market.quote import require_fit, terms_of
from candela.network.configuration import Network
from candela.ringers import public_key
from candela.verification import Verification

P = ParamSpec("P")
R = TypeVar("R")

_THREADS = 16
_OFFERS_SECONDS = 10.0
_GAS_NIT = 10**16
_YEAR_SECONDS = 365 * 24 * 3600


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Iterator[R]]) -> Function[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Function[P, R]: ...


class App:
    """Functions that belong together, and the most that they may cost.

    Args:
        name: shown wherever the jobs are listed.
        budget: most CND that one process may spend, as text.
        network: path of a network configuration or URL of its node; $CANDELA_NETWORK or the default when absent.
        lease_seconds: a provider that is silent for longer loses its tasks to another.
        audit_window: seconds after which a provider may claim payment that was neither accepted nor disputed.
    """

    def __init__(
        self,
        name: str,
        *,
        budget: str = "1",
        network: str | Path | Network | None = None,
        lease_seconds: int = 10,
        audit_window: int = 3600,
    ) -> None:
        if not name or len(name) > 200:
            raise UsageError("an app's name has 1 to 200 characters")
        self.name, self.network = name, network
        self.lease_seconds, self.audit_window = lease_seconds, audit_window
        self.budget_nit = parse_cnd(budget)
        self.jobs: list[Job] = []
        self._run: Run | _local.LocalRun | None = None
        self._reserved = 0
        self._lock = threading.Lock()

    def function(
        self,
        *,
        device: Device = "any",
        timeout: int = 600,
        retries: int = 3,
        memory: str | int = "2GiB",
        requirements: Iterable[str] = (),
        max_price: str = "0.00002",
        sandbox: Sandbox = "bubblewrap",
        verify: Verification | None = None,
    ) -> _Decorator:
        """Make a function run on other people's machines.

        Args:
            device: ``"any"``, ``"cpu"`` or ``"gpu"``.
            timeout: seconds that one task may take.
            retries: how often a task may be given to another host after the first was lost.
            memory: what one task may use, as ``"512MiB"`` or bytes.
            requirements: packages beyond those that the file imports, as ``name`` or ``name==version``.
            max_price: most CND per work unit (an hour of 1 cd has 3,600).
            sandbox: least isolation of the host; ``"none"`` accepts hosts without bubblewrap.
            verify: how results are audited: :class:`~candela.Replicate`, :class:`~candela.Replay` or
                :class:`~candela.Freivalds`. A result then arrives up to ten seconds later, once it is known not to be
                drawn, or when its audit has ended; audits are paid from the app's budget. With ``Replay(trace=True)``
                the function yields its whole state after each step, its result is the last one, and it runs on CPUs.
        """
        chosen = options(
            device=device,
            timeout=timeout,
            retries=retries,
            memory=memory,
            requirements=requirements,
            max_price=max_price,
            sandbox=sandbox,
            verify=verify,
        )

        def decorate(function: Callable[..., Any]) -> Function[..., Any]:
            return Function(self, function, chosen)

        return decorate

    def run(
        self, *, network: str | Path | Network | None = None, local: bool = False, budget: str | None = None
    ) -> AbstractContextManager[Run | _local.LocalRun]:
        """Connect to a network for the length of a ``with`` block; what is unfinished at its end is cancelled.

        Args:
            network: as for the app.
            local: use this machine and no network.
            budget: replaces the app's from now on.
        """
        if budget is not None:
            self.budget_nit = parse_cnd(budget)
        return _Running(self, network or self.network, local)

    @property
    def spent(self) -> int:
        """Nit for the results that this app's jobs delivered."""
        return sum(job.cost for job in self.jobs)

    @property
    def remaining(self) -> int:
        """Nit of the budget that are neither spent nor in a running job."""
        with self._lock:
            return self._left()

    def _left(self) -> int:
        return self.budget_nit - self._reserved - sum(job.committed for job in self.jobs)

    def reserve(self, least: int, wanted: int, what: str) -> int:
        """Set aside up to ``wanted`` nit for a job.

        Raises:
            BudgetError: not even ``least`` is left.
        """
        with self._lock:
            left = self._left()
            if left < least:
                raise BudgetError(
                    what,
                    why=f"one task may cost up to {format_cnd(least)}; of the app's budget of "
                    f"{format_cnd(self.budget_nit)} are left {format_cnd(max(left, 0))}",
                    fix=f'raise it: candela.App("{self.name}", budget=...), or lower the timeout or max_price',
                )
            amount = min(left, wanted)
            self._reserved += amount
            return amount

    def allow(self, amount: int) -> None:
        """Raise the budget."""
        with self._lock:
            self.budget_nit += amount

    def release(self, amount: int) -> None:
        """Undo a reservation: the job counts for itself, or was not opened."""
        with self._lock:
            self._reserved -= amount

    def current(self, function: str) -> Run | _local.LocalRun:
        """The run that is on.

        Raises:
            NotRunningError: none is.
        """
        _local.refuse_in_worker()
        run = self._run or _local.active()
        if run is None:
            raise NotRunningError(
                f"{function} was asked to run elsewhere, but the app is not running",
                fix="put the call into: with app.run(): or with candela.local():",
            )
        return run


class _Running:
    def __init__(self, app: App, network: str | Path | Network | None, local: bool) -> None:
        self._app, self._network, self._local = app, network, local

    def __enter__(self) -> Run | _local.LocalRun:
        _local.refuse_in_worker()
        if self._app._run is not None:
            raise UsageError(f"the app {self._app.name!r} is running already")
        enclosing = _local.active()
        if enclosing is not None:
            self._run = None
            return enclosing
        self._run = _local.LocalRun() if self._local else Run(self._app, Network.find(self._network))
        self._app._run = self._run.__enter__()
        return self._app._run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._run is not None:
            self._app._run = None
            self._run.__exit__(kind, error, traceback)


class Run:
    """An app's connection to a network.

    Attributes:
        jobs: the jobs started in it.
    """

    def __init__(self, app: App, network: Network) -> None:
        self.app, self.network = app, network
        self.jobs: list[Job] = []
        self._offers: tuple[float, list[Offer]] = (float("-inf"), [])

    def __enter__(self) -> Self:
        """Connect."""
        account = self.network.account()
        self.client = Client(self.network.rpc)
        found = self.client.chain_id()
        if found != self.network.chain_id:
            raise NetworkError(
                f"the node at {self.network.rpc} serves chain {found}",
                why=f"the configuration names chain {self.network.chain_id}",
            )
        self.market, self.registry = Market(self.client), Registry(self.client)
        self.sender = Sender(self.client, account)
        self.store = ArtefactStore(self.network.store)
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="candela-job")
        self._follower = Follower(self.client, self.market, self.network.ws)
        self._follower.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel what is unfinished, wait until every job is closed on chain, disconnect."""
        try:
            for job in self.jobs:
                if not job.results.complete:
                    job.cancel()
            self._join(quiet=error is not None)
        finally:
            self._follower.stop()
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.client.close()

    def _join(self, quiet: bool) -> None:
        failures = []
        for job in self.jobs:
            try:
                job.join()
            except Exception as error:  # noqa: BLE001 - the other jobs must be closed all the same
                failures.append(error)
        if failures and not quiet:
            raise failures[0]

    def start(self, spec: Spec) -> Job:
        """Open a job.

        Raises:
            NoProviderError: no device on offer fits.
            BudgetError: the budget or the account can't pay for one task.
        """
        if self._takes_ringers(spec):
            key = public_key(self.ringer_secret).hex()
            spec = msgspec.structs.replace(spec, manifest=msgspec.structs.replace(spec.manifest, ringer_key=key))
        encoded = manifest.encode_manifest(spec.manifest)
        terms = self._terms(spec, bytes.fromhex(manifest.sha256(encoded)))
        require_fit(self._current_offers(), terms)
        deposit = self._reserve_audits(spec)
        each = spec.options.task_escrow_nit
        escrow = 0
        try:
            escrow = self.app.reserve(each, each * len(spec.inputs), "the budget can't fund one task")
            self._require_balance(escrow + deposit)
            self._upload(spec, encoded)
            job = self._open(spec, terms, escrow)
            with self.app._lock:
                self.app.jobs.append(job)
                self.app._reserved -= escrow
            escrow = 0
            self.jobs.append(job)
            if spec.options.verify is not None:
                self._set_policy(job, spec, spec.options.verify, deposit)
        except BaseException:
            self.app.release(escrow + deposit)
            raise
        self.app.release(deposit)
        self._follower.add(job)
        return job

    def _reserve_audits(self, spec: Spec) -> int:
        """What a job's audits may cost, set aside from the budget."""
        policy, each = spec.options.verify, spec.options.task_escrow_nit
        if policy is None:
            return 0
        if not Audits(self.client).read("auditor_count"):
            raise NoProviderError(
                "nobody audits results on this network, so verify= can't be kept",
                fix="start providers with --audit, or leave verify out",
            )
        wanted = policy.deposit_nit(len(spec.inputs), each)
        return self.app.reserve(policy.audit_nit(each), wanted, "the budget can't fund one audit") if wanted else 0

    def _takes_ringers(self, spec: Spec) -> bool:
        """Whether a job's ringers can be done again by another host."""
        policy = spec.options.verify
        return policy is not None and policy.ringers_ppm > 0 and spec.options.retries > 0

    @property
    def ringer_secret(self) -> bytes:
        """What providers hide ringers for."""
        return self.sender.account.derive("candela ringers")

    def _set_policy(self, job: Job, spec: Spec, policy: Verification, deposit: int) -> None:
        terms = (policy.code, policy.fraction_ppm, policy.auditors, self._takes_ringers(spec))
        message = Audits(self.client).message("set_policy", job.id, *terms, value=deposit)
        try:
            self.sender.send(message, f"setting the policy of job {job.id}")
        except BaseException:
            job.cancel()
            raise
        job.audit_deposit = deposit

    def _terms(self, spec: Spec, spec_hash: bytes) -> Terms:
        count = len(spec.inputs)
        seconds = min(3600 + count * spec.options.timeout_seconds, _YEAR_SECONDS)
        deadline = int(time.time()) + seconds
        app = self.app
        return terms_of(spec.options, count, spec_hash, app.lease_seconds, app.audit_window, deadline)

    def _current_offers(self) -> list[Offer]:
        at, offers = self._offers
        if time.monotonic() - at > _OFFERS_SECONDS:
            offers = self.registry.offers()
            self._offers = (time.monotonic(), offers)
        return offers

    def _require_balance(self, escrow: int) -> None:
        address = self.sender.account.address
        if self.client.balance(address) >= escrow + _GAS_NIT:
            return
        # Jobs that are done return their escrow as they are closed.
        for job in self.jobs:
            job.join()
        balance = self.client.balance(address)
        if balance < escrow + _GAS_NIT:
            raise BudgetError(
                f"the account {address} can't fund the job",
                why=f"it has {format_cnd(balance)}; the escrow is {format_cnd(escrow)}, and gas comes on top",
                fix="send CND to it, or lower the app's budget",
            )

    def _upload(self, spec: Spec, encoded: bytes) -> None:
        contents: list[Any] = [spec.bundle, encoded, *set(spec.inputs)]
        for _ in self.pool.map(self.store.put, contents):
            pass

    def _open(self, spec: Spec, terms: Terms, escrow: int) -> Job:
        message = self.market.message("open_job", msgspec.structs.astuple(terms), value=escrow)
        receipt = self.sender.send(message, "opening the job")
        for log in receipt.logs:
            decoded = self.market.decode_log(log)
            if decoded is not None and decoded[0] == "JobOpened":
                return Job(self, spec, terms, decoded[1]["job_id"], escrow, int(receipt.block_number, 16))
        raise NetworkError("the node's receipt of the job's opening has no event of it")
