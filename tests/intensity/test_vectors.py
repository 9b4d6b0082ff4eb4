"""The package gives the committed vectors, and so does the reference in integers."""

from __future__ import annotations

import numpy as np
import pytest

from candela.intensity import C1, G1, Commitment, Context, Profile, Prover, drawn
from candela.intensity.expansion import expand
from candela.intensity.seed import COLUMNS, ROWS, keys
from candela.intensity.tiles import Tiles
from candela.intensity.window import leaf, place
from tests.intensity import reference
from tests.intensity.conftest import SMALL, VECTORS, context_of

PROFILES = {"small": SMALL, "C1": C1, "G1": G1}


def _context(name: str) -> Context:
    return context_of(VECTORS["context"], PROFILES[name])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_are_those_of_the_vectors(name: str) -> None:
    profile = PROFILES[name]
    sizes = {"code": profile.code, "m": profile.m, "n": profile.n, "k": profile.k}
    assert sizes == VECTORS["profiles"][name]
    assert profile.operations == 2 * profile.m * profile.n * profile.k


@pytest.mark.parametrize("line", VECTORS["lines"], ids=lambda each: f"{each['profile']}-{each['side']}{each['index']}")
def test_rows_and_columns(line: dict) -> None:
    seed = _context(line["profile"]).seed(0)
    assert seed == _bytes(line["seed"])
    side = ROWS if line["side"] == "A" else COLUMNS
    entries = expand(keys(seed, side, line["index"], 1), 0, len(line["entries"]))
    assert entries[0].astype(int).tolist() == line["entries"]
    assert reference.line(seed, side, line["index"], 160) == line["entries"]


def _index(profile: Profile, tile: dict) -> int:
    """The number in a window of the tile at a position of a grid."""
    panel_row, row = divmod(tile["row"], profile.tile_rows)
    panel_column, column = divmod(tile["column"], profile.tile_columns)
    unit = tile["grid"] * 64 + panel_row * 8 + panel_column
    return unit * profile.tiles + row * profile.tile_columns + column


@pytest.mark.parametrize("tile", VECTORS["tiles"], ids=lambda each: f"{each['profile']}-{each['grid']}")
def test_tiles(tile: dict) -> None:
    context = _context(tile["profile"])
    index = _index(context.profile, tile)
    at = place(context.profile, index)
    assert (at.grid, at.row, at.column) == (tile["grid"], tile["row"], tile["column"])
    data = Tiles(context).tile(index)
    assert data[:64] == _bytes(tile["first"])
    assert leaf(at.row, at.column, data) == _bytes(tile["leaf"])


def test_a_window_and_what_is_drawn_from_it(context: Context) -> None:
    expected = VECTORS["window"]
    window = Prover().prove(context, expected["units"])
    assert window.commitment() == Commitment(_bytes(expected["root"]), expected["units"])
    assert drawn(context, window.commitment(), _bytes(expected["later_beacon"])) == expected["draws"]


def test_a_thousand_random_seeds_agree_with_integers() -> None:
    source = np.random.default_rng(20260926)
    for number in range(1_000):
        seed = source.bytes(32)
        index = int(source.integers(0, 1 << 32))
        side = (ROWS, COLUMNS)[number % 2]
        assert expand(keys(seed, side, index, 1), 0, 64)[0].astype(int).tolist() == reference.line(
            seed, side, index, 64
        )


def test_entries_far_along_a_row_are_the_same_in_parts() -> None:
    key = keys(b"\x07" * 32, ROWS, 3, 4)
    whole = expand(key, 0, 65536)
    assert np.array_equal(np.concatenate([expand(key, 0, 160), expand(key, 160, 65536)], axis=1), whole)
    assert whole.min() == -8 and whole.max() == 7
