"""``candela light``: follow the chain and read accounts without trusting the node that answers."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from candela.chain.checkpoint import Checkpoint
from candela.chain.client import Client
from candela.chain.light import LightClient
from candela.cli.output import emit
from candela.cli.proofs import number, rendered, text
from candela.errors import UsageError
from candela.network.checkpoint import checkpoint_of
from candela.network.configuration import Network
from candela.network.devnet import default_data

app = cyclopts.App(name="light", help="Follow the chain and read accounts without trusting the node that answers.")
Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]


@app.command
def checkpoint(path: Path, *, data: Path | None = None, as_json: Json = False) -> None:
    """Write a checkpoint of the network that runs on this machine, for light clients elsewhere.

    Parameters
    ----------
    path
        The file to write; an existing one is replaced.
    data
        Folder of the network (candela up).
    as_json
        Print JSON.
    """
    made = checkpoint_of(data or default_data())
    made.write(path)
    shown = {"path": str(path), "block_hash": made.block_hash, "seats": len(made.committee.seats)}
    emit(shown, as_json, f"block {made.block_hash}\nnext: candela light follow {path}")


@app.command
def follow(path: Path, *, network: str | None = None, watch: float | None = None, as_json: Json = False) -> None:
    """Check the newest block back to a checkpoint, and move the checkpoint there.

    Parameters
    ----------
    path
        A checkpoint from somebody whom you trust; it is rewritten as the chain goes on.
    network
        Configuration file or node URL; the network that was started last by default.
    watch
        Go on, looking again after so many seconds.
    as_json
        Print JSON, a line for each look.
    """
    if watch is not None and not 0.05 <= watch <= 86_400:
        raise UsageError(f"--watch {watch} is out of range", why="seconds, from 0.05 to a day")
    client = _client(path, network)
    while True:
        client.advance()
        client.checkpoint.write(path)
        emit(_head(client), as_json, _line(client))
        if watch is None:
            return
        time.sleep(watch)


@app.command
def account(
    path: Path,
    address: str,
    *,
    slot: Annotated[tuple[str, ...], cyclopts.Parameter(negative="")] = (),
    network: str | None = None,
    as_json: Json = False,
) -> None:
    """Read an account and some of its storage at the newest block, checked back to a checkpoint.

    Parameters
    ----------
    path
        A checkpoint from somebody whom you trust; it is rewritten as the chain goes on.
    address
        The account, 0x and 40 hex digits.
    slot
        A storage slot, decimal or hex; may be given up to 64 times.
    network
        Configuration file or node URL; the network that was started last by default.
    as_json
        Print JSON.
    """
    if not re.fullmatch("0x[0-9a-fA-F]{40}", address):
        raise UsageError(f"{address} is no address", why="an address is 0x and 40 hex digits")
    slots = [number(each, "slot") for each in slot]
    client = _client(path, network)
    client.advance()
    client.checkpoint.write(path)
    proved = client.prove(address, slots)
    emit(rendered(proved), as_json, text(proved))


def _client(path: Path, network: str | None) -> LightClient:
    return LightClient(Client(Network.find(network).rpc), Checkpoint.read(path))


def _head(client: LightClient) -> dict[str, Any]:
    head = client.head
    return {
        "block_number": head.number,
        "block_hash": head.hash,
        "timestamp_ms": head.timestamp_ms,
        "state_root": head.state_root,
        "epoch": client.committee.epoch,
        "seats": len(client.committee.seats),
        "quorum": client.committee.quorum,
    }


def _line(client: LightClient) -> str:
    votes = f"{client.committee.quorum} of {len(client.committee.seats)} validators of epoch {client.committee.epoch}"
    return f"block {client.head.number} is final by at least {votes}\n{client.head.hash}"
