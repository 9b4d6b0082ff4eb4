"""Where units and tiles of a window are, and what a prover commits to."""

from __future__ import annotations

import hashlib

import msgspec

from candela.intensity.profile import GRID, MAX_UNITS, TILE, Profile
from candela.intensity.seed import Context

_TAG = b"PoI/1 commitment"
TILE_BYTES = TILE * TILE * 4


class Place(msgspec.Struct, frozen=True):
    """A tile: its unit, its number there, and its position in the grid of panels, counted in tiles."""

    unit: int
    number: int
    grid: int
    row: int
    column: int


def place(profile: Profile, index: int) -> Place:
    """The tile with a number that counts through all units of a window."""
    unit, number = divmod(index, profile.tiles)
    grid, within = divmod(unit, GRID * GRID)
    row, column = divmod(number, profile.tile_columns)
    return Place(
        unit=unit,
        number=number,
        grid=grid,
        row=within // GRID * profile.tile_rows + row,
        column=within % GRID * profile.tile_columns + column,
    )


def leaf(row: int, column: int, tile: bytes) -> bytes:
    """The hash of a tile at a position of its grid; its entries are little-endian int32, row by row."""
    return hashlib.sha256(b"\x00" + row.to_bytes(4, "little") + column.to_bytes(4, "little") + tile).digest()


class Commitment(msgspec.Struct, frozen=True):
    """What a prover states before the window closes: that it has done ``units`` units, and a hash over all their tiles.

    Raises:
        ValueError: the root is no hash, or the number of units is out of range.
    """

    root: bytes
    units: int

    def __post_init__(self) -> None:
        if len(self.root) != 32 or not 0 < self.units <= MAX_UNITS:
            raise ValueError(f"a commitment is a root of 32 bytes over 1 to {MAX_UNITS} units")

    def digest(self, context: Context) -> bytes:
        """One hash over the commitment and whom it is for."""
        return hashlib.sha256(_TAG + context.encode() + self.root + self.units.to_bytes(4, "little")).digest()
