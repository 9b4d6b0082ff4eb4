"""``candela shares``: hold a part of somebody's node; ``candela provider shares``: offer parts of one's own."""

from __future__ import annotations

from typing import Any

import msgspec
from cyclopts import App

from candela.amounts import format_cnd, parse_cnd
from candela.chain.client import Client, Receipt
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.chain.shares import Shares, Vault, format_shares, parse_shares
from candela.cli.options import DryRun, Json, NetworkName
from candela.cli.output import check_address, emit, note, table
from candela.errors import UsageError
from candela.network.configuration import Network

app = App(name="shares", help="Buy, hold and return shares of providers' nodes.")
provider = App(name="shares", help="Offer shares of your node.")


def _vault(network: str | None, address: str) -> tuple[Network, Client, Vault]:
    found = Network.find(network)
    client = Client(found.rpc)
    return found, client, Shares(client).vault(address)


def _holder(network: Network) -> str:
    return network.account_address or network.account().address


def _send(network: Network, client: Client, message: Message, what: str) -> Receipt:
    # One transaction: a session key would cost another.
    return Sender(client, network.account(), session=None).send(message, what)


@app.command(name="list")
def list_(*, network: NetworkName = None, as_json: Json = False) -> None:
    """List the nodes whose shares can be held, and what you hold."""
    found = Network.find(network)
    factory = Shares(Client(found.rpc))
    rows, documents = [], []
    for line in factory.vaults():
        held = factory.vault(line.vault).read("balanceOf", _holder(found))
        documents.append({**msgspec.to_builtins(line), "held": str(held)})
        rows.append(
            (
                line.vault,
                line.symbol,
                format_cnd(int(line.price_nit)),
                f"{line.commission / 100:g} %",
                format_shares(held),
            )
        )
    emit(documents, as_json, table(["vault", "node", "price", "takes", "held"], rows) if rows else "no shares offered")
    if rows and not as_json:
        note("next: candela shares buy VAULT AMOUNT")


@app.command
def buy(
    vault: str, amount: str, *, dry_run: DryRun = False, network: NetworkName = None, as_json: Json = False
) -> None:
    """Buy shares of a node.

    Parameters
    ----------
    vault
        The vault's address.
    amount
        CND to pay.
    """
    found, client, contract = _vault(network, vault)
    assets = parse_cnd(amount)
    if not contract.read("maxDeposit", contract.address):
        raise UsageError(f"{vault} sells no shares", why="its provider has left, or it was slashed to nothing")
    shares = contract.read("previewDeposit", assets)
    if shares == 0:
        raise UsageError(f"{amount} CND buy no share")
    document = {"vault": vault, "assets_nit": str(assets), "shares": str(shares)}
    if dry_run:
        emit(document, as_json, f"would buy {format_shares(shares)} shares for {format_cnd(assets)}")
        return
    message = contract.message("deposit", assets, _holder(found), value=assets)
    receipt = _send(found, client, message, "buying shares")
    bought = next(fields for name, fields in _events(contract, receipt) if name == "Deposit")["shares"]
    document |= {"shares": str(bought), "transaction": receipt.transaction_hash}
    emit(document, as_json, f"bought {format_shares(bought)} shares for {format_cnd(assets)}")


@app.command
def redeem(
    vault: str,
    shares: str | None = None,
    *,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """Ask shares back; they are paid after six weeks. Without a number, fetch what is due.

    Parameters
    ----------
    vault
        The vault's address.
    shares
        How many, or "all".
    """
    found, client, contract = _vault(network, vault)
    if shares is None:
        _fetch_due(found, client, contract, dry_run, as_json)
        return
    holder = _holder(found)
    held = contract.read("balanceOf", holder)
    units = held if shares == "all" else parse_shares(shares)
    worth = contract.read("convertToAssets", units)
    if units > held or worth == 0:
        raise UsageError(f"{shares} shares can't be asked back", why=f"you hold {format_shares(held)}")
    document = {"vault": vault, "shares": str(units), "assets_nit": str(worth)}
    if dry_run:
        emit(document, as_json, f"would ask back {format_shares(units)} shares, worth {format_cnd(worth)}")
        return
    receipt = _send(found, client, contract.message("requestRedeem", units, holder, holder), "asking shares back")
    document["transaction"] = receipt.transaction_hash
    emit(document, as_json, f"asked back {format_shares(units)} shares, worth {format_cnd(worth)}")
    note(f"in six to seven weeks: candela shares redeem {vault}")


def _fetch_due(found: Network, client: Client, contract: Vault, dry_run: bool, as_json: bool) -> None:
    holder = _holder(found)
    units, assets = contract.read("maxRedeem", holder), contract.read("maxWithdraw", holder)
    waiting = contract.read("pendingRedeemRequest", 0, holder)
    document = {"vault": contract.address, "paid_nit": str(assets), "waiting_shares": str(waiting)}
    if units == 0 or dry_run:
        emit(document, as_json, f"{format_cnd(assets)} is due; {format_shares(waiting)} shares wait")
        return
    receipt = _send(found, client, contract.message("redeem", units, holder, holder), "fetching what is due")
    document["transaction"] = receipt.transaction_hash
    emit(document, as_json, f"paid {format_cnd(assets)}; {format_shares(waiting)} shares wait")


@app.command
def transfer(
    vault: str,
    receiver: str,
    shares: str,
    *,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """Give shares away.

    Parameters
    ----------
    vault
        The vault's address.
    receiver
        Who gets them.
    shares
        How many.
    """
    found, client, contract = _vault(network, vault)
    check_address(receiver)
    held, units = contract.read("balanceOf", _holder(found)), parse_shares(shares)
    if units > held:
        raise UsageError(f"{shares} shares can't be given away", why=f"you hold {format_shares(held)}")
    document = {"vault": vault, "receiver": receiver, "shares": str(units)}
    if dry_run:
        emit(document, as_json, f"would give {format_shares(units)} shares to {receiver}")
        return
    receipt = _send(found, client, contract.message("transfer", receiver, units), "giving shares away")
    document["transaction"] = receipt.transaction_hash
    emit(document, as_json, f"gave {format_shares(units)} shares to {receiver}")


@app.command
def history(vault: str, *, network: NetworkName = None, as_json: Json = False) -> None:
    """Tell what has happened to a node's shares: purchases, income, slashes, returns.

    Parameters
    ----------
    vault
        The vault's address.
    """
    _, client, contract = _vault(network, vault)
    events = [each for each in contract.events(0, client.block_number()) if each.name not in ("Transfer", "Approval")]
    documents = [
        {"block": each.block, "event": each.name, "transaction": each.transaction, **_plain(each.fields)}
        for each in events
    ]
    rows = [(each.block, each.name, _told(each.name, each.fields)) for each in events]
    emit(documents, as_json, table(["block", "event", "what"], rows) if rows else "nothing has happened")


@provider.command
def offer(
    name: str,
    symbol: str,
    *,
    operator: str,
    stake: str = "1",
    commission: float = 10,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """Make a vault that you own and that is a provider from now on.

    Parameters
    ----------
    name
        Name of the share token, at most 64 bytes.
    symbol
        Its symbol, at most 16 bytes.
    operator
        Address of the key that signs leases and receipts; nobody else's operator.
    stake
        CND of your own, which are slashed before those of holders; at least 1.
    commission
        Per cent of income that is yours: 5 to 25.
    """
    found = Network.find(network)
    client = Client(found.rpc)
    factory = Shares(client)
    check_address(operator)
    value, points = parse_cnd(stake), round(commission * 100)
    if value < factory.read("MIN_STAKE"):
        raise UsageError(f"a stake of {stake} CND is too small", fix="stake at least 1 CND")
    if not 500 <= points <= 2500:
        raise UsageError(f"a commission of {commission:g} % is out of range", fix="take 5 to 25")
    if not name or not symbol or len(name.encode()) > 64 or len(symbol.encode()) > 16:
        raise UsageError("the name or the symbol is too long or empty", fix="give at most 64 and 16 bytes")
    document: dict[str, Any] = {"operator": operator, "stake_nit": str(value), "commission": points}
    if dry_run:
        emit(document, as_json, f"would stake {format_cnd(value)} and take {points / 100:g} %")
        return
    message = factory.creating(operator, name, symbol, points, value)
    receipt = _send(found, client, message, "making a vault")
    vault = factory.created(receipt)
    document |= {"vault": vault, "transaction": receipt.transaction_hash}
    emit(document, as_json, f"made the vault {vault}: {format_cnd(value)} staked, {points / 100:g} % commission")
    note("next: candela shares list")


def _events(contract: Vault, receipt: Receipt) -> list[tuple[str, dict[str, Any]]]:
    return [entry for log in receipt.logs if (entry := contract.decode_log(log))]


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Amounts as text, since JSON readers round large numbers."""
    return {name: str(value) if isinstance(value, int) and value > 2**53 else value for name, value in fields.items()}


def _told(name: str, fields: dict[str, Any]) -> str:
    shares = format_shares(fields.get("shares", 0))
    amount = format_cnd(fields.get("assets", fields.get("amount", 0)))
    return {
        "Deposit": f"{shares} shares bought for {amount}",
        "Staked": f"owner staked {amount}",
        "Unstaked": f"owner asked back {amount}",
        "RedeemRequest": f"{shares} shares asked back",
        "Withdraw": f"{amount} paid for {shares} shares",
        "Income": f"{amount}, commission {format_cnd(fields.get('commission', 0))}",
        "Slashed": f"{amount} taken, {format_cnd(fields.get('own', 0))} of it the owner's",
        "CommissionAnnounced": f"{fields.get('commission', 0) / 100:g} % from {fields.get('effective', 0)} on",
    }.get(name, amount)
