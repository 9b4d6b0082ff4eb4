"""Rewards from the command line: whose key it is decides who is shown, and days are reported in time only."""

import json
import secrets
from pathlib import Path

import pytest

from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.rewards import Rewards

from .conftest import Cli


@pytest.fixture(scope="module")
def operator(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The key file of a vault's operator, and the vault."""
    secret = secrets.token_bytes(32)
    path = tmp_path_factory.mktemp("keys") / "operator"
    path.write_text(secret.hex())
    path.chmod(0o600)
    done = cli("provider", "shares", "offer", "Sun", "SUN", "--operator", Account(secret).address, "--json")
    assert done.returncode == 0, done.stderr
    return path, json.loads(done.stdout)["vault"]


def test_an_operator_sees_its_vault_s_days(cli: Cli, operator: tuple[Path, str]) -> None:
    done = cli("provider", "rewards", "show", "--keyfile", operator[0], "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["provider"], shown["audits_nit"], len(shown["days"])) == (operator[1], "0", 7)
    # Whatever jobs without audits set aside for auditors is in it.
    assert shown["reserve_nit"].isdecimal()
    for day in shown["days"]:
        assert (day["points"], day["payout_nit"], day["due_nit"]) == ("0", "0", "0")
        assert day["sealed_at"] - day["reports_from"] > 10 * 3600
    text = cli("provider", "rewards", "show", "--keyfile", operator[0]).stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_the_day_that_runs_can_t_be_reported(cli: Cli, operator: tuple[Path, str]) -> None:
    shown = json.loads(cli("provider", "rewards", "show", "--keyfile", operator[0], "--json").stdout)
    today = str(shown["days"][-1]["day"])
    done = cli("provider", "rewards", "report", today, "--keyfile", operator[0])
    assert done.returncode == 2
    assert "is not final" in done.stderr
    done = cli("provider", "rewards", "report", str(int(today) - 3), "--keyfile", operator[0])
    assert done.returncode == 2
    assert "is sealed" in done.stderr


def test_nothing_is_paid_where_nothing_is_due(cli: Cli, operator: tuple[Path, str]) -> None:
    done = cli("provider", "rewards", "pay", "--keyfile", operator[0], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"provider": operator[1], "due_nit": "0", "days": [], "audits_nit": "0"}


def test_a_stranger_has_no_rewards(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "stranger"
    path.write_text(secrets.token_bytes(32).hex())
    path.chmod(0o600)
    done = cli("provider", "rewards", "show", "--keyfile", path)
    assert done.returncode == 2
    assert "neither a provider nor its operator" in done.stderr


def test_reports_and_payments_name_the_day_and_the_devices() -> None:
    rewards = Rewards(Client("http://127.0.0.1:9"))
    report = rewards.decode_call("report", rewards.reporting(20_000, [0, 3]).data)
    assert report == {"day": 20_000, "devices": (0, 3)}
    payment = rewards.decode_call("pay", rewards.paying("0x" + "ab" * 20, [7, 8]).data)
    assert payment == {"provider": "0x" + "ab" * 20, "days": (7, 8)}
