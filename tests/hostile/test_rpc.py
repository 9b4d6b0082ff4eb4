"""Hostile JSON-RPC gets a clear error, the node goes on, and its memory stays bounded."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from candela import _ledger

SECONDS = 30
STRANGER = "0x" + "ab" * 20
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
LOOP = {"to": STRANGER}, "latest", {STRANGER: {"code": "0x5b600056"}}
BAD = [None, 7, -1, True, "", "0x", "0xzz", "latest ", [], {}, [[]], {"a": 1}, "0x" + "f" * 500]
METHODS = [
    "eth_blockNumber", "eth_call", "eth_createAccessList", "eth_estimateGas", "eth_feeHistory", "eth_fillTransaction",
    "eth_getBalance", "eth_getBlockByHash", "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getCode",
    "eth_getBlockTransactionCountByHash", "eth_getFilterChanges", "eth_getFilterLogs", "eth_getLogs",
    "eth_getStorageAt", "eth_getTransactionByBlockNumberAndIndex", "eth_getTransactionByHash",
    "eth_getTransactionCount", "eth_getTransactionReceipt", "eth_getUncleByBlockHashAndIndex", "eth_newFilter",
    "eth_sendRawTransaction", "eth_sendRawTransactionSync", "eth_subscribe", "eth_uninstallFilter", "eth_unsubscribe",
    "txpool_contentFrom", "web3_sha3", "no_such", "candela_getInclusionProof", "candela_getHeader",
    "candela_getProof", "candela_evidence",
]  # fmt: skip
PARAMETERS, METHOD, REQUEST, PARSE, SERVER, LIMIT = -32602, -32601, -32600, -32700, -32000, -32005


class Node:
    """A ledger in a process of its own, and an honest customer."""

    def __init__(self, ready: dict[str, Any], process: int) -> None:
        self.url, self.ws, self.chain_id = ready["rpc"], ready["ws"], ready["chain_id"]
        self.place = (urlsplit(self.url).hostname or "", urlsplit(self.url).port or 0)
        self.secret = bytes.fromhex(ready["accounts"][0]["private_key"][2:])
        self.process = process

    def post(self, body: bytes) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        connection = http.client.HTTPConnection(*self.place, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def call(self, method: str, *params: Any) -> Any:
        """The answer to one request."""
        return self.post(json.dumps(request(method, *params)).encode())[1]

    def refusal(self, raw: bytes) -> str:
        """Why a raw transaction is not taken."""
        error = self.call("eth_sendRawTransaction", "0x" + raw.hex())["error"]
        assert error["code"] == SERVER, error
        return error["message"]

    def fields(self, **changes: Any) -> dict[str, Any]:
        """A valid transfer with `changes`."""
        nonce = int(self.call("eth_getTransactionCount", _ledger.address_of(self.secret), "pending")["result"], 16)
        fees = {"gas": 21_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**6}
        return {"type": 2, "chainId": self.chain_id, "nonce": nonce, "to": STRANGER, "value": 1, **fees, **changes}

    def sign(self, **changes: Any) -> bytes:
        """The signed bytes of :meth:`fields`."""
        return _ledger.sign_transaction(self.fields(**changes), self.secret)[0]

    def megabytes(self) -> int:
        """Resident memory."""
        lines = Path(f"/proc/{self.process}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


def request(method: str, *params: Any, id: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": list(params)}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, "-m", "candela", "up", "--json", "--port", "0", "--providers", "0"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    up = subprocess.Popen([*command, "--data", str(folder / "data")], stdout=subprocess.PIPE, env=environment)
    try:
        assert up.stdout is not None
        ready = json.loads(up.stdout.readline())
        (process,) = Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()
        yield Node(ready, int(process))
    finally:
        up.terminate()
        up.wait(SECONDS)


@pytest.fixture(autouse=True)
def goes_on(node: Node) -> Iterator[None]:
    """After every test an honest transfer becomes final."""
    yield
    receipt = node.call("eth_sendRawTransactionSync", "0x" + node.sign().hex(), "0x4e20")
    assert receipt["result"]["status"] == "0x1"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nul", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"[]", b"7", b'{"jsonrpc":"2.0","id":1}'],
)
def test_what_is_no_request_is_an_error(node: Node, body: bytes) -> None:
    assert node.post(body)[1]["error"]["code"] in (PARSE, REQUEST)


@pytest.mark.parametrize("method", METHODS)
def test_wrong_types_are_named(node: Node, method: str) -> None:
    for bad in BAD:
        for count in (1, 2, 3):
            answer = node.call(method, *[bad] * count)
            code = answer.get("error", {}).get("code")
            assert code in (None, PARAMETERS, METHOD, SERVER), (bad, answer)
        wrapped = {"jsonrpc": "2.0", "id": 1, "method": method, "params": bad}
        code = node.post(json.dumps(wrapped).encode())[1].get("error", {}).get("code")
        assert code in (None, PARAMETERS, METHOD, SERVER), bad


def test_random_requests_are_answered(node: Node) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    dice = random.Random(seed)

    def value(depth: int) -> Any:
        kind = dice.randrange(8 if depth < 4 else 5)
        if kind >= 5:
            children = [value(depth + 1) for _ in range(dice.randrange(4))]
            names = ["to", "data", "blockHash", "fromBlock", "topics", "address", "gas", "code"]
            return children if kind == 5 else {dice.choice(names): each for each in children}
        return [
            None,
            dice.random() < 0.5,
            dice.randrange(-1, 99),
            dice.choice(["latest", STRANGER, "0x", "0x1"]),
            1e99,
        ][kind]

    for _ in range(1_000):
        answer = node.call(dice.choice(METHODS[:-3]), *[value(0) for _ in range(dice.randrange(4))])
        assert answer.get("error", {}).get("code") != -32603, answer


class TestSizes:
    def test_a_body_too_large_is_refused_before_it_is_read(self, node: Node) -> None:
        with socket.create_connection(node.place, SECONDS) as stream:
            stream.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n{")
            assert b" 413 " in stream.recv(4096).splitlines()[0]

    def test_a_body_without_end_is_cut(self, node: Node) -> None:
        with socket.create_connection(node.place, SECONDS) as stream:
            stream.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
            with contextlib.suppress(OSError):
                for _ in range(200):
                    stream.sendall(chunk)
            with contextlib.suppress(OSError):
                assert b" 413 " in stream.recv(4096).splitlines()[0]
        assert node.megabytes() < 500

    def test_a_batch_too_long_is_refused_whole(self, node: Node) -> None:
        _, answer = node.post(json.dumps([request("eth_chainId", id=i) for i in range(1_001)]).encode())
        assert (answer["id"], answer["error"]) == (0, {"code": REQUEST, "message": "batch too large"})

    def test_a_bad_member_spoils_only_itself(self, node: Node) -> None:
        batch = [
            request("eth_chainId", id=1),
            7,
            request("no_such", id=2),
            {"jsonrpc": "2.0", "method": "eth_chainId"},
            [],
        ]
        _, answers = node.post(json.dumps(batch).encode())
        assert [answer.get("error", {}).get("code") for answer in answers] == [None, REQUEST, METHOD, REQUEST]

    def test_answers_too_large_are_refused_one_by_one(self, node: Node) -> None:
        # Each returns a megabyte: 0xff is the size's top byte.
        code = {STRANGER: {"code": "0x620fffff6000f3"}}
        batch = [request("eth_call", {"to": STRANGER}, "latest", code, id=i) for i in range(40)]
        _, answers = node.post(json.dumps(batch).encode())
        codes = [answer.get("error", {}).get("code") for answer in answers]
        assert [answer["id"] for answer in answers] == list(range(40))
        assert codes[0] is None
        assert codes[-1] == -32003
        assert codes == sorted(codes, key=lambda code: code is not None)


class TestTransactions:
    def test_every_prefix_and_a_trailing_byte(self, node: Node) -> None:
        raw = node.sign()
        for broken in [raw[:end] for end in range(len(raw))] + [raw + b"\0"]:
            assert node.refusal(broken)

    def test_changed_bytes_never_act_for_the_signer(self, node: Node) -> None:
        seed = random.randrange(2**32)
        sys.stdout.write(f"seed {seed}\n")
        dice = random.Random(seed)
        raw = node.sign()
        for _ in range(200):
            broken = bytearray(raw)
            broken[dice.randrange(len(broken))] ^= dice.randrange(1, 256)
            assert node.refusal(bytes(broken))

    @pytest.mark.parametrize(
        ("raw", "text"),
        [
            (b"\x02\xc0", "rlp: "),
            (b"\x02\xf9\xff\xff", "rlp: "),
            (b"\x02\xfb\xff\xff\xff\xff", "rlp: "),
            (b"\xf8\x00", "rlp: "),
            (b"\x7f\xc0", "transaction type not supported"),
            (b"\x03\xc0", "blob transactions (type 3) are not carried"),
            (b"\x02", "typed transaction too short"),
        ],
    )
    def test_what_is_no_transaction(self, node: Node, raw: bytes, text: str) -> None:
        assert text in node.refusal(raw)

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"chainId": 1}, "invalid chain id for signer: have 1 want"),
            ({"gas": 20_999}, "intrinsic gas too low: gas 20999, minimum needed 21000"),
            ({"gas": 2**24 + 1}, "transaction gas limit too high"),
            ({"nonce": 2**64 - 1}, "nonce has max value"),
            ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 2}, "max priority fee per gas higher than max fee per gas"),
            ({"value": 2**255}, "insufficient funds"),
            ({"data": "0x" + "11" * 140_000, "gas": 10**7}, "oversized data: transaction size"),
        ],
    )
    def test_what_breaks_a_rule(self, node: Node, changes: dict[str, Any], text: str) -> None:
        assert text in node.refusal(node.sign(**changes))

    def test_init_code_too_long(self, node: Node) -> None:
        fields = node.fields(data="0x" + "00" * 49_153, gas=10**7)
        del fields["to"]
        assert "max initcode size exceeded" in node.refusal(_ledger.sign_transaction(fields, node.secret)[0])

    @pytest.mark.parametrize("change", ["high s", "no r", "no s"])
    def test_signatures_of_nobody(self, node: Node, change: str) -> None:
        raw = node.sign()
        # r and s are the last two strings of 32 bytes; a signature with a shorter one is drawn again.
        while raw[-66] != 0xA0 or raw[-33] != 0xA0:
            raw = node.sign(value=random.randrange(10**9))
        parity, r, s = raw[-67], int.from_bytes(raw[-65:-33]), int.from_bytes(raw[-32:])
        if change == "high s":
            parity, s = (0x80 if parity == 1 else 1), CURVE_ORDER - s
        elif change == "no r":
            r = CURVE_ORDER
        else:
            s = CURVE_ORDER
        broken = raw[:-67] + bytes([parity, 0xA0]) + r.to_bytes(32) + b"\xa0" + s.to_bytes(32)
        assert "invalid transaction v, r, s values" in node.refusal(broken)

    def test_code_too_long_fails_and_pays(self, node: Node) -> None:
        # Returns 24,577 bytes as code, one more than EIP-170 allows.
        fields = node.fields(data="0x6160016000f3", gas=8_000_000, value=0)
        del fields["to"]
        raw = _ledger.sign_transaction(fields, node.secret)[0]
        receipt = node.call("eth_sendRawTransactionSync", "0x" + raw.hex(), "0x4e20")["result"]
        assert (receipt["status"], receipt["gasUsed"]) == ("0x0", hex(8_000_000))


class TestEffort:
    @pytest.mark.parametrize(
        "code", ["0x5b600056", "0x5b5a5f52602001600056", "0x63ffffffff6000f3", "0x5b60005fa0600056"]
    )
    def test_a_call_without_end_runs_out_of_gas(self, node: Node, code: str) -> None:
        error = node.call("eth_call", {"to": STRANGER}, "latest", {STRANGER: {"code": code}})["error"]
        assert error["code"] == SERVER
        assert node.megabytes() < 500

    def test_an_estimate_without_end(self, node: Node) -> None:
        assert "gas required exceeds allowance" in node.call("eth_estimateGas", *LOOP)["error"]["message"]

    def test_absurd_counts_are_clipped_or_refused(self, node: Node) -> None:
        assert len(node.call("eth_feeHistory", "0xfffffffffffffff", "latest", [])["result"]["gasUsedRatio"]) <= 1_024
        assert node.call("eth_feeHistory", "0x1", "latest", [1] * 101)["error"]["code"] == SERVER
        assert node.call("eth_getLogs", {"toBlock": "0xffffffffffffffff", "fromBlock": "0x0"})["error"]
        assert node.call("eth_getLogs", {"topics": [["0x" + "00" * 32] * 1_001]})["error"]["code"] == PARAMETERS
        assert node.call("eth_getLogs", {"address": [STRANGER] * 1_001})["error"]["code"] == PARAMETERS

    def test_filters_have_a_limit(self, node: Node) -> None:
        installed: list[str] = []
        for _ in range(11):
            _, answers = node.post(json.dumps([request("eth_newBlockFilter", id=i) for i in range(1_000)]).encode())
            installed += [answer["result"] for answer in answers if "result" in answer]
        assert len(installed) <= 10_000
        assert node.call("eth_newBlockFilter")["error"]["code"] == LIMIT
        for first in range(0, len(installed), 1_000):
            part = installed[first : first + 1_000]
            node.post(json.dumps([request("eth_uninstallFilter", each, id=i) for i, each in enumerate(part)]).encode())
        assert "result" in node.call("eth_newBlockFilter")


class TestConnections:
    def test_stalled_ones_do_not_stop_others(self, node: Node) -> None:
        with contextlib.ExitStack() as stack:
            for index in range(100):
                stream = stack.enter_context(socket.create_connection(node.place, SECONDS))
                stream.sendall(
                    b"POST / HTTP/1.1\r\nHost: a\r\n" + (b"Content-Length: 9\r\n\r\n{" if index % 2 else b"")
                )
            assert "result" in node.call("eth_chainId")

    def test_too_many_are_closed_and_leave_room_again(self, node: Node) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most != resource.RLIM_INFINITY and most < 2_048:
            pytest.skip(f"this process may open {most} files, not 2048")
        resource.setrlimit(resource.RLIMIT_NOFILE, (2_048, most))
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(socket.create_connection(node.place, SECONDS)) for _ in range(1_200)]
            for stream in streams[-100:]:
                with contextlib.suppress(ConnectionError):
                    assert stream.recv(1) == b""
        # Closing is seen by the node a moment later.
        for _ in range(100):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if "result" in node.call("eth_chainId"):
                    return
        pytest.fail("no connection is taken any more")


def answers(connection: ClientConnection, count: int) -> list[Any]:
    """The next `count` messages."""
    return [json.loads(connection.recv(SECONDS)) for _ in range(count)]


class TestWebSocket:
    def test_a_slow_request_holds_up_no_other(self, node: Node) -> None:
        with connect(node.ws) as connection:
            connection.send(json.dumps(request("eth_call", *LOOP, id=1)))
            connection.send(json.dumps(request("eth_chainId", id=2)))
            assert [answer["id"] for answer in answers(connection, 2)] == [2, 1]

    def test_nonsense_is_answered_and_a_message_too_large_ends_it(self, node: Node) -> None:
        with connect(node.ws, max_size=None) as connection:
            for nonsense in ("{", "[" * 100_000, "[]", "7"):
                connection.send(nonsense)
            assert {answer["error"]["code"] for answer in answers(connection, 4)} <= {PARSE, REQUEST}
            connection.send(b"\xff\x00")
            assert answers(connection, 1)[0]["error"]["code"] == PARSE
            with pytest.raises(ConnectionClosed):
                connection.send("[" + " " * (6 << 20) + "]")
                connection.recv(SECONDS)

    def test_subscriptions_have_a_limit(self, node: Node) -> None:
        with connect(node.ws) as connection:
            for index in range(101):
                connection.send(json.dumps(request("eth_subscribe", "newHeads", id=index)))
            found = {answer["id"]: answer for answer in answers(connection, 101)}
            assert all("result" in found[index] for index in range(100))
            assert found[100]["error"]["code"] == LIMIT

    def test_a_peer_that_does_not_read_costs_little_memory(self, node: Node) -> None:
        before = node.megabytes()
        host, port = node.place
        with socket.create_connection((host, port), SECONDS) as stream:
            stream.sendall(
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert b" 101 " in stream.recv(4096)
            code = {STRANGER: {"code": "0x620fffff6000f3"}}
            body = json.dumps(request("eth_call", {"to": STRANGER}, "latest", code)).encode()
            # A masked text frame with a mask of zeros; each is answered with two megabytes of hex.
            frame = b"\x81" + bytes([0x80 | 126]) + len(body).to_bytes(2, "big") + b"\0\0\0\0" + body
            stream.settimeout(2)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(20_000):
                    stream.sendall(frame)
            assert "result" in node.call("eth_chainId")
            assert node.megabytes() < before + 400
