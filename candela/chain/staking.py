"""Stake: who validates, what stands behind them, and who has a seat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from candela import _ledger
from candela.chain.client import Client, successful
from candela.chain.contract import Contract
from candela.chain.light import seats
from candela.chain.message import Message
from candela.errors import KeyFileError, UsageError
from candela.network.elections import STAKING

STATES = ("unknown", "resting", "standing", "jailed", "tombstoned")
_POSSESSION = b"_CANDELA_POSSESSION"


class VotingKey:
    """The Ed25519 key that a node votes with. The secret shows in no ``repr`` and is not kept elsewhere.

    Args:
        secret: 32 bytes.
    """

    __slots__ = ("__secret", "public")

    def __init__(self, secret: bytes) -> None:
        self.public: bytes = _ledger.session_key_of(secret)
        self.__secret = secret

    @classmethod
    def of_node(cls, folder: Path) -> VotingKey:
        """The key in a node's folder, ``validator.key``.

        Raises:
            KeyFileError: it is missing, or holds no key.
        """
        path = folder / "validator.key"
        try:
            secret = bytes.fromhex(path.read_text().strip())
        except OSError as error:
            raise KeyFileError(
                f"there is no voting key at {path}",
                why=error.strerror or str(error),
                fix="name the folder of a node that has been started once",
            ) from None
        except ValueError:
            secret = b""
        if len(secret) != 32:
            raise KeyFileError(f"{path} holds no voting key", why="it has to be 32 bytes in hexadecimal")
        return cls(secret)

    def possession(self, chain_id: int, owner: str, staking: str = STAKING) -> bytes:
        """The proof that this key wants to be an account's (``possesses`` of the contract ConsensusKeys): 64 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        message = chain_id.to_bytes(32, "big") + bytes.fromhex(staking[2:]) + bytes.fromhex(owner[2:])
        framed = bytes([len(_POSSESSION)]) + _POSSESSION + message
        return Ed25519PrivateKey.from_private_bytes(self.__secret).sign(framed)

    def __repr__(self) -> str:
        """Name the public key only."""
        return f"VotingKey(0x{self.public.hex()})"


class ValidatorLine(msgspec.Struct):
    """What the ledger says about a validator; amounts in nit, commission in basis points."""

    validator: int
    owner: str
    key: str
    state: str
    bond_nit: str
    delegated_nit: str
    commission: int
    seat: bool
    """Whether it has a seat in the last elected epoch."""


class Staking(Contract):
    """Reads the staking contract and makes transactions for it.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = STAKING) -> None:
        super().__init__(client, "Staking", address)

    def validators(self) -> list[ValidatorLine]:
        """Every validator, the oldest first; those of epoch 0 only once they have registered."""
        seated = self._seated()
        numbers = range(1, self.read("validator_count") + 1)
        answers = self.client.batch([("eth_call", (self.view("validators", each), "latest")) for each in numbers])
        entries = (self.decode_result("validators", successful(each)) for each in answers)
        return [_line(number, entry, seated) for number, entry in zip(numbers, entries, strict=True)]

    def validator(self, number: int) -> ValidatorLine:
        """One validator.

        Raises:
            UsageError: there is none of this number.
        """
        if not 1 <= number <= self.read("validator_count"):
            raise UsageError(f"there is no validator {number}", fix="see candela validator status")
        return _line(number, self.read("validators", number), self._seated())

    def number_of(self, key: bytes) -> int:
        """The validator whose key this is or was; 0 for nobody's."""
        return self.read("validator_of", key)

    def registering(self, key: VotingKey, owner: str, bond: int, commission: int) -> Message:
        """A transaction of ``owner`` that makes it a validator.

        Args:
            key: what its node votes with.
            owner: who sends it.
            bond: its own stake, in nit.
            commission: what it takes of delegators' earnings, in basis points.
        """
        proof = key.possession(self.client.chain_id(), owner, self.address)
        return self.message("register", key.public, proof, commission, value=bond)

    def rotating(self, validator: int, key: VotingKey, owner: str) -> Message:
        """A transaction of ``owner`` after which its validator votes with another key from the next election on."""
        return self.message(
            "rotate", validator, key.public, key.possession(self.client.chain_id(), owner, self.address)
        )

    def _seated(self) -> set[bytes]:
        return {seat.public_key for seat in seats(self.client, self.read("epoch")).seats}


def _line(number: int, entry: Any, seated: set[bytes]) -> ValidatorLine:
    return ValidatorLine(
        validator=number,
        owner=entry["owner"],
        key="0x" + entry["key"].hex(),
        state=STATES[entry["state"]],
        bond_nit=str(entry["self_bond"]),
        delegated_nit=str(entry["delegated"]),
        commission=entry["commission_bp"],
        seat=entry["key"] in seated,
    )
