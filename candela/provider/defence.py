"""Answer customers who say that a task of this provider's has another trace: silence would cost the bond."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from candela.chain.audits import Audits, AuditState
from candela.chain.bisection import Bisection, Game, Phase
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.errors import Error, NetworkError, ProviderError, RpcError, TransactionFailed
from candela.market.bisection import provider_move
from candela.provider.logs import logger
from candela.provider.retracing import Retracer
from candela.provider.tended import Tended
from candela.trace import Tree

_BLOCKS = 50_000
_TEND_SECONDS = 0.5
_QUIET_SECONDS = 3.0
_JUDGED_SECONDS = 5.0
_AGAIN_SECONDS = 30.0
_BUSY_SECONDS = 600
"""How long an answer may wait for a device that works for pay; the clock allows an hour."""


class _Accusation(msgspec.Struct):
    job_id: int
    task: int
    tree: Tree | None = None
    look_at: float = 0.0


class Defence(Tended):
    """A provider's side of the disputes about its traces, tended by a thread of its own.

    Args:
        sender: the operator's.
        bisection, audits: the contracts.
        provider: address of the provider.
        retracer: does the tasks again.
        busy: whether the device works for pay.
    """

    def __init__(
        self,
        sender: Sender,
        bisection: Bisection,
        audits: Audits,
        provider: str,
        retracer: Retracer,
        busy: Callable[[], bool],
    ) -> None:
        super().__init__("candela-defence", _TEND_SECONDS)
        self._sender, self._bisection, self._audits = sender, bisection, audits
        self._provider, self._retracer, self._busy = provider.lower(), retracer, busy
        self._accusations: dict[int, _Accusation] = {}
        self._block = -1
        self._looked_at = float("-inf")

    @property
    def engaged(self) -> bool:
        """Whether a dispute has not ended."""
        return bool(self._accusations)

    def tend(self) -> None:
        """Do what is due now.

        Raises:
            NetworkError: the node can't be reached; what was due is tried again with the next call.
        """
        if not self.engaged and time.monotonic() - self._looked_at < _QUIET_SECONDS:
            return
        self._looked_at = time.monotonic()
        self._catch_up(self._bisection.client.block_number())
        for audit_id, accusation in list(self._accusations.items()):
            if time.time() < accusation.look_at:
                continue
            try:
                self._advance(audit_id, accusation)
            except NetworkError:
                raise
            except Error as error:
                # One dispute that goes wrong must not keep the others from being answered.
                accusation.look_at = time.time() + _AGAIN_SECONDS
                reason = f"{error.what} ({error.why})" if error.why else error.what
                logger().error("a dispute can't be answered; trying again", audit=audit_id, reason=reason)

    def _warn(self, reason: str) -> None:
        logger().error("disputes can't be answered; trying again", reason=reason)

    def _catch_up(self, head: int) -> None:
        word = "0x" + self._provider.removeprefix("0x").rjust(64, "0")
        while self._block < head:
            last = min(head, self._block + _BLOCKS)
            challenged = self._bisection.topic("Challenged")
            for event in self._bisection.events(self._block + 1, last, challenged, None, None, word):
                fields = event.fields
                self._accusations[fields["audit_id"]] = _Accusation(fields["job_id"], fields["task"])
            self._block = last

    def _advance(self, audit_id: int, accusation: _Accusation) -> None:
        game, now = self._bisection.game(audit_id), time.time()
        if game.phase == Phase.ENDED:
            del self._accusations[audit_id]
        elif game.phase == Phase.JUDGING:
            self._collect(audit_id, accusation, now)
        elif game.overdue_at is not None and now > game.overdue_at + 1:
            self._try(self._bisection.timing_out(audit_id), "ending an overdue dispute")
        elif game.phase != Phase.COUNTERING:
            self._answer(audit_id, accusation, game, now)

    def _collect(self, audit_id: int, accusation: _Accusation, now: float) -> None:
        state = AuditState(self._audits.read("state_of", audit_id))
        if not state.ended:
            accusation.look_at = now + _JUDGED_SECONDS
            return
        if state is AuditState.UPHELD:
            self._try(
                self._bisection.message("pay_deposit", audit_id, gas=300_000), "fetching a false accuser's deposit"
            )
        logger().info("a dispute about a trace has ended", audit=audit_id, state=state.name.lower())
        del self._accusations[audit_id]

    def _answer(self, audit_id: int, accusation: _Accusation, game: Game, now: float) -> None:
        if accusation.tree is None:
            if self._busy() and now < game.moved_at + _BUSY_SECONDS:
                return
            accusation.tree = self._retrace(audit_id, accusation)
        move = provider_move(game, accusation.tree)
        if move is None:
            return
        if move.function == "show":
            before = accusation.tree.node(0, game.index - 1)
            self._retracer.keep_state(accusation.job_id, accusation.task, before, game.index)
        self._try(self._bisection.moving(audit_id, move.function, move.arguments), "answering in a dispute")

    def _retrace(self, audit_id: int, accusation: _Accusation) -> Tree:
        job_id, task = accusation.job_id, accusation.task
        logger().warning("a customer disputes a trace; the task is done again", audit=audit_id, job=job_id, task=task)
        steps = self._retracer.run(job_id, task).steps
        if steps is None or steps.error or not steps.leaves:
            raise ProviderError(f"task {task} of job {job_id}, whose result is disputed, does not end well any more")
        return Tree(steps.leaves)

    def _try(self, message: Message, what: str) -> None:
        try:
            self._sender.send(message, what)
        except (TransactionFailed, RpcError) as error:
            logger().info(f"{what} failed", reason=error.why or error.what)
