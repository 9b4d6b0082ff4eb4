"""Work on one lease: run its tasks, state what came of them, give back what can't be done."""

from __future__ import annotations

import threading
import time

import msgspec

from candela.artefacts import ArtefactStore
from candela.chain.account import Account
from candela.chain.audits import Audits
from candela.chain.market import Market, Outcome, TaskReceipt, numbered
from candela.errors import ArtefactError, Error, ProviderError
from candela.provider.executor import Executor, Finished
from candela.provider.jobs import JobBook, KnownJob
from candela.provider.logs import TaskLog, logger
from candela.provider.preparation import Prepared
from candela.provider.ringers import Ringers
from candela.provider.settlement import Settlement, Statement
from candela.ringers import Ringer, falsified
from candela.values import MAX_BYTES

RENEW_GAS = 150_000
RELEASE_GAS = 400_000
_BEAT_SECONDS = 5.0


def as_error(error: Exception) -> Error:
    """A failure of this machine, such as a full disk, as a numbered error."""
    if isinstance(error, Error):
        return error
    return ProviderError("this machine failed", why=f"{type(error).__name__}: {error}", fix="candela provider doctor")


class LeaseRun:
    """One lease while it is worked on. Its own thread runs tasks; the agent's keeps the lease alive.

    Args:
        job: whose tasks.
        prepared: the job's code, ready to run.
        taken: the fields of the ``LeaseTaken`` event.
        market, store, book, settlement: what it works with.
        account: the operator's, which signs heartbeats.
        ringers: plants those that the customer asks for.
    """

    def __init__(
        self,
        job: KnownJob,
        prepared: Prepared,
        taken: dict,
        market: Market,
        store: ArtefactStore,
        book: JobBook,
        settlement: Settlement,
        account: Account,
        ringers: Ringers,
    ) -> None:
        self.job, self.prepared, self.lease_id = job, prepared, taken["lease_id"]
        self.device_id, self.attempt, self._price = taken["device_id"], taken["attempt"], taken["price_per_unit"]
        self._provider, self._account = taken["provider"], account
        self._ringers, self._ringer = ringers, None
        self.tasks = numbered(taken["first_task"], taken["mask"])
        self._market, self._store, self._book, self._settlement = market, store, book, settlement
        self.done = 0
        self.running: int | None = None
        self.ended_because = ""
        self._stopping = threading.Event()
        self._alive_at = self._asked_at = self._beat_at = time.time()

    @property
    def executor(self) -> Executor:
        """What runs the tasks."""
        return self.prepared.executor

    @property
    def log(self) -> TaskLog:
        """Where what they print goes."""
        return self.prepared.log

    def work(self) -> Error | None:
        """Run the tasks; returns the failure of this machine that ended it, if one did."""
        failure = None
        try:
            self._ringer = self._plant()
            for task in self.tasks:
                if self._should_end():
                    break
                self._run(task)
        except Exception as error:  # noqa: BLE001 - the lease is given back whatever went wrong
            failure = as_error(error)
        finally:
            self.running = None
            self.log.flush()
        if self.done < len(self.tasks):
            self._release(failure)
        return failure

    def _plant(self) -> Ringer | None:
        """Put what may be a ringer on chain, before any receipt; the settlement keeps the order."""
        if self.attempt >= self.job.terms.retries:
            # It could not be done again.
            return None
        planting = self._ringers.choose(self.prepared.manifest, self.job.job_id, self.lease_id, self.tasks)
        if planting is None:
            return None
        message = Audits(self._market.client).planting(self.lease_id, planting)
        self._settlement.put(Statement("planting a ringer", message, self.lease_id))
        return planting.ringer

    def _with_ringer(self, task: int, finished: Finished) -> Finished:
        """What is stated of a task: a false result where it is the lease's ringer."""
        policy = self.prepared.manifest.verify
        if self._ringer is None or self._ringer.task != task or policy is None or finished.outcome is not Outcome.OK:
            return finished
        false = falsified(finished.output, policy)
        if false is None or not self._ringers.keep(self._ringer):
            return finished
        logger().info("a ringer is stated, as the customer asks", lease=self.lease_id, task=task)
        return msgspec.structs.replace(finished, output=false)

    def _should_end(self) -> bool:
        if not self.ended_because:
            if not self._book.is_active(self.lease_id):
                self.end("the lease has ended")
            elif not self._book.running(self.job.job_id):
                self.end("the job has ended")
        return self._stopping.is_set() or bool(self.ended_because)

    def _run(self, task: int) -> None:
        digest = self.prepared.manifest.inputs[task]
        task_input = self._store.get(digest, MAX_BYTES)
        self.running = task
        self.log.begin(task, self.attempt)
        started = time.perf_counter()
        finished = self.executor.run(task_input)
        self.log.flush()
        if self.ended_because:
            return
        self._book.took(self.job.job_id, time.perf_counter() - started)
        if finished.steps is not None and finished.outcome is Outcome.OK:
            # The output only names the last state, which is the result.
            self._store.put(finished.steps.state)
        finished = self._with_ringer(task, finished)
        output_hash = self._store.put(finished.output)
        self._state(task, digest, output_hash, finished)
        self.done += 1
        self.running = None

    def _state(self, task: int, input_hash: str, output_hash: str, finished: Finished) -> None:
        work = finished.usage.work_uwu(self.job.terms.task_work_limit_uwu)
        receipt = TaskReceipt(
            job_id=self.job.job_id,
            lease_id=self.lease_id,
            provider=self._provider,
            task=task,
            attempt=self.attempt,
            device_id=self.device_id,
            outcome=int(finished.outcome),
            code_hash=bytes.fromhex(self.prepared.manifest.source),
            input_hash=bytes.fromhex(input_hash),
            output_hash=bytes.fromhex(output_hash),
            started=int(finished.usage.started),
            work_uwu=work,
            energy_mj=finished.usage.energy_mj,
            energy_method=finished.usage.energy_method,
            price=work * self._price // 10**6,
        )
        message, window = self._market.settle(receipt), self.job.terms.audit_window
        self._settlement.put(Statement("settling a task", message, self.lease_id, receipt, window))

    def _release(self, failure: Error | None) -> None:
        reason = failure.what if failure else self.ended_because or "the provider stops"
        logger().info("lease given back", lease=self.lease_id, job=self.job.job_id, done=self.done, reason=reason)
        if self._book.is_active(self.lease_id):
            message = self._market.message("release", self.lease_id, gas=RELEASE_GAS)
            self._settlement.put(Statement("releasing a lease", message, self.lease_id))

    def confirmed(self) -> None:
        """Something about the lease became final: the chain knows that it is alive."""
        self._alive_at = time.time()

    def end(self, reason: str) -> None:
        """Stop at once: what is running counts for nothing any more."""
        if not self.ended_because:
            self.ended_because = reason
            self.executor.interrupt()

    def finish(self) -> None:
        """Stop after the running task."""
        self._stopping.set()

    def keep(self) -> None:
        """Keep the lease alive while a long task runs; called every now and then."""
        now = time.time()
        seconds = self.job.terms.lease_seconds
        if self._should_end():
            if self.ended_because and self.running is not None:
                # The sandbox may have been starting when the lease ended.
                self.executor.interrupt()
            return
        if now > self._alive_at + seconds:
            self.end("the lease has expired")
            return
        if now - max(self._alive_at, self._asked_at) > seconds / 3:
            self._asked_at = now
            message = self._market.message("renew", self.lease_id, gas=RENEW_GAS)
            self._settlement.put(Statement("renewing a lease", message, self.lease_id))
        if now - self._beat_at > _BEAT_SECONDS:
            self._beat_at = now
            self._beat()
        self.log.flush(force=False)

    def _beat(self) -> None:
        try:
            self._store.beat(self.lease_id, [] if self.running is None else [self.running], self._account)
        except ArtefactError as error:
            logger().warning("no heartbeat could be stored", lease=self.lease_id, reason=error.why)
