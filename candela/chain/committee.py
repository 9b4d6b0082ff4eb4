"""The validators of one epoch: their keys, the order that certificates name them by, and the ledger's commitment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Annotated

import msgspec

from candela import _ledger
from candela.errors import CheckpointError

MAX_SEATS = 128
"""Most seats of an epoch (crates/consensus, committee.rs)."""
_WORD = 32
_Key = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
_Stake = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,38})\Z")]


class Seat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A validator's vote."""

    key: _Key
    """Ed25519 public key, 0x and 64 hex digits."""
    stake: _Stake
    """In nit, decimal: JSON's readers round large numbers. Votes are equal whatever it is."""

    @property
    def public_key(self) -> bytes:
        """The key, 32 bytes."""
        return bytes.fromhex(self.key[2:])


class Committee(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Who has a seat in an epoch, sorted by key.

    Raises:
        CheckpointError: there are no seats or too many, or they are not sorted, or name a key twice.
    """

    epoch: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    seats: Annotated[tuple[Seat, ...], msgspec.Meta(max_length=MAX_SEATS)]

    def __post_init__(self) -> None:
        """Check the order, which certificates rely on."""
        keys = [seat.key for seat in self.seats]
        if not 1 <= len(keys) <= MAX_SEATS:
            raise CheckpointError(f"a committee has {len(keys)} seats", why=f"it has 1 to {MAX_SEATS}")
        if any(one >= other for one, other in pairwise(keys)):
            raise CheckpointError(
                "the seats of a committee are in no order", why="they are sorted by key, each of which has one seat"
            )

    @classmethod
    def of_keys(cls, epoch: int, keys: Sequence[bytes], stake: int = 1) -> Committee:
        """A committee of equal stakes.

        Args:
            epoch: its epoch.
            keys: public keys of 32 bytes, in any order.
            stake: of each, in nit.
        """
        return cls(epoch=epoch, seats=tuple(Seat(key="0x" + key.hex(), stake=str(stake)) for key in sorted(keys)))

    @classmethod
    def decode(cls, epoch: int, returned: bytes) -> Committee:
        """What ``seats(epoch)`` of the staking contract returns; a node's word until its root is compared.

        Args:
            epoch: the one that was asked for.
            returned: ABI encoding of a list of (owner, key, stake).

        Raises:
            CheckpointError: it encodes no committee.
        """
        words = [returned[at : at + _WORD] for at in range(0, min(len(returned), (2 + 3 * MAX_SEATS) * _WORD), _WORD)]
        count = int.from_bytes(words[1]) if len(words) > 1 else 0
        if not 1 <= count <= MAX_SEATS or len(returned) != (2 + 3 * count) * _WORD or int.from_bytes(words[0]) != _WORD:
            raise CheckpointError("the node names no committee", why=f"{len(returned)} bytes encode no list of seats")
        fields = [(words[at + 1], int.from_bytes(words[at + 2])) for at in range(2, len(words), 3)]
        if any(stake >= 10**39 for _, stake in fields):
            raise CheckpointError("the node names no committee", why="a stake is larger than all the coins")
        return cls(epoch=epoch, seats=tuple(Seat(key="0x" + key.hex(), stake=str(stake)) for key, stake in fields))

    @cached_property
    def keys(self) -> list[bytes]:
        """Public keys by seat."""
        return [seat.public_key for seat in self.seats]

    @property
    def quorum(self) -> int:
        """Votes that make a block final: all but the third that may be faulty."""
        return len(self.seats) - (len(self.seats) - 1) // 3

    @property
    def root(self) -> bytes:
        """The staking contract's commitment, ``keccak256(abi.encode(epoch, [(key, stake), ...]))``: 32 bytes."""
        numbers = [self.epoch, 2 * _WORD, len(self.seats)]
        head = b"".join(number.to_bytes(_WORD) for number in numbers)
        pairs = (seat.public_key + int(seat.stake).to_bytes(_WORD) for seat in self.seats)
        return _ledger.keccak256(head + b"".join(pairs))
