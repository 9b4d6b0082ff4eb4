"""Four validators in processes of their own agree, survive the loss of one, and stop safely without two."""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from candela import _ledger
from candela.chain.client import Client
from candela.errors import NetworkError
from candela.network.devnet import Devnet, Settings
from tests.waiting import until

DEADLINE = 60
QUIET_SECONDS = 4

pytestmark = pytest.mark.slow


class Committee:
    """A running network and an account that pays."""

    def __init__(self, network: Devnet) -> None:
        assert network.ready is not None
        self.network, self.account = network, network.ready.accounts[1]
        self.clients = [Client(each["http"], timeout=10) for each in network.ready.validators]
        self._nonces = itertools.count()

    def submit(self, index: int) -> str:
        fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**6}
        to = {"to": "0x" + "09" * 20, "value": 1, "gas": 21_000}
        fields = {"type": 2, "chainId": self.clients[index].chain_id(), "nonce": next(self._nonces), **to, **fees}
        raw, digest = _ledger.sign_transaction(fields, bytes.fromhex(self.account["private_key"].removeprefix("0x")))
        assert self.clients[index].call("eth_sendRawTransaction", "0x" + raw.hex()) == digest
        return digest

    def wait(self, digest: str, indexes: list[int]) -> dict[str, Any]:
        """The receipt, once it is the same at all of ``indexes``."""

        def query(index: int) -> Any:
            return self.clients[index].call("eth_getTransactionReceipt", digest)

        until(lambda: all(query(index) is not None for index in indexes), f"{digest} at {indexes}")
        receipts = [query(index) for index in indexes]
        assert all(each == receipts[0] for each in receipts)
        return receipts[0]

    def kill(self, index: int) -> None:
        process = self.network.nodes[index].process
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE)

    def height(self, index: int) -> int:
        return self.clients[index].block_number()


@pytest.fixture
def committee(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Committee]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Devnet(Settings(data=tmp_path / "data", port=0, providers=0, validators=4)) as network:
        yield Committee(network)


def test_one_may_fail_and_two_may_not(committee: Committee) -> None:
    for index in range(4):
        committee.wait(committee.submit(index), [0, 1, 2, 3])

    committee.kill(3)
    for index in (0, 1, 2):
        receipt = committee.wait(committee.submit(index), [0, 1, 2])

    committee.network.restart_node(3)
    until(lambda: committee.height(3) >= int(receipt["blockNumber"], 16), "the restarted validator catches up")
    committee.wait(committee.submit(3), [0, 1, 2, 3])

    committee.kill(3)
    committee.kill(2)
    waiting = committee.submit(0)
    quiet = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < quiet:
        assert committee.clients[0].call("eth_getTransactionReceipt", waiting) is None
        time.sleep(0.1)

    committee.network.restart_node(2)
    committee.wait(waiting, [0, 1, 2])
    hashes = [
        each.call("eth_getBlockByNumber", receipt["blockNumber"], False)["hash"] for each in committee.clients[:3]
    ]
    assert len(set(hashes)) == 1


def test_a_chain_keeps_its_number_of_validators(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Devnet(Settings(data=tmp_path / "data", port=0, providers=0)):
        pass
    with (
        pytest.raises(NetworkError, match="has 1 validators, not 4"),
        Devnet(Settings(data=tmp_path / "data", port=0, providers=0, validators=4)),
    ):
        pass
