"""Merkle trees as RFC 9162 (section 2.1) shapes them, over hashes that are leaves already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def node(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The hashes over at least one leaf, kept so that every path is at hand."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [leaves]
        # The last of an odd level moves up as it is, which gives the shape of RFC 9162.
        while len(self._levels[-1]) > 1:
            level = self._levels[-1]
            above = [node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
            self._levels.append(above + list(level[len(level) & ~1 :]))

    @property
    def root(self) -> bytes:
        """The hash over all leaves."""
        return self._levels[-1][0]

    def path(self, index: int) -> tuple[bytes, ...]:
        """The siblings on the way from a leaf to the root, the lowest first."""
        siblings = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                siblings.append(level[index ^ 1])
            index //= 2
        return tuple(siblings)


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
