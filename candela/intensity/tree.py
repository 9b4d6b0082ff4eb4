"""Merkle trees as RFC 9162 (section 2.1) shapes them, over hashes that are leaves already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_SIZE = 32


def node(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The hashes over at least one leaf, kept so that every path is at hand.

    Args:
        leaves: 32 bytes a leaf, one after the other.
        above: the levels over them, packed alike, the lowest first, for whoever has hashed them elsewhere.
    """

    def __init__(self, leaves: bytes, above: Sequence[bytes] | None = None) -> None:
        self.levels = [leaves, *(_above(leaves) if above is None else above)]
        """From the leaves to the root, each packed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self.levels == other.levels

    def __hash__(self) -> int:
        return hash(self.root)

    @property
    def root(self) -> bytes:
        """The hash over all leaves."""
        return self.levels[-1]

    def leaf(self, index: int) -> bytes:
        """One of the leaves."""
        return _at(self.levels[0], index)

    def path(self, index: int) -> tuple[bytes, ...]:
        """The siblings on the way from a leaf to the root, the lowest first."""
        siblings = []
        for level in self.levels[:-1]:
            if (index ^ 1) * _SIZE < len(level):
                siblings.append(_at(level, index ^ 1))
            index //= 2
        return tuple(siblings)


def _at(level: bytes, index: int) -> bytes:
    return level[index * _SIZE : (index + 1) * _SIZE]


def _above(level: bytes) -> list[bytes]:
    levels = []
    while len(level) > _SIZE:
        whole = len(level) // (2 * _SIZE) * 2 * _SIZE
        pairs = (level[start : start + 2 * _SIZE] for start in range(0, whole, 2 * _SIZE))
        # The last of an odd level moves up as it is, which gives the shape of RFC 9162.
        level = b"".join([hashlib.sha256(b"\x01" + pair).digest() for pair in pairs]) + level[whole:]
        levels.append(level)
    return levels


def fold(leaf: bytes, index: int, size: int, siblings: Sequence[bytes]) -> bytes | None:
    """The root that a leaf and its siblings lead to, or ``None`` when there are too few or too many of them."""
    if not 0 <= index < size:
        return None
    left, last = iter(siblings), size - 1
    while last:
        if index & 1 or index < last:
            sibling = next(left, None)
            if sibling is None:
                return None
            leaf = node(sibling, leaf) if index & 1 else node(leaf, sibling)
        index, last = index // 2, last // 2
    return leaf if next(left, None) is None else None
