"""Node shares: the factory of vaults, and the vaults."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from candela.amounts import format_cnd
from candela.chain.client import Client, Receipt, successful
from candela.chain.contract import Contract
from candela.chain.message import Message
from candela.errors import UsageError
from candela.network.genesis import SHARES

UNITS_PER_SHARE = 10**24
"""Smallest units in a share: the first nit buys 10^6 of them, so that the first shares cost 1 CND."""
_SUMMARY = ("name", "symbol", "owner", "commission", "totalAssets", "own_stake", "totalSupply")


def parse_shares(text: str) -> int:
    """Smallest units for a number of shares such as ``"2.5"``.

    Raises:
        UsageError: not a positive decimal with at most 24 places.
    """
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        sign, digits, exponent = 1, (), 0
    if sign or not any(digits) or not isinstance(exponent, int) or not -24 <= exponent <= 24 or len(digits) > 72:
        raise UsageError(
            f"{text!r} is not a number of shares", why="shares have at most 24 decimals", fix='write it like "2.5"'
        )
    return int("".join(map(str, digits))) * 10 ** (24 + exponent)


def format_shares(units: int) -> str:
    """A number of shares with at most six decimals, rounded down; tiny ones keep two digits."""
    return format_cnd(units // 10**6).removesuffix(" CND")


class VaultLine(msgspec.Struct):
    """A vault on offer; amounts in nit, shares in their smallest units, commission in basis points."""

    vault: str
    name: str
    symbol: str
    owner: str
    commission: int
    assets_nit: str
    own_stake_nit: str
    supply: str
    price_nit: str
    """What one share is worth."""
    open: bool
    """Whether shares can be bought."""


class Shares(Contract):
    """Reads the factory and makes transactions for it.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = SHARES) -> None:
        super().__init__(client, "SharesFactory", address)

    def vaults(self) -> list[VaultLine]:
        """Every vault, the oldest first."""
        count = self.read("vault_count")
        answers = self.client.batch([("eth_call", (self.view("vaults", each), "latest")) for each in range(count)])
        return [self.vault(self.decode_result("vaults", successful(each))).line() for each in answers]

    def vault(self, address: str) -> Vault:
        """One vault.

        Raises:
            UsageError: the factory has not made it.
        """
        if len(address) != 42 or not address.startswith("0x") or not self._is_vault(address):
            raise UsageError(f"{address} is no vault of node shares", fix="take one of: candela shares list")
        return Vault(self.client, address)

    def creating(self, operator: str, name: str, symbol: str, commission: int, stake: int) -> Message:
        """The transaction that makes a vault whose owner is the sender."""
        return self.message("create", operator, name, symbol, commission, value=stake)

    def created(self, receipt: Receipt) -> str:
        """The vault that a transaction has made."""
        decoded = [entry for log in receipt.logs if (entry := self.decode_log(log))]
        return next(fields["vault"] for name, fields in decoded if name == "VaultCreated")

    def _is_vault(self, address: str) -> bool:
        try:
            bytes.fromhex(address[2:])
        except ValueError:
            return False
        return self.read("is_vault", address)


class Vault(Contract):
    """Reads a vault of node shares and makes transactions for it.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str) -> None:
        super().__init__(client, "Shares", address)

    def line(self) -> VaultLine:
        """What a buyer wants to know."""
        views = [(name, self.view(name)) for name in _SUMMARY]
        views += [("convertToAssets", self.view("convertToAssets", UNITS_PER_SHARE))]
        views += [("maxDeposit", self.view("maxDeposit", self.address))]
        answers = self.client.batch([("eth_call", (view, "latest")) for _, view in views])
        found: dict[str, Any] = {
            name: self.decode_result(name, successful(answer)) for (name, _), answer in zip(views, answers, strict=True)
        }
        return VaultLine(
            vault=self.address,
            name=found["name"],
            symbol=found["symbol"],
            owner=found["owner"],
            commission=found["commission"],
            assets_nit=str(found["totalAssets"]),
            own_stake_nit=str(found["own_stake"]),
            supply=str(found["totalSupply"]),
            price_nit=str(found["convertToAssets"]),
            open=found["maxDeposit"] > 0,
        )
