"""A job on the network: follow its leases, check its results, accept and pay them, get back what is left."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from candela._verifier import TAKE_BACK_GAS, UNREAD, Decision, Verifier
from candela.amounts import format_cnd, parse_cnd
from candela.chain.audits import Audits, AuditState
from candela.chain.contract import Event
from candela.chain.market import JobState, LeaseState, Outcome, TaskReceipt, Terms, numbered, receipt_of
from candela.chain.message import Message
from candela.errors import (
    ArtefactError,
    BudgetError,
    Error,
    JobEndedError,
    NetworkError,
    NoProviderError,
    RpcError,
    TaskLostError,
)
from candela.function import Spec
from candela.market.quote import require_fit
from candela.results import Failure, Results, interpret, last_state

if TYPE_CHECKING:
    from candela.app import Run

_CHUNK = 32
_ACCEPT_COUNT = 64
_ACCEPT_SECONDS = 0.5
_GRACE_SECONDS = 3
_STALL_SECONDS = 5.0
"""After so long without a lease the user is told why."""
_RETRY_SECONDS = 2.0
_READ_PAUSES = (0.1, 0.4, 1.0, 0.0)


class _Lease(msgspec.Struct):
    attempt: int
    first_task: int
    mask: int
    escrow: int
    alive_until: float
    open: bool = True

    @property
    def tasks(self) -> list[int]:
        """The numbers of its tasks."""
        return numbered(self.first_task, self.mask)


class Job:
    """A job of the customer's on the network.

    Attributes:
        id: its number on chain.
        terms: its conditions.
        results: its tasks' results.
        escrow: nit put into it so far.
        audit_deposit: nit set aside for its audits; what they don't use comes back when it is closed.
    """

    def __init__(self, run: Run, spec: Spec, terms: Terms, job_id: int, escrow: int, block: int) -> None:
        self.id, self.terms, self.escrow = job_id, terms, escrow
        self.results = Results(len(spec.inputs))
        self.audit_deposit = self._audit_cost = 0
        self.next_block = block
        self._run, self._manifest, self._options = run, spec.manifest, spec.options
        self._lock = threading.Lock()
        self._receipts: dict[int, TaskReceipt] = {}
        self._owed = 0
        self._leases: dict[int, _Lease] = {}
        self._to_accept: dict[int, int] = {}
        self._accept_since = 0.0
        self._sent: list[str] = []
        self._paused = self._topping_up = False
        self._held_back = False
        self._waiting_for = ""
        self._moved_at = self._looked_at = time.monotonic()
        self._ending: Future[None] | None = None
        policy = spec.options.verify
        secret = run.ringer_secret if spec.manifest.ringer_key else None
        arguments = (len(spec.inputs), secret, block)
        self._verifier = Verifier(run, job_id, policy, *arguments) if policy is not None else None
        self._verifying = False
        self.results.explain = lambda: self._waiting_for

    @property
    def cost(self) -> int:
        """Nit for the results that were checked, and for audits of them once the job is closed."""
        with self._lock:
            return self._owed + self._audit_cost

    @property
    def energy_joules(self) -> float:
        """Energy of the tasks, as their providers measured it."""
        return sum(each.energy_mj for each in self.receipts) / 1000

    @property
    def receipts(self) -> list[TaskReceipt]:
        """The receipts of the results that were checked, by task."""
        with self._lock:
            return [self._receipts[task] for task in sorted(self._receipts)]

    @property
    def committed(self) -> int:
        """Nit that the job has cost or may still cost."""
        if self._ending is None and not self.results.complete:
            return self.escrow + self.audit_deposit
        with self._lock:
            return (
                self._owed
                + self._audit_cost
                + self.audit_deposit
                + sum(each.escrow for each in self._leases.values() if each.open)
            )

    @property
    def ended(self) -> bool:
        """Whether it is being closed or has been."""
        return self._ending is not None

    @property
    def status(self) -> str:
        """``running``, ``done``, ``ended``, or ``waiting: `` and for what."""
        if self.results.complete:
            return "done"
        if self.ended:
            return "ended"
        return f"waiting: {self._waiting_for}" if self._waiting_for else "running"

    def top_up(self, amount: str) -> None:
        """Add money, and as much to the app's budget; a job that is out of funds goes on.

        Args:
            amount: CND as text.

        Raises:
            Error: the node refused, or the job has ended.
        """
        nit = parse_cnd(amount)
        self._run.app.allow(nit)
        try:
            self._add(nit)
        except BaseException:
            self._run.app.allow(-nit)
            raise

    def cancel(self) -> None:
        """End it; finished tasks are paid, the rest of the money returns."""
        self._fail(JobEndedError(f"job {self.id} was cancelled"))

    def join(self) -> None:
        """Wait until it is closed on chain.

        Raises:
            Error: closing it failed.
        """
        if self._ending is not None:
            self._ending.result()

    def _fail(self, error: BaseException) -> None:
        self.results.fail(error)
        self._end("cancel")

    def absorb(self, events: Sequence[Event]) -> None:
        """Take in the job's events of one or more blocks, in order."""
        settled = []
        if events:
            self._moved_at = time.monotonic()
            self._waiting_for = self._waiting_for if self._held_back else ""
        for event in events:
            match event.name:
                case "LeaseTaken":
                    self._taken(event)
                case "LeaseClosed":
                    self._closed(event)
                case "TaskSettled":
                    receipt = receipt_of(event)
                    settled.append(receipt)
                    if lease := self._leases.get(receipt.lease_id):
                        lease.alive_until = time.time() + self.terms.lease_seconds
                case "JobStateChanged":
                    self._moved(JobState(event.fields["state"]))
        for start in range(0, len(settled), _CHUNK):
            self._run.pool.submit(self._check, settled[start : start + _CHUNK])

    def tick(self) -> None:
        """Do what time asks for: accept in batches, end silent leases, top up, give up after the deadline."""
        if self.ended:
            return
        with self._lock:
            waiting = sum(each.bit_count() for each in self._to_accept.values())
            due = waiting >= _ACCEPT_COUNT or time.monotonic() - self._accept_since > _ACCEPT_SECONDS
        if waiting and due:
            self._sent += self._run.sender.submit(self._accepts())
        idle = not any(each.open for each in self._leases.values())
        patient = self._held_back and time.monotonic() - self._looked_at < _RETRY_SECONDS
        if self._paused and not self._topping_up and idle and not patient:
            self._topping_up = True
            self._run.pool.submit(self._guarded, self._top_up)
        if idle and not self._paused and not self._verifying and not (self._verifier and self._verifier.waiting):
            self._look_for_providers()
        self._expire_silent()
        if self._verifier is not None and self._verifier.waiting and not self._verifying:
            self._verifying = True
            self._run.pool.submit(self._guarded, self._verify, self._verifier)
        if time.time() > self.terms.deadline:
            self._fail(JobEndedError(f"job {self.id} was not done before its deadline", why=self._waiting_for))

    def _look_for_providers(self) -> None:
        now = time.monotonic()
        if now - max(self._moved_at, self._looked_at) < _STALL_SECONDS:
            return
        self._looked_at = now
        try:
            offers = self._run.registry.offers()
            require_fit(offers, self.terms)
        except NoProviderError as error:
            self._wait_for(f"{error.what} ({error.why})" if error.why else error.what)
        except (NetworkError, RpcError) as error:
            self._wait_for(f"the node does not answer: {error.what}")
        else:
            self._wait_for(
                f"no provider has taken its tasks; devices are on offer ({len(offers)}), but busy, offline or too dear"
            )

    def _wait_for(self, what: str) -> None:
        """Tell the user once why nothing moves; on a terminal the line stands above the progress bar."""
        if what != self._waiting_for:
            self._waiting_for = what
            logging.getLogger("candela").warning("job %d waits: %s", self.id, what)

    def _taken(self, event: Event) -> None:
        fields = event.fields
        alive = time.time() + self.terms.lease_seconds
        with self._lock:
            self._leases[fields["lease_id"]] = _Lease(
                attempt=fields["attempt"],
                first_task=fields["first_task"],
                mask=fields["mask"],
                escrow=fields["escrow"],
                alive_until=alive,
            )

    def _closed(self, event: Event) -> None:
        lease, undone = self._leases.get(event.fields["lease_id"]), event.fields["undone"]
        if lease is None:
            return
        lease.open = False
        if undone and lease.attempt >= self.terms.retries:
            cause = "went silent" if event.fields["state"] == LeaseState.LAPSED else "gave it back"
            self._lose(numbered(lease.first_task, undone), f"the last of {lease.attempt + 1} hosts {cause}")

    def _lose(self, tasks: list[int], why: str) -> None:
        fix = "raise the function's retries"
        errors = {task: TaskLostError(f"task {task} of job {self.id} is lost", why=why, fix=fix) for task in tasks}
        self.results.put({task: Failure(error) for task, error in errors.items()})
        self._end_when_complete()

    def _moved(self, state: JobState) -> None:
        self._paused = state == JobState.PAUSED_FUNDS
        if not self._paused and self._held_back:
            self._held_back, self._waiting_for = False, ""
        if state.ended and not self.ended:
            self.results.fail(JobEndedError(f"job {self.id} was {state.name.lower()} elsewhere"))
            self._end(None)

    def _check(self, receipts: list[TaskReceipt]) -> None:
        self._guarded(self._check_all, receipts)

    def _guarded(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001 - whoever waits for the job must learn of it
            self._fail(error)

    def _check_all(self, receipts: list[TaskReceipt]) -> None:
        checked = {}
        for receipt in receipts:
            if self._verifier is not None and receipt.attempt < self.terms.retries:
                self._verifier.look_for_ringer(receipt.lease_id, self._leases[receipt.lease_id].tasks)
            try:
                value = self._result(receipt)
            except ArtefactError as error:
                self._accuse(receipt, error)
                continue
            if self._verifier is not None:
                self._verifier.hold(receipt, value)
                continue
            checked[receipt.task] = value
            self._keep(receipt)
        self.results.put(checked)
        self._end_when_complete()

    def _verify(self, verifier: Verifier) -> None:
        try:
            for decision in verifier.decided():
                self._take(decision)
        except (NetworkError, RpcError) as error:
            logging.getLogger("candela").info("job %d: audits wait: %s", self.id, error.what)
        finally:
            self._verifying = False
        self._end_when_complete()

    def _take(self, decision: Decision) -> None:
        receipt, value = decision.receipt, decision.value
        if decision.false:
            self._moved_at = time.monotonic()
            with self._lock:
                self._owed += decision.paid
            self._lose_unless_redone(receipt, "a committee refused its result")
            return
        if value is UNREAD:
            try:
                value = self._result(receipt)
            except ArtefactError as error:
                if decision.state is AuditState.UNDECIDED:
                    self._dispute(receipt, error)
                else:
                    self._lose([receipt.task], f"a committee could read its result, but not this machine: {error.what}")
                return
        self._keep(receipt)
        self.results.put({receipt.task: value})

    def _accuse(self, receipt: TaskReceipt, reason: Error) -> None:
        if self._verifier is None:
            self._dispute(receipt, reason)
        else:
            self._verifier.accuse(receipt)

    def _keep(self, receipt: TaskReceipt) -> None:
        lease = self._leases[receipt.lease_id]
        with self._lock:
            self._receipts[receipt.task] = receipt
            self._owed += receipt.price
            if not self._to_accept:
                self._accept_since = time.monotonic()
            bitmap = self._to_accept.get(receipt.lease_id, 0)
            self._to_accept[receipt.lease_id] = bitmap | 1 << receipt.task - lease.first_task

    def _result(self, receipt: TaskReceipt) -> object:
        manifest = self._manifest
        if receipt.code_hash.hex() != manifest.source or receipt.input_hash.hex() != manifest.inputs[receipt.task]:
            raise ArtefactError(f"the receipt of task {receipt.task} is for another code or input")
        output = self._output(receipt.output_hash.hex())
        if manifest.traced and receipt.outcome == Outcome.OK:
            return last_state(output, self._output, manifest.output_bytes)
        return interpret(receipt.outcome, output, manifest.output_bytes)

    def _output(self, digest: str) -> bytes:
        for pause in _READ_PAUSES:
            try:
                return self._run.store.get(digest, self._manifest.output_bytes)
            except ArtefactError:
                if not pause:
                    raise
                time.sleep(pause)
        raise AssertionError

    def _dispute(self, receipt: TaskReceipt, reason: Error) -> None:
        market, lease_id, task = self._run.market, receipt.lease_id, receipt.task
        digest = hashlib.sha256(str(reason).encode()).digest()
        self._run.sender.send(market.message("dispute", lease_id, task, digest), f"disputing task {task}")
        self._lose_unless_redone(receipt, f"its result was disputed: {reason.what}")

    def _lose_unless_redone(self, receipt: TaskReceipt, why: str) -> None:
        if receipt.attempt >= self.terms.retries:
            self._lose([receipt.task], f"{why}, and it can't be done again")

    def _accepts(self) -> list[Message]:
        with self._lock:
            bitmaps, self._to_accept = self._to_accept, {}
        return [
            self._run.market.message("accept", lease_id, bitmap, gas=400_000 + 15_000 * bitmap.bit_count())
            for lease_id, bitmap in bitmaps.items()
        ]

    def _expire_silent(self) -> None:
        now = time.time()
        for lease_id, lease in list(self._leases.items()):
            if not lease.open or now < lease.alive_until + _GRACE_SECONDS:
                continue
            found = self._run.market.lease(lease_id)
            if found.state == LeaseState.ACTIVE and found.expires_at + _GRACE_SECONDS < now:
                self._run.sender.submit([self._run.market.message("expire_lease", lease_id, gas=300_000)])
                lease.alive_until = now + self.terms.lease_seconds
            else:
                lease.alive_until = max(found.expires_at, now)

    def _top_up(self) -> None:
        self._looked_at = time.monotonic()
        try:
            self._fund_missing()
        except BudgetError as error:
            self._held_back = True
            self._wait_for(f"it is out of funds: {error.why}; add some with job.top_up(...) or a larger app budget")
        else:
            self._paused = False
        finally:
            self._topping_up = False

    def _fund_missing(self) -> None:
        missing = len(self.results.missing())
        each = self._options.task_escrow_nit
        needed = missing * each - self._run.market.job(self.id).available
        if needed > 0:
            app = self._run.app
            amount = app.reserve(each, needed, f"job {self.id} is out of funds with {missing} tasks left")
            try:
                self._add(amount)
            finally:
                app.release(amount)

    def _add(self, amount: int) -> None:
        message = self._run.market.message("top_up", self.id, value=amount)
        self._run.sender.send(message, f"adding {format_cnd(amount)} to job {self.id}")
        self.escrow += amount

    def _end_when_complete(self) -> None:
        if self.results.complete:
            self._end("close_job")

    def _end(self, call: str | None) -> None:
        with self._lock:
            if self._ending is None:
                self._ending = self._run.pool.submit(self._finish, call)

    def _finish(self, call: str | None) -> None:
        messages = self._accepts()
        if call is not None:
            messages.append(self._run.market.message(call, self.id, gas=300_000))
        if self.audit_deposit:
            messages.append(self._taking_back())
        self._sent += self._run.sender.submit(messages)
        for receipt in self._run.client.wait(self._sent):
            self._run.client.check(receipt, f"paying and closing job {self.id}")

    def _taking_back(self) -> Message:
        audits = Audits(self._run.client)
        left = audits.read("budgets", self.id)
        with self._lock:
            self._audit_cost, self.audit_deposit = self.audit_deposit - left, 0
        return audits.message("take_back", self.id, gas=TAKE_BACK_GAS)
