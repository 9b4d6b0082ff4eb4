"""What a validator's operator tells the others: its key, its owner and where its node listens."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from candela import _ledger
from candela.errors import UsageError

FILE = "validator.json"
"""Its name in a validator's folder."""
BOOK = "validators.json"
"""The name of a list of cards."""
_Key = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A validator as the others know it. Nothing in it is secret.

    Attributes:
        public_key: the Ed25519 key it votes with, 0x and 64 hex digits.
        owner: the account that has its earnings.
        address: IP and port where the others connect; it connects to them from the same IP.

    Raises:
        UsageError: the owner is no address, or the address no IP with a port.
    """

    public_key: _Key
    owner: str
    address: str

    def __post_init__(self) -> None:
        """Check what the pattern of the key does not."""
        account(self.owner)
        endpoint(self.address)

    @property
    def key(self) -> bytes:
        """The key, 32 bytes."""
        return bytes.fromhex(self.public_key[2:])

    @property
    def peer(self) -> dict[str, str]:
        """Its entry under ``validators`` in a node's configuration."""
        return {"public_key": self.public_key, "address": self.address}


def account(text: str) -> str:
    """An account's address with its checksum (EIP-55).

    Raises:
        UsageError: it is none, is mistyped, or is the zero address.
    """
    digits = text.removeprefix("0x")
    try:
        number = int.from_bytes(bytes.fromhex(digits)) if len(digits) == 40 and text != digits else 0
    except ValueError:
        number = 0
    if number == 0:
        raise UsageError(f"{text} is no account", why="an address of 0x and 40 hex digits is needed")
    checked = _checksummed(digits.lower())
    if digits not in (digits.lower(), digits.upper()) and text != checked:
        raise UsageError(f"{text} is mistyped", why="its capitals are not those of its checksum (EIP-55)")
    return checked


def _checksummed(digits: str) -> str:
    marks = _ledger.keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if int(mark, 16) >= 8 else d for d, mark in zip(digits, marks, strict=False))


def endpoint(text: str) -> tuple[str, int]:
    """The IP and the port of ``IP:PORT``; IPv6 stands in brackets.

    Raises:
        UsageError: it is none. Names are refused: a node knows the others by the IP that they connect from.
    """
    host, _, port = text.rpartition(":")
    try:
        found = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed != (found.version == 6) or not port.isdecimal() or not 1 <= int(port) <= 65_535:
            raise ValueError(text)
    except ValueError:
        raise UsageError(f"{text} is no IP address with a port", fix="write for instance 203.0.113.5:9000") from None
    return str(found), int(port)


def read_card(path: Path) -> Card:
    """The card in a file.

    Raises:
        UsageError: missing or malformed.
    """
    return _read(path, Card)


def read_book(path: Path) -> list[Card]:
    """The cards in a file with a list of them.

    Raises:
        UsageError: missing or malformed, or two cards have one key or one address.
    """
    cards = _read(path, list[Card])
    check_apart(cards)
    return cards


def check_apart(cards: Sequence[Card]) -> None:
    """Refuse two cards with one key or one address.

    Raises:
        UsageError: there are such.
    """
    for values in ([card.public_key for card in cards], [card.address for card in cards]):
        twice = sorted({each for each in values if values.count(each) > 1})
        if twice:
            raise UsageError(f"two validators have {twice[0]}", why="each has its own key and its own address")


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise UsageError(f"{path} can't be read", why=error.strerror or str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is malformed", why=str(error), fix="see candela validator init") from None


def write(path: Path, content: Card | Sequence[Card]) -> None:
    """Write one card, or a list of them, all of it or nothing."""
    part = path.with_name(f".{path.name}.new")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    part.replace(path)
