"""Hold a job's results back until the beacon has told which are audited, and those until the verdict."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from candela.amounts import format_cnd
from candela.chain.audits import Audit, Audits, AuditState, Verdict, is_drawn
from candela.chain.beacon import Beacon
from candela.chain.market import TaskReceipt
from candela.chain.message import Message
from candela.chain.randomness import recorded
from candela.errors import IntensityError, RpcError, TransactionFailed
from candela.ringers import Ringer, reveal
from candela.verification import Verification

if TYPE_CHECKING:
    from candela.app import Run

_MARGIN_SECONDS = 0.5
_PATIENCE_SECONDS = 30
TAKE_BACK_GAS = 200_000
_MISSED = (AuditState.UPHELD, AuditState.NOT_CHECKABLE, AuditState.UNDECIDED)
UNREAD = object()
"""Stands for a result that the customer could not read."""


class Decision(msgspec.Struct):
    """A result of which nothing more is to be learnt."""

    receipt: TaskReceipt
    value: Any
    state: AuditState
    """``UNKNOWN`` where the task was not drawn; ``RINGER`` for each one, drawn or not."""
    paid: int = 0
    """Nit that its provider was paid already."""

    @property
    def false(self) -> bool:
        """Whether the result is none, and the task is done again."""
        return self.state in (AuditState.REFUTED, AuditState.NOT_DELIVERED, AuditState.RINGER)


class Verifier:
    """The customer's side of a job's audits.

    Args:
        run: the connection.
        job_id: the job.
        policy: which of its tasks are drawn.
        tasks: how many it has.
        secret: what providers hide its ringers for, ``None`` where it takes none.
        block: when it was opened.
    """

    def __init__(
        self, run: Run, job_id: int, policy: Verification, tasks: int, secret: bytes | None, block: int
    ) -> None:
        self._run, self._job_id, self._policy = run, job_id, policy
        self._tasks, self._secret, self._block = tasks, secret, block
        self._ringers: dict[int, Ringer | None] = {}
        self._paid = 0
        self._audits, self._beacon = Audits(run.client), Beacon(run.client)
        self._lock = threading.Lock()
        self._held: dict[int, list[tuple[TaskReceipt, Any]]] = {}
        self._judged: dict[int, tuple[TaskReceipt, Any]] = {}

    @property
    def waiting(self) -> bool:
        """Whether some result is held back."""
        return bool(self._held or self._judged)

    def look_for_ringer(self, lease_id: int, tasks: Sequence[int]) -> None:
        """Learn which task of a lease is a ringer; nothing can be planted once the first of them is settled.

        Args:
            lease_id: a lease, with a settled task.
            tasks: the numbers of all of its tasks.
        """
        if self._secret is None or lease_id in self._ringers:
            return
        planting, share = self._audits.planted(lease_id, self._block), self._policy.ringers_ppm
        self._ringers[lease_id] = reveal(self._secret, planting, lease_id, tasks, share) if planting else None

    def _ringer(self, receipt: TaskReceipt) -> Ringer | None:
        found = self._ringers.get(receipt.lease_id)
        return found if found is not None and found.task == receipt.task else None

    def hold(self, receipt: TaskReceipt, value: Any) -> None:
        """Keep a result until it is decided on."""
        moment = self._audits.read("moment_of", receipt.lease_id, receipt.task)
        with self._lock:
            self._held.setdefault(moment, []).append((receipt, value))

    def accuse(self, receipt: TaskReceipt) -> None:
        """Ask for a committee about a result that can't be read; its fee comes back if nobody can.

        The payment is not held back first: the task would be done again at once, and what another provider stores would
        pass for what this one has withheld.

        Raises:
            NetworkError: the node can't be reached.
            TransactionFailed: the contract refused.
        """
        audit_id = self._audits.read("audit_of", receipt.lease_id, receipt.task)
        if not audit_id:
            fee = self._audits.fee(receipt.lease_id, receipt.task)
            what = f"asking for a committee about task {receipt.task}"
            self._run.sender.send(self._audits.disputing(receipt, fee), what)
            audit_id = self._audits.read("audit_of", receipt.lease_id, receipt.task)
        with self._lock:
            self._judged[audit_id] = (receipt, UNREAD)

    def decided(self) -> list[Decision]:
        """Results that were not drawn, or of which an audit has ended.

        Raises:
            NetworkError: the node can't be reached; the next call goes on.
            RpcError: it refused a transaction.
        """
        found = []
        for moment in sorted(each for each in self._held if each + _MARGIN_SECONDS < time.time()):
            found += self._draw(moment)
        for audit_id in list(self._judged):
            found += self._judge(audit_id)
        return found

    def _draw(self, moment: int) -> list[Decision]:
        try:
            randomness = recorded(self._run.sender, self._beacon, moment)
        except IntensityError as error:
            self._warn(f"results of job {self._job_id} could not be drawn for audits: {error.why}")
            randomness = b""
        if randomness is None:
            return []
        with self._lock:
            results = list(self._held[moment])
        found, again = [], []
        for receipt, value in results:
            drawn = randomness and is_drawn(randomness, receipt.lease_id, receipt.task, self._policy.fraction_ppm)
            audit_id = self._open(receipt) if drawn else 0
            if audit_id:
                self._judged[audit_id] = (receipt, value)
            elif ringer := self._ringer(receipt):
                decision = self._retract(ringer, receipt)
                again += [(receipt, value)] if decision is None else []
                found += [decision] if decision is not None else []
            else:
                found.append(Decision(receipt, value, AuditState.UNKNOWN))
        with self._lock:
            # Not before: what fails is decided on again, and more may have come meanwhile.
            later = again + self._held.pop(moment)[len(results) :]
            if later:
                self._held[moment] = later
        return found

    def _open(self, receipt: TaskReceipt) -> int:
        """The number of a task's audit; 0, and a warning, where none can be had."""
        found = self._audits.read("audit_of", receipt.lease_id, receipt.task)
        if found:
            return found
        try:
            self._run.sender.send(self._audits.opening(receipt), f"opening the audit of task {receipt.task}")
        except (TransactionFailed, RpcError) as error:
            # Most often an auditor was quicker.
            if not self._audits.read("audit_of", receipt.lease_id, receipt.task):
                self._warn(f"task {receipt.task} of job {self._job_id} was drawn, but not audited: {error.why}")
        return self._audits.read("audit_of", receipt.lease_id, receipt.task)

    def _judge(self, audit_id: int) -> list[Decision]:
        audit, now = self._audits.audit(audit_id), time.time()
        state = AuditState(audit.state)
        if state.ended:
            receipt, value = self._judged[audit_id]
            self._report(audit_id, receipt, state)
            ringer, decision = self._ringer(receipt), Decision(receipt, value, state)
            if ringer is not None and state in _MISSED and (decision := self._retract(ringer, receipt)) is None:
                return []
            del self._judged[audit_id]
            return [decision]
        message, ringer = None, self._ringer(self._judged[audit_id][0])
        if state is AuditState.OPEN:
            if now < audit.moment or recorded(self._run.sender, self._beacon, audit.moment) is None:
                return []
            message = self._audits.drawing(audit_id)
        elif state is AuditState.DRAWN and ringer is not None and self._is_found(audit_id, audit):
            return self._unseal(audit_id, ringer)
        elif state is AuditState.DRAWN and now > audit.reveal_until + _PATIENCE_SECONDS:
            message = self._audits.concluding(audit_id)
        if message is not None:
            try:
                self._run.sender.send(message, f"moving audit {audit_id} on")
            except TransactionFailed as error:
                logging.getLogger("candela").debug("audit %d: %s", audit_id, error.why)
        return []

    def _is_found(self, audit_id: int, audit: Audit) -> bool:
        """Whether most of a committee, all of which has spoken, found a ringer false."""
        if audit.revealed < audit.seats and time.time() <= audit.reveal_until:
            return False
        verdicts = [self._audits.seat(audit_id, seat).verdict for seat in range(audit.seats)]
        return verdicts.count(Verdict.WRONG) > audit.seats // 2

    def _unseal(self, audit_id: int, ringer: Ringer) -> list[Decision]:
        receipt, _ = self._judged[audit_id]
        paid = self._show(self._audits.unsealing(audit_id, ringer.salt, self._pays), receipt)
        if self._audits.read("state_of", audit_id) != AuditState.RINGER:
            return []
        del self._judged[audit_id]
        logging.getLogger("candela").info("audit %d: its committee has found a ringer", audit_id)
        return [Decision(receipt, UNREAD, AuditState.RINGER, paid)]

    def _retract(self, ringer: Ringer, receipt: TaskReceipt) -> Decision | None:
        """``None`` where the chain is not past the moment yet: the next call tries again."""
        paid = self._show(self._audits.retracting(ringer, self._pays), receipt)
        if not self._audits.read("retracted", ringer.lease_id):
            return None
        return Decision(receipt, UNREAD, AuditState.RINGER, paid)

    @property
    def _pays(self) -> bool:
        return self._paid < self._policy.most_ringers(self._tasks)

    def _show(self, message: Message, receipt: TaskReceipt) -> int:
        """What the provider of a ringer is paid for it: nothing where it has shown it itself, or plants too many."""
        pays = self._pays
        try:
            self._run.sender.send(message, f"showing that task {receipt.task} is a ringer")
        except TransactionFailed as error:
            logging.getLogger("candela").info("task %d of job %d: %s", receipt.task, self._job_id, error.why)
            return 0
        self._paid += pays
        return receipt.price if pays else 0

    def _report(self, audit_id: int, receipt: TaskReceipt, state: AuditState) -> None:
        about = f"task {receipt.task} of job {self._job_id}"
        if self._ringer(receipt) is not None:
            if state in _MISSED:
                self._warn(f"audit {audit_id} found no fault with a ringer; see: candela audits {self._job_id}")
        elif state is AuditState.UNDECIDED:
            self._warn(f"{about} was drawn, but its committee came to no verdict")
        elif state in (AuditState.REFUTED, AuditState.NOT_DELIVERED):
            fields = self._audits.conclusion(audit_id)
            reason = "is false" if state is AuditState.REFUTED else "can't be read"
            self._warn(
                f"the result of {about} {reason}: {receipt.provider} lost {format_cnd(fields['slashed'])}, "
                f"{format_cnd(fields['refunded'])} went back to the job and {format_cnd(fields['to_customer'])} to you"
            )

    def _warn(self, text: str) -> None:
        logging.getLogger("candela").warning("%s", text)
