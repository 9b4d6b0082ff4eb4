"""Node shares from the command line, on a running network: offer, buy, give away, ask back, and what has happened."""

import json
import secrets
from decimal import Decimal
from typing import Any

import pytest

from candela.chain.account import Account
from candela.chain.shares import format_shares, parse_shares
from candela.errors import UsageError

from .conftest import Cli

STRANGER = "0x" + "ab" * 20


def answer(cli: Cli, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = cli(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def vault(cli: Cli) -> str:
    operator = Account(secrets.token_bytes(32)).address
    made = answer(cli, "provider", "shares", "offer", "Lamp", "LAMP", "--operator", operator, "--stake", "2")
    return made["vault"]


def line(cli: Cli, vault: str) -> dict[str, Any]:
    return next(each for each in answer(cli, "shares", "list") if each["vault"] == vault)


def test_an_offer_is_listed_with_its_stake(cli: Cli, vault: str) -> None:
    found = line(cli, vault)
    assert (found["name"], found["commission"], found["own_stake_nit"]) == ("Lamp", 1_000, str(2 * 10**18))
    assert found["price_nit"] == str(10**18), "the first share costs 1 CND"
    assert found["open"]
    text = cli("shares", "list")
    assert vault in text.stdout
    assert [each for each in text.stdout.splitlines() if len(each) > 80] == []


def test_shares_are_bought_given_away_and_asked_back(cli: Cli, vault: str) -> None:
    before = int(line(cli, vault)["held"])
    assert answer(cli, "shares", "buy", vault, "3", "--dry-run")["shares"] == str(3 * 10**24)
    assert int(line(cli, vault)["held"]) == before, "a dry run buys nothing"
    answer(cli, "shares", "buy", vault, "3")
    answer(cli, "shares", "transfer", vault, STRANGER, "0.5")
    asked = answer(cli, "shares", "redeem", vault, "1")
    assert int(asked["assets_nit"]) == pytest.approx(10**18, rel=1e-12)
    assert int(line(cli, vault)["held"]) - before == 15 * 10**23
    assert answer(cli, "shares", "redeem", vault) == {
        "vault": vault,
        "paid_nit": "0",
        "waiting_shares": str(10**24),
    }
    told = [each["event"] for each in answer(cli, "shares", "history", vault)]
    assert told == ["Staked", "Deposit", "RedeemRequest"]
    assert "shares bought for 3 CND" in cli("shares", "history", vault).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("shares", "buy", STRANGER, "1"),
        ("shares", "buy", "VAULT", "-1"),
        ("shares", "redeem", "VAULT", "1000000"),
        ("shares", "redeem", "VAULT", "nothing"),
        ("shares", "transfer", "VAULT", "0x12", "1"),
        ("shares", "transfer", "VAULT", STRANGER, "1000000"),
        ("shares", "history", "0x12"),
        ("provider", "shares", "offer", "N", "N", "--operator", STRANGER, "--stake", "0.5"),
        ("provider", "shares", "offer", "N", "N", "--operator", STRANGER, "--commission", "26"),
        ("provider", "shares", "offer", "N", "N" * 17, "--operator", STRANGER),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(cli: Cli, vault: str, arguments: tuple[str, ...]) -> None:
    done = cli(*(vault if each == "VAULT" else each for each in arguments))
    assert done.returncode == 2, done.stderr
    assert "CND-" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["1", "2.5", "0." + "0" * 23 + "1", "1e3", "7" * 12])
def test_numbers_of_shares_are_exact(text: str) -> None:
    assert Decimal(parse_shares(text)).scaleb(-24) == Decimal(text)


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", "1e-25", "1e99", "9" * 99])
def test_other_numbers_of_shares_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_shares(text)


def test_shares_are_printed_rounded_down() -> None:
    assert format_shares(1_999_999_999 * 10**15) == "1.999999"
