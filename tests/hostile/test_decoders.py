"""Decoders of what others send take damaged bytes: one documented error, little memory, one encoding for each value."""

from __future__ import annotations

import datetime
import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candela import _rlp, manifest, trace, values
from candela.chain import certificate
from candela.errors import ArtefactError, BundleError, CertificateError

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "crates/fuzz/corpus"
FREE_BYTES, BYTES_A_BYTE = 1 << 20, 400
"""Memory that any decoder may take, and how much more for each byte of input."""


class Decoder(NamedTuple):
    """Args:
    decode: takes the bytes.
    refusals: what it may raise.
    samples: encodings of real values.
    encode: its inverse, where there is one encoding for each value.
    """

    decode: Callable[[bytes], Any]
    refusals: tuple[type[Exception], ...]
    samples: list[bytes]
    encode: Callable[[Any], bytes] | None = None


def corpus(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def encode_rlp(item: bytes | list) -> bytes:
    if isinstance(item, bytes) and len(item) == 1 and item[0] < 0x80:
        return item
    content, base = (item, 0x80) if isinstance(item, bytes) else (b"".join(map(encode_rlp, item)), 0xC0)
    if len(content) <= 55:
        return bytes([base + len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(length)]) + length + content


MANIFEST = {
    "name": "job",
    "source": "00" * 32,
    "inputs": ["11" * 32],
    "module": "work",
    "entry": "run",
    "python": "3.11",
    "requirements": ["numpy==2.4.0"],
    "memory_bytes": 1 << 30,
    "timeout_seconds": 60,
}
VALUES = [
    {"a": [1, 2.5, None, True], "b": b"bytes"},
    (1, {2}, frozenset({3}), 1 << 200, 3 + 4j),
    datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC),
    numpy.arange(12, dtype="float32").reshape(3, 4),
]
STEPS = trace.Steps([b"\7" * 32, hashlib.sha256(b"state").digest()], state=b"state", error=b"")
DECODERS = {
    "values": Decoder(values.decode, (ArtefactError,), [values.encode(value) for value in VALUES]),
    "manifest": Decoder(manifest.decode_manifest, (BundleError,), [msgspec.msgpack.encode(MANIFEST)]),
    "bundle": Decoder(
        manifest.decode_bundle, (BundleError,), [manifest.encode_bundle({"work.py": b"code", "part/near.py": b""})]
    ),
    "certificate": Decoder(certificate.decode, (CertificateError,), corpus("finalization")),
    "rlp": Decoder(_rlp.decode, (ValueError,), [*corpus("receipt"), *corpus("header")], encode_rlp),
    "commitment": Decoder(trace.decode_commitment, (), [trace.Commitment(3, bytes(32), b"\1" * 32).encode()]),
    "steps": Decoder(trace.decode_steps, (ValueError,), [trace.encode_steps(STEPS)], trace.encode_steps),
}


@st.composite
def damaged(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(at + 16, len(data))))
        data[at:end] = draw(
            st.binary(max_size=12) | st.sampled_from([b"", b"\xff\xff\xff\xff", bytes(8), data[at:end] * 2])
        )
    return bytes(data)


def check(decoder: Decoder, data: bytes) -> None:
    tracemalloc.start()
    try:
        value = decoder.decode(data)
    except decoder.refusals:
        value = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= FREE_BYTES + BYTES_A_BYTE * len(data), f"{peak} bytes of memory for {len(data)} of input"
    if value is not None and decoder.encode is not None:
        assert decoder.encode(value) == data, "the bytes are not the encoding of what was read"


@pytest.mark.parametrize("name", DECODERS)
def test_real_encodings_are_accepted(name: str) -> None:
    decoder = DECODERS[name]
    for sample in decoder.samples:
        assert decoder.decode(sample) is not None


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read_as_they_are(name: str, data: st.DataObject) -> None:
    decoder = DECODERS[name]
    check(decoder, data.draw(damaged(decoder.samples) | st.binary(max_size=300)))


def test_deep_nesting_is_refused() -> None:
    """Tuples in tuples, as many as fit: each is a list of one in an extension."""
    data = b"\xc0"
    for _ in range(10_000):
        content = b"\x91" + data
        data = b"\xc9" + len(content).to_bytes(4, "big") + bytes([values.TUPLE]) + content
    with pytest.raises(ArtefactError):
        values.decode(data)
