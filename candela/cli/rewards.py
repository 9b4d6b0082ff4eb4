"""``candela provider rewards``: what proved compute has brought, report it, and have it paid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from candela.amounts import format_cnd
from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.registry import Registry
from candela.chain.rewards import MAX_DAYS, MAX_DEVICES, DayLine, Rewards
from candela.chain.sender import Sender
from candela.cli.options import DryRun, Json, NetworkName
from candela.cli.output import emit, table
from candela.errors import UsageError
from candela.network.configuration import Network, open_key
from candela.provider.days import read_days

app = App(name="rewards", help="What proved compute brings.")

Keyfile = Annotated[
    Path | None, Parameter(name="--keyfile", help="Key of the owner or operator; the network's account by default.")
]
_SHOWN_DAYS = 7


def _connect(network: str | None, keyfile: Path | None) -> tuple[Client, Account, str]:
    """The node, who signs, and the provider that it acts for: its own address, or that which named it operator."""
    found = Network.find(network)
    client = Client(found.rpc)
    account = open_key(keyfile) if keyfile else found.account()
    registry = Registry(client)
    if registry.provider(account.address).state:
        return client, account, account.address
    provider = registry.read("provider_of", account.address)
    if int(provider, 16) == 0:
        raise UsageError(f"{account.address} is neither a provider nor its operator", fix="name its --keyfile")
    return client, account, provider


@app.command
def show(*, keyfile: Keyfile = None, network: NetworkName = None, as_json: Json = False) -> None:
    """Show what the last days have brought."""
    client, _, provider = _connect(network, keyfile)
    rewards = Rewards(client)
    today = rewards.today()
    lines = rewards.days(provider, today - _SHOWN_DAYS + 1, today)
    rows = [
        (
            e.day,
            f"{int(e.points):.3g}",
            format_cnd(int(e.payout_nit)),
            format_cnd(int(e.work_payout_nit)),
            format_cnd(int(e.due_nit)),
            _state(e, client),
        )
        for e in lines
    ]
    credit = rewards.read("credits", provider)
    document = {"provider": provider, "reserve_nit": str(rewards.read("reserve")), "audits_nit": str(credit)}
    shown = table(["day", "operations", "payout", "of it for work", "due now", "state"], rows)
    document |= {"days": msgspec.to_builtins(lines)}
    emit(document, as_json, f"{shown}\nfor audits: {format_cnd(credit)} due now")


@app.command
def report(
    day: int | None = None,
    *,
    keyfile: Keyfile = None,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """Count what your devices have proved in a day. A running agent does it by itself.

    Parameters
    ----------
    day
        Its number; yesterday's when absent.
    """
    client, account, provider = _connect(network, keyfile)
    rewards = Rewards(client)
    number = rewards.today() - 1 if day is None else day
    (line,) = rewards.days(provider, number, number)
    state = _state(line, client)
    if state != "can be reported":
        raise UsageError(f"day {number} can't be reported now", why=f"it {state}")
    (proved,) = read_days(client, provider, number, number)
    devices = list(proved.waiting)
    if not devices:
        raise UsageError(f"day {number} has nothing to report", why=f"it is {proved.state}")
    document: dict[str, Any] = {"provider": provider, "day": number, "devices": devices}
    if not dry_run:
        sender = Sender(client, account, session=None)
        parts = [devices[at : at + MAX_DEVICES] for at in range(0, len(devices), MAX_DEVICES)]
        done = [sender.send(rewards.reporting(number, part), f"reporting day {number}") for part in parts]
        document["transactions"] = [each.transaction_hash for each in done]
        document["fee_nit"] = str(sum(each.fee_nit for each in done))
    emit(document, as_json, f"{'would report' if dry_run else 'reported'} {len(devices)} devices for day {number}")


@app.command
def pay(
    *, keyfile: Keyfile = None, dry_run: DryRun = False, network: NetworkName = None, as_json: Json = False
) -> None:
    """Have what has vested, and what audits have brought, sent to the provider."""
    client, account, provider = _connect(network, keyfile)
    rewards = Rewards(client)
    today = rewards.today()
    first = max(today - MAX_DAYS + 1, rewards.read("first_day"))
    due = [each for each in rewards.days(provider, first, today) if int(each.due_nit)]
    credit = rewards.read("credits", provider)
    amount = sum(int(each.due_nit) for each in due) + credit
    document: dict[str, Any] = {"provider": provider, "due_nit": str(amount), "days": [each.day for each in due]}
    if amount and not dry_run:
        message = rewards.paying(provider, document["days"])
        document["transaction"] = (
            Sender(client, account, session=None).send(message, "having rewards paid").transaction_hash
        )
    document["audits_nit"] = str(credit)
    verb = "would pay" if dry_run or not amount else "paid"
    emit(document, as_json, f"{verb} {format_cnd(amount)} for {len(due)} days, of it {format_cnd(credit)} for audits")


def _state(line: DayLine, client: Client) -> str:
    now = int(client.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    if now < line.reports_from:
        return "is not final"
    if now < line.sealed_at:
        return "can be reported"
    return "is sealed"
