"""Do the work of a window and commit to it; stop at once when a paying task arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from candela.errors import IntensityError
from candela.intensity.opening import Opening
from candela.intensity.path import HostPath, Leaves, Path
from candela.intensity.product import Factor
from candela.intensity.profile import C1, GRID, MAX_UNITS, TILE, Profile
from candela.intensity.rails import check_exact
from candela.intensity.seed import COLUMNS, ROWS, Context
from candela.intensity.tiles import Tiles
from candela.intensity.tree import Tree
from candela.intensity.window import Commitment, place


class Stop(Protocol):
    """Something that says when to stop, such as ``threading.Event``."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...


class Window:
    """The units that a prover has done. It keeps their roots alone; a unit of which a tile must be shown is done again.

    Args:
        context: whom and what the window is for.
        rebuild: does a unit again, and gives the tree over its tiles.
        roots: those of the units that are done.
    """

    def __init__(self, context: Context, rebuild: Callable[[int], Tree], roots: Iterable[bytes] = ()) -> None:
        self.context, self._rebuild = context, rebuild
        self._roots = list(roots)

    @property
    def units(self) -> int:
        """Units done."""
        return len(self._roots)

    @property
    def roots(self) -> Sequence[bytes]:
        """The root of each unit: with the context, all that is needed to show any tile later."""
        return self._roots

    @property
    def operations(self) -> int:
        """Integer operations done."""
        return self.units * self.context.profile.operations

    def commitment(self) -> Commitment:
        """What to state before the window closes.

        Raises:
            ValueError: no unit is done.
        """
        if not self._roots:
            raise ValueError("a window without a finished unit commits to nothing")
        return Commitment(self._tree().root, self.units)

    def open(self, indices: Iterable[int]) -> list[Opening]:
        """Show tiles, in the order asked for.

        Raises:
            IndexError: the window has no such tile.
            IntensityError: the device does not come to the same results again.
        """
        wanted, total = list(indices), self.units * self.context.profile.tiles
        missing = [index for index in wanted if not 0 <= index < total]
        if missing:
            raise IndexError(f"the window has {total} tiles, not a tile {missing[0]}")
        over, tiles = self._tree(), Tiles(self.context)
        shown: dict[int, Opening] = {}
        unit, tree = -1, None
        for index in sorted(set(wanted)):
            at = place(self.context.profile, index)
            if tree is None or at.unit != unit:
                unit, tree = at.unit, self._again(at.unit)
            shown[index] = Opening(index, tiles.tile(index), tree.path(at.number), over.path(unit))
        return [shown[index] for index in wanted]

    def add(self, root: bytes) -> None:
        """Take in a finished unit."""
        self._roots.append(root)

    def _again(self, unit: int) -> Tree:
        tree = self._rebuild(unit)
        if tree.root != self._roots[unit]:
            raise IntensityError(
                f"unit {unit} can't be shown",
                why="the device comes to other results than when it committed to them",
                fix="check the device: its memory or its arithmetic fails now and then",
            )
        return tree

    def _tree(self) -> Tree:
        return Tree(b"".join(self._roots))


class Prover:
    """Fills windows on one device.

    Args:
        path: the device's way to do the work. It is tried on the rail vectors first.
        profile: the sizes that it is tried at.

    Raises:
        IntensityError: the work is not exact on this device, which may then not prove anything.
    """

    def __init__(self, path: Path | None = None, profile: Profile = C1) -> None:
        self._path = HostPath() if path is None else path
        try:
            check_exact(self._path, profile)
        finally:
            self._path.release()

    def prove(self, context: Context, units: int, stop: Stop | None = None) -> Window:
        """Do up to ``units`` units.

        Args:
            stop: when it is set, the prover returns within one block of rows; the units finished so far count.

        Raises:
            ValueError: more units than a window may have.
        """
        window = self.window(context)
        for root in self.roots(context, units, stop):
            window.add(root)
        return window

    def window(self, context: Context, roots: Iterable[bytes] = ()) -> Window:
        """A window whose units were done before, by this process or by one that has ended."""
        return Window(context, lambda unit: self.tree(context, unit), roots)

    def roots(self, context: Context, units: int, stop: Stop | None = None) -> Iterator[bytes]:
        """The root of each unit as soon as it is done; the arguments are those of :meth:`prove`."""
        if not 0 < units <= MAX_UNITS:
            raise ValueError(f"a window has 1 to {MAX_UNITS} units, not {units}")
        rows = None
        try:
            for unit in range(units):
                if unit % GRID == 0:
                    rows = self._rows(context, unit)
                leaves = self._unit(context, unit, rows, stop)
                if leaves is None:
                    return
                yield self._path.root(leaves)
        finally:
            rows = leaves = None
            self._path.release()

    def tree(self, context: Context, unit: int) -> Tree:
        """Do one unit, and give the tree over its tiles."""
        leaves = self._unit(context, unit, self._rows(context, unit), None)
        assert leaves is not None, "only a stop ends a unit early"  # noqa: S101
        try:
            return self._path.tree(leaves)
        finally:
            leaves = None
            self._path.release()

    def release(self) -> None:
        """Let go of the device's memory."""
        self._path.release()

    def _rows(self, context: Context, unit: int) -> Factor:
        grid, within = divmod(unit, GRID * GRID)
        profile = context.profile
        return self._path.panel(context.seed(grid), ROWS, within // GRID * profile.m, profile.m, profile.k)

    def _unit(self, context: Context, unit: int, rows: Factor, stop: Stop | None) -> list[Leaves] | None:
        grid, within = divmod(unit, GRID * GRID)
        profile, step = context.profile, self._path.block_rows
        row, column = within // GRID * profile.tile_rows, within % GRID * profile.tile_columns
        columns = None
        leaves: list[Leaves] = []
        for start in range(0, profile.m, step):
            if stop is not None and stop.is_set():
                return None
            if columns is None:
                number = within % GRID * profile.n
                columns = self._path.panel(context.seed(grid), COLUMNS, number, profile.n, profile.k)
            leaves.append(self._path.leaves(rows[start : start + step], columns, row + start // TILE, column))
        return leaves
