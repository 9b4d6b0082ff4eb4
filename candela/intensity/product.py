"""Exact products of small integers in single precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from candela.intensity.expansion import expand
from candela.intensity.profile import TILE

Factor: TypeAlias = Any
"""Rows or columns of integers in [-8, 7], shape (lines, k): a float32 array, or what a device's path makes of one."""
Product: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A way to multiply: rows (r, k) and columns (c, k), float32, to int32 (r, c)."""
_SHORT = 256


def product(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The product by BLAS in single precision: exact, because no partial sum in any order exceeds 64 k <= 2^24.

    Args:
        rows: float32, shape (r, k).
        columns: float32, shape (c, k), the columns of the second factor.

    Returns:
        int32, shape (r, c).
    """
    return (rows @ columns.T).astype(np.int32)


def tile_product(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What :func:`product` gives, for one tile: in parts so short that BLAS takes no second thread for them.

    Threads would cost more than they bring, and many times more on a busy machine.
    """
    depth = rows.shape[1]
    whole = depth // _SHORT * _SHORT
    left = rows[:, :whole].reshape(len(rows), -1, _SHORT).transpose(1, 0, 2)
    right = columns[:, :whole].reshape(len(columns), -1, _SHORT).transpose(1, 2, 0)
    made = np.matmul(left, right).sum(axis=0).astype(np.int32)
    return made if whole == depth else made + product(rows[:, whole:], columns[:, whole:])


def panel(keys: np.ndarray, depth: int) -> np.ndarray:
    """Lines of float32 entries, shape (keys, depth), a few at a time so that their words stay in the cache."""
    made = np.empty((len(keys), depth), dtype=np.float32)
    for start in range(0, len(keys), TILE):
        expand(keys[start : start + TILE], 0, depth, made[start : start + TILE])
    return made
