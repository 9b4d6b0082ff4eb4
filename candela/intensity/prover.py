"""Do the work of a window and commit to it; stop at once when a paying task arrives."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np

from candela.intensity.opening import Opening
from candela.intensity.product import Factor, Panel, Product, panel, product
from candela.intensity.profile import GRID, MAX_UNITS, TILE, Profile
from candela.intensity.rails import check_exact
from candela.intensity.seed import COLUMNS, ROWS, Context, keys
from candela.intensity.tiles import Tiles
from candela.intensity.tree import Tree
from candela.intensity.window import Commitment, place

_BLOCK_ROWS = 512
"""Rows of a unit between two looks at whether to stop."""


class Stop(Protocol):
    """Something that says when to stop, such as ``threading.Event``."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...


class Window:
    """The units that a prover has done. It keeps hashes alone; a tile that must be shown is computed again."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._units: list[Tree] = []

    @property
    def units(self) -> int:
        """Units done."""
        return len(self._units)

    @property
    def operations(self) -> int:
        """Integer operations done."""
        return self.units * self.context.profile.operations

    def commitment(self) -> Commitment:
        """What to state before the window closes.

        Raises:
            ValueError: no unit is done.
        """
        if not self._units:
            raise ValueError("a window without a finished unit commits to nothing")
        return Commitment(self._tree().root, self.units)

    def open(self, index: int) -> Opening:
        """Show one tile.

        Raises:
            IndexError: the window has no such tile.
        """
        profile = self.context.profile
        if not 0 <= index < self.units * profile.tiles:
            raise IndexError(f"the window has {self.units * profile.tiles} tiles, not a tile {index}")
        at = place(profile, index)
        tile = Tiles(self.context).tile(index)
        return Opening(index, tile, self._units[at.unit].path(at.number), self._tree().path(at.unit))

    def add(self, tiles: list[bytes]) -> None:
        """Take in the leaves of a finished unit, in the order of its tiles."""
        self._units.append(Tree(tiles))

    def _tree(self) -> Tree:
        return Tree([unit.root for unit in self._units])


class Prover:
    """Fills windows on one device.

    Args:
        multiply: the device's way to multiply. It is tried on the rail vectors first.
        panel: the device's way to make rows and columns for it.

    Raises:
        IntensityError: the product is not exact on this device, which may then not prove anything.
    """

    def __init__(self, multiply: Product = product, panel: Panel = panel) -> None:
        check_exact(multiply, panel)
        self._multiply, self._panel = multiply, panel

    def prove(self, context: Context, units: int, stop: Stop | None = None) -> Window:
        """Do up to ``units`` units.

        Args:
            stop: when it is set, the prover returns within one block of rows; the units finished so far count.

        Raises:
            ValueError: more units than a window may have.
        """
        if not 0 < units <= MAX_UNITS:
            raise ValueError(f"a window has 1 to {MAX_UNITS} units, not {units}")
        window = Window(context)
        rows, held = None, -1
        for unit in range(units):
            grid, within = divmod(unit, GRID * GRID)
            seed, profile = context.seed(grid), context.profile
            if held != unit // GRID:
                number = within // GRID * profile.m
                rows, held = self._panel(keys(seed, ROWS, number, profile.m), profile.k), unit // GRID
            columns = self._panel(keys(seed, COLUMNS, within % GRID * profile.n, profile.n), profile.k)
            tiles = self._unit(profile, within, rows, columns, stop)
            if tiles is None:
                break
            window.add(tiles)
        return window

    def _unit(
        self, profile: Profile, within: int, rows: Factor, columns: Factor, stop: Stop | None
    ) -> list[bytes] | None:
        row, column = within // GRID * profile.tile_rows, within % GRID * profile.tile_columns
        leaves: list[bytes] = []
        for start in range(0, profile.m, _BLOCK_ROWS):
            if stop is not None and stop.is_set():
                return None
            block = self._multiply(rows[start : start + _BLOCK_ROWS], columns)
            leaves += _leaves(block, row + start // TILE, column)
        return leaves


def _leaves(block: np.ndarray, row: int, column: int) -> list[bytes]:
    """Hashes of the tiles of some rows of a unit, from left to right, then down."""
    down, across = block.shape[0] // TILE, block.shape[1] // TILE
    tiles = np.ascontiguousarray(block.astype("<i4", copy=False).reshape(down, TILE, across, TILE).swapaxes(1, 2))
    hashes = []
    for i in range(down):
        prefix = hashlib.sha256(b"\x00" + (row + i).to_bytes(4, "little"))
        for j in range(across):
            hashed = prefix.copy()
            hashed.update((column + j).to_bytes(4, "little"))
            hashed.update(tiles[i, j])
            hashes.append(hashed.digest())
    return hashes
