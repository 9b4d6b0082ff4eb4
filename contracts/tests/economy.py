"""The contracts of the economy on a fresh chain, beside the real registry, market and Proof of Intensity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boa

from .audits import AUDITS
from .conftest import CND, World, compiled, deploy

PERIOD, OPEN = 3_600, 60
COMMISSION = 1_000
SHARES = "0x0000000000000000000000000000000000000cd6"
STAKE = 10 * CND
WEEK = 7 * 24 * 3600


@dataclass
class Vaults:
    """A factory, one vault of a provider that owns it, and who plays."""

    registry: Any
    market: Any
    intensity: Any
    factory: Any
    vault: Any
    owner: str
    operator: str
    payer: str
    holders: list[str]

    def now(self) -> int:
        """The chain's time."""
        return boa.env.timestamp

    def at(self, moment: int) -> None:
        """Let time pass until ``moment``."""
        boa.env.time_travel(seconds=moment - self.now())

    def mature(self) -> None:
        """Let every claim mature."""
        boa.env.time_travel(seconds=8 * WEEK)

    def pay(self, amount: int) -> None:
        """Send income to the vault."""
        boa.env.set_balance(self.payer, boa.env.get_balance(self.payer) + amount)
        boa.env.raw_call(self.vault.address, value=amount, sender=self.payer)

    def slash(self, amount: int) -> int:
        """Let the contract of audits slash the provider, whose bond is empty unless a test fills it."""
        return self.registry.slash(self.vault.address, amount, sender=AUDITS)

    def request(self, holder: str, shares: int) -> None:
        """Ask shares back for oneself."""
        self.vault.requestRedeem(shares, holder, holder, sender=holder)

    def world(self, customer: str) -> World:
        """The market as its own tests see it, with this vault's operator and a rich customer."""
        boa.env.set_balance(customer, 1_000 * CND)
        return World(self.registry, self.market, customer, self.operator)


def vaults(registry: Any, market: Any, intensity: Any) -> Vaults:
    """Deploy implementation, factory and one vault with a stake of STAKE and a commission of 10 %."""
    names = ("owner", "operator", "payer", "ann", "bob", "eve")
    owner, operator, payer, *holders = (boa.env.generate_address(name) for name in names)
    for account in (owner, *holders):
        boa.env.set_balance(account, 1_000 * CND)
    implementation = deploy("Shares", registry.address, market.address, intensity.address, AUDITS)
    factory = compiled("compute", "SharesFactory").deploy(implementation.address, override_address=SHARES)
    address = factory.create(operator, "Node", "NODE", COMMISSION, value=STAKE, sender=owner)
    vault = compiled("compute", "Shares").at(address)
    return Vaults(registry, market, intensity, factory, vault, owner, operator, payer, holders)


def devices(registry: Any, provider: str, operator: str, count: int = 1) -> None:
    """Give a provider ``count`` listed devices."""
    boa.env.set_balance(operator, boa.env.get_balance(operator) + count * CND)
    registry.top_up_bond(provider, value=count * CND, sender=operator)
    for _ in range(count):
        registry.add_device(0, 1, 1 << 30, 1, "cpu", sender=operator)
