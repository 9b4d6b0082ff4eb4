"""The contract that holds the randomness of moments."""

from __future__ import annotations

import msgspec

from candela.chain.client import Client
from candela.chain.contract import Contract
from candela.errors import IntensityError
from candela.network.genesis import BEACON

_REACH = 250
"""Blocks in which a moment can be recorded: the contract knows the last 256 hashes, and the record takes a few."""
_NONE = bytes(32)


class Moment(msgspec.Struct, frozen=True):
    """What shows the randomness of a moment: the headers around it, as bytes that block hashes are of."""

    before: bytes
    at: bytes


class Beacon(Contract):
    """Reads the beacon and makes transactions for it.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = BEACON) -> None:
        super().__init__(client, "Beacon", address)

    def value(self, moment: int) -> bytes | None:
        """The 32 bytes of a moment in Unix seconds, or ``None`` while nobody has recorded them."""
        found = self.read("randomness", moment)
        return None if found == _NONE else found

    def find(self, moment: int) -> Moment | None:
        """The headers around a moment, or ``None`` while no block is at or after it.

        Raises:
            IntensityError: the moment is too many blocks ago to be recorded.
        """
        high = self.client.block_number()
        if self._seconds(high) < moment:
            return None
        low = max(high - _REACH, 0)
        if self._seconds(low) >= moment:
            raise IntensityError(
                f"the randomness of {moment} can't be recorded any more",
                why=f"the moment is more than {_REACH} blocks ago",
                fix="prove in the next window",
            )
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._seconds(middle) >= moment else (middle, high)
        return Moment(self._header(low), self._header(high))

    def _block(self, number: int) -> dict:
        return self.client.call("eth_getBlockByNumber", hex(number), False)

    def _seconds(self, number: int) -> int:
        return int(self._block(number)["timestamp"], 16)

    def _header(self, number: int) -> bytes:
        document = self.client.call("candela_getProof", self.address, [], self._block(number)["hash"])
        return bytes.fromhex(document["headerBytes"].removeprefix("0x"))
