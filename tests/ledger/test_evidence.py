"""A validator that lost the record of its votes votes twice; who saw it hands the evidence in, and it pays."""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candela import _ledger
from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.sender import Sender
from candela.chain.staking import Staking
from candela.chain.voting_key import VotingKey
from candela.errors import Error
from candela.network.configuration import Network
from candela.network.elections import Elections
from candela.network.genesis import CHAIN_ID, genesis
from candela.network.validators import committee, folder, public_key
from tests.nodes import Nodes
from tests.waiting import until

CND = 10**18
FUNDS = 10_000 * CND
BOND = 1_000 * CND
A, B, C, D = EVERYONE = range(4)
REPORTER, PAYER = 4, 5
DEADLINE = 90
ATTEMPTS = 20
SEED = 5
PROPOSED = re.compile(r"block proposed number=(\d+)")

pytestmark = pytest.mark.slow


class World:
    """Four nodes with the seats of genesis, each of which has staked on its key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.secrets = [bytes([number]) * 32 for number in range(1, 7)]
        self.accounts = [Account(secret) for secret in self.secrets]
        places = committee(directory, len(EVERYONE))
        keys = [public_key(folder(directory, index)) for index in EVERYONE]
        nobody = "0x" + "0d" * 20
        started = genesis(
            {each.address: FUNDS for each in self.accounts},
            int(time.time() * 1000),
            elections=Elections(keys=tuple(keys), owner=nobody, safety_fund=nobody),
        )
        rpc = [("127.0.0.1", 0)] * len(EVERYONE)
        self.nodes = Nodes(directory, started, places, rpc, nobody, logged="info,candela_consensus=debug")
        self.urls = self.nodes.start(*EVERYONE)
        self.clients = [Client(url, timeout=DEADLINE) for url in self.urls]
        self._over = threading.Event()
        self._paying = threading.Thread(target=self._pay)

    def stand(self, index: int) -> None:
        client, account = self.clients[index], self.accounts[index]
        staking, sender = Staking(client), Sender(client, account, session=None)
        key = VotingKey.of_node(folder(self.directory, index))
        sender.send(staking.registering(key, account.address, BOND, 1_000))
        sender.send(staking.message("stand", staking.number_of(key.public), 0))

    def _pay(self) -> None:
        """Payments to every node, so that whoever leads can propose; again and again, as a killed one forgets them."""
        clients, account = [Client(url, timeout=2) for url in self.urls], self.accounts[PAYER].address
        while not self._over.wait(0.03):
            for client in clients:
                with contextlib.suppress(Error):
                    final = int(client.call("eth_getTransactionCount", account, "latest"), 16)
                    waiting = [self._payment(final + ahead).hex() for ahead in range(3)]
                    client.batch([("eth_sendRawTransaction", ("0x" + raw,)) for raw in waiting])

    def _payment(self, nonce: int) -> bytes:
        fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**6}
        fields = {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "to": "0x" + "09" * 20, "value": 1, "gas": 21_000}
        return _ledger.sign_transaction({**fields, **fees}, self.secrets[PAYER])[0]

    def __enter__(self) -> "World":
        for index in EVERYONE:
            self.stand(index)
        self._paying.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._paying.join()
        self.nodes.stop()

    def go_on(self, *indexes: int) -> None:
        """Wait until these have finalised a few blocks more."""
        target = max(self.clients[index].block_number() for index in indexes) + 3
        until(lambda: min(self.clients[index].block_number() for index in indexes) >= target, f"block {target}")

    def evidence(self, index: int) -> list[dict[str, Any]]:
        return self.clients[index].call("candela_evidence")

    def leader(self) -> int | None:
        """Who of A and B has proposed the block that the two can't finish."""
        height = max(self.clients[index].block_number() for index in (A, B))
        proposed = {index: PROPOSED.findall(self.nodes.log(index).read_text()) for index in (A, B)}
        last = {index: int(numbers[-1]) for index, numbers in proposed.items() if numbers}
        leader = max(last, key=lambda index: last[index], default=A)
        return leader if last.get(leader, 0) > height else None

    def betray(self) -> tuple[int, int]:
        """Have a validator propose, lose the record of it, and propose again in the same view.

        Two of four are away, so the view can't end. Who is still there hears both votes.

        Returns:
            Who voted twice, and who has seen it.
        """
        chance = random.Random(SEED)
        for _ in range(ATTEMPTS):
            # Leaders take turns: without chance it could always be one of those that are killed.
            time.sleep(chance.uniform(0, 0.4))
            self.nodes.kill(C)
            self.nodes.kill(D)
            time.sleep(1)
            traitor = self.leader()
            if traitor is not None:
                witness = B if traitor == A else A
                self.nodes.kill(traitor)
                own = folder(self.directory, traitor)
                for record in (own / "consensus", own.with_name(f"{own.name}.votes")):
                    shutil.rmtree(record)
                self.nodes.start(traitor)
                if self._sees(witness):
                    self.nodes.start(C, D)
                    return traitor, witness
            self.nodes.start(C, D)
            self.go_on(A, B, C, D)
        raise AssertionError(f"nobody voted twice in {ATTEMPTS} attempts")

    def _sees(self, witness: int) -> bool:
        with contextlib.suppress(AssertionError):
            until(lambda: bool(self.evidence(witness)), "evidence", 10)
        return bool(self.evidence(witness))

    def cli(self, *arguments: str) -> Any:
        """What ``candela validator`` answers to the reporter."""
        environment = {**os.environ, "CANDELA_NETWORK": str(self.directory / "network.json")}
        command = [sys.executable, "-m", "candela", "validator", *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def configure(self, witness: int) -> None:
        """The reporter uses the node that has seen the votes."""
        keyfile = self.directory / "reporter.key"
        keyfile.touch(0o600)
        keyfile.write_text(self.secrets[REPORTER].hex())
        url = self.urls[witness]
        network = Network(rpc=url, ws=url.replace("http", "ws"), store="", chain_id=CHAIN_ID, keyfile=str(keyfile))
        network.write(self.directory / "network.json")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as running:
        yield running


def test_who_votes_twice_is_reported_and_pays(world: World) -> None:
    traitor, witness = world.betray()
    honest = [index for index in EVERYONE if index != traitor]
    world.go_on(*honest)
    (seen,) = world.evidence(witness)
    assert bytes.fromhex(seen["publicKey"][2:]) == public_key(folder(world.directory, traitor))

    world.nodes.kill(witness)
    world.nodes.start(witness)
    assert world.evidence(witness) == [seen], "a restart forgets what the node has seen"
    world.go_on(*honest)

    world.configure(witness)
    staking = Staking(world.clients[witness])
    number = staking.number_of(bytes.fromhex(seen["publicKey"][2:]))
    (listed,) = world.cli("status")["evidence"]
    assert (listed["validator"], listed["activity"], listed["refusal"]) == (number, seen["activity"], "")
    assert world.cli("report", "--dry-run")["reported"] == []
    assert staking.validator(number).state == "standing"

    (reported,) = world.cli("report")["reported"]
    assert reported["validator"] == number
    assert staking.validator(number).state == "tombstoned"
    assert number not in staking.read("standing")
    receipt = world.clients[witness].receipts([reported["transaction"]])[0]
    assert receipt is not None
    events = dict(filter(None, map(staking.decode_log, receipt.logs)))
    assert events["Penalized"]["amount"] == BOND // 20
    assert events["FaultProved"]["reporter"].lower() == world.accounts[REPORTER].address.lower()

    again = world.cli("report")
    assert again["reported"] == []
    assert [each["refusal"] for each in again["evidence"]] == ["staking: already tombstoned"]
    reward = BOND // 20 * 30 // 100
    before = world.clients[witness].balance(world.accounts[REPORTER].address)
    assert world.cli("claim")["amount_nit"] == str(reward)
    gained = world.clients[witness].balance(world.accounts[REPORTER].address) - before
    assert reward - CND // 100 < gained < reward
    assert world.cli("claim") == {"amount_nit": "0"}
