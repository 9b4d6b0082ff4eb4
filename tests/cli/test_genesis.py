"""Genesis documents from the command line: made from cards, inspected, and refused when they make no sense."""

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from candela import _ledger
from candela.network.card import BOOK, Card, read_book, write

from .conftest import COMMAND, DEADLINE

OWNER = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
OTHER = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"
CHAIN = "77001"


def candela(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False, env=environment)


def card(folder: Path, index: int, owner: str = OWNER) -> Path:
    """The card of a validator that exists on paper only."""
    key = _ledger.session_key_of(bytes([index]) * 32)
    path = folder / f"card-{index}.json"
    write(path, Card(public_key="0x" + key.hex(), owner=owner, address=f"203.0.113.{index}:9000"))
    return path


@pytest.fixture
def cards(tmp_path: Path) -> list[Path]:
    return [card(tmp_path, index) for index in range(1, 5)]


def new(folder: Path, cards: list[Path], *flags: str) -> subprocess.CompletedProcess[str]:
    validators = [part for each in cards for part in ("--validator", str(each))]
    chain = [] if "--chain-id" in flags else ["--chain-id", CHAIN]
    return candela("genesis", "new", folder, *validators, *chain, *flags, "--json")


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_genesis_names_its_validators_and_has_the_hash_that_the_node_finds(tmp_path: Path, cards: list[Path]) -> None:
    folder = tmp_path / "chain"
    made = answer(new(folder, cards, "--fund", f"{OWNER}=2.5", "--fund", f"{OTHER}=1", "--epoch-blocks", "100"))
    text = (folder / "genesis.json").read_text()
    assert made["hash"] == "0x" + _ledger.genesis_hash(text).hex()
    assert made["chain_id"] == json.loads(text)["chainId"] == int(CHAIN)
    assert (made["epoch_blocks"], made["supply_nit"], made["unknown"]) == (100, str(35 * 10**17), [])
    book = read_book(folder / BOOK)
    assert [seat["public_key"] for seat in made["seats"]] == sorted(each.public_key for each in book)
    assert {seat["owner"] for seat in made["seats"]} == {OWNER}

    shown = answer(candela("genesis", "show", folder / "genesis.json", "--json"))
    assert shown == {name: value for name, value in made.items() if name != "path"}
    text = candela("genesis", "show", folder / "genesis.json")
    assert made["hash"] in text.stdout
    assert [line for line in text.stdout.splitlines() if len(line) > 80] == []
    assert "warning" not in text.stderr


def test_a_genesis_is_not_replaced(tmp_path: Path, cards: list[Path]) -> None:
    answer(new(tmp_path / "chain", cards))
    before = (tmp_path / "chain" / "genesis.json").read_bytes()
    again = new(tmp_path / "chain", cards)
    assert (again.returncode, (tmp_path / "chain" / "genesis.json").read_bytes()) == (2, before)
    assert "can't be made again" in again.stderr


def test_what_is_seldom_meant_is_said(tmp_path: Path, cards: list[Path]) -> None:
    done = new(tmp_path / "chain", cards[:3])
    answer(done)
    assert "3 validators stand still when one fails" in done.stderr
    assert f"no money for transactions: {OWNER}" in done.stderr


def test_changed_code_is_named(tmp_path: Path, cards: list[Path]) -> None:
    answer(new(tmp_path / "chain", cards))
    path = tmp_path / "chain" / "genesis.json"
    document = json.loads(path.read_text())
    for each in document["deployments"]:
        if each["name"] == "SessionKeys":
            each["initCode"] = "0x60016000f3"  # returns one byte of code
    path.write_text(json.dumps(document))
    done = candela("genesis", "show", path, "--json")
    assert answer(done)["unknown"] == ["SessionKeys"]
    assert "the code of SessionKeys is not this release's" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--chain-id", "0"), "out of range"),
        (("--epoch-blocks", "1"), "out of range"),
        (("--seats", "3"), "out of range"),
        (("--fund", OWNER), "names no amount"),
        (("--fund", f"{OWNER}=-1"), "is not an amount"),
        (("--fund", f"{OWNER[:-1]}F=1"), "mistyped"),
        (("--fund", "0x12=1"), "is no account"),
        (("--fund", f"{OWNER}=1", "--fund", f"{OWNER.lower()}=1"), "twice"),
        (("--safety-fund", "0x" + "00" * 20), "is no account"),
        (("--min-self-bond", "0.5"), "is too small"),
        (("--validator", "FIRST"), "two validators have"),
        (("--validator", "MISSING"), "can't be read"),
    ],
)
def test_what_can_not_be_is_refused_in_words(
    tmp_path: Path, cards: list[Path], flags: tuple[str, ...], words: str
) -> None:
    files = {"FIRST": str(cards[0]), "MISSING": str(tmp_path / secrets.token_hex(4))}
    done = new(tmp_path / "chain", cards, *(files.get(each, each) for each in flags))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "chain" / "genesis.json").exists()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"chainId": 1}'])
def test_what_is_no_genesis_is_refused_in_words(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "genesis.json"
    if content is not None:
        path.write_text(content)
    done = candela("genesis", "show", path)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
