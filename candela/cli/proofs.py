"""``candela proof``: look at an account and its storage without trusting the node that answers."""

from __future__ import annotations

import re
from typing import Annotated, Any

import cyclopts

from candela.chain import proof as proofs
from candela.chain.client import Client
from candela.cli.output import emit, note
from candela.errors import NetworkError, UsageError
from candela.network.configuration import Network

_NAMES = ("latest", "safe", "finalized", "earliest")


def proof(
    address: str,
    *,
    slot: Annotated[tuple[str, ...], cyclopts.Parameter(negative="")] = (),
    block: str = "latest",
    network: str | None = None,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> None:
    """Fetch an account with some of its storage, and check it against the block hash.

    Parameters
    ----------
    address
        The account, 0x and 40 hex digits.
    slot
        A storage slot, decimal or hex; may be given up to 64 times.
    block
        The hash of a block that you trust, or a height, or latest.
    network
        Configuration file or node URL; the network that was started last by default.
    as_json
        Print JSON: what is proved, and the proof itself.
    """
    if not re.fullmatch("0x[0-9a-fA-F]{40}", address):
        raise UsageError(f"{address} is no address", why="an address is 0x and 40 hex digits")
    slots = [number(each, "slot") for each in slot]
    client = Client(Network.find(network).rpc)
    document = proofs.fetch(client, address, slots, _block(block))
    trusted = block if proofs.is_hash(block) else _stated_hash(document)
    proved = proofs.verify(document, block_hash=trusted, address=address, slots=slots)
    if trusted != block:
        note(f"note: the node names block {trusted}; compare it with a source that you trust, or name it with --block")
    emit(rendered(proved) | {"proof": document}, as_json, text(proved))


def number(text: str, what: str) -> int:
    """The number that a person wrote, decimal or hex."""
    digits = re.fullmatch("(0x[0-9a-fA-F]{1,64})|([0-9]{1,78})", text)
    if digits is None:
        raise UsageError(f"{text} is no {what}", why="it is neither decimal nor hex")
    return int(text, 16 if digits[1] else 10)


def _block(text: str) -> str:
    return text if text in _NAMES or proofs.is_hash(text) else hex(number(text, "block"))


def _stated_hash(document: Any) -> str:
    stated = document.get("blockHash") if isinstance(document, dict) else None
    if not isinstance(stated, str):
        raise NetworkError("the node did not answer with a proof", why="it names no block hash")
    return stated


def rendered(proved: proofs.Proved) -> dict[str, Any]:
    """What is proved, for JSON."""
    account = proved.account
    return {
        "block_hash": proved.block_hash,
        "block_number": proved.block_number,
        "state_root": "0x" + proved.state_root.hex(),
        "address": proved.address,
        # Amounts are text because JSON's readers round large numbers.
        "account": account
        and {"nonce": account.nonce, "balance": str(account.balance), "code_hash": "0x" + account.code_hash.hex()},
        "slots": {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in proved.slots.items()},
    }


def text(proved: proofs.Proved) -> str:
    """What is proved, for people."""
    account = proved.account
    lines = [f"block      {proved.block_number}", f"address    {proved.address}"]
    if account is None:
        lines += ["account    none"]
    else:
        lines += [f"nonce      {account.nonce}", f"balance    {account.balance} nit"]
        lines += [f"code hash  0x{account.code_hash.hex()}"]
    for slot, value in proved.slots.items():
        lines += [f"slot       {slot:#x}", f"           {value:#x}"]
    return "\n".join(lines)
