"""Verify Ed25519 signatures by the rules of ZIP-215, as validators do."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]
_NEUTRAL: _Point = (0, 1, 1, 0)


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature is a key's.

    OpenSSL answers first: it accepts less than ZIP-215 and nothing else, and is quick. What it refuses is computed
    here, because one validator could otherwise make a certificate that validators accept and this client does not.

    Args:
        key: 32 bytes; need not be canonical.
        signature: 64 bytes, R and s.
        message: what was signed.

    Source:
        https://zips.z.cash/zip-0215
    """
    if len(key) != 32 or len(signature) != 64:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return _holds(key, signature, message)
    return True


def _holds(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether [8][s]B = [8]R + [8][k]A."""
    scalar = int.from_bytes(signature[32:], "little")
    public, commitment = _decode(key), _decode(signature[:32])
    if scalar >= _L or public is None or commitment is None:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _L
    difference = _add(_times(scalar, _BASE), _negated(_add(commitment, _times(challenge, public))))
    x, y, z, _ = _times(8, difference)
    return x % _P == 0 and (y - z) % _P == 0


def _decode(encoded: bytes) -> _Point | None:
    """A point from its y and the sign of its x; y may be 2^255 - 19 or more, and x = 0 may have a sign."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, (number & (2**255 - 1)) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P:
        return None
    if x % 2 != sign:
        x = -x % _P
    return x, y, 1, x * y % _P


def _add(one: _Point, other: _Point) -> _Point:
    """The sum in extended coordinates (RFC 8032, section 5.1.4)."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _negated(point: _Point) -> _Point:
    return -point[0] % _P, point[1], point[2], -point[3] % _P


def _times(scalar: int, point: _Point) -> _Point:
    result = _NEUTRAL
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


_BASE = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little")) or _NEUTRAL
