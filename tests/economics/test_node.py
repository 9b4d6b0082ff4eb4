"""On a running chain: the contracts of the economy stand at their addresses and know each other."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest

from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.contract import Contract
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.chain.shares import Shares
from candela.economics.rewards import covered, emission
from candela.network.genesis import INTENSITY, REGISTRY, REWARDS, SHARES, VAULT, WINDOW_OPEN_SECONDS, genesis
from tests.nodes import client_of

CND = 10**18


@pytest.fixture(scope="module")
def rich() -> Account:
    return Account(secrets.token_bytes(32))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, rich: Account) -> Iterator[Client]:
    document = genesis({rich.address: 1_000 * CND}, int(time.time() * 1000))
    with client_of(tmp_path_factory.mktemp("node"), document) as client:
        yield client


def test_contracts_know_each_other(client: Client) -> None:
    rewards, shares = Contract(client, "Rewards", REWARDS), Shares(client)
    assert rewards.read("registry") == REGISTRY
    assert rewards.read("intensity") == INTENSITY
    assert rewards.read("shares") == SHARES == Contract(client, "Registry", REGISTRY).read("SHARES")
    assert shares.read("implementation") == VAULT
    assert rewards.read("first_day") == int(time.time()) // (24 * 3600)


def test_the_reserve_is_what_was_paid_in(client: Client, rich: Account) -> None:
    rewards = Contract(client, "Rewards", REWARDS)
    assert rewards.read("reserve") == 0
    Sender(client, rich, session=None).send(Message(to=REWARDS, value=100 * CND, data=b""), "filling the reserve")
    assert rewards.read("reserve") == 100 * CND
    assert rewards.read("emission", rewards.read("first_day")) == emission(100 * CND, 0)


def test_a_vault_s_stake_covers_its_work(client: Client, rich: Account) -> None:
    shares, operator = Shares(client), Account(secrets.token_bytes(32)).address
    message = shares.creating(operator, "Lamp", "LAMP", 500, 7 * CND)
    vault = shares.created(Sender(client, rich, session=None).send(message, "making a vault"))
    assert Contract(client, "Registry", REGISTRY).read("provider_of", operator) == vault
    assert Contract(client, "Rewards", REWARDS).read("covered", vault) == covered(7 * CND, WINDOW_OPEN_SECONDS)
