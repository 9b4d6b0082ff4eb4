"""Compute single tiles of a window: 32 rows and 32 columns are all that one needs."""

from __future__ import annotations

import numpy as np

from candela.intensity.expansion import expand
from candela.intensity.product import Product, tile_product
from candela.intensity.profile import TILE
from candela.intensity.seed import COLUMNS, ROWS, Context, keys
from candela.intensity.window import place

_DEPTH = 8192
"""Entries of a row expanded at a time."""


class Tiles:
    """The true tiles of a window, one at a time. Its buffers are used again, so it belongs to one thread."""

    def __init__(self, context: Context, multiply: Product = tile_product) -> None:
        self._context, self._multiply = context, multiply
        self._buffer = np.empty((2 * TILE, min(_DEPTH, context.profile.k)), dtype=np.float32)

    def tile(self, index: int) -> bytes:
        """The tile with a number in the window: 4,096 bytes, 32 x 32 little-endian int32, row by row."""
        profile = self._context.profile
        at = place(profile, index)
        seed = self._context.seed(at.grid)
        rows, columns = keys(seed, ROWS, at.row * TILE, TILE), keys(seed, COLUMNS, at.column * TILE, TILE)
        lines = np.concatenate((rows, columns))
        total = np.zeros((TILE, TILE), dtype=np.int32)
        for start in range(0, profile.k, _DEPTH):
            depth = min(_DEPTH, profile.k - start)
            whole = depth == self._buffer.shape[1]
            both = expand(lines, start, start + depth, self._buffer if whole else None)
            total += self._multiply(both[:TILE], both[TILE:])
        return total.astype("<i4", copy=False).tobytes()
