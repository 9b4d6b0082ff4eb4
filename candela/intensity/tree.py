"""Merkle trees as RFC 9162 (section 2.1) shapes them, over hashes that are leaves already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def node(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """From the leaves to the root; the last of an odd level moves up as it is, which gives the shape of RFC 9162."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        level = levels[-1]
        above = [node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        levels.append(above + list(level[len(level) & ~1 :]))
    return levels


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over at least one leaf."""
    return _levels(leaves)[-1][0]


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings on the way from a leaf to the root."""
    siblings = []
    for level in _levels(leaves)[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            siblings.append(level[sibling])
        index //= 2
    return siblings


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
