"""``candela provider rotate``, ``leave`` and ``withdraw``: what the owner decides, with the owner's key."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from candela.amounts import format_cnd
from candela.chain.client import Client
from candela.chain.intensity import Intensity
from candela.chain.message import Message
from candela.chain.registry import Provider, ProviderState, Registry
from candela.chain.sender import Sender
from candela.chain.shares import Shares
from candela.cli.options import DryRun, Json, NetworkName
from candela.cli.output import check_address, emit, note
from candela.durations import format_duration
from candela.errors import ProviderError, UsageError
from candela.network.configuration import Network, open_key

Keyfile = Annotated[Path | None, Parameter(help="Key of the owner; the network's account by default.")]
VaultAddress = Annotated[
    str | None, Parameter(name="--vault", help="The vault that is the provider, where shares are offered.")
]


class _Owned:
    """A provider and the key of its owner."""

    def __init__(self, network: str | None, keyfile: Path | None, vault: str | None) -> None:
        found = Network.find(network)
        self.client = Client(found.rpc)
        self.account = open_key(keyfile) if keyfile else found.account()
        self.registry = Registry(self.client)
        self.vault = None if vault is None else Shares(self.client).vault(vault)
        self.address = self.account.address if self.vault is None else self.vault.address
        if self.vault is not None and self.vault.read("owner").lower() != self.account.address.lower():
            raise UsageError(f"{self.account.address} does not own the vault {vault}", fix="name the owner's --keyfile")
        self.entry: Provider = self.registry.provider(self.address)
        if self.entry.state == ProviderState.UNKNOWN:
            raise UsageError(
                f"{self.address} is not a provider",
                why=self._hint(),
                fix="name the owner's --keyfile, or its --vault where shares are offered",
            )

    def _hint(self) -> str:
        provider = self.registry.read("provider_of", self.address)
        return f"it is the operator of {provider}, whose owner decides this" if int(provider, 16) else "nobody knows it"

    @property
    def state(self) -> ProviderState:
        """Where the provider stands."""
        return ProviderState(self.entry.state)

    def message(self, own: str, through_vault: str, *arguments: object) -> Message:
        """What the owner calls: the registry, or the vault that calls it."""
        if self.vault is None:
            return self.registry.message(own, *arguments)
        return self.vault.message(through_vault, *arguments)

    def send(self, message: Message, what: str) -> str:
        """Send it; returns the transaction's hash."""
        return Sender(self.client, self.account, session=None).send(message, what).transaction_hash

    def check_member(self) -> None:
        """Refuse what only a provider that has not left can do."""
        if self.state in (ProviderState.EXITING, ProviderState.EXITED):
            raise ProviderError(
                f"provider {self.address} has left",
                why=f"the registry says {self.state.name.lower()}",
                fix="candela provider withdraw returns its bond; then it can register anew by starting an agent",
            )


def rotate(
    operator: str,
    *,
    vault: VaultAddress = None,
    keyfile: Keyfile = None,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """Replace the operator's key, which signs leases and receipts.

    Leases that were taken with the old key stay with it: let the agent drain, rotate, and start it with the new key.

    Parameters
    ----------
    operator
        Address of the new key; nobody else's operator.
    """
    check_address(operator)
    owned = _Owned(network, keyfile, vault)
    owned.check_member()
    taken = owned.registry.read("provider_of", operator)
    if int(taken, 16):
        raise UsageError(f"{operator} is the operator of {taken}", fix="make a key of its own: candela keys new")
    document: dict[str, Any] = {"provider": owned.address, "from": owned.entry.operator, "to": operator}
    if not dry_run:
        message = owned.message("set_operator", "set_operator_key", operator)
        document["transaction"] = owned.send(message, "replacing the operator's key")
    verb = "would be" if dry_run else "is"
    emit(document, as_json, f"the operator of {owned.address} {verb} {operator}, no longer {owned.entry.operator}")


def leave(
    *,
    vault: VaultAddress = None,
    keyfile: Keyfile = None,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """End the registration as a provider.

    The bond is locked for a week, in which it can still be slashed; then it can be withdrawn.
    """
    owned = _Owned(network, keyfile, vault)
    owned.check_member()
    locked = owned.registry.read("UNBONDING_SECONDS")
    bond = format_cnd(owned.entry.bond)
    document: dict[str, Any] = {"provider": owned.address, "bond_nit": str(owned.entry.bond)}
    if dry_run:
        emit(document, as_json, f"{owned.address} would leave; its bond of {bond} is locked {format_duration(locked)}")
        return
    document["transaction"] = owned.send(owned.message("exit", "leave"), "leaving")
    document["withdrawable_at"] = owned.registry.provider(owned.address).unbonding_until
    when = _moment(document["withdrawable_at"])
    emit(document, as_json, f"{owned.address} has left; its bond of {bond} can be withdrawn from {when} on")
    if not as_json:
        note("stop its agent, and when the time has come: candela provider withdraw")


def withdraw(
    *,
    vault: VaultAddress = None,
    keyfile: Keyfile = None,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """Get back the bond, and that of proofs of intensity, after leaving."""
    owned = _Owned(network, keyfile, vault)
    if owned.state not in (ProviderState.EXITING, ProviderState.EXITED):
        raise ProviderError(
            f"provider {owned.address} has not left",
            why=f"the registry says {owned.state.name.lower()}",
            fix="candela provider leave, and a week later: candela provider withdraw",
        )
    bonds = _bonds(owned)
    due = [each for each in bonds if each.locked_until <= time.time()]
    if not due:
        locked = "; ".join(
            f"{format_cnd(each.amount)} ({each.name}) until {_moment(each.locked_until)}" for each in bonds
        )
        raise ProviderError(
            f"nothing of {owned.address} can be withdrawn now",
            why=locked or "all of it was withdrawn",
            fix="wait: what it did can still be judged" if locked else "",
        )
    document: dict[str, Any] = {"provider": owned.address, "nit": {each.name: str(each.amount) for each in due}}
    if not dry_run:
        document["transactions"] = [owned.send(each.message, f"withdrawing the {each.name}") for each in due]
    verb = "would withdraw" if dry_run else "withdrew"
    emit(document, as_json, "\n".join(f"{verb} {format_cnd(each.amount)}, the {each.name}" for each in due))


class _Bond(msgspec.Struct):
    name: str
    amount: int
    locked_until: int
    message: Message


def _bonds(owned: _Owned) -> list[_Bond]:
    intensity = Intensity(owned.client)
    proofs = intensity.read("bonds", owned.address)
    if owned.vault is None:
        fetching = intensity.message("withdraw", proofs)
    else:
        fetching = owned.vault.message("withdraw_proof_bond", proofs)
    left = owned.entry.bond if owned.state == ProviderState.EXITING else 0
    own = owned.message("withdraw_bond", "withdraw_bond")
    found = [
        _Bond("bond", left, owned.entry.unbonding_until, own),
        _Bond("bond of proofs", proofs, intensity.read("locked_until", owned.address), fetching),
    ]
    return [each for each in found if each.amount]


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
