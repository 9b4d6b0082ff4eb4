"""Have what customers' payments set aside for auditors credited to those who judged, where that is worth its gas."""

from __future__ import annotations

import time

import msgspec

from candela.amounts import format_cnd
from candela.chain.audits import Audits
from candela.chain.rewards import MAX_AUDITS, Rewards
from candela.chain.sender import Sender
from candela.economics.rewards import each_auditor
from candela.errors import RpcError, TransactionFailed
from candela.provider.logs import logger

_LOOK_SECONDS = 30.0
_MAX_KEPT = 500
"""Most audits that wait; of more the cheapest were not worth it for long."""


class AuditPay:
    """A provider's verdicts that have not had their share.

    Args:
        sender: the operator's.
        audits: the contract that knows them.
        provider: address of the provider.
    """

    def __init__(self, sender: Sender, audits: Audits, provider: str) -> None:
        self._sender, self._audits, self._provider = sender, audits, provider.lower()
        self._rewards = Rewards(audits.client)
        self._waiting: list[int] = []
        self._looked_at = float("-inf")

    def add(self, audit_id: int) -> None:
        """An audit on which it had a seat has ended."""
        self._waiting = [*self._waiting[-_MAX_KEPT + 1 :], audit_id]

    def tend(self) -> None:
        """Share out what waits, if that brings this provider more than it costs.

        Raises:
            NetworkError: the node can't be reached; the next call tries again.
        """
        if not self._waiting or time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        income = self._income()
        self._waiting = [audit_id for audit_id in self._waiting if audit_id in income]
        worth = {audit_id: each for audit_id, each in income.items() if each}
        batch = sorted(worth, key=worth.__getitem__, reverse=True)[:MAX_AUDITS]
        if not batch:
            return
        message = self._rewards.sharing_out(batch)
        gas, cost = self._sender.client.estimate(self._sender.account.address, message)
        if sum(worth[each] for each in batch) <= cost:
            return
        try:
            message = msgspec.structs.replace(message, gas=gas * 5 // 4)
            self._sender.send(message, "sharing out what is set aside for auditors")
        except (TransactionFailed, RpcError) as error:
            # Most often another auditor was quicker.
            logger().info("nothing was shared out", reason=error.why or error.what)
        else:
            logger().info("audits were paid their share", audits=len(batch), cost=format_cnd(cost))

    def _income(self) -> dict[int, int]:
        """What each audit that has not had its share would bring this provider now, in nit."""
        pools: dict[str, int] = {}
        found = {}
        for audit_id in self._waiting:
            customer, price, winners = self._audits.read("winners", audit_id)
            if self._provider not in map(str.lower, winners) or self._rewards.read("shared", audit_id):
                continue
            left = pools[customer] if customer in pools else self._rewards.set_aside(customer)
            found[audit_id] = each_auditor(left, len(winners), price)
            pools[customer] = left - found[audit_id] * len(winners)
        return found
