"""Stake: who validates, what stands behind them, and who has a seat."""

from __future__ import annotations

from typing import Any

import msgspec

from candela.chain.client import Client, successful
from candela.chain.contract import Contract
from candela.chain.light import seats
from candela.chain.message import Message
from candela.chain.voting_key import VotingKey
from candela.errors import NetworkError, RpcError, UsageError
from candela.network.elections import STAKING

STATES = ("unknown", "resting", "standing", "jailed", "tombstoned")
FAULTS = {7: "two notarizations", 8: "two finalizations", 9: "a nullification and a finalization"}
"""What a key signed in one view, by the tag of an activity."""
_MAX_ACTIVITY = 263


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


class Accusation(msgspec.Struct):
    """Evidence that a node has, and what the contract says to it."""

    epoch: int
    view: int
    key: str
    fault: str
    """What the key signed in one view."""
    activity: str
    """Hex of what ``report`` takes."""
    validator: int
    """Whose key it is or was; 0 for a seat of genesis without a bond."""
    refusal: str
    """Why the contract would not take it now; empty when it would."""


class _DoubleVote(msgspec.Struct, rename="camel"):
    epoch: str
    view: str
    public_key: str
    activity: str

    def decoded(self) -> tuple[int, int, bytes, bytes]:
        key, activity = bytes.fromhex(self.public_key[2:]), bytes.fromhex(self.activity[2:])
        if len(key) != 32 or len(activity) > _MAX_ACTIVITY or activity[0] not in FAULTS:
            raise ValueError("it is no double vote")
        return int(self.epoch, 16), int(self.view, 16), key, activity


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

    def accusations(self) -> list[Accusation]:
        """The double votes that the node has seen, the oldest epoch first, each tried with the contract.

        Raises:
            NetworkError: the node does not answer with double votes.
        """
        try:
            votes = msgspec.convert(self.client.call("candela_evidence"), list[_DoubleVote])
            decoded = [vote.decoded() for vote in votes]
        except (msgspec.ValidationError, ValueError, IndexError) as error:
            raise NetworkError("the node did not answer with double votes", why=str(error)) from error
        numbers = self._tried("validator_of", [key for _, _, key, _ in decoded])
        trials = self._tried("report", [activity for _, _, _, activity in decoded])
        return [
            Accusation(
                epoch=epoch,
                view=view,
                key="0x" + key.hex(),
                fault=FAULTS[activity[0]],
                activity="0x" + activity.hex(),
                validator=self.decode_result("validator_of", successful(number)),
                refusal=trial.what.rpartition("reverted: ")[2] if isinstance(trial, RpcError) else "",
            )
            for (epoch, view, key, activity), number, trial in zip(decoded, numbers, trials, strict=True)
        ]

    def _tried(self, function: str, arguments: list[bytes]) -> list[Any]:
        return self.client.batch([("eth_call", (self.view(function, each), "latest")) for each in arguments])

    def reporting(self, accusation: Accusation) -> Message:
        """A transaction of anybody's that bars the accused and takes the first part of its penalty."""
        return self.message("report", bytes.fromhex(accusation.activity[2:]))

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
