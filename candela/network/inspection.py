"""Look into a genesis document: what chain it makes, who validates first, who has money."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec

from candela import _ledger
from candela.errors import UsageError
from candela.network.card import account
from candela.network.contracts import artefact
from candela.network.elections import CONSTRUCTOR, STAKING

_Quantity = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{1,64}\Z")]


class _Account(msgspec.Struct, forbid_unknown_fields=True):
    balance: _Quantity


class _Deployment(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    address: str
    init_code: str


class _Document(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    chain_id: Annotated[int, msgspec.Meta(ge=1)]
    timestamp_ms: Annotated[int, msgspec.Meta(ge=0)]
    block_gas_limit: Annotated[int, msgspec.Meta(ge=1)]
    accounts: dict[str, _Account]
    deployments: list[_Deployment]
    epoch_blocks: int | None = None


class FirstSeat(msgspec.Struct):
    """A seat of epoch 0."""

    public_key: str
    owner: str


class Inspection(msgspec.Struct):
    """What a genesis document says.

    Attributes:
        hash: of block 0; the name of the chain.
        chain_id: EIP-155 chain id.
        timestamp_ms: Unix time of block 0.
        block_gas: most gas in a block.
        epoch_blocks: blocks of an epoch; ``None`` where nobody is elected.
        seats: of epoch 0, sorted by key; none where nobody is elected, or where the staking contract is not this
            release's.
        max_seats: most seats of a later epoch; 0 as above.
        min_self_bond_nit: least bond of a validator that stands for election, in nit, decimal; "0" as above.
        balances_nit: what accounts have, decimal.
        supply_nit: their sum.
        unknown: contracts whose code is not this release's.
    """

    hash: str
    chain_id: int
    timestamp_ms: int
    block_gas: int
    epoch_blocks: int | None
    seats: list[FirstSeat]
    max_seats: int
    min_self_bond_nit: str
    balances_nit: dict[str, str]
    supply_nit: str
    unknown: list[str]

    @property
    def age_seconds(self) -> float:
        """Seconds since block 0; negative before it."""
        return time.time() - self.timestamp_ms / 1000


def inspect(path: Path) -> Inspection:
    """Read a genesis document and execute it.

    Raises:
        UsageError: it is missing or malformed, or a deployment fails.
    """
    try:
        text = path.read_text()
        document = msgspec.json.decode(text, type=_Document)
        block = _ledger.genesis_hash(text)
    except OSError as error:
        raise UsageError(f"there is no genesis at {path}", why=error.strerror or str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, _ledger.NodeError) as error:
        raise UsageError(f"{path} is no genesis", why=str(error)) from None
    balances = {address: int(account.balance, 16) for address, account in document.accounts.items()}
    seats, max_seats, min_self_bond = _elections(document)
    return Inspection(
        hash="0x" + block.hex(),
        chain_id=document.chain_id,
        timestamp_ms=document.timestamp_ms,
        block_gas=document.block_gas_limit,
        epoch_blocks=document.epoch_blocks,
        seats=seats,
        max_seats=max_seats,
        min_self_bond_nit=str(min_self_bond),
        balances_nit={address: str(balance) for address, balance in balances.items()},
        supply_nit=str(sum(balances.values())),
        unknown=[each.name for each in document.deployments if _arguments(each) is None],
    )


def _arguments(deployment: _Deployment) -> bytes | None:
    """What the constructor is given, if the code is this release's."""
    try:
        code = artefact(deployment.name).bytecode.removeprefix("0x")
    except OSError:
        return None
    given = deployment.init_code.removeprefix("0x")
    return bytes.fromhex(given[len(code) :]) if given.startswith(code) else None


def _elections(document: _Document) -> tuple[list[FirstSeat], int, int]:
    from eth_abi import abi

    for deployment in document.deployments:
        if int(deployment.address, 16) == int(STAKING, 16):
            encoded = _arguments(deployment)
            if encoded is not None:
                seats, max_seats, _, min_self_bond, *_ = abi.decode(CONSTRUCTOR, encoded)
                return (
                    [FirstSeat("0x" + key.hex(), account(owner)) for owner, key, _ in seats],
                    max_seats,
                    min_self_bond,
                )
    return [], 0, 0
