"""Plant the ringers that customers ask for, and show those that a committee has found before they pass for lies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from candela.chain.audits import Audits, AuditState
from candela.chain.sender import Sender
from candela.errors import Error, TransactionFailed
from candela.manifest import JobManifest
from candela.provider.config import write_atomically
from candela.provider.logs import logger
from candela.provider.tended import Tended
from candela.ringers import Planting, Ringer, plant

_TEND_SECONDS = 2.0
_POLICY_SECONDS = 2.0
_SEALED_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_CUSTOMER_SECONDS = 20
"""For so long the customer may show a ringer, and have it paid, before its provider does."""
_KEPT_SECONDS = 2 * 24 * 3600


class Kept(msgspec.Struct):
    """A ringer whose false result is on chain, or about to be."""

    ringer: Ringer
    stated_at: float


class Ringers(Tended):
    """A provider's ringers, tended by a thread of its own.

    Args:
        sender: the operator's.
        audits: the contract.
        path: file that keeps them over a restart: whoever forgets one is slashed for it.
    """

    def __init__(self, sender: Sender, audits: Audits, path: Path) -> None:
        super().__init__("candela-ringers", _TEND_SECONDS)
        self._sender, self._audits, self._path = sender, audits, path
        self._kept = msgspec.json.decode(path.read_bytes(), type=dict[str, Kept]) if path.exists() else {}

    def __contains__(self, lease_id: int) -> bool:
        """Whether a lease has a ringer of this provider's."""
        return str(lease_id) in self._kept

    def choose(self, manifest: JobManifest, job_id: int, lease_id: int, tasks: Sequence[int]) -> Planting | None:
        """What is to be planted in a lease; ``None`` where its customer asks for no ringers, or not yet on chain.

        Raises:
            NetworkError: the node can't be reached.
        """
        policy = manifest.verify
        if policy is None or not manifest.ringer_key:
            return None
        deadline = time.monotonic() + _POLICY_SECONDS
        while not (found := self._audits.policy(job_id)).ringers:
            # It is set right after the job is opened, and this machine may be quick.
            if found.kind or time.monotonic() > deadline:
                return None
            time.sleep(_PAUSE_SECONDS)
        try:
            return plant(bytes.fromhex(manifest.ringer_key), lease_id, tasks, policy.ringers_ppm)
        except ValueError as error:
            logger().warning("a customer's key for ringers is none", job=job_id, reason=str(error))
            return None

    def keep(self, ringer: Ringer) -> bool:
        """Remember a ringer before its false result is stated; whether its seal is on chain, without which it is a lie.

        Raises:
            NetworkError: the node can't be reached.
        """
        deadline = time.monotonic() + _SEALED_SECONDS
        while self._audits.seal_of(ringer.lease_id) != ringer.seal:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        self._kept[str(ringer.lease_id)] = Kept(ringer, time.time())
        self._save()
        return True

    def tend(self) -> None:
        """Show what the customer has not shown in time.

        Raises:
            NetworkError: the node can't be reached; what was due is tried again with the next call.
        """
        for name, kept in list(self._kept.items()):
            if self._is_over(kept):
                del self._kept[name]
                self._save()

    def _is_over(self, kept: Kept) -> bool:
        ringer = kept.ringer
        audit_id = self._audits.read("audit_of", ringer.lease_id, ringer.task)
        if audit_id:
            audit = self._audits.audit(audit_id)
            if AuditState(audit.state) is AuditState.DRAWN and time.time() > audit.reveal_until + _CUSTOMER_SECONDS:
                try:
                    self._sender.send(self._audits.unsealing(audit_id, ringer.salt, pay=False), "showing a ringer")
                except TransactionFailed as error:
                    logger().info("a ringer could not be shown", audit=audit_id, reason=error.why)
        return time.time() > kept.stated_at + _KEPT_SECONDS

    def _reason(self, error: Exception) -> str:
        return error.what if isinstance(error, Error) else super()._reason(error)

    def _warn(self, reason: str) -> None:
        logger().warning("ringers are not watched; trying again", reason=reason)

    def _save(self) -> None:
        write_atomically(self._path, msgspec.json.encode(self._kept))
