"""Transactions in binary batches become final whichever way they come in, and bad batches harm nobody."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from candela import _ledger
from tests.soak.server import item

KEY = bytes([1]) * 32
SENDER = _ledger.address_of(KEY)
CHAIN_ID = 4_410_948
PAYEE = "0x" + "ab" * 20
SECONDS = 30


@dataclass
class Target:
    """A running node, and the sender's next nonce."""

    node: _ledger.Node
    url: str
    ws: str
    nonce: int = 0

    def batch(self, count: int) -> bytes:
        """The next transfers, as a block body holds them."""
        raw = []
        for nonce in range(self.nonce, self.nonce + count):
            fields = {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "gas": 21_000, "to": PAYEE, "value": 1}
            fees = {"maxFeePerGas": 10**12, "maxPriorityFeePerGas": 1}
            raw.append(item(_ledger.sign_transaction(fields | fees, KEY)[0]))
        self.nonce += count
        return b"".join(raw)

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=SECONDS)
        connection.request("POST", path, body)
        response = connection.getresponse()
        status, text = response.status, response.read()
        connection.close()
        return status, json.loads(text)

    def call(self, method: str, *params: Any) -> Any:
        """The answer to a JSON-RPC request."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self.post("/", json.dumps(request).encode())[1]

    def wait_for_balance(self, value: int) -> None:
        """Waits until the payee has been paid so much."""
        deadline = time.monotonic() + SECONDS
        while int(self.call("eth_getBalance", PAYEE, "latest")["result"], 16) != value:
            assert time.monotonic() < deadline, f"{value} transfers are not final after {SECONDS} s"
            time.sleep(0.02)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    config = {
        "data_dir": str(tmp_path / "node"),
        "genesis": {
            "chainId": CHAIN_ID,
            "timestampMs": 1_700_000_000_000,
            "blockGasLimit": 1_000_000_000,
            "accounts": {SENDER: {"balance": hex(10**24)}},
            "deployments": [],
        },
        "fee_recipient": "0x" + "fe" * 20,
        "rpc": {"host": "127.0.0.1", "port": 0},
    }
    node = _ledger.Node(json.dumps(config))
    endpoints = node.start()
    yield Target(node, endpoints["http"], endpoints["ws"])
    node.stop()


def test_every_way_in_leads_to_final_transfers(target: Target) -> None:
    accepted = {"accepted": 3, "errors": []}
    assert target.post("/transactions", target.batch(3)) == (200, accepted)
    assert target.call("candela_sendRawTransactions", "0x" + target.batch(3).hex())["result"] == accepted
    with connect(target.ws + "/transactions") as socket:
        for _ in range(2):
            socket.send(target.batch(3))
            assert json.loads(socket.recv(timeout=SECONDS)) == accepted
    assert target.node.submit(target.batch(3)) == (3, [])
    target.wait_for_balance(15)


def test_what_is_refused_is_named_by_its_place(target: Target) -> None:
    good = target.batch(1)
    status, report = target.post("/transactions", good + item(b"\x02nonsense") + good)
    assert (status, report["accepted"]) == (200, 1)
    assert [error["index"] for error in report["errors"]] == [1, 2]
    assert report["errors"][1]["message"] == "already known"
    taken, refused = target.node.submit(good)
    assert (taken, [place for place, _ in refused]) == (0, [0])
    target.wait_for_balance(1)


@pytest.mark.parametrize("body", [b"\xf8", b"\xb9\xff\xff\x00", b"\xbf" + b"\xff" * 8, b"\x81"])
def test_bytes_that_are_no_batch_are_refused_whole(target: Target, body: bytes) -> None:
    status, answer = target.post("/transactions", target.batch(1) + body)
    assert status == 400
    assert answer["error"]["code"] == -32602
    with connect(target.ws + "/transactions") as socket:
        socket.send(body)
        assert json.loads(socket.recv(timeout=SECONDS))["error"]["code"] == -32602
    with pytest.raises(_ledger.InvalidTransactionError):
        target.node.submit(body)


def test_a_batch_has_limits_in_bytes_and_in_number(target: Target) -> None:
    connection = http.client.HTTPConnection(urlsplit(target.url).netloc, timeout=SECONDS)
    connection.putrequest("POST", "/transactions")
    connection.putheader("Content-Length", str(6 << 20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    status, answer = target.post("/transactions", b"\x00" * 60_000)
    assert (status, answer["error"]["message"]) == (400, "rlp: more than 50000 transactions")


def test_other_python_threads_run_while_a_batch_is_taken(target: Target) -> None:
    raw = target.batch(2_000)
    turns, done = 0, threading.Event()

    def submit() -> None:
        target.node.submit(raw)
        done.set()

    thread = threading.Thread(target=submit)
    thread.start()
    while not done.is_set():
        turns += 1
    thread.join()
    assert turns > 1_000
    target.wait_for_balance(2_000)
