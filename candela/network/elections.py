"""Say in genesis who validates first, and how later validators are elected."""

from __future__ import annotations

from typing import Any

import msgspec

from candela.network.contracts import artefact

STAKING = "0x0000000000000000000000000000000000000cd8"
CONSENSUS_KEYS = "0x0000000000000000000000000000000000000cdb"

EPOCH_BLOCKS = 7_200
"""Blocks of an epoch unless told otherwise. At the internet's least interval of 250 ms they take half an hour, so that
the 1,024 epochs whose seats the staking contract keeps last longer than the 21 days for which faults can be accused."""
MIN_EPOCH_BLOCKS = 2
SEATS = 100
"""Most seats of an epoch."""
MIN_SELF_BOND = 1_000 * 10**18
"""Least bond of a validator that stands for election, in nit."""
LEAST_BOND = 10**18
"""Least that this least bond may be, in nit (MIN_DELEGATION of the contract)."""
_NOBODY = "0x" + "0" * 40
CONSTRUCTOR = ["(address,bytes32,uint256)[]", "uint256", "uint256", "uint256", "address", "address", "address"]
"""Types of the staking contract's arguments: seats as owner, key and weight; counts; addresses."""


class Elections(msgspec.Struct, kw_only=True, frozen=True):
    """What the staking contract starts from; see docs/staking.md.

    Attributes:
        keys: Ed25519 public keys of the validators of epoch 0, whose seats weigh alike and have no money behind them.
        owner: who may have the earnings of those seats.
        owners: by key, who may have a seat's earnings instead of ``owner``.
        safety_fund: who gets the rest of penalties.
        epoch_blocks: blocks of an epoch, at least 2.
        seats: most seats of an epoch.
        min_self_bond: least bond of a validator that stands for election, in nit.
    """

    keys: tuple[bytes, ...]
    owner: str
    owners: dict[bytes, str] = {}
    safety_fund: str
    epoch_blocks: int = EPOCH_BLOCKS
    seats: int = SEATS
    min_self_bond: int = MIN_SELF_BOND

    def deployments(self) -> list[dict[str, Any]]:
        """The contracts, for the genesis document. An election that finds fewer validators than epoch 0 has changes
        nothing, so that a few early stakes can't take over the chain."""
        from eth_abi import abi

        seats = [(self.owners.get(key, self.owner), key, 1) for key in sorted(self.keys)]
        counts = (self.seats, len(seats), self.min_self_bond)
        arguments = abi.encode(CONSTRUCTOR, (seats, *counts, CONSENSUS_KEYS, _NOBODY, self.safety_fund))
        keys, staking = artefact("ConsensusKeys").bytecode, artefact("Staking").bytecode + arguments.hex()
        return [
            {"name": "ConsensusKeys", "address": CONSENSUS_KEYS, "initCode": keys},
            {"name": "Staking", "address": STAKING, "initCode": staking},
        ]
