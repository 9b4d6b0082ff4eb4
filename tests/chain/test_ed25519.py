"""Ed25519 by the rules of ZIP-215, against the vectors that the ledger's precompile is tested with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from candela.chain import ed25519
from tests.chain import make_ed25519_vectors

VECTORS = Path(__file__).parents[2] / "vectors" / "ed25519.json"
CASES: list[dict[str, Any]] = json.loads(VECTORS.read_text())["cases"]


def test_vectors_are_what_their_program_writes() -> None:
    assert make_ed25519_vectors.cases() == CASES
    assert len([case for case in CASES if case["name"].startswith("ZIP 215") and case["valid"]]) == 196


@pytest.mark.parametrize("valid", [True, False])
def test_vectors_are_judged_as_they_say(valid: bool) -> None:
    for case in CASES:
        if case["valid"] == valid:
            key, signature, message = (bytes.fromhex(case[field][2:]) for field in ("key", "signature", "message"))
            assert ed25519.verify(key, signature, message) == valid, case["name"]


@settings(deadline=None, max_examples=50)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 95), st.integers(0, 7))
def test_signatures_hold_and_changed_ones_do_not(seed: bytes, message: bytes, place: int, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    whole = private.public_key().public_bytes_raw() + private.sign(message)
    assert ed25519.verify(whole[:32], whole[32:], message)
    changed = bytearray(whole)
    changed[place] ^= 1 << bit
    assert not ed25519.verify(bytes(changed[:32]), bytes(changed[32:]), message)


def test_wrong_sizes_are_refused() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key, signature = private.public_key().public_bytes_raw(), private.sign(b"")
    for wrong in (key[:-1], key + b"\0", b""):
        assert not ed25519.verify(wrong, signature, b"")
    for wrong in (signature[:-1], signature + b"\0", b""):
        assert not ed25519.verify(key, wrong, b"")
