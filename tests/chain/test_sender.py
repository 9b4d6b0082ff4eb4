"""Transactions of one account: many threads, lost and foreign nonces, a rising fee, and a node that refuses."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from candela.chain import sender as sending
from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.errors import NetworkError, RpcError, TransactionFailed
from candela.network.genesis import genesis
from tests.nodes import client_of

NOBODY = "0x" + "22" * 20
RICH = 10**24


@pytest.fixture(scope="module")
def rich() -> Account:
    return Account(secrets.token_bytes(32))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, rich: Account) -> Iterator[Client]:
    document = genesis({rich.address: RICH}, int(time.time() * 1000))
    with client_of(tmp_path_factory.mktemp("node"), document) as client:
        yield client


def pay(value: int = 1) -> Message:
    return Message(to=NOBODY, value=value, gas=21_000)


def nonce(client: Client, account: Account) -> int:
    return int(client.call("eth_getTransactionCount", account.address, "latest"), 16)


def test_parallel_senders_use_each_nonce_once(client: Client, rich: Account) -> None:
    sender, before = Sender(client, rich), nonce(client, rich)
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: sender.submit([pay() for _ in range(5)]), range(20)))
    hashes = [each for batch in batches for each in batch]
    receipts = client.wait(hashes)
    assert len(set(hashes)) == 100
    assert all(each.succeeded for each in receipts)
    assert nonce(client, rich) == before + 100


def test_a_nonce_taken_by_another_process_is_learnt_anew(client: Client, rich: Account) -> None:
    first, second = Sender(client, rich), Sender(client, rich)
    first.send(pay())
    second.send(pay())
    assert first.send(pay(3)).succeeded


def test_a_gap_after_lost_transactions_closes_with_a_resync(client: Client, rich: Account) -> None:
    sender = Sender(client, rich)
    sender.send(pay())
    assert sender._nonce is not None
    sender._nonce += 2
    (stuck,) = sender.submit([pay()])
    with pytest.raises(NetworkError, match="not included"):
        client.wait([stuck], timeout=0.2)
    sender._nonce -= 3
    hashes = sender.submit([pay(5), pay(6)])
    assert all(each.succeeded for each in client.wait([*hashes, stuck]))
    sender.resync()
    assert sender.send(pay()).succeeded


def test_the_fee_follows_the_base_fee(client: Client, rich: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender(client, rich)
    monkeypatch.setattr(sending, "_FEE_SECONDS", 0)
    base = int(client.call("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    sent = sender.send(pay())
    fields = client.call("eth_getTransactionByHash", sent.transaction_hash)
    assert int(fields["maxFeePerGas"], 16) >= 2 * base


def test_a_refusal_names_the_nodes_reason(client: Client) -> None:
    with pytest.raises(RpcError, match="insufficient funds"):
        Sender(client, Account(secrets.token_bytes(32))).submit([pay()])


def test_a_revert_names_its_reason(client: Client, rich: Account) -> None:
    # PUSH0 PUSH0 REVERT, as the code of a creation.
    with pytest.raises(TransactionFailed, match="the creation failed"):
        Sender(client, rich).send(Message(to=None, data=bytes.fromhex("5f5ffd"), gas=100_000), "the creation")


def test_a_batch_keeps_its_order_and_its_errors(client: Client, rich: Account) -> None:
    outcomes = client.batch([("eth_chainId", ()), ("no_such", ()), ("eth_getBalance", (rich.address, "latest"))])
    assert outcomes[0] == hex(client.chain_id())
    assert isinstance(outcomes[1], RpcError)
    assert outcomes[1].rpc_code == -32601
    assert isinstance(outcomes[2], str)
    assert client.batch([]) == []


def test_a_node_that_is_not_there_says_what_to_do() -> None:
    client = Client("http://127.0.0.1:1", timeout=5)
    with pytest.raises(NetworkError) as caught:
        client.chain_id()
    assert caught.value.fix
    client.close()
