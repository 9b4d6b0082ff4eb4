"""Hostile JSON-RPC gets a clear error, and the node goes on."""

import importlib.util
import json
import random
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from candela import _ledger

SCRIPT = Path(__file__).parents[1] / "soak" / "kill_node.py"
SPEC = importlib.util.spec_from_file_location("kill_node", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
kill_node = importlib.util.module_from_spec(SPEC)
sys.modules["kill_node"] = kill_node
SPEC.loader.exec_module(kill_node)

KEY = bytes([1]) * 32
SECONDS = 30
BAD = [None, 7, -1, True, "", "0x", "0xzz", "latest ", [], {}, [[]], {"a": 1}, "0x" + "f" * 500]
METHODS = [
    "eth_getBlockByNumber", "eth_getBlockByHash", "eth_getTransactionCount", "eth_estimateGas", "eth_feeHistory",
    "eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_call", "eth_getLogs",
    "eth_getBalance", "eth_getCode", "eth_getStorageAt", "eth_createAccessList", "eth_getBlockReceipts",
    "eth_fillTransaction", "eth_newFilter", "eth_getFilterChanges", "eth_uninstallFilter", "web3_sha3", "no_such",
]  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    soak = kill_node.Soak(tmp_path_factory.mktemp("hostile") / "node", random.Random(1))
    node = _ledger.Node(soak.config())
    yield node.start()["http"]
    node.stop()


@pytest.fixture(autouse=True)
def goes_on(url: str) -> Iterator[None]:
    yield
    sender = _ledger.address_of(KEY)
    sender = sender if isinstance(sender, str) else "0x" + sender.hex()
    (nonce,) = kill_node.rpc(url, [("eth_getTransactionCount", [sender, "pending"])])
    raw, digest = _ledger.sign_transaction(kill_node.transfer(int(nonce, 16), "0x" + "ab" * 20, 1), KEY)
    assert kill_node.rpc(url, [("eth_sendRawTransaction", ["0x" + raw.hex()])]) == [digest]


def post(url: str, body: bytes) -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - the node under test
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        return {"status": error.code}


def call(url: str, method: str, params: Any) -> Any:
    return post(url, json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"[]", b"7"])
def test_malformed_json_is_an_error(url: str, body: bytes) -> None:
    answer = post(url, body)
    assert answer.get("status", 400) in (400, 413)
    if "error" in answer:
        assert answer["error"]["code"] in (-32700, -32600)


@pytest.mark.parametrize("method", METHODS)
def test_wrong_types_are_invalid_params(url: str, method: str) -> None:
    for bad in BAD:
        for params in ([bad], [bad, bad], [bad, bad, bad], bad):
            answer = call(url, method, params)
            error = answer.get("error")
            assert error is None or error["code"] not in (-32603,), (params, answer)


def test_every_prefix_of_a_transaction_is_refused(url: str) -> None:
    raw, _ = _ledger.sign_transaction(kill_node.transfer(10**6, "0x" + "cd" * 20, 1), KEY)
    for broken in [raw[:end] for end in range(len(raw))] + [raw + b"\0"]:
        assert "error" in call(url, "eth_sendRawTransaction", ["0x" + broken.hex()]), broken.hex()


def test_random_transactions_are_refused(url: str) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    dice = random.Random(seed)
    raw, _ = _ledger.sign_transaction(kill_node.transfer(10**6, "0x" + "cd" * 20, 1), KEY)
    for _ in range(200):
        broken = bytearray(raw)
        broken[dice.randrange(len(broken))] ^= dice.randrange(1, 256)
        answer = call(url, "eth_sendRawTransaction", ["0x" + broken.hex()])
        assert answer.get("error", {}).get("code") != -32603, broken.hex()


def test_stalled_connections_do_not_stop_others(url: str) -> None:
    place = (urlsplit(url).hostname, urlsplit(url).port)
    opened = [socket.create_connection(place, SECONDS) for _ in range(50)]
    try:
        for index, each in enumerate(opened):
            each.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + (b"Content-Length: 1000\r\n\r\n{" if index % 2 else b""))
        assert "result" in call(url, "eth_chainId", [])
    finally:
        for each in opened:
            each.close()


def test_endless_execution_is_bounded(url: str) -> None:
    target = "0x" + "ee" * 20
    for code in ("0x5b600056", "0x5b5a5f5260206000f35b", "0x63ffffffff6000f3"):
        answer = call(url, "eth_call", [{"to": target}, "latest", {target: {"code": code}}])
        assert "result" in answer or "error" in answer
