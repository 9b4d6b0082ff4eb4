"""``candela genesis``: make the document that a new network starts from, and look into one."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from candela.amounts import format_cnd, parse_cnd
from candela.chain.committee import MAX_SEATS
from candela.cli.options import Json
from candela.cli.output import emit, note, table
from candela.errors import UsageError
from candela.network.card import BOOK, Card, account, check_apart, read_card, write
from candela.network.elections import EPOCH_BLOCKS, LEAST_BOND, MIN_EPOCH_BLOCKS, MIN_SELF_BOND, SEATS, Elections
from candela.network.genesis import CHAIN_ID, DEFAULT_BLOCK_GAS, genesis
from candela.network.inspection import Inspection, inspect

app = App(name="genesis", help="Make the document that a new network starts from, and look into one.")

FILE = "genesis.json"
_MAX_CHAIN_ID = (1 << 63) - 1
_FAULT_TOLERANT = 4


@app.command
def new(
    folder: Path,
    *,
    chain_id: int,
    validator: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    fund: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    safety_fund: str | None = None,
    epoch_blocks: int = EPOCH_BLOCKS,
    seats: int = SEATS,
    min_self_bond: str | None = None,
    block_gas: int = DEFAULT_BLOCK_GAS,
    as_json: Json = False,
) -> None:
    """Write genesis.json, and validators.json with where the first validators listen. Give both to every operator.

    Parameters
    ----------
    folder
        Where to write; a genesis that is there is not replaced.
    chain_id
        A number that no other network has; 4410948 is for development networks.
    validator
        Files validator.json of those with a seat in epoch 0, as candela validator init makes them. Their seats weigh
        alike and have no money behind them: a bond comes later, with candela validator join.
    fund
        Accounts with what they own at first, as ADDRESS=CND.
    safety_fund
        Account that gets what penalties leave; the first validator's owner without.
    epoch_blocks
        Blocks after which validators are elected.
    seats
        Most seats of an epoch, at most 128.
    min_self_bond
        Least bond of a validator that stands for election, in CND.
    block_gas
        Most gas in a block.
    """
    path = folder / FILE
    if path.exists():
        raise UsageError(f"there is a genesis at {path}", fix="choose another folder: a chain can't be made again")
    cards, balances = [read_card(each) for each in validator], _balances(fund or [])
    _check(chain_id, cards, epoch_blocks, seats)
    least = MIN_SELF_BOND if min_self_bond is None else parse_cnd(min_self_bond)
    if least < LEAST_BOND:
        raise UsageError(
            f"--min-self-bond {min_self_bond} is too small", fix=f"choose at least {format_cnd(LEAST_BOND)}"
        )
    elections = Elections(
        keys=tuple(card.key for card in cards),
        owner=account(cards[0].owner),
        owners={card.key: account(card.owner) for card in cards},
        safety_fund=account(safety_fund or cards[0].owner),
        epoch_blocks=epoch_blocks,
        seats=seats,
        min_self_bond=least,
    )
    document = genesis(balances, time.time_ns() // 1_000_000, block_gas, elections, chain_id)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{FILE}.new"
    part.write_text(json.dumps(document) + "\n")
    try:
        found = inspect(part)
    except UsageError:
        part.unlink()
        raise
    write(folder / BOOK, sorted(cards, key=lambda card: card.key))
    part.replace(path)
    emit({**_document(found), "path": str(path)}, as_json, found.hash)
    _advise(found)
    note(f"next: give {path} and {folder / BOOK} to every validator, which runs:")
    note(f"  candela validator init ITS_FOLDER --genesis {FILE}")


@app.command
def show(path: Path, *, as_json: Json = False) -> None:
    """Execute a genesis and say what chain it makes; the hash of block 0 is the chain's name.

    Parameters
    ----------
    path
        The file genesis.json.
    """
    found = inspect(path)
    rows = [
        ("hash", found.hash),
        ("chain id", f"{found.chain_id}{', of development networks' if found.chain_id == CHAIN_ID else ''}"),
        ("time", datetime.fromtimestamp(found.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")),
        ("block gas", f"{found.block_gas:,}"),
        ("epoch", f"{found.epoch_blocks:,} blocks" if found.epoch_blocks else "one: nobody is elected"),
        ("seats", f"{len(found.seats)} at first, at most {found.max_seats}"),
        ("least bond", format_cnd(int(found.min_self_bond_nit))),
        ("supply", f"{format_cnd(int(found.supply_nit))} in {len(found.balances_nit)} accounts"),
    ]
    parts = ["\n".join(f"{name:<12}{value}" for name, value in rows)]
    if found.seats:
        parts.append(table(["validator", "owner"], [(seat.public_key[:24], seat.owner) for seat in found.seats]))
    if found.balances_nit:
        money = [(address, format_cnd(int(nit))) for address, nit in found.balances_nit.items()]
        parts.append(table(["account", "owns"], money))
    emit(_document(found), as_json, "\n\n".join(parts))
    _advise(found)


def _document(found: Inspection) -> dict[str, object]:
    return msgspec.to_builtins(found)


def _balances(fund: list[str]) -> dict[str, int]:
    balances: dict[str, int] = {}
    for each in fund:
        address, sign, amount = each.partition("=")
        if not sign:
            raise UsageError(f"--fund {each} names no amount", fix="write ADDRESS=CND")
        checked = account(address)
        if checked in balances:
            raise UsageError(f"--fund names {checked} twice")
        balances[checked] = parse_cnd(amount)
    return balances


def _check(chain_id: int, cards: list[Card], epoch_blocks: int, seats: int) -> None:
    if not 1 <= chain_id <= _MAX_CHAIN_ID:
        raise UsageError(f"--chain-id {chain_id} is out of range", fix=f"choose 1 to {_MAX_CHAIN_ID}")
    if epoch_blocks < MIN_EPOCH_BLOCKS:
        raise UsageError(f"--epoch-blocks {epoch_blocks} is out of range", fix=f"choose at least {MIN_EPOCH_BLOCKS}")
    if not len(cards) <= seats <= MAX_SEATS:
        raise UsageError(f"--seats {seats} is out of range", fix=f"choose {len(cards)} to {MAX_SEATS}")
    check_apart(cards)


def _advise(found: Inspection) -> None:
    """Say what is allowed and seldom meant."""
    if found.unknown:
        note(f"warning: the code of {', '.join(found.unknown)} is not this release's")
    if 1 <= len(found.seats) < _FAULT_TOLERANT:
        note(f"warning: {len(found.seats)} validators stand still when one fails; {_FAULT_TOLERANT} go on")
    funded = {address.lower() for address, nit in found.balances_nit.items() if int(nit)}
    poor = sorted({seat.owner for seat in found.seats if seat.owner.lower() not in funded})
    if poor:
        note(f"warning: these owners have no money for transactions: {', '.join(poor)}")
    if found.age_seconds < 0:
        note(f"warning: block 0 is {-found.age_seconds:.0f} s in the future: nodes wait for that")
