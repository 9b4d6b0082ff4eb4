"""Validators, their signatures, and the staking contracts on a fresh chain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import boa
from boa.vm.py_evm import register_raw_precompile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from candela.chain import ed25519

from .conftest import CND, deploy

ED25519 = "0x0000000000000000000000000000000000000ced"
SYSTEM = "0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE"
BURNED = "0x" + "0" * 40
NOBODY = "0x" + "0" * 40
NOTARIZE, FINALIZE, NULLIFY_FINALIZE = 7, 8, 9
RESTING, STANDING, JAILED, TOMBSTONED = 1, 2, 3, 4
DAY = 24 * 3600
UNBONDING = 21 * DAY
PERIOD = 7 * DAY
SELF_BOND = 100 * CND
ATTENDANCES, COUNTERS = 3, 8
"""The slot of the first counters, and how many are in one."""


def _verify_signature(computation: Any) -> Any:
    data = computation.msg.data_as_bytes
    computation.consume_gas(2_000 + 12 * ((len(data) + 31) // 32), "Ed25519")
    valid = len(data) >= 96 and ed25519.verify(data[:32], data[32:96], data[96:])
    computation.output = (1).to_bytes(32, "big") if valid else b""
    return computation


register_raw_precompile(ED25519, _verify_signature, force=True)


def number(value: int) -> bytes:
    """LEB128, as commonware writes numbers."""
    encoded = b""
    while value > 127:
        encoded, value = encoded + bytes([value & 127 | 128]), value >> 7
    return encoded + bytes([value])


def framed(namespace: bytes, message: bytes) -> bytes:
    """What a key signs: commonware's union_unique."""
    return number(len(namespace)) + namespace + message


@dataclass(frozen=True)
class Voter:
    """A consensus key."""

    seed: int

    @property
    def private(self) -> Ed25519PrivateKey:
        """The secret key."""
        return Ed25519PrivateKey.from_private_bytes(self.seed.to_bytes(32, "big"))

    @property
    def key(self) -> bytes:
        """The public key."""
        return self.private.public_key().public_bytes_raw()

    def possession(self, owner: str, staking: str) -> bytes:
        """The proof that the key wants to be an owner's."""
        message = chain_id().to_bytes(32, "big") + bytes.fromhex(staking[2:]) + bytes.fromhex(owner[2:])
        return self.private.sign(framed(b"_CANDELA_POSSESSION", message))

    def vote(self, kind: str, subject: bytes, signer: int, chain: int | None = None) -> bytes:
        """A signed vote, encoded."""
        namespace = f"_CANDELA_{chain or chain_id()}_{kind}".encode()
        return subject + number(signer) + self.private.sign(framed(namespace, subject))


def chain_id() -> int:
    """The id of the chain that contracts see."""
    return boa.env.evm.patch.chain_id


def round_of(epoch: int, view: int) -> bytes:
    """What nullify signs."""
    return number(epoch) + number(view)


def proposal(epoch: int, view: int, payload: int = 1, parent: int = 0) -> bytes:
    """What notarize and finalize sign."""
    return round_of(epoch, view) + number(parent) + payload.to_bytes(32, "big")


def double_vote(voter: Voter, signer: int, epoch: int, tag: int = NOTARIZE, view: int = 300) -> bytes:
    """Evidence of a fault of one of the three kinds."""
    second = proposal(epoch, view, 2)
    if tag == NULLIFY_FINALIZE:
        votes = voter.vote("NULLIFY", round_of(epoch, view), signer) + voter.vote("FINALIZE", second, signer)
    else:
        kind = "NOTARIZE" if tag == NOTARIZE else "FINALIZE"
        votes = b"".join(voter.vote(kind, each, signer) for each in (proposal(epoch, view, 1), second))
    return bytes([tag]) + votes


@dataclass
class Stakes:
    """The contracts, and who plays."""

    keys: Any
    staking: Any
    safety: str
    voters: dict[bytes, Voter] = field(default_factory=dict)
    seeds: int = 1_000

    def account(self, name: str, balance: int = 1_000_000 * CND) -> str:
        """A rich account."""
        address = boa.env.generate_address(name)
        boa.env.set_balance(address, balance)
        return address

    def voter(self) -> Voter:
        """A new consensus key."""
        self.seeds += 1
        voter = Voter(self.seeds)
        self.voters[voter.key] = voter
        return voter

    def register(self, owner: str, bond: int = SELF_BOND, commission: int = 500, stand: bool = True) -> int:
        """A new validator."""
        voter = self.voter()
        proof = voter.possession(owner, self.staking.address)
        validator = self.staking.register(voter.key, proof, commission, value=bond, sender=owner)
        if stand:
            self.staking.stand(validator, 0, sender=owner)
        return validator

    def elect(self) -> list[Any]:
        """The seats of the next epoch."""
        epoch = self.staking.epoch() + 1
        self.staking.elect(epoch, sender=SYSTEM)
        return self.staking.seats(epoch)

    def distribute(self, amount: int, counts: list[int] | None = None, epoch: int | None = None) -> None:
        """Share an amount among the seats of an epoch, the last one by default, by certificates that they signed."""
        epoch = self.staking.epoch() if epoch is None else epoch
        counts = [1] * len(self.staking.seats(epoch)) if counts is None else counts
        # Writing the counters takes less time than a call for each certificate.
        for word in range(0, len(counts), COUNTERS):
            packed = sum(count << 32 * place for place, count in enumerate(counts[word : word + COUNTERS]))
            boa.env.set_storage(self.staking.address, ATTENDANCES + word // COUNTERS, packed)
        boa.env.set_balance(SYSTEM, amount)
        self.staking.distribute(epoch, value=amount, sender=SYSTEM)

    def attend(self, height: int, *seats: int) -> None:
        """Count a certificate that these seats have signed."""
        self.staking.attend(height, sum(1 << seat for seat in seats), sender=SYSTEM)

    def seat(self, validator: int, epoch: int | None = None) -> int:
        """The place of a validator among the seats of an epoch."""
        seats = self.staking.seats(self.staking.epoch() if epoch is None else epoch)
        return next(i for i, seat in enumerate(seats) if self.staking.validator_of(seat.key) == validator)

    def report(self, validator: int, reporter: str, epoch: int | None = None, tag: int = NOTARIZE) -> None:
        """Prove that a validator voted twice."""
        epoch = self.staking.epoch() if epoch is None else epoch
        place = self.seat(validator, epoch)
        voter = self.voters[self.staking.seats(epoch)[place].key]
        self.staking.report(double_vote(voter, place, epoch, tag), sender=reporter)

    def pass_time(self, seconds: int) -> None:
        """Let time pass."""
        boa.env.time_travel(seconds=seconds)

    def held(self) -> int:
        """What the contract holds."""
        return boa.env.get_balance(self.staking.address)


def start(
    genesis: int = 1, seats: int = 40, min_seats: int = 1, intensity: str = NOBODY, min_self_bond: int = SELF_BOND
) -> Stakes:
    """A chain with genesis seats that are nobody's bond."""
    keys = deploy("ConsensusKeys", folder="stake")
    owners = [boa.env.generate_address(f"genesis{i}") for i in range(genesis)]
    voters = [Voter(i + 1) for i in range(genesis)]
    chosen = sorted((voter.key, owner) for voter, owner in zip(voters, owners, strict=True))
    safety = boa.env.generate_address("safety")
    staking = deploy(
        "Staking",
        [(owner, key, 1) for key, owner in chosen],
        seats,
        min_seats,
        min_self_bond,
        keys.address,
        intensity,
        safety,
        folder="stake",
    )
    return Stakes(keys, staking, safety, {voter.key: voter for voter in voters})
