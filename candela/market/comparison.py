"""Whether two results are the same, within a tolerance."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

_MAX_DEPTH = 64


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How far two numbers with fractions may be apart.

    By at most ``atol + rtol * |own|``, or by at most ``ulp`` units in the last place.
    """

    rtol: float = 0.0
    atol: float = 0.0
    ulp: int = 0


def same(stated: Any, own: Any, tolerance: Tolerance) -> bool:
    """Whether a stated value matches the one that was computed here.

    Kinds, shapes, keys and order must be equal; numbers with a fraction may differ by the tolerance. Not-a-number
    matches itself, an infinity only the same one.
    """
    return _same(stated, own, tolerance, 0)


def _same(stated: Any, own: Any, tolerance: Tolerance, depth: int) -> bool:
    if depth > _MAX_DEPTH or type(stated) is not type(own):
        return False
    if isinstance(own, np.ndarray | np.generic | float | complex):
        return _same_arrays(np.asarray(stated), np.asarray(own), tolerance)
    if isinstance(own, dict):
        return list(stated) == list(own) and all(_same(stated[key], own[key], tolerance, depth + 1) for key in own)
    if isinstance(own, list | tuple):
        pairs = zip(stated, own, strict=False)
        return len(stated) == len(own) and all(_same(left, right, tolerance, depth + 1) for left, right in pairs)
    if hasattr(own, "equals"):
        return bool(own.equals(stated))
    return bool(stated == own)


def _same_arrays(stated: np.ndarray, own: np.ndarray, tolerance: Tolerance) -> bool:
    if stated.dtype != own.dtype or stated.shape != own.shape:
        return False
    if stated.dtype.kind == "c":
        parts = [(np.real(stated), np.real(own)), (np.imag(stated), np.imag(own))]
        return all(_same_arrays(left, right, tolerance) for left, right in parts)
    if stated.dtype.kind != "f":
        return stated.tobytes() == own.tobytes()
    finite = np.isfinite(own)
    if not np.array_equal(stated[~finite], own[~finite], equal_nan=True) or not np.isfinite(stated[finite]).all():
        return False
    left, right = stated[finite], own[finite]
    with np.errstate(over="ignore"):
        near = np.abs(left - right) <= tolerance.atol + tolerance.rtol * np.abs(right)
    return bool((near | (_ulps(left, right) <= tolerance.ulp)).all())


def _ulps(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Units in the last place between numbers: the difference of their ranks among all of their kind."""
    size = left.dtype.itemsize
    if size > 8:
        return np.where(left == right, 0.0, math.inf)
    first, second = _ranks(left, size), _ranks(right, size)
    # Unsigned, the larger minus the smaller is exact: ranks of the two signs may be further apart than 2^63.
    return np.where(first > second, first - second, second - first)


def _ranks(numbers: np.ndarray, size: int) -> np.ndarray:
    kind = np.dtype(f"u{size}")
    bits = np.ascontiguousarray(numbers).view(kind)
    sign = kind.type(1 << (8 * size - 1))
    # Below zero the bits count backwards; both zeros have the same rank.
    return np.where(bits >= sign, sign - (bits - sign), sign + bits)
