"""Amounts: exact in both directions, and nothing else is taken."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from candela.amounts import NIT_PER_CND, format_cnd, parse_cnd, per_hour
from candela.errors import UsageError
from candela.function import parse_bytes


@given(st.integers(0, 10**30))
@example(987_654_321_987_654_321_987_654_321_987)
def test_every_nit_survives_its_text(nit: int) -> None:
    text = format_cnd(nit, places=18)
    assert parse_cnd(text.removesuffix(" CND")) == nit


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "nan", "inf", "1e-19", "0.0000000000000000001", "1,5", "1 CND", None, "1e999999999999999999"],
)
def test_other_texts_are_refused(text: object) -> None:
    with pytest.raises(UsageError):
        parse_cnd(text)  # type: ignore[arg-type]


def test_examples() -> None:
    assert parse_cnd("2.50") == 25 * NIT_PER_CND // 10
    assert parse_cnd(Decimal("0.00002")) == 2 * 10**13
    assert format_cnd(0) == "0 CND"
    assert format_cnd(25 * 10**17) == "2.5 CND"
    assert format_cnd(1) == "0.000000000000000001 CND"
    assert per_hour(2 * 10**13, 10**6) == 72 * 10**15


@given(st.integers(-(10**20), 10**20), st.integers(1, 12))
def test_shown_amounts_are_never_more_than_the_amount(nit: int, places: int) -> None:
    shown = Decimal(format_cnd(abs(nit), places).removesuffix(" CND")) * NIT_PER_CND
    assert shown <= abs(nit)


@pytest.mark.parametrize(
    ("size", "count"), [("512MiB", 512 << 20), ("2GiB", 2 << 30), ("1.5 GiB", 3 << 29), (4096, 4096), ("1KiB", 1024)]
)
def test_sizes(size: str | int, count: int) -> None:
    assert parse_bytes(size) == count


@pytest.mark.parametrize("size", ["", "GiB", "-1GiB", "0", "2GB", "nan", "inf GiB", "1e99GiB", "x"])
def test_other_sizes_are_refused(size: str) -> None:
    with pytest.raises(UsageError):
        parse_bytes(size)
