"""Results are held against each other within a tolerance, products by random vectors; hostile bytes are false."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candela import values
from candela.market.comparison import Tolerance, same
from candela.market.freivalds import is_product
from candela.market.judgement import matches, multiplies

EXACT: dict = {}


def result(value: object) -> bytes:
    return values.encode({"value": value})


def test_equal_values_match_and_kinds_count() -> None:
    for value in (1, 1.5, "a", None, [1, (2, 3)], {"a": {1, 2}}, np.arange(6).reshape(2, 3), math.nan, 2 + 1j, 10**50):
        assert matches(result(value), result(value), EXACT), value
    for left, right in [(1, 1.0), (True, 1), ([1], (1,)), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (math.inf, -math.inf)]:
        assert not matches(result(left), result(right), EXACT), (left, right)
    assert not matches(result(np.zeros(3)), result(np.zeros(3, np.float32)), EXACT)
    assert not matches(result(np.zeros((3, 1))), result(np.zeros((1, 3))), EXACT)


def test_tolerance_is_relative_absolute_or_in_last_places() -> None:
    near = math.nextafter(1.0, 2.0)
    assert not same(near, 1.0, Tolerance())
    assert same(near, 1.0, Tolerance(ulp=1))
    assert not same(math.nextafter(near, 2.0), 1.0, Tolerance(ulp=1))
    assert same(101.0, 100.0, Tolerance(rtol=0.011))
    assert not same(102.0, 100.0, Tolerance(rtol=0.011))
    assert same(1e-9, 0.0, Tolerance(atol=1e-8))
    assert same(np.float32([1.0, 2.0]), np.nextafter(np.float32([1.0, 2.0]), np.float32(9)), Tolerance(ulp=1))
    assert same({"loss": [1 + 1e-9j]}, {"loss": [1 + 0j]}, Tolerance(atol=1e-8))


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_steps_to_a_neighbour_are_last_places(number: float, steps: int) -> None:
    other = number
    for _ in range(steps):
        other = math.nextafter(other, math.inf)
    if math.isfinite(other) and number != 0:
        assert same(other, number, Tolerance(ulp=steps))
        assert steps == 0 or other == number or not same(other, number, Tolerance(ulp=steps - 1))


def test_not_a_number_never_passes_for_a_number() -> None:
    generous = Tolerance(rtol=0.9, atol=1e9, ulp=1 << 20)
    for false in (math.nan, math.inf, -math.inf):
        assert not same(false, 1.0, generous)
        assert not same(np.array([1.0, false]), np.array([1.0, 2.0]), generous)


def test_where_an_exception_was_raised_does_not_count() -> None:
    def failure(message: str, line: int) -> bytes:
        error = {"type": "ValueError", "message": message, "arguments": b"", "traceback": f"line {line}"}
        return values.encode({"error": error})

    assert matches(failure("no", 1), failure("no", 2), EXACT)
    assert not matches(failure("no", 1), failure("yes", 1), EXACT)
    assert not matches(failure("no", 1), result(1), EXACT)


@pytest.mark.parametrize("stated", [b"", b"\xc1", b"\xc7\xff\x01", result(1)[:-1], b"\x91" * 5000])
def test_bytes_that_are_no_value_are_false(stated: bytes) -> None:
    assert not matches(stated, result(1), EXACT)
    task = values.encode({"args": [np.eye(2), np.eye(2)], "kwargs": {}})
    assert not multiplies(stated, task, 1e-6)


@pytest.mark.parametrize("kind", [np.int64, np.float64, np.float32])
def test_product_passes_and_one_false_entry_does_not(kind: type) -> None:
    generator = np.random.default_rng(7)
    a, b = (generator.integers(-9, 9, shape).astype(kind) for shape in ((30, 20), (20, 40)))
    assert is_product(a, b, a @ b, 1e-6)
    false = a @ b
    false[3, 5] += 1
    assert not is_product(a, b, false, 1e-6)
    assert not is_product(a, b, np.zeros_like(false), 1e-6)
    assert not is_product(a, b, (a @ b)[:-1], 1e-6)
    task = values.encode({"args": [a, b], "kwargs": {}})
    assert multiplies(result(a @ b), task, 1e-6)
    assert not multiplies(result(false), task, 1e-6)


def test_products_that_wrap_are_right_and_what_is_no_number_is_not() -> None:
    a = np.full((3, 3), 2**62, np.int64)
    assert is_product(a, a, a @ a, 0)
    square = np.eye(3)
    for false in (math.nan, math.inf):
        assert not is_product(square, square, np.full((3, 3), false), 0.5)
    assert not is_product(np.full((3, 3), math.nan), square, square, 0.5)


def test_without_two_matrices_there_is_no_product_to_check() -> None:
    with pytest.raises(ValueError, match="two factors"):
        multiplies(result(1), values.encode({"args": [np.eye(2)], "kwargs": {}}), 0)
