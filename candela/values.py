"""Encode values for the way between machines: msgpack with a few typed extensions, never pickle."""

from __future__ import annotations

import datetime
import io
import struct
from functools import partial
from typing import Any

import msgpack

from candela.errors import ArtefactError, ValueTypeError

NPY, DATETIME, COMPLEX, BIG_INT, TUPLE, SET, ARROW, FROZENSET = range(1, 9)
MAX_BYTES = 256 << 20
"""Most bytes that :func:`decode` takes unless told otherwise."""
_MAX_DEPTH = 64
_INT64 = range(-(2**63), 2**64)


def encode(value: Any) -> bytes:
    """Encode ``value``.

    Supported are None, bool, int, float, complex, str, bytes, datetime, list, tuple, set, frozenset, dict, numpy
    arrays and scalars without object fields, and Arrow tables.

    Raises:
        ValueTypeError: something inside can't travel; the message names the type and where it is.
    """
    return _pack(_prepare(value, "value", 0))


def decode(data: bytes, limit_bytes: int = MAX_BYTES) -> Any:
    """Decode what :func:`encode` made; the bytes may come from anybody.

    Raises:
        ArtefactError: too large, malformed or of an unknown kind.
    """
    if len(data) > limit_bytes:
        raise ArtefactError(f"a value of {len(data)} bytes was refused", why=f"at most {limit_bytes} are taken")
    try:
        return _unpack(data)
    except ArtefactError:
        raise
    except Exception as error:
        raise ArtefactError("a value could not be decoded", why=f"{type(error).__name__}: {error}") from error


def _pack(prepared: Any) -> bytes:
    return bytes(msgpack.packb(prepared, use_bin_type=True) or b"")


def _unpack(data: bytes, depth: int = 0) -> Any:
    # Every level takes a part of C's stack, whose end is no exception.
    if depth > _MAX_DEPTH:
        raise ArtefactError(f"a value that is nested deeper than {_MAX_DEPTH} levels was refused")
    hook = partial(_from_extension, depth)
    return msgpack.unpackb(data, raw=False, strict_map_key=False, ext_hook=hook)


def _refuse(value: Any, path: str) -> ValueTypeError:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    return ValueTypeError(
        f"{path} is a {kind}, which can't travel between machines",
        why="values travel as plain data, never as code",
        fix="pass numbers, text, bytes, lists, dicts, numpy arrays or Arrow tables",
    )


def _prepare(value: Any, path: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueTypeError(f"{path} is nested deeper than {_MAX_DEPTH} levels", fix="flatten it")
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes):
        return value
    if kind is int:
        return value if value in _INT64 else msgpack.ExtType(BIG_INT, str(value).encode())
    if kind is list:
        return [_prepare(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    if kind is dict:
        return {_key(key, path): _prepare(item, f"{path}[{key!r}]", depth + 1) for key, item in value.items()}
    if kind in _SEQUENCES:
        items = [_prepare(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
        return msgpack.ExtType(_SEQUENCES[kind], _pack(items))
    return _prepare_special(value, path)


_SEQUENCES = {tuple: TUPLE, set: SET, frozenset: FROZENSET}
_SEQUENCE_OF = {code: kind for kind, code in _SEQUENCES.items()}


def _key(key: Any, path: str) -> Any:
    if type(key) not in (str, int, bytes, bool, float) or (type(key) is int and key not in _INT64):
        raise _refuse(key, f"a key of {path}")
    return key


def _prepare_special(value: Any, path: str) -> Any:
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, complex):
        return msgpack.ExtType(COMPLEX, struct.pack("<dd", value.real, value.imag))
    if isinstance(value, datetime.datetime):
        return msgpack.ExtType(DATETIME, value.isoformat().encode())
    module = type(value).__module__.partition(".")[0]
    if module == "numpy":
        return _prepare_numpy(value, path)
    if module == "pyarrow":
        return _prepare_arrow(value, path)
    raise _refuse(value, path)


def _prepare_numpy(value: Any, path: str) -> Any:
    import numpy

    if not isinstance(value, numpy.ndarray | numpy.generic) or value.dtype.hasobject:
        raise _refuse(value, path)
    buffer = io.BytesIO()
    numpy.save(buffer, value, allow_pickle=False)
    return msgpack.ExtType(NPY, buffer.getvalue())


def _prepare_arrow(value: Any, path: str) -> Any:
    import pyarrow  # pyright: ignore[reportMissingImports]

    if not isinstance(value, pyarrow.Table):
        raise _refuse(value, path)
    buffer = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(buffer, value.schema) as writer:
        writer.write_table(value)
    return msgpack.ExtType(ARROW, buffer.getvalue().to_pybytes())


def _from_extension(depth: int, code: int, data: bytes) -> Any:
    if code in _SEQUENCE_OF:
        return _SEQUENCE_OF[code](_unpack(data, depth + 1))
    decoder = _DECODERS.get(code)
    if decoder is None:
        raise ArtefactError(f"a value of unknown kind {code} was refused", fix="upgrade candela-network")
    return decoder(data)


def _array(data: bytes) -> Any:
    import numpy

    array = numpy.load(io.BytesIO(data), allow_pickle=False)
    return array[()] if array.ndim == 0 else array


def _arrow(data: bytes) -> Any:
    import pyarrow  # pyright: ignore[reportMissingImports]

    return pyarrow.ipc.open_stream(data).read_all()


def _big_int(data: bytes) -> int:
    if len(data) > 10_000:
        raise ArtefactError("an integer of more than 10,000 digits was refused")
    return int(data)


_DECODERS = {
    NPY: _array,
    DATETIME: lambda data: datetime.datetime.fromisoformat(data.decode()),
    COMPLEX: lambda data: complex(*struct.unpack("<dd", data)),
    BIG_INT: _big_int,
    ARROW: _arrow,
}
