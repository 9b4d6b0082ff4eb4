"""The market contract: jobs, leases, receipts."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from candela.chain.client import Client, successful
from candela.chain.contract import Contract, Event
from candela.errors import UsageError
from candela.network.genesis import MARKET

ANY_DEVICE = 255
SETTLE_GAS = 300_000


class JobState(IntEnum):
    """Where a job stands on chain."""

    UNKNOWN = 0
    OPEN = 1
    PAUSED_USER = 2
    PAUSED_FUNDS = 3
    SETTLED = 4
    CANCELLED = 5
    EXPIRED = 6

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen but the end of running leases."""
        return self > JobState.PAUSED_FUNDS


class LeaseState(IntEnum):
    """Where a lease stands."""

    UNKNOWN = 0
    ACTIVE = 1
    COMPLETED = 2
    RELEASED = 3
    LAPSED = 4


class Outcome(IntEnum):
    """How a task ended; each is finished, paid work."""

    OK = 0
    USER_ERROR = 1
    TIMEOUT = 2
    LIMIT = 3


class Terms(msgspec.Struct):
    """The conditions of a job; field for field the contract's struct."""

    spec_hash: bytes
    kind: int
    task_count: int
    max_price_per_unit: int
    task_work_limit_uwu: int
    device_kind: int
    min_tier: int
    min_memory_bytes: int
    retries: int
    task_timeout: int
    lease_seconds: int
    audit_window: int
    deadline: int


class Job(msgspec.Struct):
    """A job's account."""

    customer: str
    state: int
    available: int
    next_task: int
    lease_count: int
    open_leases: int


def numbered(first_task: int, bitmap: int) -> list[int]:
    """Numbers of the tasks in a lease's bitmap, whose bit i is task ``first_task + i``."""
    return [first_task + bit for bit in range(256) if bitmap >> bit & 1]


class Lease(msgspec.Struct):
    """A lease; bit i of its bitmaps is task ``first_task + i``."""

    job_id: int
    provider: str
    operator: str
    device_id: int
    state: int
    attempt: int
    first_task: int
    mask: int
    done: int
    paid: int
    disputed: int
    redo: int
    price_per_unit: int
    task_work_limit_uwu: int
    escrow: int
    owed: int
    held: int
    expires_at: int
    ends_at: int
    taken_over: bool
    power_and_time: int
    """The most milliwatts that its device can draw, shifted by 128 bits, and the Unix time at which it was taken."""

    @property
    def undone(self) -> int:
        """What another provider may do: not done and not taken over yet, or refused and to be done again."""
        return self.redo if self.taken_over else (self.mask & ~self.done) | self.redo

    def tasks(self, bitmap: int) -> list[int]:
        """Numbers of the tasks in ``bitmap``."""
        return numbered(self.first_task, bitmap)


class TaskReceipt(msgspec.Struct, kw_only=True):
    """What a provider states about one task: the arguments of the settling transaction and where it was included."""

    job_id: int
    lease_id: int
    provider: str
    task: int
    attempt: int
    device_id: int
    outcome: int
    code_hash: bytes
    input_hash: bytes
    output_hash: bytes
    started: int
    work_uwu: int
    energy_mj: int
    energy_method: int
    price: int
    transaction: str = ""
    block: int = 0


class Market(Contract):
    """Reads the market and makes transactions for it.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = MARKET) -> None:
        super().__init__(client, "Market", address)

    def job(self, job_id: int) -> Job:
        """A job's account.

        Raises:
            UsageError: there is no such job.
        """
        job = msgspec.convert(self.read("jobs", job_id), Job)
        if job.state == JobState.UNKNOWN:
            raise UsageError(f"there is no job {job_id}", fix="list your jobs with: candela ps")
        return job

    def terms(self, job_id: int) -> Terms:
        """A job's conditions."""
        return msgspec.convert(self.read("terms", job_id), Terms)

    def lease(self, lease_id: int) -> Lease:
        """A lease."""
        return msgspec.convert(self.read("leases", lease_id), Lease)

    def leases(self, job_id: int) -> dict[int, Lease]:
        """All leases of a job by their ids."""
        ids = [job_id << 32 | number for number in range(1, self.job(job_id).lease_count + 1)]
        answers = self.client.batch([("eth_call", (self.view("leases", each), "latest")) for each in ids])
        decoded = [msgspec.convert(self.decode_result("leases", successful(answer)), Lease) for answer in answers]
        return dict(zip(ids, decoded, strict=True))

    def job_events(self, job_id: int, first_block: int, last_block: int) -> list[Event]:
        """A job's own events in a range of blocks."""
        return self.events(first_block, last_block, None, "0x" + job_id.to_bytes(32, "big").hex())

    def settle(self, receipt: TaskReceipt) -> Any:
        """The transaction that states ``receipt``."""
        return self.message(
            "settle",
            receipt.lease_id,
            receipt.task,
            receipt.outcome,
            receipt.code_hash,
            receipt.input_hash,
            receipt.output_hash,
            receipt.started,
            receipt.work_uwu,
            receipt.energy_mj,
            receipt.energy_method,
            receipt.price,
            gas=SETTLE_GAS,
        )


def receipt_of(event: Event) -> TaskReceipt:
    """The receipt in a ``TaskSettled`` event."""
    return msgspec.convert({**event.fields, "transaction": event.transaction, "block": event.block}, TaskReceipt)
