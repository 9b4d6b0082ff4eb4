"""Cards of validators: addresses are IPs with ports, owners are accounts, and two never share either key or address."""

from pathlib import Path

import pytest

from candela.errors import UsageError
from candela.network.card import Card, account, check_apart, endpoint, read_card, write

KEY = "0x" + "ab" * 32
OWNER = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("203.0.113.5:9000", ("203.0.113.5", 9000)),
        ("[2001:db8::1]:65535", ("2001:db8::1", 65535)),
        ("[::1]:1", ("::1", 1)),
    ],
)
def test_an_address_is_an_ip_with_a_port(text: str, found: tuple[str, int]) -> None:
    assert endpoint(text) == found


@pytest.mark.parametrize(
    "text", ["", ":", "localhost:9000", "203.0.113.5", "203.0.113.5:0", "203.0.113.5:65536", "::1:9000", "[1.2.3.4]:5"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no IP address with a port"):
        endpoint(text)


def test_an_account_gets_its_checksum() -> None:
    assert account(OWNER.lower()) == account(OWNER) == account("0x" + OWNER[2:].upper()) == OWNER


@pytest.mark.parametrize("text", ["", "0x", OWNER[:-1], OWNER + "0", OWNER[2:], "0x" + "00" * 20, "0x" + "g" * 40])
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no account"):
        account(text)


def test_a_card_survives_its_file_and_a_malformed_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "validator.json"
    card = Card(public_key=KEY, owner=OWNER, address="203.0.113.5:9000")
    write(path, card)
    assert read_card(path) == card
    path.write_text(path.read_text().replace("203.0.113.5", "example.org"))
    with pytest.raises(UsageError, match="malformed"):
        read_card(path)
    path.write_text('{"public_key": "0xab"}')
    with pytest.raises(UsageError, match="malformed"):
        read_card(path)


def test_two_validators_share_neither_key_nor_address() -> None:
    one = Card(public_key=KEY, owner=OWNER, address="203.0.113.5:9000")
    other = Card(public_key="0x" + "cd" * 32, owner=OWNER, address="203.0.113.6:9000")
    check_apart([one, other])
    for twin in (
        Card(public_key=KEY, owner=OWNER, address=other.address),
        Card(public_key=other.public_key, owner=OWNER, address=one.address),
    ):
        with pytest.raises(UsageError, match="two validators have"):
            check_apart([one, twin])
