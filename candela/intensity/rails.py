"""Try a device's way to multiply on vectors that show rounding, saturation and short accumulators."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from candela.errors import IntensityError
from candela.intensity.product import Product
from candela.intensity.profile import HIGHEST, LOWEST, TILE

_DEPTHS = (16, 2048, 65536)
_SEED = 0x506F49


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


def check_exact(multiply: Product) -> None:
    """Compare a device's products with 64-bit integer arithmetic.

    Raises:
        IntensityError: a product differs, so the device may not prove.
    """
    for name, rows, columns in rails():
        expected = rows.astype(np.int64) @ columns.astype(np.int64).T
        if not np.array_equal(multiply(rows, columns), expected):
            raise IntensityError(
                "this device's matrix product is not exact",
                why=f"it differs from integer arithmetic for: {name}",
                fix="offer the device without proofs of intensity, or use another data type",
            )
