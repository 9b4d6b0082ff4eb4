"""A node starts, finalises, survives kills, and refuses what it must in words."""

import json
import socket
import time
from pathlib import Path

import pytest

from candela import _ledger
from candela.network.genesis import CHAIN_ID
from tests.soak import kill_node, server

KEY = bytes([1]) * 32


def configuration(directory: Path, *, port: int = 0, chain_id: int = CHAIN_ID) -> str:
    config = json.loads(server.configuration(directory, [KEY]))
    config["rpc"]["port"] = port
    config["genesis"]["chainId"] = chain_id
    return json.dumps(config)


def receipt_of(url: str, digest: str) -> dict:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        (receipt,) = kill_node.rpc(url, [("eth_getTransactionReceipt", [digest])])
        if receipt is not None:
            return receipt
    raise AssertionError(f"{digest} is not final after 20 s")


def test_transfer_becomes_final_and_is_there_after_a_restart(tmp_path: Path) -> None:
    node = _ledger.Node(configuration(tmp_path / "node"))
    url = node.start()["http"]
    to = "0x" + "ab" * 20
    raw, digest = _ledger.sign_transaction(server.transfer(0, to, 12345), KEY)
    assert kill_node.rpc(url, [("eth_sendRawTransaction", ["0x" + raw.hex()])]) == [digest]
    receipt = receipt_of(url, digest)
    node.stop()
    url = node.start()["http"]
    assert receipt_of(url, digest) == receipt
    assert kill_node.rpc(url, [("eth_getBalance", [to, "latest"])]) == [hex(12345)]
    node.stop()


@pytest.mark.slow
def test_killed_node_loses_nothing_final(tmp_path: Path) -> None:
    result = kill_node.run(seed=11, kills=5, directory=tmp_path / "node")
    assert result["receipts"] > 0


def test_data_directory_is_private(tmp_path: Path) -> None:
    node = _ledger.Node(configuration(tmp_path / "node"))
    node.start()
    node.stop()
    assert (tmp_path / "node").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "node" / "validator.key").stat().st_mode & 0o777 == 0o600


def test_held_directory_is_refused(tmp_path: Path) -> None:
    first = _ledger.Node(configuration(tmp_path / "node"))
    first.start()
    with pytest.raises(_ledger.NodeError, match="in use by another node") as caught:
        _ledger.Node(configuration(tmp_path / "node")).start()
    assert caught.value.code == "node-directory-locked"
    first.stop()


def test_other_genesis_is_refused(tmp_path: Path) -> None:
    node = _ledger.Node(configuration(tmp_path / "node"))
    node.start()
    node.stop()
    config = json.loads(configuration(tmp_path / "node"))
    config["genesis"]["timestampMs"] += 1
    with pytest.raises(_ledger.NodeError, match="another chain") as caught:
        _ledger.Node(json.dumps(config)).start()
    assert caught.value.code == "node-wrong-genesis"


def test_taken_port_names_the_port_and_the_flag(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(_ledger.NodeError, match=f"port {port} .*--port") as caught:
            _ledger.Node(configuration(tmp_path / "node", port=port)).start()
    assert caught.value.code == "node-port-taken"


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(_ledger.NodeError) as caught:
        _ledger.Node('{"colour": "blue"}')
    assert caught.value.code == "node-config"
