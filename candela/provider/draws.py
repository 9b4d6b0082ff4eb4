"""Find the tasks that a moment draws for an audit, and open it where nobody else has."""

from __future__ import annotations

import time
from collections.abc import Set

from candela.chain.audits import DRAW_SECONDS, Audits, is_drawn
from candela.chain.beacon import Beacon
from candela.chain.client import successful
from candela.chain.market import Market, TaskReceipt, receipt_of
from candela.chain.randomness import recorded
from candela.chain.sender import Sender
from candela.errors import IntensityError, RpcError, TransactionFailed
from candela.provider.logs import logger

_JOBS_PER_QUERY = 50
_BATCH = 100
_RECENT_BLOCKS = 20_000
MAX_WAITING = 100_000
"""Most receipts that wait for their moment; later ones are left to others."""


class Draws:
    """Receipts of jobs with a policy, until their moment has told whether they are drawn.

    Args:
        sender: opens audits.
        audits, beacon, market: the contracts.
    """

    def __init__(self, sender: Sender, audits: Audits, beacon: Beacon, market: Market) -> None:
        self._sender, self._audits, self._beacon, self._market = sender, audits, beacon, market
        self._fractions: dict[int, int] = {}
        self._fresh: set[int] = set()
        self._waiting: dict[int, dict[tuple[int, int], TaskReceipt]] = {}

    @property
    def waiting(self) -> bool:
        """Whether some moment has not come."""
        return bool(self._waiting)

    def policy(self, job_id: int, fraction_ppm: int) -> None:
        """A customer has said how many of a million tasks of a job are drawn."""
        if job_id not in self._fractions:
            self._fresh.add(job_id)
        self._fractions[job_id] = fraction_ppm

    def opened(self, lease_id: int, task: int) -> None:
        """Somebody has opened the audit of a task."""
        for receipts in self._waiting.values():
            receipts.pop((lease_id, task), None)

    def catch_up(self, first_block: int, last_block: int) -> None:
        """Take in what was settled in a range of blocks, and before it for jobs that are new; not what is long over."""
        recent = max(self._market.client.block_number() - _RECENT_BLOCKS, 0)
        known = self._fractions.keys() - self._fresh
        self._read(known, max(first_block, recent), last_block)
        self._read(self._fresh, recent, last_block)
        self._fresh = set()

    def _read(self, jobs: Set[int], first_block: int, last_block: int) -> None:
        topics = [f"0x{job_id:064x}" for job_id in sorted(jobs) if self._fractions[job_id]]
        for start in range(0, len(topics) if first_block <= last_block else 0, _JOBS_PER_QUERY):
            wanted = [self._market.topic("TaskSettled"), topics[start : start + _JOBS_PER_QUERY]]
            receipts = [receipt_of(event) for event in self._market.events(first_block, last_block, *wanted)]
            for first in range(0, len(receipts), _BATCH):
                self._await(receipts[first : first + _BATCH])

    def _await(self, receipts: list[TaskReceipt]) -> None:
        calls = [("eth_call", (self._audits.view("moment_of", r.lease_id, r.task), "latest")) for r in receipts]
        answers = self._audits.client.batch(calls)
        room = MAX_WAITING - sum(map(len, self._waiting.values()))
        for receipt, answer in list(zip(receipts, answers, strict=True))[: max(room, 0)]:
            moment = self._audits.decode_result("moment_of", successful(answer))
            if time.time() <= moment + DRAW_SECONDS:
                self._waiting.setdefault(moment, {})[receipt.lease_id, receipt.task] = receipt

    def tend(self, patience_seconds: float) -> None:
        """Open what is drawn, a while after its moment: a customer who waits for it is quicker.

        Raises:
            NetworkError: the node can't be reached; what was due is tried again with the next call.
        """
        for moment in [each for each in self._waiting if each + 1 + patience_seconds < time.time()]:
            try:
                randomness = recorded(self._sender, self._beacon, moment) if self._waiting[moment] else b""
            except IntensityError as error:
                logger().warning("a draw was missed", moment=moment, reason=error.why)
                randomness = b""
            if randomness is None:
                continue
            for (lease_id, task), receipt in self._waiting.pop(moment).items():
                if randomness and is_drawn(randomness, lease_id, task, self._fractions[receipt.job_id]):
                    self._open(receipt)

    def _open(self, receipt: TaskReceipt) -> None:
        if self._audits.read("audit_of", receipt.lease_id, receipt.task):
            return
        try:
            self._sender.send(self._audits.opening(receipt), "opening an audit")
            logger().info("a task is drawn for an audit", job=receipt.job_id, task=receipt.task)
        except (TransactionFailed, RpcError) as error:
            logger().info("an audit could not be opened", job=receipt.job_id, reason=error.why or error.what)
