"""Exact products of small integers in single precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Product: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A device's way to multiply: float32 rows (r, k) and columns (c, k) of integers in [-8, 7] to int32 (r, c)."""


def product(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The product by BLAS in single precision: exact, because no partial sum in any order exceeds 64 k <= 2^24.

    Args:
        rows: float32, shape (r, k).
        columns: float32, shape (c, k), the columns of the second factor.

    Returns:
        int32, shape (r, c).
    """
    return (rows @ columns.T).astype(np.int32)
