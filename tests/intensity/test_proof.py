"""A true proof passes; everything else is refused, and false tiles are found as often as the rule promises."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from threading import Event

import msgspec
import numpy as np
import pytest

from candela.errors import IntensityError
from candela.intensity import (
    C1,
    SAMPLES,
    Commitment,
    Context,
    HostPath,
    Opening,
    Profile,
    Prover,
    Window,
    drawn,
    verify,
)
from candela.intensity.product import product, tile_product
from candela.intensity.rails import check_exact, rails
from candela.intensity.sampling import _draw
from candela.intensity.tiles import Tiles
from candela.intensity.tree import Tree, fold
from candela.intensity.window import leaf, place

LATER = b"\x55" * 32
UNITS = 11


@pytest.fixture
def window(context: Context) -> Window:
    """A true window."""
    return Prover().prove(context, UNITS)


def _openings(window: Window, beacon: bytes = LATER) -> list[Opening]:
    return window.open(drawn(window.context, window.commitment(), beacon))


def _refused(window: Window, openings: list[Opening], **changed: object) -> str:
    arguments = {"context": window.context, "commitment": window.commitment(), "beacon": LATER} | changed
    with pytest.raises(IntensityError) as caught:
        verify(**arguments, openings=openings)  # pyright: ignore[reportArgumentType]
    return caught.value.what


def test_a_true_window_passes(window: Window) -> None:
    verify(window.context, window.commitment(), LATER, _openings(window))
    assert window.operations == UNITS * window.context.profile.operations


def test_openings_must_be_all_that_were_drawn_in_order(window: Window) -> None:
    openings = _openings(window)
    assert len({opening.index for opening in openings}) > 1
    for wrong in ([], openings[:-1], openings[:1] * SAMPLES, openings[::-1], [*openings, openings[0]]):
        assert "not those that were drawn" in _refused(window, wrong)


def test_tiles_drawn_by_another_beacon_are_refused(window: Window) -> None:
    assert "not those that were drawn" in _refused(window, _openings(window, b"\x56" * 32))


def test_tiles_are_never_drawn_by_the_beacon_that_opened_the_window(window: Window) -> None:
    with pytest.raises(ValueError, match="later than"):
        drawn(window.context, window.commitment(), window.context.beacon)


@pytest.mark.parametrize(
    "changed",
    [{"provider": b"\x01" * 20}, {"beacon": b"\x02" * 32}, {"device": 8}, {"chain_id": 1}, {"contract": b"\x03" * 20}],
    ids=lambda each: next(iter(each)),
)
def test_another_context_refuses_the_proof(window: Window, changed: dict) -> None:
    other = msgspec.structs.replace(window.context, **changed)
    assert "drawn" in _refused(window, _openings(window), context=other)
    # Even a prover that shows the tiles which are drawn for the other context shows false ones.
    openings = window.open(drawn(other, window.commitment(), LATER))
    assert "wrong" in _refused(window, openings, context=other)


def test_more_units_than_were_computed_are_refused(window: Window) -> None:
    more = Commitment(window.commitment().root, UNITS + 5)
    indices = drawn(window.context, more, LATER)
    most = UNITS * window.context.profile.tiles - 1
    openings = [msgspec.structs.replace(window.open([min(index, most)])[0], index=index) for index in indices]
    assert "not what was committed to" in _refused(window, openings, commitment=more)


@pytest.mark.parametrize("part", ["tile", "tile_path", "unit_path"])
def test_any_changed_part_of_an_opening_is_refused(window: Window, part: str) -> None:
    openings = _openings(window)
    known = getattr(openings[5], part)
    if part == "tile":
        changed = [bytes([known[0] ^ 1]) + known[1:], known[:-4], known + b"\0", b""]
    else:
        changed = [(b"\0" * 32, *known[1:]), known[1:], (*known, b"\0" * 32), (*known[:-1], known[-1] + b"\0")]
    for value in changed:
        wrong = [*openings[:5], msgspec.structs.replace(openings[5], **{part: value}), *openings[6:]]
        assert "not what was committed to" in _refused(window, wrong)


class Cheat(Window):
    """Commits to tiles of its own making."""

    def __init__(self, context: Context, units: int, make: object) -> None:
        trees: list[Tree] = []
        super().__init__(context, trees.__getitem__)
        self._made: list[bytes] = []
        for unit in range(units):
            tiles = []
            for number in range(context.profile.tiles):
                index = unit * context.profile.tiles + number
                at = place(context.profile, index)
                self._made.append(make(index))  # pyright: ignore[reportCallIssue]
                tiles.append(leaf(at.row, at.column, self._made[-1]))
            trees.append(Tree(b"".join(tiles)))
            self.add(trees[-1].root)

    def open(self, indices: Iterable[int]) -> list[Opening]:
        """Show tiles as they were committed to."""
        return [msgspec.structs.replace(each, tile=self._made[each.index]) for each in super().open(indices)]


def test_zero_tiles_are_refused(context: Context) -> None:
    cheat = Cheat(context, 3, lambda _: bytes(4096))
    assert "wrong" in _refused(cheat, _openings(cheat))


def test_true_tiles_at_the_place_of_others_are_refused(context: Context) -> None:
    true = Prover().prove(context, 1)
    cheat = Cheat(context, 3, lambda index: true.open([index % context.profile.tiles])[0].tile)
    assert "wrong" in _refused(cheat, _openings(cheat))


def test_products_of_low_precision_are_refused(context: Context) -> None:
    def halved(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return (rows.astype(np.float16) @ columns.astype(np.float16).T).astype(np.int32)

    deep = msgspec.structs.replace(context, profile=Profile("deep", 254, 32, 32, 1 << 16))
    cheat = Cheat(deep, 1, Tiles(deep, halved).tile)
    assert "wrong" in _refused(cheat, _openings(cheat))


def test_five_per_cent_of_false_tiles_rarely_pass() -> None:
    """10,000 windows of twelve C1 units; which tiles are false is fixed before they are drawn."""
    seed = 20261126
    source = np.random.default_rng(seed)
    tiles, passed = 12 * C1.tiles, 0
    false = np.zeros(tiles, dtype=bool)
    false[source.choice(tiles, tiles // 20, replace=False)] = True
    for _ in range(10_000):
        beacon = hashlib.sha256(source.bytes(32)).digest()
        passed += not any(false[_draw(beacon, number) % tiles] for number in range(SAMPLES))
    assert 0.03 < passed / 10_000 <= 0.045, f"seed {seed}: {passed} windows passed"


def test_a_task_that_arrives_stops_the_prover_and_finished_units_count(context: Context) -> None:
    stop, calls = Event(), 0

    def multiply(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 3:
            stop.set()
        return product(rows, columns)

    prover = Prover()
    prover._path = HostPath(multiply)
    window = prover.prove(context, UNITS, stop)
    assert window.units == 3
    verify(context, window.commitment(), LATER, _openings(window))
    stop.set()
    empty = prover.prove(context, UNITS, stop)
    assert empty.units == 0
    with pytest.raises(ValueError, match="finished unit"):
        empty.commitment()


def test_rails_catch_what_is_not_exact() -> None:
    check_exact(HostPath())

    def rounded(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        exact = product(rows, columns).astype(np.float32)
        return (exact.view(np.uint32) & np.uint32(0xFFFFF000)).view(np.float32).astype(np.int32)

    def saturated(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return np.clip(product(rows, columns), -(2**15), 2**15 - 1)

    for inexact in (rounded, saturated, lambda rows, columns: 0 * product(rows, columns)):
        with pytest.raises(IntensityError, match="not exact"):
            Prover(HostPath(inexact))
    assert max(int(np.abs(rows.astype(int) @ columns.astype(int).T).max()) for _, rows, columns in rails()) == 1 << 22


@pytest.mark.parametrize("size", [1, 2, 3, 11, 64, 100])
def test_every_path_leads_to_the_root_and_no_other_does(size: int) -> None:
    leaves = [hashlib.sha256(bytes([at])).digest() for at in range(size)]
    tree = Tree(b"".join(leaves))
    for index in range(size):
        path = list(tree.path(index))
        assert fold(leaves[index], index, size, path) == tree.root
        assert fold(leaves[index], index, size, [*path, leaves[0]]) is None
        assert fold(leaves[index], size, size, path) is None
        if path:
            assert fold(leaves[index], index, size, path[:-1]) is None
            assert fold(leaves[index], index ^ 1, size, path) != tree.root


def test_sizes_beyond_exactness_are_refused() -> None:
    Profile("deepest", 9, 32, 32, 1 << 18)
    for wrong in ((32, 32, (1 << 18) + 16), (33, 32, 16), (32, 0, 16), (32, 32, 8)):
        with pytest.raises(ValueError, match="profile"):
            Profile("wrong", 9, *wrong)


@pytest.mark.parametrize("depth", [16, 160, 256, 272, 2048, 8192])
def test_the_product_of_one_tile_is_that_of_integers(depth: int) -> None:
    both = np.random.default_rng(depth).integers(-8, 8, (64, depth)).astype(np.float32)
    lowest = np.full((64, depth), -8, dtype=np.float32)
    for lines in (both, lowest):
        expected = lines[:32].astype(np.int64) @ lines[32:].astype(np.int64).T
        assert np.array_equal(tile_product(lines[:32], lines[32:]), expected)
