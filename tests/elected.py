"""Nodes of which the ledger elects some, with accounts that stake and pay: for tests of epochs and of sync."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from candela.chain.account import Account
from candela.chain.checkpoint import Checkpoint
from candela.chain.client import Client
from candela.chain.committee import Committee
from candela.chain.light import seats
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.chain.staking import Staking
from candela.chain.voting_key import VotingKey
from candela.network.elections import Elections
from candela.network.genesis import CHAIN_ID, genesis
from candela.network.validators import committee, folder, public_key
from tests.nodes import Nodes
from tests.waiting import until

FUNDS = 10_000 * 10**18
BOND = 1_000 * 10**18
EPOCH_BLOCKS = 20
A, B, C, D, E = EVERYONE = range(5)
DEADLINE = 90


class Payments:
    """Payments of one account to one node, one after the other, until they are told to end."""

    def __init__(self, client: Client, account: Account) -> None:
        self._sender, self._over = Sender(client, account, session=None), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failure: Exception | None = None

    def _run(self) -> None:
        message = Message(to="0x" + "09" * 20, value=1, gas=21_000)
        while not self._over.is_set():
            try:
                self._sender.send(message, timeout=DEADLINE)
            except Exception as error:  # noqa: BLE001 - the test that waits for payments has to know of any
                self.failure = error
                return

    def __enter__(self) -> Payments:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class World:
    """Five nodes, of which the first four have the seats of epoch 0.

    Args:
        directory: where they keep everything.
        started: those that are started; the others may be later.
        funded: more accounts with money in genesis.
        epoch_blocks: of an epoch.
    """

    def __init__(
        self,
        directory: Path,
        started: Sequence[int] = EVERYONE,
        funded: Mapping[str, int] | None = None,
        epoch_blocks: int = EPOCH_BLOCKS,
    ) -> None:
        self._epoch_blocks = epoch_blocks
        self.accounts = [Account(bytes([number]) * 32) for number in range(1, 8)]
        places = committee(directory, len(EVERYONE))
        self.keys = [VotingKey.of_node(folder(directory, index)) for index in EVERYONE]
        rest = self.accounts[-1].address
        first = [public_key(folder(directory, index)) for index in (A, B, C, D)]
        elections = Elections(keys=tuple(first), owner=rest, safety_fund=rest, epoch_blocks=epoch_blocks)
        balances = dict(funded or {}) | {each.address: FUNDS for each in self.accounts}
        self.genesis = genesis(balances, int(time.time() * 1000), elections=elections)
        self.nodes = Nodes(directory, self.genesis, places, [("127.0.0.1", 0)] * len(EVERYONE), rest)
        self.clients: dict[int, Client] = {}
        self.start(*started)
        block = self.clients[A].call("eth_getBlockByNumber", "0x0", False)["hash"]
        self.checkpoint = Checkpoint(chain_id=CHAIN_ID, block_hash=block, committee=Committee.of_keys(0, first))

    def start(self, *indexes: int) -> None:
        """Start nodes, and know where they are."""
        for index, url in zip(indexes, self.nodes.start(*indexes), strict=True):
            self.clients[index] = Client(url, timeout=DEADLINE)

    def stand(self, index: int) -> None:
        """The owner of a node stakes on it by transactions to that node."""
        client, account = self.clients[index], self.accounts[index]
        staking, sender = Staking(client), Sender(client, account, session=None)
        sender.send(staking.registering(self.keys[index], account.address, BOND, 1_000))
        sender.send(staking.message("stand", staking.number_of(self.keys[index].public), 0))

    def seated(self) -> set[bytes]:
        """Who has a seat in the epoch of the newest block."""
        epoch = self.clients[B].block_number() // self._epoch_blocks
        return {seat.public_key for seat in seats(self.clients[B], epoch).seats}

    def earned(self, index: int) -> int:
        """What is credited to the owner of a node's stake, in nit."""
        return Staking(self.clients[B]).read("credits", self.accounts[index].address)

    def shown(self, number: int) -> tuple[int, int] | None:
        """The height whose certificate a block shows, and the bits of its signers."""
        extra = bytes.fromhex(self.clients[B].call("eth_getBlockByNumber", hex(number), False)["extraData"][2:])
        return (number - extra[0], int.from_bytes(extra[1:17], "little")) if extra else None

    def height(self, index: int) -> int:
        return self.clients[index].block_number()

    def epoch(self) -> int:
        return self.height(B) // self._epoch_blocks

    def wait_epochs(self, count: int) -> None:
        target = self.epoch() + count
        until(lambda: self.epoch() >= target, f"epoch {target}")
