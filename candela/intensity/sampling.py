"""Draw the tiles that a prover must show."""

from __future__ import annotations

import hashlib

from candela.intensity.seed import Context
from candela.intensity.window import Commitment

SAMPLES = 64
"""Tiles drawn from a window. A share f of false tiles stays unseen with probability (1 - f)^64: 3.8 % for f = 5 %."""


def drawn(context: Context, commitment: Commitment, beacon: bytes) -> list[int]:
    """The numbers of the tiles to show, in order; one may be drawn twice.

    Args:
        beacon: 32 bytes that nobody knew when the commitment was made. Never the window's own.

    Raises:
        ValueError: the beacon has another length, or is the one that opened the window.
    """
    if len(beacon) != 32 or beacon == context.beacon:
        raise ValueError("tiles are drawn by a beacon of 32 bytes, later than the one that opened the window")
    source = hashlib.sha256(beacon + commitment.root + commitment.digest(context)).digest()
    tiles = commitment.units * context.profile.tiles
    return [_draw(source, number) % tiles for number in range(SAMPLES)]


def _draw(source: bytes, number: int) -> int:
    return int.from_bytes(hashlib.sha256(source + number.to_bytes(4, "little")).digest()[:8], "little")
