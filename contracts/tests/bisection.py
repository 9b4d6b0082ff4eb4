"""The rules of a bisection in Python, for comparison with the contract, and games between two traces."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from candela.chain.bisection import Game, Phase
from candela.market.bisection import Move, customer_move, provider_move
from candela.trace import END, ENDS, RAISED, Commitment, Tree, commit, join

PROVIDER, CUSTOMER, COMMITTEE = "provider", "customer", "committee"


class RefusedError(Exception):
    """A move that the rules don't allow."""


def states(count: int, kind: str = "state") -> list[bytes]:
    """Hashes of states that follow from each other."""
    found, last = [], b""
    for number in range(count):
        last = hashlib.sha256(f"{kind} {number}".encode() + last).digest()
        found.append(last)
    return found


def lied(honest: Sequence[bytes], index: int) -> list[bytes]:
    """A trace that is honest up to a step, and goes on from a state that was made up."""
    return [*honest[:index], *states(len(honest) - index, "lie")]


@dataclass
class Model:
    """One game by the rules of the contract, without clocks and money.

    Args:
        stated: what the provider's receipt commits to.
        own: the customer's tree.
    """

    stated: Commitment
    own: Tree
    game: Game = field(init=False)
    winner: str = ""

    def __post_init__(self) -> None:
        """Begin."""
        depth = max(self.stated.depth, self.own.depth)
        theirs = self.stated.root
        for level in range(self.stated.depth, depth):
            theirs = join(theirs, ENDS[level])
        self.game = Game(
            PROVIDER,
            CUSTOMER,
            self.stated.output_hash,
            Phase.ANCHORING,
            depth,
            0,
            theirs,
            self.own.lifted(depth),
            *(END, END, END, 0, END, 0, 0, 0, 1),
        )

    def play(self, by: str, move: Move) -> None:
        """Make a move.

        Raises:
            RefusedError: it is another side's turn, or what it says is not so.
        """
        turns = {"anchor": {Phase.ANCHORING: PROVIDER}, "show": {Phase.SHOWING: by}}
        turns["open"] = {Phase.ANSWERING: PROVIDER, Phase.COUNTERING: CUSTOMER}
        if turns[move.function].get(Phase(self.game.phase)) != by:
            raise RefusedError(move.function)
        getattr(self, f"_{move.function}")(*move.arguments)

    def _anchor(self, steps: int, root: bytes, last: bytes, nodes: list[bytes]) -> None:
        if Commitment(steps, root, last) != self.stated:
            raise RefusedError("another output")
        node, left = last, iter(nodes)
        for level in range(self.stated.depth):
            node = join(next(left, b""), node) if steps - 1 >> level & 1 else join(node, ENDS[level])
        if node != root or next(left, None) is not None:
            raise RefusedError("not the end")
        if self.game.theirs == self.game.ours:
            self._end(PROVIDER)
        else:
            self._descend()

    def _open(self, left: bytes, right: bytes) -> None:
        game = self.game
        ours = game.phase == Phase.COUNTERING
        if join(left, right) != (game.ours if ours else game.theirs):
            raise RefusedError("not the nodes below")
        if not ours:
            game.left, game.right, game.phase = left, right, Phase.COUNTERING
            return
        game.level -= 1
        if left != game.left:
            game.theirs, game.ours = game.left, left
        else:
            game.theirs, game.ours = game.right, right
            game.agreed, game.agreed_level, game.index = left, game.level, game.index + (1 << game.level)
        self._descend()

    def _show(self, before: bytes, nodes: list[bytes]) -> None:
        node = before
        for each in nodes:
            node = join(each, node)
        if len(nodes) != self.game.agreed_level or node != self.game.agreed:
            raise RefusedError("not the leaf before")
        self.game.before = before
        if before in (END, RAISED):
            self._end(PROVIDER if self.game.theirs == END else CUSTOMER)
        else:
            self._judge()

    def _descend(self) -> None:
        if self.game.level:
            self.game.phase = Phase.ANSWERING
        elif self.game.index:
            self.game.phase = Phase.SHOWING
        else:
            self._judge()

    def _judge(self) -> None:
        self.game.phase, self.winner = Phase.JUDGING, COMMITTEE

    def _end(self, winner: str) -> None:
        self.game.phase, self.winner = Phase.ENDED, winner
        self.game.deposit = 0

    def same_as(self, row: Sequence[object]) -> bool:
        """Whether the contract's row says the same, but for who they are and their clocks."""
        skipped = {"provider", "customer", "provider_seconds", "customer_seconds", "moved_at", "deposit"}
        names = Game.__struct_fields__
        own = msgspec.structs.astuple(self.game)
        return all(a == b for name, a, b in zip(names, own, row, strict=True) if name not in skipped)


def next_move(game: Game, theirs: Tree, ours: Tree) -> tuple[str, Move]:
    """Whose turn it is, and what it says."""
    move = provider_move(game, theirs)
    if move is not None:
        return PROVIDER, move
    move = customer_move(game, ours)
    assert move is not None
    return CUSTOMER, move


def found(game: Game, honest: Sequence[bytes]) -> bytes:
    """What an honest committee finds that does the step again.

    What follows a state that is not of the honest trace is something else again.
    """
    follows = dict(zip([END, *honest], [*honest, END], strict=True))
    return follows.get(game.before, hashlib.sha256(game.before).digest())


def played(theirs: Sequence[bytes], ours: Sequence[bytes], honest: Sequence[bytes]) -> tuple[bool, Game]:
    """Whether the provider wins a game between two traces by the model, and how it ended."""
    provider, customer = Tree(theirs), Tree(ours)
    model = Model(commit(theirs), customer)
    while not model.winner:
        model.play(*next_move(model.game, provider, customer))
    upheld = model.winner == COMMITTEE and found(model.game, honest) == model.game.theirs
    return upheld or model.winner == PROVIDER, model.game
