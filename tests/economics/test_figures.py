"""The figures of docs/economics.md say what its text says."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import pytest
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[2] / "docs"
_spec = importlib.util.spec_from_file_location("plots", DOCS / "plots.py")
assert _spec is not None and _spec.loader is not None
plots = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plots)


def test_the_reserve_falls_as_the_text_says() -> None:
    _, reserves, shares = plots.reserve_and_share()
    fallen = [round(100 * (1 - reserves[year * 365])) for year in (1, 4, 10, 20)]
    assert fallen == [12, 31, 44, 61]
    assert (shares[0], shares[1461], shares[-1]) == (0.8, 0.2, 0.2)


def test_the_owner_loses_first_and_holders_what_is_left() -> None:
    prices = plots.share_price()
    changes = [after / before for before, after in itertools.pairwise(prices)]
    assert changes[18] == pytest.approx(changes[17]), "the owner's stake covers the first slash"
    assert 0.92 < changes[36] < 1, "the second takes what the owner has left, and then from all"
    assert all(change > 1 for week, change in enumerate(changes) if week != 36)


def test_stake_beyond_cover_adds_nothing() -> None:
    coin = plots.COIN
    assert plots.payout_of_a_day(coin // 2, 10) == 0.5
    assert plots.payout_of_a_day(coin, 10) == plots.payout_of_a_day(9 * coin, 10) == 1


@pytest.mark.parametrize("name", plots.FIGURES)
def test_every_figure_is_drawn_and_shown(name: str) -> None:
    plots.FIGURES[name](Figure().add_subplot())
    assert (DOCS / "plots" / f"{name}.svg").exists()
    assert f"plots/{name}.svg" in (DOCS / "economics.md").read_text()
