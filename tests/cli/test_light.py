"""``candela light`` against a running network."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from candela.network.genesis import MARKET

from .conftest import Cli, Up

Started = tuple[Up, dict[str, Any]]


@pytest.fixture
def checkpoint(network: Started, cli: Cli, tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.json"
    done = cli("light", "checkpoint", path, "--data", network[0].data)
    assert done.returncode == 0, done.stderr
    return path


def test_chain_is_followed_and_the_checkpoint_moves(checkpoint: Path, cli: Cli) -> None:
    done = cli("light", "follow", checkpoint, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert json.loads(checkpoint.read_text())["block_hash"] == shown["block_hash"]
    assert (shown["epoch"], shown["seats"], shown["quorum"]) == (0, 1, 1)
    assert "final by at least 1 of 1" in cli("light", "follow", checkpoint).stdout


def test_account_is_proved(checkpoint: Path, cli: Cli) -> None:
    done = cli("light", "account", checkpoint, MARKET, "--slot", "0", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["account"]["nonce"] == 1
    assert list(shown["slots"]) == ["0x" + "0" * 64]
    assert shown["block_hash"] == json.loads(checkpoint.read_text())["block_hash"]


def test_other_validator_is_not_believed_and_the_checkpoint_stays(checkpoint: Path, cli: Cli) -> None:
    document = json.loads(checkpoint.read_text())
    document["committee"]["seats"][0]["key"] = "0x" + "07" * 32
    checkpoint.write_text(json.dumps(document))
    done = cli("light", "follow", checkpoint)
    assert (done.returncode, done.stdout) == (1, "")
    assert "CND-207" in done.stderr
    assert json.loads(checkpoint.read_text()) == document


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("follow", "missing.json"), 1, "CND-208"),
        (("checkpoint", "out.json", "--data", "missing"), 1, "CND-208"),
        (("account", "missing.json", "0x12"), 2, "CND-100"),
        (("follow", "missing.json", "--watch", "0"), 2, "CND-100"),
    ],
)
def test_mistakes_have_a_number(cli: Cli, arguments: tuple[str, ...], status: int, code: str) -> None:
    done = cli("light", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert code in done.stderr
    assert "Traceback" not in done.stderr


def test_folder_without_a_key_is_no_network(network: Started, cli: Cli, tmp_path: Path) -> None:
    shutil.copy(network[0].data / "network.json", tmp_path)
    (tmp_path / "node.json").write_text('{"data_dir": "' + str(tmp_path) + '"}')
    done = cli("light", "checkpoint", tmp_path / "out.json", "--data", tmp_path)
    assert done.returncode == 1
    assert "CND-208" in done.stderr
    assert not (tmp_path / "out.json").exists()
