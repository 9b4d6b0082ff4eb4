"""One tile with its way to the window's root."""

from __future__ import annotations

import msgspec

from candela.intensity import tree
from candela.intensity.profile import Profile
from candela.intensity.window import TILE_BYTES, Commitment, leaf, place

_MAX_SIBLINGS = 64


class Opening(msgspec.Struct, frozen=True):
    """A tile of a committed window.

    Args:
        index: the tile's number in the window.
        tile: 4,096 bytes, 32 x 32 little-endian int32, row by row.
        tile_path: siblings up to the root of its unit, the lowest first.
        unit_path: siblings from there to the root of the window.
    """

    index: int
    tile: bytes
    tile_path: tuple[bytes, ...]
    unit_path: tuple[bytes, ...]

    def belongs_to(self, commitment: Commitment, profile: Profile) -> bool:
        """Whether the commitment is to this tile at this place."""
        siblings = (*self.tile_path, *self.unit_path)
        if len(self.tile) != TILE_BYTES or len(siblings) > _MAX_SIBLINGS or any(len(each) != 32 for each in siblings):
            return False
        if not 0 <= self.index < commitment.units * profile.tiles:
            return False
        at = place(profile, self.index)
        unit = tree.fold(leaf(at.row, at.column, self.tile), at.number, profile.tiles, self.tile_path)
        return unit is not None and tree.fold(unit, at.unit, commitment.units, self.unit_path) == commitment.root
