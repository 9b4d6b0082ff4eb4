"""The contract of audits: auditors, policies, committees and their verdicts."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from candela import _ledger
from candela.chain.client import Client
from candela.chain.contract import Contract
from candela.chain.market import TaskReceipt
from candela.chain.message import Message
from candela.errors import UsageError
from candela.network.genesis import AUDITS
from candela.ringers import Planting, Ringer

NEVER = 2**64 - 1
"""``ready_until`` of an auditor that does not rest."""
DRAW_SECONDS = 600
"""How long after its moment a task can be drawn, and a committee be seated."""
UNSEAL_SECONDS = 60
"""How long after the last verdict a ringer can be named."""
AUDITOR_BOND = 10**17
"""Nit."""
_MILLION = 10**6
_GAS = {
    "plant": 150_000,
    "retract": 500_000,
    "unseal": 3_000_000,
    "open": 1_000_000,
    "dispute": 1_000_000,
    "draw": 5_000_000,
    "conclude": 3_000_000,
}
"""Most gas; what is not used is not paid."""


class AuditState(IntEnum):
    """Where an audit stands."""

    UNKNOWN = 0
    OPEN = 1
    DRAWN = 2
    UPHELD = 3
    REFUTED = 4
    NOT_DELIVERED = 5
    NOT_CHECKABLE = 6
    UNDECIDED = 7
    RINGER = 8
    NARROWING = 9
    """A dispute about a trace, whose sides look for the first step at which they differ."""

    @property
    def ended(self) -> bool:
        """Whether its money is where it belongs."""
        return AuditState.UPHELD <= self <= AuditState.RINGER


class PolicyKind(IntEnum):
    """How auditors judge, as the contract numbers it."""

    NONE = 0
    REPLICATE = 1
    REPLAY = 2
    FREIVALDS = 3


class Verdict(IntEnum):
    """What an auditor says of a receipt."""

    SILENT = 0
    RIGHT = 1
    WRONG = 2
    WITHHELD = 3
    UNCHECKABLE = 4


class Auditor(msgspec.Struct):
    """A device that judges other providers' work."""

    provider: str
    device_id: int
    bond: int
    enrolled_at: int
    ready_from: int
    ready_until: int
    open_seats: int


class Policy(msgspec.Struct):
    """How a job's tasks are audited; ``kind`` is 0 where its customer has set none."""

    kind: int
    fraction_ppm: int
    seats: int
    ringers: bool


class Audit(msgspec.Struct):
    """An audit's row."""

    lease_id: int
    task: int
    job_id: int
    provider: str
    customer: str
    output_hash: bytes
    price: int
    fee: int
    pot: int
    disputed: bool
    kind: int
    state: int
    seats: int
    committed: int
    revealed: int
    task_timeout: int
    moment: int
    commit_until: int
    reveal_until: int


class Seat(msgspec.Struct):
    """A seat of a committee."""

    auditor: int
    sealed: bytes
    verdict: int
    output_hash: bytes


class Audits(Contract):
    """Reads audits and makes transactions for them.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = AUDITS) -> None:
        super().__init__(client, "Audits", address)

    def policy(self, job_id: int) -> Policy:
        """A job's policy."""
        return msgspec.convert(self.read("policies", job_id), Policy)

    def auditor(self, number: int) -> Auditor:
        """An auditor."""
        return msgspec.convert(self.read("auditors", number), Auditor)

    def audit(self, audit_id: int) -> Audit:
        """An audit; its state is ``UNKNOWN`` when there is none."""
        return msgspec.convert(self.read("audits", audit_id), Audit)

    def seat(self, audit_id: int, seat: int) -> Seat:
        """One seat of a committee."""
        return msgspec.convert(self.read("seats", audit_id, seat), Seat)

    def number_of(self, provider: str) -> int:
        """The last number under which a provider has enrolled, 0 when it never has."""
        word = "0x" + provider.lower().removeprefix("0x").rjust(64, "0")
        events = self.events(0, self.client.block_number(), self.topic("Enrolled"), None, word)
        return events[-1].fields["auditor"] if events else 0

    def conclusion(self, audit_id: int) -> dict[str, Any]:
        """Where the money of an audit that has ended went, in nit: the fields of its ``Concluded`` event.

        Raises:
            UsageError: it has not ended.
        """
        events = self.events(0, self.client.block_number(), self.topic("Concluded"), f"0x{audit_id:064x}")
        if not events:
            raise UsageError(f"audit {audit_id} has not ended", fix="follow it with: candela audits")
        return events[0].fields

    def seal_of(self, lease_id: int) -> bytes:
        """What hides the ringer of a lease, or that it has none; zeros where nothing is planted."""
        return self.read("seals", lease_id)

    def planted(self, lease_id: int, first_block: int = 0) -> Planting | None:
        """What is planted in a lease, without the ringer itself; ``None`` where nothing is."""
        topics = (self.topic("Planted"), None, f"0x{lease_id:064x}")
        events = self.events(first_block, self.client.block_number(), *topics)
        return Planting(events[0].fields["sealed"], events[0].fields["key"], None) if events else None

    def planting(self, lease_id: int, planting: Planting) -> Message:
        """The transaction that plants what a provider has chosen for a lease."""
        return self.message("plant", lease_id, planting.sealed, planting.key, gas=_GAS["plant"])

    def retracting(self, ringer: Ringer, pay: bool) -> Message:
        """The transaction that shows a ringer which no committee has found, so that it is done again."""
        return self.message("retract", ringer.lease_id, ringer.task, ringer.salt, pay, gas=_GAS["retract"])

    def unsealing(self, audit_id: int, salt: bytes, pay: bool) -> Message:
        """The transaction that shows a ringer which a committee has found."""
        return self.message("unseal", audit_id, salt, pay, gas=_GAS["unseal"])

    def opening(self, receipt: TaskReceipt) -> Message:
        """The transaction that opens the audit of a drawn task."""
        return self.message("open", *_stated(receipt), gas=_GAS["open"])

    def disputing(self, receipt: TaskReceipt, fee: int) -> Message:
        """The transaction that asks for a committee and pays its fee."""
        return self.message("dispute", *_stated(receipt), value=fee, gas=_GAS["dispute"])

    def fee(self, lease_id: int, task: int) -> int:
        """What a dispute of a task costs, in nit."""
        return self.read("fee", lease_id, task)

    def drawing(self, audit_id: int) -> Message:
        """The transaction that seats a committee."""
        return self.message("draw", audit_id, gas=_GAS["draw"])

    def concluding(self, audit_id: int) -> Message:
        """The transaction that counts the verdicts and pays."""
        return self.message("conclude", audit_id, gas=_GAS["conclude"])


def _stated(receipt: TaskReceipt) -> tuple[int, int, int, bytes, bytes, bytes, int]:
    hashes = (receipt.code_hash, receipt.input_hash, receipt.output_hash)
    return (receipt.lease_id, receipt.task, receipt.outcome, *hashes, receipt.work_uwu)


def is_drawn(randomness: bytes, lease_id: int, task: int, fraction_ppm: int) -> bool:
    """Whether a moment's randomness draws a task."""
    from eth_abi import abi

    encoded = abi.encode(["bytes32", "bytes", "uint256", "uint32"], [randomness, b"task", lease_id, task])
    return int.from_bytes(_ledger.keccak256(encoded), "big") % _MILLION < fraction_ppm


def seal(audit_id: int, seat: int, provider: str, verdict: Verdict, output_hash: bytes, salt: bytes) -> bytes:
    """What hides a verdict until all are fixed."""
    from eth_abi import abi

    kinds = ["uint256", "uint8", "address", "uint8", "bytes32", "bytes32"]
    return _ledger.keccak256(abi.encode(kinds, [audit_id, seat, provider, int(verdict), output_hash, salt]))
