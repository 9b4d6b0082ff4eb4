"""An owner replaces the operator's key, leaves, and gets the bond back when nothing it did can be judged any more."""

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.message import Message
from candela.chain.registry import ProviderState, Registry
from candela.chain.sender import Sender
from candela.network.configuration import Network

from .conftest import Cli, Up

CND = 10**18


@pytest.fixture(scope="module")
def owner(network: tuple[Up, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Account, Client]:
    """A provider of its own, with 2 CND of bond."""
    found = Network.read(network[0].data / "network.json")
    client, account = Client(found.rpc), Account(secrets.token_bytes(32))
    Sender(client, found.account(), session=None).send(Message(account.address, b"", 10 * CND), "paying an owner")
    registry = Registry(client)
    Sender(client, account, session=None).send(
        registry.message("register", account.address, value=2 * CND), "registering"
    )
    path = tmp_path_factory.mktemp("keys") / "owner"
    path.write_text(account.export())
    path.chmod(0o600)
    return path, account, client


def _provider(cli: Cli, *arguments: object) -> subprocess.CompletedProcess[str]:
    return cli("provider", *arguments)


def test_the_operator_s_key_is_replaced_by_one_that_nobody_uses(cli: Cli, owner: tuple[Path, Account, Client]) -> None:
    path, account, client = owner
    registry, new = Registry(client), Account(secrets.token_bytes(32)).address
    refused = _provider(cli, "rotate", account.address, "--keyfile", path)
    assert refused.returncode == 2
    assert "is the operator of" in refused.stderr
    assert _provider(cli, "rotate", "0x12", "--keyfile", path).returncode == 2
    done = _provider(cli, "rotate", new, "--keyfile", path, "--dry-run")
    assert "would be" in done.stdout
    assert registry.provider(account.address).operator.lower() == account.address.lower()
    done = _provider(cli, "rotate", new, "--keyfile", path, "--json")
    assert json.loads(done.stdout)["to"] == new, done.stderr
    assert registry.provider(account.address).operator.lower() == new.lower()
    assert registry.read("provider_of", new).lower() == account.address.lower()


def test_who_leaves_waits_for_its_bond(cli: Cli, owner: tuple[Path, Account, Client]) -> None:
    path, account, client = owner
    registry = Registry(client)
    early = _provider(cli, "withdraw", "--keyfile", path)
    assert "has not left" in early.stderr
    assert _provider(cli, "leave", "--keyfile", path, "--dry-run").returncode == 0
    assert registry.provider(account.address).state < ProviderState.EXITING
    done = _provider(cli, "leave", "--keyfile", path, "--json")
    document = json.loads(done.stdout)
    assert document["bond_nit"] == str(2 * CND)
    assert document["withdrawable_at"] - client.timestamp() > 6 * 24 * 3600
    assert registry.provider(account.address).state == ProviderState.EXITING
    for command in (("leave",), ("rotate", Account(secrets.token_bytes(32)).address)):
        assert "has left" in _provider(cli, *command, "--keyfile", path).stderr
    locked = _provider(cli, "withdraw", "--keyfile", path)
    assert "nothing" in locked.stderr
    assert "2 CND (bond) until" in locked.stderr


def test_a_stranger_is_told_whose_key_is_missing(cli: Cli, owner: tuple[Path, Account, Client], tmp_path: Path) -> None:
    path = tmp_path / "stranger"
    path.write_text(secrets.token_bytes(32).hex())
    path.chmod(0o600)
    assert "is not a provider" in _provider(cli, "leave", "--keyfile", path).stderr
    vault = json.loads(
        cli(
            "provider",
            "shares",
            "offer",
            "Moon",
            "MOON",
            "--operator",
            Account(secrets.token_bytes(32)).address,
            "--json",
        ).stdout
    )["vault"]
    refused = _provider(cli, "leave", "--keyfile", path, "--vault", vault)
    assert "does not own the vault" in refused.stderr
    new = Account(secrets.token_bytes(32)).address
    assert _provider(cli, "rotate", new, "--vault", vault, "--json").returncode == 0
    assert _provider(cli, "leave", "--vault", vault, "--json").returncode == 0
