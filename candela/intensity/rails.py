"""Try a device's way to multiply on vectors that show rounding, saturation and short accumulators."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from candela.errors import IntensityError
from candela.intensity.expansion import expand
from candela.intensity.product import Panel, Product
from candela.intensity.product import panel as host_panel
from candela.intensity.profile import HIGHEST, LOWEST, TILE

_DEPTHS = (16, 2048, 65536)
_SEED = 0x506F49
_WIDE = (512, 2048)
"""Rows and columns of a product large enough for the kernels that real windows use."""


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


def check_exact(multiply: Product, panel: Panel = host_panel) -> None:
    """Compare a device's products with 64-bit integer arithmetic, and its panels with the host's.

    Raises:
        IntensityError: a product or a panel differs, so the device may not prove.
    """
    _check_wide(multiply)
    for name, rows, columns in rails():
        expected = rows.astype(np.int64) @ columns.astype(np.int64).T
        if not np.array_equal(multiply(rows, columns), expected):
            raise _inexact(name)
    keys = np.random.default_rng(_SEED).integers(0, 1 << 64, 2 * TILE, dtype=np.uint64)
    host = expand(keys, 0, _DEPTHS[1])
    expected = (host[:TILE].astype(np.int64) @ host[TILE:].astype(np.int64).T).astype(np.int32)
    if not np.array_equal(multiply(panel(keys[:TILE], _DEPTHS[1]), panel(keys[TILE:], _DEPTHS[1])), expected):
        raise IntensityError(
            "this device's panels are not those of their keys",
            why="their product differs from integer arithmetic on the host's",
            fix="offer the device without proofs of intensity, and report its make and driver",
        )


def _check_wide(multiply: Product) -> None:
    depth = _DEPTHS[1]
    rows, columns = (np.full((lines, depth), LOWEST, dtype=np.float32) for lines in _WIDE)
    rows[:, -1], columns[:, -1] = -1, -1
    made = multiply(rows, columns)
    if made.shape != _WIDE or not (made == LOWEST * LOWEST * (depth - 1) + 1).all():
        raise _inexact(f"lowest with an odd end, {_WIDE[0]} x {_WIDE[1]}")


def _inexact(name: str) -> IntensityError:
    return IntensityError(
        "this device's matrix product is not exact",
        why=f"it differs from integer arithmetic for: {name}",
        fix="offer the device without proofs of intensity, or use another data type",
    )
