"""A validator restored from a backup waits until it cannot contradict itself; one without its record does not start."""

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candela import _ledger
from candela.chain.account import Account
from candela.chain.client import Client
from candela.errors import Error
from candela.network.genesis import CHAIN_ID, genesis
from candela.network.validators import committee, folder
from tests.nodes import Nodes
from tests.waiting import until

A, B, C, D = EVERYONE = range(4)
SECRET = bytes([1]) * 32

pytestmark = pytest.mark.slow


class World:
    """Four nodes, each of which takes payments."""

    def __init__(self, directory: Path) -> None:
        self.directory, nobody = directory, "0x" + "0d" * 20
        self.places = committee(directory, len(EVERYONE))
        account = Account(SECRET).address
        document = genesis({account: 10**24}, int(time.time() * 1000))
        self.nodes = Nodes(directory, document, self.places, [("127.0.0.1", 0)] * 4, nobody)
        self.clients = [Client(url, timeout=2) for url in self.nodes.start(*EVERYONE)]
        self._account, self._over = account, threading.Event()
        self._paying = threading.Thread(target=self._pay)
        self._paying.start()

    def _pay(self) -> None:
        fields: dict[str, Any] = {"type": 2, "chainId": CHAIN_ID, "to": "0x" + "09" * 20, "value": 1, "gas": 21_000}
        fields |= {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**6}
        while not self._over.wait(0.03):
            for client in self.clients:
                with contextlib.suppress(Error):
                    nonce = int(client.call("eth_getTransactionCount", self._account, "latest"), 16)
                    raw = _ledger.sign_transaction({**fields, "nonce": nonce}, SECRET)[0]
                    client.call("eth_sendRawTransaction", "0x" + raw.hex())

    def stop(self) -> None:
        self._over.set()
        self._paying.join()
        self.nodes.stop()

    def go_on(self, *indexes: int, blocks: int = 10) -> None:
        target = max(self.clients[index].block_number() for index in (A, B)) + blocks
        until(lambda: min(self.clients[index].block_number() for index in indexes) >= target, f"block {target}")

    def log(self, index: int) -> str:
        return self.nodes.log(index).read_text()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    running = World(tmp_path)
    yield running
    running.stop()


def test_a_restored_validator_votes_again_only_where_it_cannot_contradict_itself(world: World) -> None:
    own, copy = folder(world.directory, D), world.directory / "copy"
    for _ in range(3):
        world.go_on(*EVERYONE)
        world.nodes.kill(D)
        assert world.log(D).count("votes of this validator are not in its journal") == 0, "a crash is no loss of votes"
        shutil.copytree(own, copy)
        world.nodes.start(D)
        world.go_on(*EVERYONE, blocks=30)
        world.nodes.kill(D)
        shutil.rmtree(own)
        copy.rename(own)
        world.nodes.start(D)
        world.go_on(*EVERYONE)
        assert world.log(D).count("votes of this validator are not in its journal") == 1
        world.nodes.log(D).write_text("")
        # Without C the others need D's votes.
        world.nodes.kill(C)
        world.go_on(A, B, D)
        world.nodes.start(C)
    world.go_on(*EVERYONE)
    assert [world.clients[index].call("candela_evidence") for index in EVERYONE] == [[]] * 4


def test_a_validator_whose_record_is_lost_does_not_start(world: World) -> None:
    own = folder(world.directory, D)
    record = own.with_name(f"{own.name}.votes")
    world.go_on(*EVERYONE)
    world.nodes.kill(D)
    record.rename(world.directory / "elsewhere")
    refused = _ledger.Node((world.directory / f"{D}.json").read_text())
    with pytest.raises(_ledger.NodeError, match=r"their record .* is missing") as caught:
        refused.start()
    assert caught.value.code == "node-consensus"
    shutil.rmtree(record)
    (world.directory / "elsewhere").rename(record)
    world.nodes.start(D)
    world.go_on(*EVERYONE)


def test_the_record_of_another_key_is_refused(world: World) -> None:
    world.go_on(*EVERYONE)
    world.nodes.kill(D)
    world.nodes.kill(C)
    configuration = json.loads((world.directory / f"{D}.json").read_text())
    other = folder(world.directory, C)
    configuration["votes"] = str(other.with_name(f"{other.name}.votes"))
    with pytest.raises(_ledger.NodeError, match="belongs to another key"):
        _ledger.Node(json.dumps(configuration)).start()
    world.nodes.start(C, D)
    world.go_on(*EVERYONE)
