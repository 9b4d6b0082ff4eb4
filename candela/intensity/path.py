"""What a device must be able to do to prove: make panels, multiply them exactly, and hash the tiles of the product."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from candela.intensity.product import Factor, Product, panel, product
from candela.intensity.profile import LOWEST, TILE, Profile
from candela.intensity.seed import keys
from candela.intensity.tree import Tree

Leaves: TypeAlias = Any
"""Hashes of some tiles of a unit, in the order of their numbers, wherever the device keeps them."""
_BLOCK_ROWS = 512
_RUNS = 5


class Path(Protocol):
    """One device's way to do a unit of work."""

    kind: str
    """The data type of its factors."""
    block_rows: int
    """Rows of a unit between two looks at whether to stop."""

    def panel(self, seed: bytes, side: bytes, first: int, count: int, depth: int) -> Factor:
        """Rows of A or columns of B, ``count`` of them from number ``first`` on, each of ``depth`` entries."""
        ...

    def factor(self, lines: np.ndarray) -> Factor:
        """Lines of float32 entries in [-8, 7], shape (lines, depth), as this path multiplies them."""
        ...

    def rail(self, lines: int, depth: int) -> Factor:
        """Lines of the lowest entry that end with -1: their products are odd and need every bit of the sum."""
        ...

    def multiply(self, rows: Factor, columns: Factor) -> np.ndarray:
        """Rows (r, k) by columns (c, k), to int32 (r, c) in the host's memory."""
        ...

    def leaves(self, rows: Factor, columns: Factor, row: int, column: int) -> Leaves:
        """Hashes of the product's tiles, the first of which is tile (``row``, ``column``) of the grid."""
        ...

    def root(self, leaves: Sequence[Leaves]) -> bytes:
        """The hash over all tiles of a unit."""
        ...

    def tree(self, leaves: Sequence[Leaves]) -> Tree:
        """The tree over all tiles of a unit."""
        ...

    def measure(self, profile: Profile) -> float:
        """Exact integer operations a second of plain products of a profile's size."""
        ...

    def release(self) -> None:
        """Give back the device's memory, which a paying task may want now."""
        ...


class HostPath:
    """numpy in single precision, and SHA-256 of the host.

    Args:
        multiply: the way to multiply.
    """

    def __init__(self, multiply: Product = product) -> None:
        self.kind, self.block_rows = "fp32", _BLOCK_ROWS
        self._multiply = multiply

    def panel(self, seed: bytes, side: bytes, first: int, count: int, depth: int) -> Factor:
        """float32, shape (count, depth)."""
        return panel(keys(seed, side, first, count), depth)

    def factor(self, lines: np.ndarray) -> Factor:
        """The lines as they are."""
        return lines

    def rail(self, lines: int, depth: int) -> Factor:
        """float32, shape (lines, depth)."""
        return self.factor(rail(lines, depth))

    def multiply(self, rows: Factor, columns: Factor) -> np.ndarray:
        """int32, shape (rows, columns)."""
        return self._multiply(rows, columns)

    def leaves(self, rows: Factor, columns: Factor, row: int, column: int) -> bytes:
        """32 bytes a tile, one after the other."""
        return hash_tiles(self.multiply(rows, columns), row, column)

    def root(self, leaves: Sequence[Leaves]) -> bytes:
        """The root of :meth:`tree`."""
        return self.tree(leaves).root

    def tree(self, leaves: Sequence[Leaves]) -> Tree:
        """Hashed by the host."""
        return Tree(b"".join(leaves))

    def measure(self, profile: Profile) -> float:
        """Exact integer operations a second of plain products of a profile's size; the best of some runs."""
        rows, columns = self.rail(profile.m, profile.k), self.rail(profile.n, profile.k)
        return profile.operations / min(self._seconds(rows, columns) for _ in range(_RUNS))

    def release(self) -> None:
        """Nothing is held."""

    def _seconds(self, rows: Factor, columns: Factor) -> float:
        started = time.perf_counter()
        self.multiply(rows, columns)
        return time.perf_counter() - started


def rail(lines: int, depth: int) -> np.ndarray:
    """float32, shape (lines, depth): the lowest entry throughout, but -1 at the end."""
    made = np.full((lines, depth), LOWEST, dtype=np.float32)
    made[:, -1] = -1
    return made


def hash_tiles(block: np.ndarray, row: int, column: int) -> bytes:
    """Hashes of the tiles of some rows of a unit, from left to right, then down; 32 bytes each.

    Args:
        block: int32, shape (rows, columns), multiples of 32.
        row, column: where its first tile is in the grid, counted in tiles.
    """
    down, across = block.shape[0] // TILE, block.shape[1] // TILE
    tiles = np.ascontiguousarray(block.astype("<i4", copy=False).reshape(down, TILE, across, TILE).swapaxes(1, 2))
    hashes = bytearray()
    for i in range(down):
        prefix = hashlib.sha256(b"\x00" + (row + i).to_bytes(4, "little"))
        for j in range(across):
            hashed = prefix.copy()
            hashed.update((column + j).to_bytes(4, "little"))
            hashed.update(tiles[i, j])
            hashes += hashed.digest()
    return bytes(hashes)
