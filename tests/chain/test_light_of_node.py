"""Light clients follow running nodes: one validator, and four that agree over sockets."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candela import _ledger
from candela.chain import certificate
from candela.chain.account import Account
from candela.chain.checkpoint import Checkpoint
from candela.chain.client import Client
from candela.chain.committee import Committee
from candela.chain.light import LightClient
from candela.chain.sender import Message, Sender
from candela.errors import CertificateError
from candela.network.genesis import CHAIN_ID, genesis
from candela.network.validators import free_ports
from tests.waiting import until

RICH = 10**24
PAYEE = "0x" + "09" * 20
SECRETS = [bytes([seed]) * 32 for seed in range(1, 5)]


class Validators:
    """Running nodes, and an account that pays."""

    def __init__(self, folder: Path, count: int) -> None:
        self.account = Account(b"\x07" * 32)
        self.keys = [_ledger.session_key_of(secret) for secret in SECRETS[:count]]
        started = genesis({self.account.address: RICH}, int(time.time() * 1000))
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        members = [
            {"public_key": "0x" + key.hex(), "address": each} for key, each in zip(self.keys, addresses, strict=True)
        ]
        self.nodes = []
        for index in range(count):
            config: dict[str, Any] = {
                "data_dir": str(folder / str(index)),
                "genesis": started,
                "fee_recipient": "0x" + "11" * 20,
                "rpc": {"host": "127.0.0.1", "port": 0},
            }
            if count > 1:
                config |= {"validators": members, "listen": addresses[index], "distance": "local"}
            self._write_key(folder / str(index), SECRETS[index])
            self.nodes.append(_ledger.Node(json.dumps(config)))
        self.clients = [Client(node.start()["http"]) for node in self.nodes]
        self.sender = Sender(self.clients[0], self.account)

    def _write_key(self, folder: Path, secret: bytes) -> None:
        folder.mkdir(parents=True)
        with os.fdopen(os.open(folder / "validator.key", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secret.hex())

    def pay(self) -> int:
        """Pay 1 nit; the block that has it."""
        return int(self.sender.send(Message(to=PAYEE, value=1)).block_number, 16)

    def genesis_checkpoint(self, keys: list[bytes] | None = None) -> Checkpoint:
        block = self.clients[0].call("eth_getBlockByNumber", "0x0", False)["hash"]
        return Checkpoint(chain_id=CHAIN_ID, block_hash=block, committee=Committee.of_keys(0, keys or self.keys))

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        for node in self.nodes:
            node.stop()


@pytest.fixture(scope="module", params=[1, 4], ids=["one validator", "four validators"])
def validators(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Validators]:
    running = Validators(tmp_path_factory.mktemp("validators"), request.param)
    try:
        yield running
    finally:
        running.stop()


def test_head_is_followed_from_genesis_and_a_balance_is_proved(validators: Validators) -> None:
    client = LightClient(validators.clients[0], validators.genesis_checkpoint())
    before = client.prove(PAYEE).account
    paid = validators.pay()
    assert client.advance().number >= paid
    after = client.prove(PAYEE).account
    assert after is not None
    assert after.balance == 1 + (before.balance if before else 0)
    assert (
        client.head.hash == validators.clients[0].call("eth_getBlockByNumber", hex(client.head.number), False)["hash"]
    )


def test_every_block_s_certificate_holds(validators: Validators) -> None:
    for _ in range(5):
        validators.pay()
    height = validators.clients[0].block_number()
    for client in validators.clients:
        until(lambda client=client: client.block_number() >= height, "the other validators have the blocks")
        for number in range(1, height + 1):
            block = client.call("eth_getBlockByNumber", hex(number), False)["hash"]
            start = Checkpoint(chain_id=CHAIN_ID, block_hash=block, committee=Committee.of_keys(0, validators.keys))
            assert LightClient(client, start).head.number == number


def test_certificate_names_a_quorum(validators: Validators) -> None:
    validators.pay()
    shown = validators.clients[0].call("candela_getHeader", "latest")
    finalization = certificate.decode(bytes.fromhex(shown["certificate"][2:]))
    assert finalization.seats == len(validators.keys)
    assert len(finalization.signatures) >= Committee.of_keys(0, validators.keys).quorum


def test_other_keys_are_not_believed(validators: Validators) -> None:
    # Two of four: any three votes have one of them.
    others = [_ledger.session_key_of(bytes([seed]) * 32) for seed in (98, 99)]
    keys = validators.keys[2:] + others[: len(validators.keys)]
    client = LightClient(validators.clients[0], validators.genesis_checkpoint(keys))
    validators.pay()
    with pytest.raises(CertificateError):
        client.advance()
    assert client.head.number == 0
