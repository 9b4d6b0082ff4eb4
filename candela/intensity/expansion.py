"""Make rows and columns from their keys: sixteen 4-bit entries from each word of a counter-based generator."""

from __future__ import annotations

import numpy as np

from candela.intensity.profile import LOWEST

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
PER_WORD = 16


def _entries_of_halfwords() -> np.ndarray:
    halfwords = np.arange(1 << 16, dtype=np.uint32)
    entries = np.stack([(halfwords >> shift & 15).astype(np.float32) + LOWEST for shift in (0, 4, 8, 12)], axis=1)
    return entries.view(np.complex128)[:, 0].copy()


_QUADS = _entries_of_halfwords()
"""The four entries of every 16-bit value, low first, as one element of 16 bytes: a look-up unpacks at least cost."""


def _mix(words: np.ndarray, scratch: np.ndarray) -> None:
    """The finaliser of splitmix64, in place."""
    for shift, factor in zip(_SHIFTS, (_FIRST, _SECOND, None), strict=True):
        np.right_shift(words, shift, out=scratch)
        np.bitwise_xor(words, scratch, out=words)
        if factor is not None:
            np.multiply(words, factor, out=words)


def words(keys: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Words ``start`` to ``stop`` of each key: ``mix64(mix64(key + t * 0x9E3779B97F4A7C15))``.

    Args:
        keys: uint64, shape (rows,).

    Returns:
        uint64, shape (rows, stop - start).
    """
    counters = np.arange(start, stop, dtype=np.uint64) * _GOLDEN
    made = keys[:, None] + counters[None, :]
    scratch = np.empty_like(made)
    _mix(made, scratch)
    _mix(made, scratch)
    return made


def expand(keys: np.ndarray, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
    """Entries ``start`` to ``stop`` (multiples of 16) of each row.

    Args:
        keys: uint64, shape (rows,).
        out: float32, shape (rows, stop - start) and contiguous, to write to; fresh memory costs more than the entries.

    Returns:
        float32 in [-8, 7], shape (rows, stop - start).
    """
    out = np.empty((len(keys), stop - start), dtype=np.float32) if out is None else out
    made = words(keys, start // PER_WORD, stop // PER_WORD).astype("<u8", copy=False)
    np.take(_QUADS, made.view("<u2"), mode="wrap", out=out.view(np.complex128))
    return out
