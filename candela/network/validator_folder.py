"""The folder of a validator whose operator runs it alone: key, card, genesis and configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from candela import _ledger
from candela.chain.checkpoint import Checkpoint
from candela.chain.keyfile import read_passphrase
from candela.chain.voting_key import FILE as KEY_FILE
from candela.chain.voting_key import VotingKey
from candela.errors import UsageError
from candela.network.card import FILE as CARD_FILE
from candela.network.card import Card, account, check_apart, endpoint, read_book, read_card, write
from candela.network.configuration import Network
from candela.network.inspection import Inspection, inspect
from candela.network.sync import Synced, synchronise

GENESIS_FILE = "genesis.json"
CONFIG_FILE = "node.json"
NETWORK_FILE = "network.json"
_INIT = "candela validator init"


class Peer(msgspec.Struct, forbid_unknown_fields=True):
    """A node that this one talks to."""

    public_key: str
    address: str


class Rpc(msgspec.Struct, forbid_unknown_fields=True):
    """Where clients connect."""

    host: str
    port: int
    cors_origins: list[str] = []


class Logging(msgspec.Struct, forbid_unknown_fields=True):
    """What is logged to standard error."""

    filter: str = "info"
    format: Literal["plain", "json"] = "plain"


class Configuration(msgspec.Struct, forbid_unknown_fields=True):
    """``node.json``: what an operator may edit. The node reads it with the folder and the genesis added.

    Attributes:
        fee_recipient: who proposed the node's blocks, as they say.
        rpc: where clients connect.
        validators: every node that has a seat, may win one, or follows; this one too.
        listen: IP and port on which the others are awaited.
        votes: folder of the record of votes, which no backup may bring back; beside this one when missing.
        distance: how far apart the validators are, which sets the time limits.
        threads: for signature checking and for consensus.
        block_interval_ms: least time between a block and its child.
        logging: what is logged to standard error.
    """

    fee_recipient: str
    rpc: Rpc
    validators: list[Peer]
    listen: str
    distance: Literal["local", "internet"]
    votes: str | None = None
    threads: int = 2
    block_interval_ms: int | None = None
    logging: Logging = msgspec.field(default_factory=Logging)

    @property
    def url(self) -> str:
        """Where this machine reaches the node's RPC."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.rpc.host, self.rpc.host)  # noqa: S104 - compared only
        return f"http://{f'[{host}]' if ':' in host else host}:{self.rpc.port}"


class ValidatorFolder:
    """Makes and reads what is in a validator's folder.

    Args:
        path: the folder, which the node keeps its blocks in too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def make_key(self, passphrase_file: Path | None) -> VotingKey:
        """The voting key, made and encrypted when there is none.

        Raises:
            KeyFileError: the passphrase or the key can't be read, or does not fit.
        """
        if not (self.path / KEY_FILE).exists():
            VotingKey.create().save(self.path, read_passphrase(passphrase_file, self.path / KEY_FILE))
        return self.key(passphrase_file)

    def key(self, passphrase_file: Path | None) -> VotingKey:
        """The voting key.

        Raises:
            KeyFileError: there is none, or it can't be opened.
        """
        return VotingKey.of_node(self.path, passphrase_file)

    def make_card(self, key: VotingKey, owner: str | None, address: str | None) -> Card:
        """What the others have to know, written to ``validator.json``; what is not given stays as it was.

        Raises:
            UsageError: it is the first card and something is missing, or malformed.
        """
        known = self.card() if (self.path / CARD_FILE).exists() else None
        owner, address = owner or (known and known.owner), address or (known and known.address)
        if owner is None or address is None:
            raise UsageError(
                f"--{'address' if owner else 'owner'} is missing",
                why="the others have to know whose validator this is, and where it listens",
                fix=f"{_INIT} {self.path} --owner 0x... --address IP:PORT",
            )
        card = Card(public_key="0x" + key.public.hex(), owner=account(owner), address=address)
        write(self.path / CARD_FILE, card)
        return card

    def card(self) -> Card:
        """What ``validator.json`` says.

        Raises:
            UsageError: missing or malformed.
        """
        return read_card(self.path / CARD_FILE)

    def configure(
        self, card: Card, genesis: Path, book: Path, listen: str | None, rpc_port: int, distance: str
    ) -> Inspection:
        """Copy a genesis here and write ``node.json`` and ``network.json``.

        Args:
            card: this validator's.
            genesis: the chain's document.
            book: a file with the cards of the other nodes; this one's is added.
            listen: IP and port to await the others on; the card's address without.
            rpc_port: port for clients on this machine.
            distance: ``local`` or ``internet``.

        Raises:
            UsageError: a file is malformed, or the folder is another chain's.
        """
        found = inspect(genesis)
        cards = [each for each in read_book(book) if each.public_key != card.public_key] + [card]
        check_apart(cards)
        endpoint(listen or card.address)
        self._keep_genesis(genesis.read_text(), found.hash)
        config = Configuration(
            fee_recipient=card.owner,
            rpc=Rpc(host="127.0.0.1", port=rpc_port),
            validators=[Peer(**each.peer) for each in sorted(cards, key=lambda each: each.key)],
            listen=listen or card.address,
            distance="internet" if distance == "internet" else "local",
        )
        part = self.path / f".{CONFIG_FILE}.new"
        part.write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
        part.replace(self.path / CONFIG_FILE)
        network = Network(
            rpc=config.url,
            ws=config.url.replace("http", "ws", 1),
            store="",
            chain_id=found.chain_id,
            account_address=card.owner,
        )
        network.write(self.path / NETWORK_FILE)
        return found

    def _keep_genesis(self, text: str, block: str) -> None:
        path = self.path / GENESIS_FILE
        if path.exists() and path.read_text() != text:
            raise UsageError(
                f"{self.path} belongs to another chain",
                why=f"the genesis there is not that of {block}",
                fix="use a folder and a key for each chain",
            )
        part = path.with_name(f".{GENESIS_FILE}.new")
        part.write_text(text)
        part.replace(path)

    def inspect(self) -> Inspection:
        """What the chain of this folder starts from.

        Raises:
            UsageError: there is none, or it is malformed.
        """
        return inspect(self.path / GENESIS_FILE)

    def configuration(self) -> Configuration:
        """What ``node.json`` says.

        Raises:
            UsageError: missing or malformed.
        """
        path = self.path / CONFIG_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Configuration)
        except OSError as error:
            fix = f"{_INIT} {self.path} --genesis GENESIS.json"
            raise UsageError(
                f"there is no configuration at {path}", why=error.strerror or str(error), fix=fix
            ) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is malformed", why=str(error)) from None

    def node(self, key: VotingKey) -> _ledger.Node:
        """The node of this folder, ready to be started with its key.

        Raises:
            UsageError: a file is missing or malformed.
            KeyFileError: the key is plain on a network that is no development one.
            NodeError: the configuration makes no sense to the engine.
        """
        config, genesis = self.configuration(), self._genesis()
        key.check_network(genesis["chainId"])
        complete = msgspec.to_builtins(config) | {"data_dir": os.fspath(self.path.resolve()), "genesis": genesis}
        return key.node(json.dumps(complete))

    def synchronise(self, checkpoint: Checkpoint, nodes: Sequence[str], say: Callable[[str], None]) -> Synced:
        """Fill the folder with a state, as :func:`candela.network.sync.synchronise` does.

        Raises:
            UsageError: a file is missing or malformed, or the checkpoint is of another chain.
            NetworkError: no node gave the state, or the checkpoint is too old.
            NodeError: the folder can't be used.
        """
        config, genesis = self.configuration(), self._genesis()
        if checkpoint.chain_id != genesis["chainId"]:
            raise UsageError(
                f"the checkpoint is of chain {checkpoint.chain_id}", why=f"the folder is of chain {genesis['chainId']}"
            )
        return synchronise(self.path.resolve(), json.dumps(genesis), checkpoint, nodes, config.threads, say)

    def _genesis(self) -> dict[str, Any]:
        path = self.path / GENESIS_FILE
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} can't be read", why=str(error), fix=f"{_INIT} --genesis GENESIS.json") from None
