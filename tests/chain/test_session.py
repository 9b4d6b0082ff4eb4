"""Session keys of a sender: authorized with the first transaction, renewed in time, never in the way."""

from __future__ import annotations

import pickle
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from candela import _ledger
from candela.chain.account import Account, SessionKey
from candela.chain.client import Client, successful
from candela.chain.contract import Contract
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.chain.session import SessionTerms
from candela.errors import UsageError
from candela.network.genesis import SESSION_KEYS, genesis
from tests.nodes import alone

FRIEND, STRANGER = "0x" + "33" * 20, "0x" + "22" * 20
RICH, CND = 10**24, 10**18
TERMS = SessionTerms(scope=(FRIEND,))
ORDINARY, SESSION = 2, 0x50

Start = Callable[..., tuple[Client, Account]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a node with one rich account; ``without`` names a system contract that it lacks."""
    running: list[tuple[Client, _ledger.Node]] = []

    def run(without: str = "") -> tuple[Client, Account]:
        account = Account(secrets.token_bytes(32))
        document = genesis({account.address: RICH}, int(time.time() * 1000))
        document["deployments"] = [each for each in document["deployments"] if each["name"] != without]
        node = alone(tmp_path / f"node-{len(running)}", document)
        client = Client(node.start()["http"])
        running.append((client, node))
        return client, account

    yield run
    for client, node in running:
        client.close()
        node.stop()


def pay(to: str = FRIEND, value: int = 1) -> Message:
    return Message(to=to, value=value, gas=21_000)


def sent(sender: Sender, message: Message) -> int:
    """Send it once a key that was authorized is known; the type of the transaction that it became."""
    deadline = time.monotonic() + 20
    while sender._session is not None and sender._session._pending is not None and time.monotonic() < deadline:
        sender._session._settle()
    receipt = sender.send(message)
    return int(sender.client.call("eth_getTransactionByHash", receipt.transaction_hash)["type"], 16)


def active(sender: Sender) -> Any:
    """The grant that the sender signs with."""
    assert sender._session is not None
    assert sender._session._active is not None
    return sender._session._active


def test_the_first_message_authorizes_the_key_that_signs_the_others(start: Start) -> None:
    client, account = start()
    sender = Sender(client, account, TERMS)
    assert [sent(sender, pay()) for _ in range(3)] == [ORDINARY, SESSION, SESSION]
    assert int(client.call("eth_getTransactionCount", account.address, "latest"), 16) == 4
    keys = Contract(client, "SessionKeys", SESSION_KEYS)
    terms = keys.read("session", account.address, active(sender).key.public)
    assert (terms["limit"], terms["scoped"], terms["revoked"]) == (TERMS.limit, True, False)
    assert 0 < terms["spent"] < CND // 1000


def test_what_the_key_may_not_do_the_account_signs(start: Start) -> None:
    sender = Sender(*start(), TERMS)
    assert sent(sender, pay()) == ORDINARY
    assert sent(sender, pay(STRANGER)) == ORDINARY
    assert sent(sender, Message(to=None, data=bytes.fromhex("5f5ff3"), gas=100_000)) == ORDINARY
    assert sent(sender, pay(value=CND)) == ORDINARY
    assert sent(sender, pay(value=CND // 10)) == SESSION


def test_nothing_is_authorized_for_messages_out_of_scope(start: Start) -> None:
    client, account = start()
    sender = Sender(client, account, TERMS)
    assert sent(sender, pay(STRANGER)) == ORDINARY
    assert int(client.call("eth_getTransactionCount", account.address, "latest"), 16) == 1


def test_a_key_is_renewed_before_it_expires(start: Start) -> None:
    sender = Sender(*start(), TERMS)
    assert [sent(sender, pay()) for _ in range(2)] == [ORDINARY, SESSION]
    old = active(sender)
    # By its own clock three quarters of its time have passed; the chain knows better.
    old.expiry = int(time.time()) + TERMS.lifetime_seconds // 4 - 1
    assert sent(sender, pay()) == SESSION
    assert sent(sender, pay()) == SESSION
    assert active(sender).key.public != old.key.public


def test_a_key_is_renewed_when_half_of_its_limit_is_spent(start: Start) -> None:
    sender = Sender(*start(), TERMS)
    assert sent(sender, pay()) == ORDINARY
    first = None
    for _ in range(6):
        assert sent(sender, pay(value=CND // 5)) == SESSION
        first = first or active(sender).key.public
    assert active(sender).key.public != first


def test_a_revoked_key_is_replaced_without_a_lost_transaction(start: Start) -> None:
    client, account = start()
    sender, owner = Sender(client, account, TERMS), Sender(client, account, session=None)
    assert [sent(sender, pay()) for _ in range(2)] == [ORDINARY, SESSION]
    old = active(sender).key.public
    owner.send(Contract(client, "SessionKeys", SESSION_KEYS).message("revoke", old))
    sender.resync()
    assert [sent(sender, pay()) for _ in range(3)] == [ORDINARY, ORDINARY, SESSION]
    assert active(sender).key.public != old


def test_threads_share_a_key_and_use_each_nonce_once(start: Start) -> None:
    client, account = start()
    sender = Sender(client, account, TERMS)
    sender.send(pay())
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: sender.submit([pay() for _ in range(5)]), range(20)))
    receipts = client.wait([each for batch in batches for each in batch])
    assert all(each.succeeded for each in receipts)
    found = client.batch([("eth_getTransactionByHash", (each.transaction_hash,)) for each in receipts])
    assert sum(int(successful(each)["type"], 16) == SESSION for each in found) > 90


def test_a_network_without_session_keys_is_named_once(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender(*start(without="SessionKeys"), TERMS)
    assert [sent(sender, pay()) for _ in range(3)] == [ORDINARY] * 3
    said = [record.getMessage() for record in caplog.records if "session keys" in record.getMessage()]
    assert len(said) == 1
    assert "signs every transaction itself: this network has no session keys" in said[0]


def test_a_sender_without_session_signs_all_itself(start: Start) -> None:
    sender = Sender(*start(), session=None)
    assert [sent(sender, pay()) for _ in range(2)] == [ORDINARY] * 2


@pytest.mark.parametrize(
    "terms", [{"limit": 0}, {"limit": 2**104}, {"scope": ()}, {"scope": (FRIEND,) * 9}, {"lifetime_seconds": 60}]
)
def test_terms_that_the_chain_would_refuse_are_refused_here(terms: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a session can't") as caught:
        SessionTerms(**terms)
    assert caught.value.fix


def test_a_session_key_shows_its_secret_nowhere() -> None:
    key = SessionKey(b"\x07" * 32)
    assert "0707" not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
