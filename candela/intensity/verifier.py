"""Check a window from its commitment and the tiles that were drawn, holding nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from candela.errors import IntensityError
from candela.intensity.opening import Opening
from candela.intensity.sampling import drawn
from candela.intensity.seed import Context
from candela.intensity.tiles import Tiles
from candela.intensity.window import Commitment

_DEEP = 16_384
"""Inner dimension from which on tiles are worth a thread."""


def verify(
    context: Context, commitment: Commitment, beacon: bytes, openings: Sequence[Opening], *, threads: int | None = None
) -> None:
    """Check that the openings are the tiles that were drawn, that they were committed to, and that they are right.

    Args:
        beacon: 32 bytes, the randomness that drew the tiles after the commitment.
        threads: how many tiles are recomputed at a time. If not given, as many as there are cores, but one for shallow
            products, for which a second thread gains nothing.

    Raises:
        IntensityError: anything else than a complete and true proof; the error names the first tile that is wrong.
        ValueError: the beacon can't draw tiles.
    """
    indices = drawn(context, commitment, beacon)
    if [opening.index for opening in openings] != indices:
        raise IntensityError(
            "the opened tiles are not those that were drawn",
            why=f"{len(openings)} tiles were opened, {len(indices)} were drawn, and their order counts too",
        )
    for opening in openings:
        if not opening.belongs_to(commitment, context.profile):
            raise IntensityError(
                f"tile {opening.index} is not what was committed to", why="its path does not lead to the window's root"
            )
    usual = 1 if context.profile.k < _DEEP else os.cpu_count() or 1
    shares = max(1, min(threads or usual, len(openings)))
    with ThreadPoolExecutor(shares) as pool:
        wrong = pool.map(lambda share: _first_wrong(context, openings[share::shares]), range(shares))
        found = sorted(index for index in wrong if index is not None)
    if found:
        raise IntensityError(f"tile {found[0]} is wrong", why="its entries are not those of the product")


def _first_wrong(context: Context, openings: Sequence[Opening]) -> int | None:
    tiles = Tiles(context)
    return next((opening.index for opening in openings if opening.tile != tiles.tile(opening.index)), None)
