"""Values: what goes in comes out with its type, and hostile bytes give one kind of error."""

from __future__ import annotations

import contextlib
import datetime
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from candela import values
from candela.errors import ArtefactError, ValueTypeError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
)
KEYS = st.text() | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.booleans()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.frozensets(st.integers() | st.text(), max_size=4)
        | st.sets(st.integers() | st.text(), max_size=4)
    ),
    max_leaves=20,
)


def same(left: object, right: object) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))  # type: ignore[arg-type]
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)  # type: ignore[index]
    return left == right


@given(VALUES)
def test_values_keep_their_types(value: object) -> None:
    assert same(values.decode(values.encode(value)), value)


@given(
    arrays.arrays(
        st.sampled_from(["f4", "f8", "i1", "i8", "u2", "?", "c16", "M8[s]", "S3", "U4"]).map(np.dtype),
        arrays.array_shapes(max_dims=3, max_side=4, min_side=0),
    )
)
def test_arrays_keep_dtype_shape_and_content(array: np.ndarray) -> None:
    back = values.decode(values.encode(array))
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_not_a_number_and_signed_zero_survive() -> None:
    back = values.decode(values.encode([float("nan"), -0.0]))
    assert back[0] != back[0]
    assert struct.pack("<d", back[1]) == struct.pack("<d", -0.0)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_hostile_bytes_decode_or_give_one_kind_of_error(data: bytes) -> None:
    with contextlib.suppress(ArtefactError):
        values.decode(data)


@given(st.integers(0, 127), st.binary(max_size=80))
def test_hostile_extensions_decode_or_give_one_kind_of_error(code: int, data: bytes) -> None:
    with contextlib.suppress(ArtefactError):
        values.decode(msgpack.packb(msgpack.ExtType(code, data)))


@settings(max_examples=200)
@given(VALUES, st.data())
def test_damaged_values_decode_or_give_one_kind_of_error(value: object, data: st.DataObject) -> None:
    damaged = bytearray(values.encode(value))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ArtefactError):
        values.decode(bytes(damaged))


def test_deeply_nested_bytes_are_refused() -> None:
    with pytest.raises(ArtefactError):
        values.decode(b"\x91" * 100_000 + b"\xc0")
    with pytest.raises(ValueTypeError, match="nested"):
        nested: list = []
        for _ in range(100):
            nested = [nested]
        values.encode(nested)


def test_size_limit_holds() -> None:
    data = values.encode(b"x" * 1_000)
    with pytest.raises(ArtefactError, match="1003 bytes"):
        values.decode(data, 1_000)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, object()]}, r"value\['a'\]\[1\] is a object"),
        (lambda: None, "value is a function"),
        ({(1, 2): 3}, "a key of value is a tuple"),
        (np.array([object()]), "value is a numpy.ndarray"),
        ([ValueError("x")], r"value\[0\] is a ValueError"),
    ],
)
def test_refusal_names_type_and_place(value: object, words: str) -> None:
    with pytest.raises(ValueTypeError, match=words):
        values.encode(value)


def test_object_arrays_from_others_are_refused() -> None:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(ArtefactError):
        values.decode(msgpack.packb(msgpack.ExtType(values.NPY, buffer.getvalue())))
