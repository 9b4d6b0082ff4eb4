"""The contract that narrows a dispute about a traced task down to one step."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from candela.chain.client import Client
from candela.chain.contract import Contract
from candela.chain.market import TaskReceipt
from candela.chain.message import Message
from candela.network.genesis import BISECTION
from candela.trace import Commitment, Tree

DEPOSIT = 10**16
"""What a customer risks beyond the price of the task, in nit; as in ``contracts/compute/Bisection.vy``."""
_GAS = {"challenge": 1_500_000, "anchor": 500_000, "open": 500_000, "show": 500_000, "time_out": 700_000}
"""Most gas; what is not used is not paid."""


class Phase(IntEnum):
    """What a game waits for."""

    UNKNOWN = 0
    ANCHORING = 1
    ANSWERING = 2
    COUNTERING = 3
    SHOWING = 4
    JUDGING = 5
    ENDED = 6


class Game(msgspec.Struct):
    """A dispute between a provider and a customer about their traces; ``phase`` is 0 where there is none."""

    provider: str
    customer: str
    output_hash: bytes
    phase: int
    level: int
    """Height of the subtree in which the first difference is."""
    index: int
    """Number of its first leaf."""
    theirs: bytes
    """Its node in the provider's trace."""
    ours: bytes
    """Its node in the customer's."""
    left: bytes
    right: bytes
    agreed: bytes
    """The node to the left of it that both agree on, of height ``agreed_level``."""
    agreed_level: int
    before: bytes
    """Hash of the state before the step, once it is known."""
    provider_seconds: int
    customer_seconds: int
    """What is left of the sides' clocks."""
    moved_at: int
    deposit: int
    """Nit that the contract holds for the winner."""

    @property
    def overdue_at(self) -> int | None:
        """When the side that is to move has lost, in Unix seconds; ``None`` where nobody is to move."""
        if self.phase in (Phase.ANCHORING, Phase.ANSWERING, Phase.SHOWING):
            return self.moved_at + self.provider_seconds
        return self.moved_at + self.customer_seconds if self.phase == Phase.COUNTERING else None


def deposit_of(receipt: TaskReceipt) -> int:
    """What a customer risks who opposes its own trace, in nit."""
    return receipt.price + DEPOSIT


class Bisection(Contract):
    """Reads games and makes transactions for them.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = BISECTION) -> None:
        super().__init__(client, "Bisection", address)

    def game(self, audit_id: int) -> Game:
        """The game of an audit."""
        return msgspec.convert(self.read("games", audit_id), Game)

    def challenging(self, receipt: TaskReceipt, stated: Commitment, own: Tree, fee: int) -> Message:
        """The transaction that opposes one's own trace to a provider's, and pays fee and deposit."""
        hashes = (receipt.code_hash, receipt.input_hash, receipt.output_hash)
        said = (receipt.outcome, *hashes, receipt.work_uwu)
        terms = (stated.steps, stated.root, stated.last, own.depth, own.root)
        return self._sent("challenge", receipt.lease_id, receipt.task, said, *terms, value=fee + deposit_of(receipt))

    def moving(self, audit_id: int, function: str, arguments: tuple[Any, ...]) -> Message:
        """The transaction of a move."""
        return self._sent(function, audit_id, *arguments)

    def timing_out(self, audit_id: int) -> Message:
        """The transaction that ends a game whose next move is overdue."""
        return self._sent("time_out", audit_id)

    def _sent(self, function: str, *arguments: Any, value: int = 0) -> Message:
        return self.message(function, *arguments, value=value, gas=_GAS[function])
