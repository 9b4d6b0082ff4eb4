"""Try a device's way to multiply on vectors that show rounding, saturation and short accumulators."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from candela.errors import IntensityError
from candela.intensity.expansion import expand
from candela.intensity.path import Path, hash_tiles
from candela.intensity.profile import C1, HIGHEST, LOWEST, TILE, Profile
from candela.intensity.seed import COLUMNS, ROWS, keys
from candela.intensity.tree import Tree

_DEPTHS = (16, 2048, 65536)
_SEED = 0x506F49
_SEED_BYTES = bytes(range(32))


def rails() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Names and factors: float32 rows (32, k) and columns (32, k) of integers in [-8, 7].

    All lowest gives the largest sums; one odd term in the last place needs every bit of them; alternating signs cancel
    all but the end, whatever the order of summation; the rest is random.
    """
    random = np.random.default_rng(_SEED)
    for depth in _DEPTHS:
        lowest = np.full((TILE, depth), LOWEST, dtype=np.float32)
        odd_row, odd_column = lowest.copy(), lowest.copy()
        odd_row[:, -1], odd_column[:, -1] = -1, -1
        alternating = np.where(np.arange(depth) % 2, HIGHEST, LOWEST).astype(np.float32)
        halves = np.where(np.arange(depth) < depth // 2, LOWEST, HIGHEST).astype(np.float32)
        yield f"lowest, k = {depth}", lowest, lowest
        yield f"lowest with an odd end, k = {depth}", odd_row, odd_column
        yield f"alternating, k = {depth}", np.tile(alternating, (TILE, 1)), lowest
        yield f"halves, k = {depth}", np.tile(halves, (TILE, 1)), odd_column
        drawn = random.integers(LOWEST, HIGHEST + 1, (2, TILE, depth)).astype(np.float32)
        yield f"random, k = {depth}", drawn[0], drawn[1]


def check_exact(path: Path, profile: Profile = C1) -> None:
    """Compare a device's products with 64-bit integer arithmetic, and its panels and hashes with the host's.

    Args:
        path: the device's way to do the work.
        profile: sizes of the largest product tried; devices have other kernels for other sizes.

    Raises:
        IntensityError: something differs, so the device may not prove.
    """
    for name, rows, columns in rails():
        expected = rows.astype(np.int64) @ columns.astype(np.int64).T
        if not np.array_equal(path.multiply(path.factor(rows), path.factor(columns)), expected):
            raise _inexact(name)
    _check_whole(path, profile)
    _check_unit(path)


def _check_whole(path: Path, profile: Profile) -> None:
    rows, columns = path.rail(profile.m, profile.k), path.rail(profile.n, profile.k)
    expected = LOWEST * LOWEST * (profile.k - 1) + 1
    for start in range(0, profile.m, path.block_rows):
        made = path.multiply(rows[start : start + path.block_rows], columns)
        if made.shape[1] != profile.n or not (made == expected).all():
            raise _inexact(f"lowest with an odd end, {profile.m} x {profile.n}, k = {profile.k}")


def _check_unit(path: Path) -> None:
    """A small unit, away from the corner of its grid, with an odd number of tiles."""
    down, across, depth, row, column = 3, 5, 2048, 70_001, 258
    panels = ((ROWS, row, down), (COLUMNS, column, across))
    rows, columns = (path.panel(_SEED_BYTES, side, at * TILE, n * TILE, depth) for side, at, n in panels)
    host = [expand(keys(_SEED_BYTES, side, at * TILE, n * TILE), 0, depth) for side, at, n in panels]
    expected = (host[0].astype(np.int64) @ host[1].astype(np.int64).T).astype(np.int32)
    if not np.array_equal(path.multiply(rows, columns), expected):
        raise IntensityError(
            "this device's panels are not those of their keys",
            why="their product differs from integer arithmetic on the host's",
            fix="offer the device without proofs of intensity, and report its make and driver",
        )
    tree = Tree(hash_tiles(expected, row, column))
    leaves = [path.leaves(rows, columns, row, column)]
    if path.root(leaves) != tree.root or path.tree(leaves) != tree:
        raise IntensityError(
            "this device's hashes are not SHA-256",
            why="the tree over a small product differs from the host's",
            fix="offer the device without proofs of intensity, and report its make and driver",
        )


def _inexact(name: str) -> IntensityError:
    return IntensityError(
        "this device's matrix product is not exact",
        why=f"it differs from integer arithmetic for: {name}",
        fix="offer the device without proofs of intensity, or use another data type",
    )
