"""Transactions of type 0x50 are the committed bytes, made here without the engine and by the engine alike."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import rlp

from candela import _ledger

TYPE, SCHEME = b"\x50", 16
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "session_transactions.json").read_text())


# Ed25519 as RFC 8032 (section 6) writes it: slow, short, and nobody else's code.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int, int, int]
BASE_Y = 4 * pow(5, -1, P) % P


def _recover_x(y: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P)
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return P - x if x & 1 else x


_X = _recover_x(BASE_Y)
BASE: Point = (_X, BASE_Y, 1, _X * BASE_Y % P)


def _add(left: Point, right: Point) -> Point:
    a = (left[1] - left[0]) * (right[1] - right[0]) % P
    b = (left[1] + left[0]) * (right[1] + right[0]) % P
    c, d = 2 * left[3] * right[3] * D % P, 2 * left[2] * right[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(scalar: int) -> bytes:
    result, point = (0, 1, 1, 0), BASE
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    inverse = pow(result[2], -1, P)
    x, y = result[0] * inverse % P, result[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _scalar(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def _expand(seed: bytes) -> tuple[int, bytes]:
    hashed = hashlib.sha512(seed).digest()
    return int.from_bytes(hashed[:32], "little") & ((1 << 254) - 8) | 1 << 254, hashed[32:]


def public_key(seed: bytes) -> bytes:
    """The public key of a seed of 32 bytes."""
    return _multiply(_expand(seed)[0])


def sign(seed: bytes, message: bytes) -> bytes:
    """The signature of 64 bytes."""
    secret, prefix = _expand(seed)
    public = _multiply(secret)
    nonce = _scalar(prefix, message) % ORDER
    point = _multiply(nonce)
    s = (nonce + _scalar(point, public, message) * secret) % ORDER
    return point + s.to_bytes(32, "little")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _number(text: str) -> bytes:
    return _bytes(text) if len(text) % 2 == 0 else _bytes("0" + text[2:])


def unsigned(fields: dict[str, Any]) -> list[Any]:
    """The fields that are signed, in their order."""
    names = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas")
    numbers = [_number(fields[name]).lstrip(b"\0") for name in names]
    access = [[_bytes(each["address"]), [_bytes(key) for key in each["storageKeys"]]] for each in fields["accessList"]]
    to, value = _bytes(fields["to"] or "0x"), _number(fields["value"]).lstrip(b"\0")
    return [*numbers, to, value, _bytes(fields["data"]), access, _bytes(fields["from"]), bytes([SCHEME])]


def made_without_the_engine(fields: dict[str, Any], seed: bytes) -> dict[str, str]:
    """Everything that a vector states about a transaction."""
    parts = unsigned(fields)
    signing_hash = _ledger.keccak256(TYPE + rlp.encode(parts))
    message = b"\x0fcandela/session" + signing_hash
    raw = TYPE + rlp.encode([*parts, public_key(seed) + sign(seed, message)])
    made = {
        "session_key": public_key(seed),
        "signing_hash": signing_hash,
        "message": message,
        "raw": raw,
        "hash": _ledger.keccak256(raw),
    }
    return {name: "0x" + value.hex() for name, value in made.items()}


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_a_vector_is_what_the_specification_gives(vector: dict[str, Any]) -> None:
    made = made_without_the_engine(vector["fields"], _bytes(vector["seed"]))
    assert made == {name: vector[name] for name in made}


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_the_engine_signs_and_reads_a_vector(vector: dict[str, Any]) -> None:
    seed = _bytes(vector["seed"])
    assert _ledger.session_key_of(seed) == _bytes(vector["session_key"])
    raw, digest = _ledger.sign_session_transaction(vector["fields"], seed)
    assert (raw, digest) == (_bytes(vector["raw"]), vector["hash"])
    decoded = _ledger.decode_transaction(raw)
    assert (decoded["type"], decoded["scheme"]) == (TYPE[0], SCHEME)
    assert decoded["from"].lower() == vector["fields"]["from"]
    assert decoded["sessionKey"] + decoded["sessionSignature"] == raw[-96:]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_the_engine_refuses_a_vector_in_words(vector: dict[str, Any]) -> None:
    with pytest.raises(_ledger.InvalidTransactionError) as caught:
        _ledger.decode_transaction(_bytes(vector["raw"]))
    assert str(caught.value) == vector["error"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": 2}, "type 80 only"),
        ({"gasPrice": 1}, "gasPrice"),
        ({"from": None}, "'from' is missing"),
        ({"tip": 1}, "unknown"),
    ],
)
def test_fields_that_do_not_belong_are_refused(change: dict[str, Any], words: str) -> None:
    vector = VECTORS["valid"][0]
    with pytest.raises(_ledger.InvalidTransactionError, match=words):
        _ledger.sign_session_transaction(vector["fields"] | change, _bytes(vector["seed"]))


def test_a_seed_of_another_length_is_no_key() -> None:
    with pytest.raises(_ledger.InvalidKeyError, match="32 bytes"):
        _ledger.session_key_of(bytes(31))
