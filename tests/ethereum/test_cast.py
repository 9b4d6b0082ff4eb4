"""Foundry's cast, unmodified."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STRANGER = "0x00000000000000000000000000000000000abcde"
Cast = Callable[..., str]


@pytest.fixture(scope="module")
def cast(chain: dict[str, Any], modules: Path) -> Cast:
    program = modules / "@foundry-rs" / "cast-linux-amd64" / "bin" / "cast"
    if not program.exists():
        pytest.skip(f"cast is packaged for Linux on x86-64, not for {platform.system()} on {platform.machine()}")

    def run(*arguments: str, fails: bool = False) -> str:
        environment = os.environ | {"ETH_RPC_URL": chain["rpc"], "NO_COLOR": "1"}
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        if fails:
            # cast says what failed on stderr, and ends with 0 for some failures.
            assert "Error" in done.stderr, done.stdout
            return done.stderr.strip()
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="module")
def key(chain: dict[str, Any]) -> str:
    return chain["accounts"][4]["private_key"]


@pytest.fixture(scope="module")
def board(cast: Cast, key: str, chain: dict[str, Any]) -> str:
    code = chain["contracts"]["Board"]["bytecode"]
    receipt = cast("send", "--json", "--private-key", key, "--create", code, "constructor(string)", "hello")
    return json.loads(receipt)["contractAddress"]


def test_the_chain(cast: Cast, chain: dict[str, Any], board: str) -> None:
    assert cast("chain-id") == str(chain["chain_id"])
    number = int(cast("block-number"))
    block = json.loads(cast("block", "finalized", "--json"))
    assert int(block["number"], 16) == number
    assert cast("block", "latest", "-f", "hash") == block["hash"]
    assert int(cast("gas-price")) > 0
    assert int(cast("base-fee")) > 0
    assert cast("client").startswith("candela/")


def test_calls_storage_and_code(cast: Cast, board: str, chain: dict[str, Any]) -> None:
    assert cast("call", board, "last()(string)") == '"hello"'
    owner = chain["accounts"][4]["address"]
    assert cast("storage", board, "0").endswith(owner[2:].lower())
    assert cast("code", board).startswith("0x")
    assert int(cast("estimate", board, "post(string)", "x")) > 21_000
    assert board.lower() in cast("access-list", board, "post(string)", "x").lower()


@pytest.mark.parametrize(
    ("kind", "flags"), [("0x0", ["--legacy"]), ("0x1", ["--legacy", "--access-list"]), ("0x2", [])]
)
def test_each_type(cast: Cast, key: str, board: str, kind: str, flags: list[str]) -> None:
    receipt = json.loads(cast("send", "--json", "--private-key", key, board, "post(string)", "typed", *flags))
    assert (receipt["status"], receipt["type"]) == ("0x1", kind)
    assert json.loads(cast("receipt", "--json", receipt["transactionHash"]))["blockHash"] == receipt["blockHash"]
    assert cast("tx", receipt["transactionHash"], "blockHash") == receipt["blockHash"]


def test_type_4(cast: Cast, key: str, board: str) -> None:
    wallet = json.loads(cast("wallet", "new", "--json"))[0]
    cast("send", "--private-key", key, wallet["address"], "--value", "1ether")
    own = ["--private-key", wallet["private_key"], wallet["address"], "post(string)", "delegated"]
    receipt = json.loads(cast("send", "--json", "--auth", board, *own))
    assert (receipt["status"], receipt["type"]) == ("0x1", "0x4")
    assert cast("code", wallet["address"]).lower() == "0xef0100" + board[2:].lower()


def test_reasons(cast: Cast, board: str) -> None:
    assert "board: the text is empty" in cast("call", board, "post(string)", "", fails=True)
    refused = cast("call", board, "clear()", "--from", STRANGER, fails=True)
    assert cast("sig", "NotOwner(address)") in refused


def test_mistakes(cast: Cast, key: str) -> None:
    wrong = {
        "nonce too low": ["--nonce", "0"],
        "insufficient funds for gas * price + value": ["--value", "100000000ether", "--gas-limit", "21000"],
        "intrinsic gas too low": ["--gas-limit", "20000"],
    }
    for text, flags in wrong.items():
        assert text in cast("send", "--private-key", key, STRANGER, *flags, fails=True)


def test_events(cast: Cast, key: str, board: str) -> None:
    receipt = json.loads(cast("send", "--json", "--private-key", key, board, "post(string)", "logged"))
    number = str(int(receipt["blockNumber"], 16))
    event = "Posted(address indexed,uint256 indexed,string)"
    logs = json.loads(cast("logs", "--json", "--address", board, "--from-block", number, event))
    assert [log["transactionHash"] for log in logs] == [receipt["transactionHash"]]


def test_a_key_file_made_by_candela_is_read(cast: Cast, tmp_path: Path) -> None:
    passphrase, path = tmp_path / "passphrase", tmp_path / "key.json"
    passphrase.write_text("correct horse battery staple")
    passphrase.chmod(0o600)
    command = [sys.executable, "-m", "candela.cli", "keys", "new", str(path), "--passphrase-file", str(passphrase)]
    made = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    read = cast("wallet", "address", "--keystore", str(path), "--password-file", str(passphrase))
    assert read == json.loads(made.stdout)["address"]
