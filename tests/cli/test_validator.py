"""A validator from the command line, on a running network: join, look, vote with another key, leave."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cli

BOND = 1_000 * 10**18


def answer(cli: Cli, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = cli("validator", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def listed(cli: Cli, number: int) -> dict[str, Any]:
    return next(each for each in answer(cli, "status")["validators"] if each["validator"] == number)


def folder_with_key(parent: Path, text: str | None = None) -> str:
    parent.mkdir(exist_ok=True)
    path = parent / "validator.key"
    path.write_text(secrets.token_hex(32) if text is None else text)
    path.chmod(0o600)
    return str(parent)


def test_a_validator_joins_rotates_its_key_and_leaves(cli: Cli, tmp_path: Path) -> None:
    folder = folder_with_key(tmp_path / "one")
    assert "validator" not in answer(cli, "join", folder, "--dry-run")
    joined = answer(cli, "join", folder, "--commission", "7.5")
    number = joined["validator"]
    found = listed(cli, number)
    assert (found["state"], found["bond_nit"], found["commission"]) == ("standing", str(BOND), 750)
    assert (found["key"], found["seat"]) == (joined["key"], False)
    assert answer(cli, "join", folder)["validator"] == number, "joining again changes nothing"
    assert listed(cli, number)["bond_nit"] == str(BOND)
    text = cli("validator", "status")
    assert joined["key"][:12] in text.stdout
    assert [each for each in text.stdout.splitlines() if len(each) > 80] == []

    rotated = answer(cli, "rotate", str(number), folder_with_key(tmp_path / "two"))
    assert listed(cli, number)["key"] == rotated["key"] != joined["key"]
    refused = cli("validator", "rotate", str(number), folder)
    assert refused.returncode == 2
    assert "was used before" in refused.stderr

    answer(cli, "leave", str(number))
    assert listed(cli, number)["state"] == "resting"
    again = cli("validator", "leave", str(number))
    assert again.returncode == 2
    assert "does not stand for election" in again.stderr
    assert answer(cli, "join", str(tmp_path / "two"))["validator"] == number
    assert listed(cli, number)["state"] == "standing"


def test_where_nobody_voted_twice_there_is_nothing_to_report(cli: Cli) -> None:
    assert answer(cli, "report") == {"evidence": [], "reported": []}
    assert answer(cli, "status")["evidence"] == []
    assert "no validator vote twice" in cli("validator", "report").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("join", "FOLDER", "--bond", "999"), "too small"),
        (("join", "FOLDER", "--bond", "-1"), ""),
        (("join", "FOLDER", "--commission", "26"), "out of range"),
        (("join", "EMPTY"), "no voting key"),
        (("join", "NONSENSE"), "no voting key"),
        (("leave", "0"), "there is no validator 0"),
        (("leave", "999"), "there is no validator 999"),
        (("rotate", "999", "FOLDER"), "there is no validator 999"),
    ],
)
def test_what_can_not_be_is_refused_in_words(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    folders = {
        "FOLDER": folder_with_key(tmp_path / "folder"),
        "EMPTY": str(tmp_path),
        "NONSENSE": folder_with_key(tmp_path / "nonsense", "not a key"),
    }
    done = cli("validator", *(folders.get(each, each) for each in arguments))
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
