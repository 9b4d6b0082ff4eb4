"""What a window's matrices depend on, and the keys of their rows and columns."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from candela.intensity.profile import Profile

_TAG = b"PoI/1"
ROWS, COLUMNS = b"A", b"B"


class Context(msgspec.Struct, frozen=True):
    """Whom and what a proof is for. A proof for one context says nothing about another.

    Args:
        chain_id: EIP-155 chain id.
        contract: 20 bytes, the address of the contract that takes the commitment.
        profile: sizes.
        beacon: 32 bytes, the randomness that opened the window.
        provider: 20 bytes, the provider's address.
        device: the device's number at its provider.

    Raises:
        ValueError: a field has the wrong length or is out of range.
    """

    chain_id: int
    contract: bytes
    profile: Profile
    beacon: bytes
    provider: bytes
    device: int

    def __post_init__(self) -> None:
        if (len(self.contract), len(self.beacon), len(self.provider)) != (20, 32, 20):
            raise ValueError("a context has addresses of 20 bytes and a beacon of 32")
        if not (0 <= self.chain_id < 1 << 64 and 0 <= self.device < 1 << 32):
            raise ValueError("a chain id has 64 bits and a device number 32")

    def encode(self) -> bytes:
        """The 90 bytes that a seed starts with; integers are little-endian."""
        return b"".join(
            (
                _TAG,
                self.chain_id.to_bytes(8, "little"),
                self.contract,
                self.profile.code.to_bytes(1, "little"),
                self.beacon,
                self.provider,
                self.device.to_bytes(4, "little"),
            )
        )

    def seed(self, grid: int) -> bytes:
        """The seed of one grid of panels."""
        return hashlib.sha256(self.encode() + grid.to_bytes(4, "little")).digest()


def keys(seed: bytes, side: bytes, first: int, count: int) -> np.ndarray:
    """The 64-bit keys of ``count`` rows of A (or columns of B) of a grid, from ``first`` on.

    Args:
        side: ``ROWS`` or ``COLUMNS``.

    Returns:
        uint64, shape (count,).
    """
    prefix = hashlib.sha256(seed + side)
    found = bytearray()
    for index in range(first, first + count):
        each = prefix.copy()
        each.update(index.to_bytes(4, "little"))
        found += each.digest()[:8]
    return np.frombuffer(found, dtype="<u8").astype(np.uint64)
