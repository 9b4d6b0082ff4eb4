"""Play a dispute about a trace: what either side says next, from its own tree and what stands on chain."""

from __future__ import annotations

from typing import Any

import msgspec

from candela.chain.bisection import Game, Phase
from candela.errors import ProviderError
from candela.trace import RAISED, Steps, Tree, commit


class Move(msgspec.Struct, frozen=True):
    """A call of the contract; its first argument, the audit's number, is left out."""

    function: str
    arguments: tuple[Any, ...]


def own_tree(steps: Steps) -> Tree:
    """The trace of a customer who did the task again; a step that raised has a leaf too."""
    return Tree([*steps.leaves, RAISED] if steps.error else steps.leaves)


def provider_move(game: Game, tree: Tree) -> Move | None:
    """What the provider says next, ``None`` where it is not its turn.

    Raises:
        ProviderError: the tree is not the one that the receipt commits to.
    """
    match game.phase:
        case Phase.ANCHORING:
            stated = commit(tree.leaves)
            if stated.output_hash != game.output_hash:
                raise ProviderError(
                    "this machine's trace is not the one that its receipt commits to",
                    why="the task's steps do not give the same bytes each time here",
                    fix="see whether other tasks of the job repeat; the machine's memory may be faulty",
                )
            return Move("anchor", (stated.steps, stated.root, stated.last, tree.anchor()))
        case Phase.ANSWERING:
            return _open(game, tree)
        case Phase.SHOWING:
            return _show(game, tree)
        case _:
            return None


def customer_move(game: Game, tree: Tree) -> Move | None:
    """What the customer says next, ``None`` where it is not its turn; the state before the step either side shows."""
    match game.phase:
        case Phase.COUNTERING:
            return _open(game, tree)
        case Phase.SHOWING:
            return _show(game, tree)
        case _:
            return None


def _open(game: Game, tree: Tree) -> Move:
    first = game.index >> game.level << 1
    return Move("open", (tree.node(game.level - 1, first), tree.node(game.level - 1, first + 1)))


def _show(game: Game, tree: Tree) -> Move:
    before = tree.node(0, game.index - 1)
    return Move("show", (before, tree.before(game.index, game.agreed_level)))
