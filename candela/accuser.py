"""Dispute a traced task as its customer: do it again here, and narrow the difference down to one step on chain."""

from __future__ import annotations

import time
from collections.abc import Callable

from candela.artefacts import ArtefactStore
from candela.chain.audits import Audits, AuditState
from candela.chain.bisection import Bisection, Game, Phase
from candela.chain.market import Outcome, TaskReceipt
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.errors import ArtefactError, TransactionFailed, UsageError
from candela.market.bisection import customer_move, own_tree
from candela.provider.retracing import Retracer
from candela.trace import OUTPUT_BYTES, Commitment, Tree, commit, decode_commitment
from candela.values import MAX_BYTES

_POLL_SECONDS = 0.5
_PAY_GAS = 300_000


def stated_trace(store: ArtefactStore, receipt: TaskReceipt) -> Commitment | None:
    """What a receipt's output commits to; ``None`` where it is no trace, or its last state can't be read."""
    if receipt.outcome != Outcome.OK:
        return None
    try:
        commitment = decode_commitment(store.get(receipt.output_hash.hex(), OUTPUT_BYTES))
        if commitment is not None:
            store.get(commitment.last.hex(), MAX_BYTES)
    except ArtefactError:
        return None
    return commitment


class Accuser:
    """The customer's side of a dispute about a trace.

    Args:
        sender: the customer's; it signs with the account's own key.
        retracer: does the task again on this machine.
        say: called with what goes on, for people.
    """

    def __init__(self, sender: Sender, retracer: Retracer, say: Callable[[str], None]) -> None:
        self._sender, self._retracer, self._say = sender, retracer, say
        self._audits, self._bisection = Audits(sender.client), Bisection(sender.client)
        self._said = ""

    def own_trace(self, receipt: TaskReceipt, stated: Commitment) -> Tree:
        """The trace of doing a task again here.

        Raises:
            UsageError: it is the provider's, or this machine can't finish the task.
        """
        about = f"task {receipt.task} of job {receipt.job_id}"
        self._tell(f"doing {about} again on this machine")
        steps = self._retracer.run(receipt.job_id, receipt.task).steps
        if steps is None:
            raise UsageError(
                f"{about} ran out of time or memory on this machine, so there is no trace to compare",
                fix="let a committee do it again as a whole: --whole",
            )
        if not steps.error and steps.leaves and commit(steps.leaves) == stated:
            raise UsageError(f"there is nothing to dispute: {about} gives the same {stated.steps} states here")
        return own_tree(steps)

    def challenge(self, receipt: TaskReceipt, stated: Commitment, own: Tree) -> int:
        """Oppose one's own trace to the provider's on chain; returns the audit's number.

        Raises:
            TransactionFailed: the contract refused.
        """
        fee = self._audits.fee(receipt.lease_id, receipt.task)
        self._sender.send(self._bisection.challenging(receipt, stated, own, fee), "opposing the trace")
        return self._audits.read("audit_of", receipt.lease_id, receipt.task)

    def play(self, audit_id: int, receipt: TaskReceipt, own: Tree) -> AuditState:
        """Move until the dispute has ended; can be gone on with after an interruption.

        Raises:
            NetworkError: the node can't be reached.
        """
        while True:
            game = self._bisection.game(audit_id)
            state = AuditState(self._audits.read("state_of", audit_id))
            if game.phase == Phase.ENDED:
                return state
            if game.phase == Phase.JUDGING and state.ended:
                self._try(self._bisection.message("pay_deposit", audit_id, gas=_PAY_GAS), "fetching the deposit")
                continue
            self._advance(audit_id, game, receipt, own)
            time.sleep(_POLL_SECONDS)

    def _advance(self, audit_id: int, game: Game, receipt: TaskReceipt, own: Tree) -> None:
        if game.phase == Phase.JUDGING:
            self._tell(f"the traces differ first at step {game.index + 1}; a committee does it again")
            return
        if game.phase == Phase.COUNTERING:
            self._tell("looking for the step at which the traces differ")
        elif game.overdue_at is not None and time.time() > game.overdue_at + 1:
            self._try(self._bisection.timing_out(audit_id), "ending an overdue dispute")
            return
        elif game.phase != Phase.SHOWING:
            self._tell(f"waiting for the provider, which has {game.provider_seconds // 60} minutes for its moves")
        move = customer_move(game, own)
        if move is None:
            return
        if move.function == "show":
            # A liar might withhold the state that both agree on: then nobody could do the step again.
            before = own.node(0, game.index - 1)
            self._retracer.keep_state(receipt.job_id, receipt.task, before, game.index)
        self._try(self._bisection.moving(audit_id, move.function, move.arguments), "moving in the dispute")

    def _try(self, message: Message, what: str) -> None:
        try:
            self._sender.send(message, what)
        except TransactionFailed as error:
            # Most often the other side was quicker; the next look at the chain tells.
            self._tell(f"{what} failed: {error.why}")

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._say(text)
        self._said = text
