"""The sizes that a device can be measured with."""

from __future__ import annotations

import msgspec

TILE = 32
"""Rows and columns of a tile: the smallest piece that is hashed and checked."""
GRID = 8
"""Panels of either factor that share one seed; a grid has ``GRID * GRID`` units."""
LOWEST, HIGHEST = -8, 7
"""The alphabet of the factors (DESIGN section 7)."""
MAX_DEPTH = 1 << 18
"""Longest inner dimension whose every partial sum, at most 64 k, is exact in single precision (2^24)."""
MAX_UNITS = 1 << 16
"""Most units in a window."""


class Profile(msgspec.Struct, frozen=True):
    """Sizes of one unit, the product of an m x k panel and a k x n panel.

    Args:
        name: what people call it.
        code: its number in seeds and contracts.
        m: rows of the product; a multiple of 32.
        n: columns of the product; a multiple of 32.
        k: inner dimension; a multiple of 16, at most 2^18.
    """

    name: str
    code: int
    m: int
    n: int
    k: int

    def __post_init__(self) -> None:
        """Refuse sizes for which the rules do not hold.

        Raises:
            ValueError: a size is out of range.
        """
        if self.m % TILE or self.n % TILE or self.k % 16 or min(self.m, self.n, self.k) <= 0:
            raise ValueError(f"profile {self.name}: m and n are multiples of {TILE}, and k of 16")
        if self.k > MAX_DEPTH:
            raise ValueError(f"profile {self.name}: k = {self.k} is not exact in single precision beyond {MAX_DEPTH}")

    @property
    def operations(self) -> int:
        """Work of one unit: a multiplication and an addition for each of m n k entries."""
        return 2 * self.m * self.n * self.k

    @property
    def tile_rows(self) -> int:
        """Tiles from top to bottom of a unit."""
        return self.m // TILE

    @property
    def tile_columns(self) -> int:
        """Tiles from left to right of a unit."""
        return self.n // TILE

    @property
    def tiles(self) -> int:
        """Tiles of a unit."""
        return self.tile_rows * self.tile_columns


C1 = Profile("C1", 1, 2048, 2048, 2048)
"""For CPUs and tests: a unit has 17.2 * 10^9 operations."""
G1 = Profile("G1", 2, 8192, 8192, 65536)
"""For GPUs: a unit has 8.8 * 10^12 operations."""
PROFILES = {each.name: each for each in (C1, G1)}
