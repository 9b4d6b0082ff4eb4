"""PoI-1 as docs/intensity.md writes it, in integers alone: slow, short, and nothing of the package in it."""

from __future__ import annotations

import hashlib
from typing import Any

MASK = 2**64 - 1


def sha(*parts: bytes) -> bytes:
    """SHA-256 of the parts."""
    return hashlib.sha256(b"".join(parts)).digest()


def little(number: int, size: int) -> bytes:
    """A little-endian integer."""
    return number.to_bytes(size, "little")


def context(fields: dict[str, Any], code: int) -> bytes:
    """Whom and what a proof is for."""
    address, beacon, provider = (bytes.fromhex(fields[name][2:]) for name in ("contract", "beacon", "provider"))
    number = little(fields["chain_id"], 8)
    return b"PoI/1" + number + address + little(code, 1) + beacon + provider + little(fields["device"], 4)


def mix64(word: int) -> int:
    """The finaliser of splitmix64."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & MASK
    return word ^ word >> 31


def line(seed: bytes, side: bytes, index: int, depth: int) -> list[int]:
    """A row of A, or a column of B."""
    key = int.from_bytes(sha(seed, side, little(index, 4))[:8], "little")
    entries: list[int] = []
    for counter in range(depth // 16):
        word = mix64(mix64(key + counter * 0x9E3779B97F4A7C15 & MASK))
        entries += [(word >> 4 * at & 15) - 8 for at in range(16)]
    return entries


def tile(seed: bytes, row: int, column: int, depth: int) -> list[list[int]]:
    """A tile of the grid's product, at a position counted in tiles."""
    rows = [line(seed, b"A", row * 32 + at, depth) for at in range(32)]
    columns = [line(seed, b"B", column * 32 + at, depth) for at in range(32)]
    return [[sum(a * b for a, b in zip(left, right, strict=True)) for right in columns] for left in rows]


def tile_bytes(entries: list[list[int]]) -> bytes:
    """A tile as it is hashed."""
    return b"".join(entry.to_bytes(4, "little", signed=True) for row in entries for entry in row)


def leaf(row: int, column: int, data: bytes) -> bytes:
    """The hash of a tile."""
    return sha(b"\0", little(row, 4), little(column, 4), data)


def root(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, over hashes of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1", root(leaves[:split]), root(leaves[split:]))


def draws(about: bytes, commitment: bytes, units: int, tiles: int, beacon: bytes) -> list[int]:
    """The tiles that a later beacon draws."""
    digest = sha(b"PoI/1 commitment", about, commitment, little(units, 4))
    source = sha(beacon, commitment, digest)
    return [int.from_bytes(sha(source, little(number, 4))[:8], "little") % (units * tiles) for number in range(64)]
