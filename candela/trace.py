"""Commit to every state that a stepwise task went through, so that a dispute can end at one step.

The leaves of a trace are the SHA-256 of each encoded state; beyond the last one stands :data:`END`. A node is the
SHA-256 of a byte of value 1 and the two nodes below it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import msgspec

END = bytes(32)
"""Leaf beyond the last state; no state has this hash."""
RAISED = bytes(31) + b"\x01"
"""Leaf of a step that raised; nothing but :data:`END` follows it."""
MAX_DEPTH = 20
MAX_STEPS = 1 << MAX_DEPTH
"""Most leaves of a trace."""
MAX_STATES = MAX_STEPS - 1
"""Most states of a task: a step that raises after the last of them has a leaf as well."""
_HASH_BYTES = 32
_START = b"\x81\xa5trace\xc4\x48"
"""How a traced output begins: a msgpack map from ``trace`` to the 72 bytes that follow."""
_FIELDS = struct.Struct(">Q32s32s")
OUTPUT_BYTES = len(_START) + _FIELDS.size


class Commitment(msgspec.Struct, frozen=True):
    """What a traced output says; its SHA-256 is the output hash of the receipt."""

    steps: int
    root: bytes
    last: bytes
    """SHA-256 of the last state, which is the task's result."""

    @property
    def depth(self) -> int:
        """Levels of the tree above its leaves."""
        return depth_of(self.steps)

    @property
    def output_hash(self) -> bytes:
        """What a receipt states."""
        return hashlib.sha256(self.encode()).digest()

    def encode(self) -> bytes:
        """The output's bytes."""
        return _START + _FIELDS.pack(self.steps, self.root, self.last)


def decode_commitment(output: bytes) -> Commitment | None:
    """What a traced output says, ``None`` where it is none or no trace could say so."""
    if len(output) != OUTPUT_BYTES or not output.startswith(_START):
        return None
    found = Commitment(*_FIELDS.unpack(output[len(_START) :]))
    return found if 0 < found.steps <= MAX_STEPS and found.last not in (END, RAISED) else None


def commit(leaves: Sequence[bytes]) -> Commitment:
    """What a task commits to that went through states with these hashes; there is at least one."""
    return Commitment(len(leaves), Tree(leaves).root, leaves[-1])


def depth_of(count: int) -> int:
    """Levels of a tree with ``count`` leaves above them."""
    return (count - 1).bit_length()


def join(left: bytes, right: bytes) -> bytes:
    """The node above two."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _ends() -> list[bytes]:
    ends = [END]
    for _ in range(MAX_DEPTH):
        ends.append(join(ends[-1], ends[-1]))
    return ends


ENDS = _ends()
"""By level, the node above nothing but :data:`END`."""


class Tree:
    """The Merkle tree of a trace.

    Args:
        leaves: by step, at least one.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        for level in range(depth_of(len(leaves))):
            below = self._levels[-1]
            padded = below if len(below) % 2 == 0 else [*below, ENDS[level]]
            self._levels.append([join(*padded[at : at + 2]) for at in range(0, len(padded), 2)])

    @property
    def leaves(self) -> list[bytes]:
        """By step."""
        return self._levels[0]

    @property
    def depth(self) -> int:
        """Levels above the leaves."""
        return len(self._levels) - 1

    @property
    def root(self) -> bytes:
        """The node above all."""
        return self._levels[-1][0]

    def node(self, level: int, index: int) -> bytes:
        """A node of this tree, or of a deeper one whose further leaves are :data:`END`."""
        if level > self.depth:
            # Above the root only the first node has something below it.
            return self.lifted(level) if index == 0 else ENDS[level]
        row = self._levels[level]
        return row[index] if index < len(row) else ENDS[level]

    def lifted(self, depth: int) -> bytes:
        """The root of the deeper tree."""
        node = self.root
        for level in range(self.depth, depth):
            node = join(node, ENDS[level])
        return node

    def anchor(self) -> list[bytes]:
        """Nodes to the left of the way from the last leaf to the root, lowest first: they show that it is the last."""
        last = len(self.leaves) - 1
        return [self.node(level, (last >> level) - 1) for level in range(self.depth) if last >> level & 1]

    def before(self, index: int, height: int) -> list[bytes]:
        """Nodes to the left of the way from the leaf before ``index`` up to the subtree of ``height`` that it ends."""
        return [self.node(level, (index - 1 >> level) - 1) for level in range(height)]


class Steps(msgspec.Struct):
    """What a worker went through."""

    leaves: list[bytes]
    state: bytes
    """The last state, encoded; empty where there was none."""
    error: bytes
    """The encoded exception that ended it; empty where there was none."""

    def consistent(self) -> bool:
        """Whether the last leaf is the hash of the last state."""
        found = hashlib.sha256(self.state).digest() if self.leaves else b""
        return found == self.leaves[-1] if self.leaves else not self.state


_ORDER, _ANSWER = struct.Struct("<II"), struct.Struct("<III")


def encode_order(task_input: bytes, state: bytes, limit: int) -> bytes:
    """What a worker is to do.

    Args:
        task_input: the task's.
        state: what the first step begins from; empty for the task's beginning.
        limit: most steps, 0 for all.
    """
    return _ORDER.pack(limit, len(state)) + state + task_input


def decode_order(order: bytes) -> tuple[bytes, bytes, int]:
    """Task input, state and limit of an order."""
    limit, size = _ORDER.unpack_from(order)
    start = _ORDER.size
    return order[start + size :], order[start : start + size], limit


def encode_steps(steps: Steps) -> bytes:
    """A worker's answer."""
    head = _ANSWER.pack(len(steps.leaves), len(steps.state), len(steps.error))
    return b"".join([head, *steps.leaves, steps.state, steps.error])


def decode_steps(answer: bytes) -> Steps:
    """Read an answer, which may come from anybody.

    Raises:
        ValueError: it is none.
    """
    if len(answer) < _ANSWER.size:
        raise ValueError("the worker's answer is too short")
    count, state, error = _ANSWER.unpack_from(answer)
    start = _ANSWER.size + count * _HASH_BYTES
    if count > MAX_STEPS or len(answer) != start + state + error:
        raise ValueError("the worker's answer contradicts its own head")
    leaves = [answer[at : at + _HASH_BYTES] for at in range(_ANSWER.size, start, _HASH_BYTES)]
    steps = Steps(leaves, answer[start : start + state], answer[start + state :])
    if not steps.consistent() or END in leaves or RAISED in leaves:
        raise ValueError("the worker's answer contradicts itself")
    return steps


ANSWER_BYTES = _ANSWER.size + MAX_STEPS * _HASH_BYTES
"""Most bytes of an answer besides the state or the error in it."""
