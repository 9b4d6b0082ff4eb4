"""Check a matrix product by random vectors, which takes n^2 steps where the product took n^3.

R. Freivalds, "Probabilistic machines can use less running time", IFIP 1977. The verifier holds the whole product:
without it the check would prove nothing.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

_ROUNDS = 40
"""Each lets a false integer product pass with a chance of at most one half."""


def is_product(left: Any, right: Any, stated: Any, rtol: float) -> bool:
    """Whether ``stated`` is ``left @ right``.

    Args:
        left, right: matrices of shapes (m, k) and (k, n).
        stated: what somebody says their product is, of shape (m, n).
        rtol: for floating point, most error relative to the product of the entries' absolute values.
    """
    arrays = [np.asarray(each) for each in (left, right, stated)]
    a, b, c = arrays
    if any(each.ndim != 2 for each in arrays) or a.shape[1] != b.shape[0] or c.shape != (a.shape[0], b.shape[1]):
        return False
    if all(each.dtype.kind in "iu" for each in arrays):
        return _integers(a, b, c)
    if all(each.dtype.kind in "fiu" for each in arrays):
        a, b, c = (each.astype(np.float64) for each in arrays)
        return bool(np.isfinite(c).all()) and _floats(a, b, c, rtol)
    return False


def _generator() -> np.random.Generator:
    # Whoever made the product must not foresee the vectors.
    return np.random.default_rng(secrets.randbits(128))


def _integers(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> bool:
    """Modulo 2^64, as integers of 64 bits wrap; products of narrower kinds must fit theirs."""
    words = [each.astype(np.int64) for each in (a, b, c)]
    vectors = _generator().integers(0, 2, (b.shape[1], _ROUNDS), dtype=np.int64)
    return bool(np.array_equal(words[0] @ (words[1] @ vectors), words[2] @ vectors))


def _floats(a: np.ndarray, b: np.ndarray, c: np.ndarray, rtol: float) -> bool:
    vectors = _generator().integers(0, 2, (b.shape[1], _ROUNDS)).astype(np.float64) * 2 - 1
    error = np.abs(a @ (b @ vectors) - c @ vectors)
    # Rounding errors of a sum are bounded by the sum of the magnitudes.
    bound = np.abs(a) @ (np.abs(b) @ np.ones(b.shape[1]))
    # What is not a number is no error that could be bounded.
    return bool((error <= rtol * bound[:, None]).all())
