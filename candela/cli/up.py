"""``candela up``: a whole network on this machine."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec

from candela.cli.output import emit, note
from candela.errors import UsageError
from candela.network.devnet import MAX_PROVIDERS, Devnet, Ready, Settings, default_data
from candela.network.elections import EPOCH_BLOCKS, MIN_EPOCH_BLOCKS
from candela.network.genesis import DEFAULT_BLOCK_GAS
from candela.network.validators import MAX_VALIDATORS


def up(
    *,
    port: int = 8545,
    data: Path | None = None,
    providers: int = 4,
    validators: int = 1,
    block_gas: int = DEFAULT_BLOCK_GAS,
    epoch_blocks: int = EPOCH_BLOCKS,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> None:
    """Start a ledger, CPU providers and funded accounts; Ctrl-C stops them.

    Parameters
    ----------
    port
        Port of the node's JSON-RPC, HTTP and WebSocket; 0 lets the system choose.
    data
        Folder of the network; a chain that is there goes on.
    providers
        CPU providers to start.
    validators
        Nodes that agree on the blocks; fixed when the chain is made. Four go on when one of them fails.
    block_gas
        Most gas in a block; fixed when the chain is made.
    epoch_blocks
        Blocks after which validators are elected; fixed when the chain is made.
    as_json
        Print one line of JSON when the network is ready.
    """
    if not 0 <= providers <= MAX_PROVIDERS:
        raise UsageError(f"--providers {providers} is out of range", fix=f"choose 0 to {MAX_PROVIDERS}")
    if not 1 <= validators <= MAX_VALIDATORS:
        raise UsageError(f"--validators {validators} is out of range", fix=f"choose 1 to {MAX_VALIDATORS}")
    if epoch_blocks < MIN_EPOCH_BLOCKS:
        raise UsageError(f"--epoch-blocks {epoch_blocks} is out of range", fix=f"choose at least {MIN_EPOCH_BLOCKS}")
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port {port} is out of range", fix="choose 0 to 65535")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    settings = Settings(
        data=data or default_data(),
        port=port,
        providers=providers,
        block_gas=block_gas,
        validators=validators,
        epoch_blocks=epoch_blocks,
    )
    with Devnet(settings, note) as network:
        ready = network.ready
        if ready is None:
            raise SystemExit(1)
        emit(msgspec.to_builtins(ready), as_json, _describe(ready))
        try:
            for _ in network.watch():
                pass
        except KeyboardInterrupt:
            note("stopping")
    if not as_json:
        note("stopped; nothing is left running")


_TIERS = {"bubblewrap": "bubblewrap sandbox", "none": "plain process, no sandbox"}


def _interrupt(*_: object) -> None:
    # Once is enough: a second Ctrl-C must not cut the orderly stop short.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _describe(ready: Ready) -> str:
    accounts = [(each["address"], each["private_key"]) for each in ready.accounts[:3]]
    lines = [
        "A Candela network is running on this machine.",
        "",
        f"  JSON-RPC   {ready.rpc}   (chain id {ready.chain_id})",
        f"  WebSocket  {ready.ws}",
        f"  data       {ready.data}",
        f"  validators {len(ready.validators)}",
        *(f"    {each['http']}" for each in ready.validators[1:]),
        f"  providers  {len(ready.providers)}",
        *(f"    {each['address']}  {_TIERS.get(each['tier'], each['tier'])}" for each in ready.providers),
        "",
        "Accounts with 10,000 CND each, for this network only (all ten: accounts.json):",
        *(f"  {address}\n    {key}" for address, key in accounts),
        "",
        "Next, in another terminal:",
        "  candela run examples/ising.py",
    ]
    return "\n".join(lines)
