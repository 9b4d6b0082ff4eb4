"""``candela validator init``, ``sync``, ``run`` and ``doctor``: operate a validator's node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from candela.chain.checkpoint import Checkpoint
from candela.cli.options import Json
from candela.cli.output import emit, note, report
from candela.errors import NetworkError, UsageError
from candela.network.card import BOOK
from candela.network.validator_folder import CONFIG_FILE, NETWORK_FILE, ValidatorFolder

PassphraseFile = Annotated[
    Path | None,
    Parameter(
        name="--passphrase-file",
        help="The passphrase of the voting key, in a file that only you can read; $CANDELA_PASSPHRASE_FILE by default.",
    ),
]


def init(
    folder: Path,
    *,
    owner: str | None = None,
    address: str | None = None,
    listen: str | None = None,
    genesis: Path | None = None,
    peers: Path | None = None,
    rpc_port: int = 8545,
    distance: Literal["internet", "local"] = "internet",
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a validator's folder: an encrypted voting key and, with --genesis, the node's configuration.

    A key that is there is kept. Without --genesis only the key is made, and validator.json, which whoever makes the
    genesis needs.

    Parameters
    ----------
    folder
        The folder, for one node on one chain. Never copy it: two nodes with one key lose their stake.
    owner
        Account that has the validator's earnings and fees. Its key does not belong on this machine.
    address
        IP and port where the other validators connect; this one has to connect from the same IP.
    listen
        IP and port to await them on, where that is not the address, for instance 0.0.0.0:9000 behind a gateway.
    genesis
        The network's genesis.json.
    peers
        List of the other nodes; validators.json beside the genesis by default.
    rpc_port
        Port for clients on this machine.
    distance
        How far apart the validators are: local for one building.
    """
    if listen is not None and genesis is None:
        raise UsageError("--listen says nothing without --genesis", fix="give it together with --genesis")
    if not 1 <= rpc_port <= 65_535:
        raise UsageError(f"--rpc-port {rpc_port} is out of range", fix="choose 1 to 65535")
    made = ValidatorFolder(folder)
    key = made.make_key(passphrase_file)
    card = made.make_card(key, owner, address)
    document = {"folder": str(folder), **msgspec.to_builtins(card)}
    if genesis is None:
        emit(document, as_json, card.public_key)
        note(f"next: give {folder / 'validator.json'} to whoever makes the genesis; with a genesis at hand:")
        note(f"  candela validator init {folder} --genesis GENESIS.json")
        return
    found = made.configure(card, genesis, peers or genesis.with_name(BOOK), listen, rpc_port, distance)
    key.check_network(found.chain_id)
    seat = card.public_key in {each.public_key for each in found.seats}
    emit({**document, "genesis_hash": found.hash, "seat": seat}, as_json, card.public_key)
    note(f"the chain is {found.hash}: compare that with the other validators")
    note(f"the node's configuration is {folder / CONFIG_FILE}")
    if not seat:
        note("it has no seat in epoch 0: the others have to name it in their node.json, and then, once it runs:")
        note(f"  candela validator join {folder} --network {folder / NETWORK_FILE}")
    note(f"next: candela validator run {folder}, or the unit in deploy/")


def sync(
    folder: Path,
    checkpoint: Path,
    *,
    source: Annotated[tuple[str, ...], Parameter(name="--from", negative="")],
    as_json: Json = False,
) -> None:
    """Start from the state after a recent final block instead of genesis: copy it, checked, into a validator's folder.

    It may be interrupted and given again. The node then has no blocks from before that one.

    Parameters
    ----------
    folder
        The folder that candela validator init has made, in which no node has run.
    checkpoint
        A checkpoint from somebody whom you trust (candela light checkpoint), not older than 10.5 days.
    source
        URL of a node to copy from, which need not be trusted; may be given several times.
    """
    from candela import _ledger

    try:
        synced = ValidatorFolder(folder).synchronise(Checkpoint.read(checkpoint), source, note)
    except _ledger.NodeError as error:
        raise NetworkError("the folder can't be filled", why=str(error)) from None
    emit(msgspec.to_builtins(synced), as_json, f"block {synced.block_number}\n{synced.block_hash}")
    note(f"next: candela validator run {folder}")


def run(folder: Path, *, passphrase_file: PassphraseFile = None) -> None:
    """Run a validator's node until SIGTERM or Ctrl-C; its first line on stdout is JSON with its endpoints.

    Parameters
    ----------
    folder
        The folder that candela validator init has made.
    """
    from candela import _ledger
    from candela.network.process import serve

    made = ValidatorFolder(folder)
    made.configuration()
    key = made.key(passphrase_file)
    try:
        node = made.node(key)
        if not key.encrypted:
            note("warning: the voting key is not encrypted, which only development networks allow")
        serve(node)
    except _ledger.NodeError as error:
        raise NetworkError("the node does not run", why=str(error), fix=f"candela validator doctor {folder}") from None


def doctor(
    folder: Path, *, watch_seconds: float = 3, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Check a validator on the machine that it runs on; the exit status is 1 when something needed is missing.

    Parameters
    ----------
    folder
        The folder that candela validator init has made.
    watch_seconds
        How long to wait for a block of another validator, whose time tells whether this clock is right.
    """
    from candela.network.checkup import examine

    report(examine(ValidatorFolder(folder), passphrase_file, watch_seconds), as_json)
