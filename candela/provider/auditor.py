"""Judge other providers' work for pay: open drawn audits, seat committees, commit, reveal and count verdicts."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from candela.amounts import format_cnd
from candela.chain.audits import (
    AUDITOR_BOND,
    DRAW_SECONDS,
    NEVER,
    UNSEAL_SECONDS,
    Audit,
    Audits,
    AuditState,
    PolicyKind,
    Verdict,
    seal,
)
from candela.chain.beacon import Beacon
from candela.chain.bisection import Bisection, Phase
from candela.chain.contract import Event
from candela.chain.message import Message
from candela.chain.randomness import recorded
from candela.chain.sender import Sender
from candela.errors import RpcError, TransactionFailed
from candela.provider.audit_pay import AuditPay
from candela.provider.config import write_atomically
from candela.provider.draws import Draws
from candela.provider.examination import Examiner, Finding, Statement
from candela.provider.logs import logger
from candela.provider.tended import Tended

_EVENTS = ("Opened", "Drawn", "Seated", "Concluded", "PolicySet")
_BLOCKS = 2_000
_TEND_SECONDS = 0.25
_QUIET_SECONDS = 3.0
_ENROL_SECONDS = 20.0
_ABANDONED_SECONDS = 60.0
_NARROWING_SECONDS = 3.0
_EXAMINE_SECONDS = 60.0
"""Kept for an examination beyond the task's own time; a device that works for pay is left alone until then."""


class Sealed(msgspec.Struct):
    """A verdict that is fixed on chain, or about to be; whoever loses it can't reveal."""

    verdict: int
    output_hash: bytes
    salt: bytes
    committed: bool = False
    revealed: bool = False


class Auditor(Tended):
    """A provider's seat on committees, tended by a thread of its own.

    Args:
        sender: the operator's.
        audits, beacon: the contracts.
        provider: address of the provider.
        device_id: the device that it enrols.
        examiner: does the tasks again.
        draws: finds the tasks that are drawn.
        path: file that keeps sealed verdicts over a restart.
        busy: whether the device works for pay.
        open_now: whether new audits are judged; where they are not, seats that it has are served.
    """

    def __init__(
        self,
        sender: Sender,
        audits: Audits,
        beacon: Beacon,
        provider: str,
        device_id: int,
        examiner: Examiner,
        draws: Draws,
        path: Path,
        busy: Callable[[], bool],
        open_now: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__("candela-auditor", _TEND_SECONDS)
        self._sender, self._audits, self._beacon = sender, audits, beacon
        self._bisection = Bisection(audits.client)
        self._provider, self._device_id = provider.lower(), device_id
        self._examiner, self._draws, self._path = examiner, draws, path
        self._busy, self._open_now = busy, open_now
        self._pay = AuditPay(sender, audits, provider)
        self._sealed: dict[str, Sealed] = _load(path)
        self._opened: dict[int, dict] = {}
        self._seats: dict[int, int] = {}
        self._look_at: dict[int, float] = {}
        self._number = 0
        self._enrolled = False
        self._closed = False
        self._enrol_at = 0.0
        self._block = -1
        self._looked_at = float("-inf")
        # Not all at once: each waits a little longer than the one before.
        self._patience = 0.3 + int(self._provider[-2:], 16) / 128

    @property
    def seated(self) -> bool:
        """Whether a committee waits for its verdict."""
        return bool(self._seats)

    def rest(self) -> None:
        """Be drawn by no later moment; seats that it has are served.

        Raises:
            NetworkError: the node can't be reached.
        """
        self._enrol_at = math.inf
        if self._enrolled:
            self._withdraw()

    def tend(self) -> None:
        """Do what is due now.

        Raises:
            NetworkError: the node can't be reached; what was due is tried again with the next call.
            RpcError: the node refused a transaction.
        """
        head = self._audits.client.block_number()
        live = bool(self._opened) or self._draws.waiting
        if head == self._block and not live and time.monotonic() - self._looked_at < _QUIET_SECONDS:
            return
        self._looked_at = time.monotonic()
        self._keep_hours()
        self._catch_up(head)
        self._draws.tend(self._patience)
        for audit_id in [each for each in self._opened if time.time() >= self._look_at.get(each, 0)]:
            self._advance(audit_id, self._audits.audit(audit_id))
        self._pay.tend()

    def _warn(self, reason: str) -> None:
        logger().warning("auditing is in trouble", reason=reason)

    def _keep_hours(self) -> None:
        if self._open_now():
            self._closed = False
            self._enrol()
        elif not self._closed and time.monotonic() >= self._enrol_at:
            self._enrol_at = time.monotonic() + _ENROL_SECONDS
            self._closed, self._enrolled = self._withdraw(), False

    def _withdraw(self) -> bool:
        """Whether no later moment draws it."""
        self._number = self._number or self._audits.number_of(self._provider)
        if self._number and self._audits.auditor(self._number).ready_until == NEVER:
            return self._try(self._audits.message("rest", self._number), "resting as an auditor")
        return True

    def _enrol(self) -> None:
        if self._enrolled or time.monotonic() < self._enrol_at:
            return
        self._enrol_at = time.monotonic() + _ENROL_SECONDS
        self._number = self._number or self._audits.number_of(self._provider)
        state = self._audits.auditor(self._number) if self._number else None
        if state is None or (not state.bond and state.ready_until != NEVER and not state.open_seats):
            message = self._audits.message("enrol", self._device_id, value=AUDITOR_BOND)
            if self._try(message, "enrolling as an auditor"):
                self._number = self._audits.number_of(self._provider)
                self._enrolled = True
                logger().info("enrolled as an auditor", auditor=self._number, bond=format_cnd(AUDITOR_BOND))
            return
        if state.ready_until == NEVER:
            self._enrolled = True
        elif time.time() > state.ready_until + DRAW_SECONDS + 1:
            message = self._audits.message("resume", self._number, value=AUDITOR_BOND - state.bond)
            self._enrolled = self._try(message, "returning as an auditor")

    def _catch_up(self, head: int) -> None:
        topics = [self._audits.topic(name) for name in _EVENTS]
        while self._block < head:
            last = min(head, self._block + _BLOCKS)
            for event in self._audits.events(self._block + 1, last, topics):
                self._learn(event)
            self._draws.catch_up(self._block + 1, last)
            self._block = last

    def _learn(self, event: Event) -> None:
        fields = event.fields
        match event.name:
            case "PolicySet":
                self._draws.policy(fields["job_id"], fields["fraction_ppm"])
            case "Opened":
                self._opened[fields["audit_id"]] = fields
                self._draws.opened(fields["lease_id"], fields["task"])
            case "Seated" if fields["provider"].lower() == self._provider:
                self._seats[fields["audit_id"]] = fields["seat"]
                self._look_at.pop(fields["audit_id"], None)
            case "Concluded":
                self._forget(fields["audit_id"])

    def _forget(self, audit_id: int) -> None:
        self._opened.pop(audit_id, None)
        self._look_at.pop(audit_id, None)
        seat = self._seats.pop(audit_id, None)
        if seat is not None:
            self._pay.add(audit_id)
        if seat is not None and self._sealed.pop(f"{audit_id}/{seat}", None):
            self._save()
            # A penalty may have put it to rest.
            self._enrolled = self._audits.auditor(self._number).ready_until == NEVER

    def _advance(self, audit_id: int, audit: Audit) -> None:
        state, now = AuditState(audit.state), time.time()
        if state.ended:
            self._forget(audit_id)
        elif state == AuditState.NARROWING:
            self._look_at[audit_id] = now + _NARROWING_SECONDS
        elif state == AuditState.OPEN:
            self._draw(audit_id, audit, now)
        elif audit_id in self._seats:
            self._serve(audit_id, audit, self._seats[audit_id], now)
        elif now > audit.reveal_until + self._patience + _ABANDONED_SECONDS:
            # Members count the verdicts themselves; this is for committees that have gone.
            self._conclude(audit_id, audit, now)
        else:
            self._look_at[audit_id] = audit.reveal_until + self._patience + _ABANDONED_SECONDS

    def _draw(self, audit_id: int, audit: Audit, now: float) -> None:
        if now < audit.moment + self._patience:
            return
        if now > audit.moment + DRAW_SECONDS:
            self._try(self._audits.message("postpone", audit_id), "postponing an audit")
        elif recorded(self._sender, self._beacon, audit.moment) is not None:
            self._try(self._audits.drawing(audit_id), "seating a committee")

    def _serve(self, audit_id: int, audit: Audit, seat: int, now: float) -> None:
        sealed = self._sealed.get(f"{audit_id}/{seat}")
        if sealed is None or not sealed.committed:
            if now < audit.commit_until:
                self._commit(audit_id, audit, seat, sealed, now)
            elif now > audit.reveal_until + self._patience:
                self._conclude(audit_id, audit, now)
        elif not sealed.revealed:
            if (audit.committed == audit.seats or now > audit.commit_until + 1) and now < audit.reveal_until:
                self._reveal(audit_id, seat, sealed)
        elif audit.revealed == audit.seats or now > audit.reveal_until + self._patience:
            self._conclude(audit_id, audit, now)

    def _commit(self, audit_id: int, audit: Audit, seat: int, sealed: Sealed | None, now: float) -> None:
        if sealed is None:
            latest = audit.commit_until - 2 * audit.task_timeout - _EXAMINE_SECONDS
            if self._busy() and now < latest:
                return
            found = self._examine(audit_id, audit)
            sealed = Sealed(int(found.verdict), found.output_hash, secrets.token_bytes(32))
            self._sealed[f"{audit_id}/{seat}"] = sealed
            self._save()
        hidden = (Verdict(sealed.verdict), sealed.output_hash, sealed.salt)
        digest = seal(audit_id, seat, self._provider, *hidden)
        done = self._audits.seat(audit_id, seat).sealed == digest
        if done or self._try(self._audits.message("commit", audit_id, seat, digest), "committing to a verdict"):
            sealed.committed = True
            self._save()

    def _examine(self, audit_id: int, audit: Audit) -> Finding:
        opened, game = self._opened[audit_id], self._bisection.game(audit_id)
        if game.phase == Phase.JUDGING:
            before = game.before if game.index else None
            found = self._examiner.examine_step(audit.job_id, audit.task, before, audit.output_hash)
        else:
            stated = Statement(
                audit.job_id, audit.task, opened["outcome"], audit.output_hash, audit.kind == PolicyKind.REPLAY
            )
            found = self._examiner.examine(stated)
        verdict, job = found.verdict.name.lower(), audit.job_id
        logger().info("task judged", audit=audit_id, job=job, task=audit.task, verdict=verdict, reason=found.reason)
        return found

    def _reveal(self, audit_id: int, seat: int, sealed: Sealed) -> None:
        message = self._audits.message("reveal", audit_id, seat, sealed.verdict, sealed.output_hash, sealed.salt)
        if self._audits.seat(audit_id, seat).verdict or self._try(message, "revealing a verdict"):
            sealed.revealed = True
            self._save()

    def _conclude(self, audit_id: int, audit: Audit, now: float) -> None:
        if now > audit.reveal_until + UNSEAL_SECONDS + 1 or not self._may_be_ringer(audit_id, audit):
            self._try(self._audits.concluding(audit_id), "counting verdicts")

    def _may_be_ringer(self, audit_id: int, audit: Audit) -> bool:
        """Whether the contract counts the verdicts only once nobody can show a ringer any more."""
        if self._audits.seal_of(audit.lease_id) == bytes(32):
            return False
        verdicts = [self._audits.seat(audit_id, seat).verdict for seat in range(audit.seats)]
        return verdicts.count(Verdict.WRONG) > audit.seats // 2

    def _try(self, message: Message, what: str) -> bool:
        """Whether a transaction succeeded; where it did not, another auditor was most often quicker."""
        try:
            self._sender.send(message, what)
        except (TransactionFailed, RpcError) as error:
            logger().info(f"{what} failed", reason=error.why or error.what)
            return False
        return True

    def _save(self) -> None:
        write_atomically(self._path, msgspec.json.encode(self._sealed))


def _load(path: Path) -> dict[str, Sealed]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Sealed])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        logger().error("sealed verdicts are lost; their seats will be silent", file=str(path), reason=str(error))
        return {}
