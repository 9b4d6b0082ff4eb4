"""Write vectors/ed25519.json, RFC 8032 and ZIP-215: ``python -m tests.chain.make_ed25519_vectors``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
# Section 7.1: secret keys, messages and public keys. Signatures follow from them.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        b"",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        b"\x72",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        b"\xaf\x82",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        hashlib.sha512(b"abc").digest(),
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    ),
]
# y of a point of order 8; the other one is -y.
EIGHTH = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
SMALL_ORDER = [0, 1, P - 1, EIGHTH, P - EIGHTH, P, P + 1]
NO_POINT = (2).to_bytes(32, "little")


def encodings() -> list[bytes]:
    """All 14 encodings of the 8 points of small order, as ZIP-215 lists them."""
    return [(y | sign << 255).to_bytes(32, "little") for y in SMALL_ORDER for sign in (0, 1)]


def case(name: str, key: bytes, signature: bytes, message: bytes, valid: bool) -> dict[str, Any]:
    fields = {"key": key, "signature": signature, "message": message}
    return {"name": name} | {field: "0x" + value.hex() for field, value in fields.items()} | {"valid": valid}


def cases() -> list[dict[str, Any]]:
    made = []
    for index, (secret, message, public) in enumerate(RFC_8032, 1):
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
        key, signature = private.public_key().public_bytes_raw(), private.sign(message)
        assert key.hex() == public, index
        scalar = int.from_bytes(signature[32:], "little")
        larger = signature[:32] + (scalar + ORDER).to_bytes(32, "little")
        made += [
            case(f"RFC 8032, {index}", key, signature, message, True),
            case(f"RFC 8032, {index}, longer message", key, signature, message + b"\0", False),
            case(f"RFC 8032, {index}, s + order", key, larger, message, False),
            case(f"RFC 8032, {index}, s and R swapped", key, signature[32:] + signature[:32], message, False),
            case(f"RFC 8032, {index}, another key", encodings()[2], signature, message, False),
            case(f"RFC 8032, {index}, key is no point", NO_POINT, signature, message, False),
            case(f"RFC 8032, {index}, R is no point", key, NO_POINT + signature[32:], message, False),
        ]
    for first, key in enumerate(encodings()):
        for second, commitment in enumerate(encodings()):
            made.append(case(f"ZIP 215, {first} {second}", key, commitment + bytes(32), b"Zcash", True))
    made.append(case("ZIP 215, s = 1", encodings()[2], encodings()[2] + (1).to_bytes(32, "little"), b"Zcash", False))
    made.append(
        case("ZIP 215, s = order", encodings()[2], encodings()[2] + ORDER.to_bytes(32, "little"), b"Zcash", False)
    )
    return made


if __name__ == "__main__":
    path = Path(__file__).parents[2] / "vectors" / "ed25519.json"
    path.write_text(json.dumps({"cases": cases()}, indent=1) + "\n")
