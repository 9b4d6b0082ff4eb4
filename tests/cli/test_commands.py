"""Every command answers in words, in JSON and with its exit status, and never with a traceback."""

import json
from pathlib import Path

import pytest

from candela.network.genesis import MARKET

from .conftest import Cli


def test_version_is_the_project_s(cli: Cli) -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert cli("--version").stdout.strip() == project["project"]["version"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("up", "--port", "70000"), 2),
        (("up", "--providers", "-1"), 2),
        (("run", "missing.py"), 2),
        (("verify", "missing.json"), 2),
        (("receipt", "999999"), 2),
        (("cancel", "999999"), 2),
        (("proof", "0x12"), 2),
        (("proof", "0x" + "ab" * 20, "--slot", "-1"), 2),
        (("proof", "0x" + "ab" * 20, "--block", "0xffffff"), 1),
    ],
)
def test_mistakes_have_a_number(cli: Cli, arguments: tuple[str, ...], status: int) -> None:
    done = cli(*arguments)
    assert "CND-" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == status


@pytest.mark.parametrize("arguments", [("ps", "--json"), ("spend", "--json"), ("doctor", "--json")])
def test_json_is_one_line(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    json.loads(done.stdout)


@pytest.mark.parametrize("arguments", [("ps",), ("spend",), ("doctor",), ("--help",), ("up", "--help")])
def test_output_fits_80_columns(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


def test_keys_are_private_keystores_and_never_printed(cli: Cli, tmp_path: Path) -> None:
    secret = "4c" * 32
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "pass").write_text("correct horse")
    (tmp_path / "pass").chmod(0o600)
    done = cli("keys", "import", tmp_path / "key", tmp_path / "secret", "--passphrase-file", tmp_path / "pass")
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "key").read_text())["version"] == 3


def test_proof_says_what_is_trusted(cli: Cli) -> None:
    done = cli("proof", MARKET, "--slot", "0", "--slot", "0xff", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["block_hash"] in done.stderr
    assert len(shown["slots"]) == 2
    done = cli("proof", MARKET, "--block", shown["block_hash"])
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


def test_tampered_receipt_is_refused(cli: Cli, tmp_path: Path) -> None:
    stored = json.loads((Path(__file__).parents[1] / "sdk" / "receipt.json").read_text())["document"]
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(stored))
    assert cli("verify", good).returncode == 0
    text = good.read_text()
    place = text.index("0x") + 7
    bad.write_text(text[:place] + ("1" if text[place] == "0" else "0") + text[place + 1 :])
    done = cli("verify", bad)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
