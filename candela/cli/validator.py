"""``candela validator``: run a node of one's own, stake on it, and have it elected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from cyclopts import App

from candela.amounts import format_cnd, parse_cnd
from candela.chain.client import Client
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.chain.staking import Accusation, Staking, ValidatorLine
from candela.chain.voting_key import VotingKey
from candela.cli.operation import PassphraseFile, doctor, init, run, sync
from candela.cli.options import DryRun, Json, NetworkName
from candela.cli.output import emit, note, table
from candela.errors import UsageError
from candela.network.configuration import Network

app = App(name="validator", help="Run a node of your own, stake on it, and have it elected.")
for _each in (init, sync, run, doctor):
    app.command(_each)


class _Owner:
    """The account that acts, and the contract."""

    def __init__(self, network: str | None) -> None:
        self.network = Network.find(network)
        self.client = Client(self.network.rpc)
        self.staking = Staking(self.client)

    @property
    def address(self) -> str:
        return self.network.account_address or self.network.account().address

    def own(self, number: int) -> ValidatorLine:
        """A validator of the account's.

        Raises:
            UsageError: it is somebody else's, or barred for good.
        """
        line = self.staking.validator(number)
        if line.owner.lower() != self.address.lower():
            raise UsageError(f"validator {number} is not yours", why=f"its owner is {line.owner}")
        if line.state == "tombstoned":
            raise UsageError(f"validator {number} is barred", why="it was proved to have voted twice in one view")
        return line

    def send(self, message: Message, what: str) -> str:
        # One transaction: a session key would cost another.
        return Sender(self.client, self.network.account(), session=None).send(message, what).transaction_hash


@app.command
def status(*, network: NetworkName = None, as_json: Json = False) -> None:
    """List the validators that have staked, who has a seat, and who was seen to vote twice."""
    owner = _Owner(network)
    lines, accusations = owner.staking.validators(), owner.staking.accusations()
    rows = [
        (
            line.validator,
            line.key[:12],
            format_cnd(int(line.bond_nit)),
            format_cnd(int(line.delegated_nit)),
            f"{line.commission / 100:g} %",
            line.state,
            "yes" if line.seat else "no",
        )
        for line in lines
    ]
    head = ["number", "key", "bond", "delegated", "takes", "state", "seat"]
    document = {"epoch": owner.staking.read("epoch"), "validators": lines, "evidence": accusations}
    staked = table(head, rows) if rows else "nobody has staked; the validators of genesis have the seats"
    emit(msgspec.to_builtins(document), as_json, staked)
    if accusations:
        note(f"the node has seen {len(accusations)} double votes: candela validator report --dry-run")


@app.command
def join(
    folder: Path,
    *,
    bond: str = "1000",
    commission: float = 10,
    passphrase_file: PassphraseFile = None,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """Stake on a node and stand for election; what was left half done is done.

    Parameters
    ----------
    folder
        The node's folder, with its voting key.
    bond
        CND of your own that pay for its faults first.
    commission
        Per cent of what delegators earn that is yours: 5 to 25.
    """
    owner, key = _Owner(network), VotingKey.of_node(folder, passphrase_file)
    key.check_network(owner.network.chain_id)
    value, points, least = parse_cnd(bond), round(commission * 100), owner.staking.read("MIN_SELF_BOND")
    if value < least:
        raise UsageError(f"a bond of {bond} CND is too small", fix=f"stake at least {format_cnd(least)}")
    if not 500 <= points <= 2500:
        raise UsageError(f"a commission of {commission:g} % is out of range", fix="take 5 to 25")
    number = owner.staking.number_of(key.public)
    known = owner.own(number) if number else None
    document: dict[str, Any] = {"key": "0x" + key.public.hex(), "bond_nit": known.bond_nit if known else str(value)}
    if dry_run:
        emit(document, as_json, f"would stake {format_cnd(value)}" if known is None else f"is validator {number}")
        return
    if known is None:
        owner.send(owner.staking.registering(key, owner.address, value, points), "registering the validator")
        number = owner.staking.number_of(key.public)
    if known is None or known.state != "standing":
        owner.send(owner.staking.message("stand", number, 0), "standing for election")
    emit({**document, "validator": number}, as_json, f"validator {number} stands for election")
    note("it may have a seat from the next epoch on: candela validator status")


@app.command
def leave(number: int, *, dry_run: DryRun = False, network: NetworkName = None, as_json: Json = False) -> None:
    """Stand for election no more; a seat that was won is kept until its epoch ends, so keep the node running till then.

    Parameters
    ----------
    number
        Your validator's number.
    """
    owner = _Owner(network)
    line = owner.own(number)
    document: dict[str, Any] = {"validator": number, "seat": line.seat}
    if line.state != "standing":
        raise UsageError(f"validator {number} does not stand for election", why=f"it is {line.state}")
    if not dry_run:
        document["transaction"] = owner.send(owner.staking.message("leave", number), "leaving")
    emit(document, as_json, f"validator {number} {'would leave' if dry_run else 'leaves'} with the next election")


@app.command
def rotate(
    number: int,
    folder: Path,
    *,
    passphrase_file: PassphraseFile = None,
    dry_run: DryRun = False,
    network: NetworkName = None,
    as_json: Json = False,
) -> None:
    """Vote with the key of another node from the next election on. The old key's faults are still the validator's.

    Parameters
    ----------
    number
        Your validator's number.
    folder
        The folder of the node that has the new key.
    """
    owner, key = _Owner(network), VotingKey.of_node(folder, passphrase_file)
    key.check_network(owner.network.chain_id)
    owner.own(number)
    if owner.staking.number_of(key.public):
        raise UsageError(f"the key in {folder} was used before", why="a key belongs to one validator for good")
    document: dict[str, Any] = {"validator": number, "key": "0x" + key.public.hex()}
    if not dry_run:
        message = owner.staking.rotating(number, key, owner.address)
        document["transaction"] = owner.send(message, "rotating the key")
    emit(document, as_json, f"validator {number} {'would vote' if dry_run else 'votes'} with {document['key']}")


@app.command
def report(*, dry_run: DryRun = False, network: NetworkName = None, as_json: Json = False) -> None:
    """Hand in the evidence that your node has of validators that voted twice; three tenths of the penalty are yours."""
    owner = _Owner(network)
    accusations = owner.staking.accusations()
    # A validator pays once, whatever else it did.
    open_ones = {each.validator: each for each in reversed(accusations) if not each.refusal}
    handed = [] if dry_run else [_hand_in(owner, each) for each in open_ones.values()]
    rows = [
        (each.validator or "-", each.key[:12], each.epoch, each.view, _outcome(each, open_ones, dry_run))
        for each in accusations
    ]
    document = {"evidence": msgspec.to_builtins(accusations), "reported": handed}
    head = ["number", "key", "epoch", "view", "what became of it"]
    emit(document, as_json, table(head, rows) if rows else "the node has seen no validator vote twice")
    if handed:
        note("your share is credited to you: candela validator claim")


def _hand_in(owner: _Owner, accusation: Accusation) -> dict[str, Any]:
    transaction = owner.send(owner.staking.reporting(accusation), f"reporting validator {accusation.validator}")
    return {"validator": accusation.validator, "transaction": transaction}


def _outcome(accusation: Accusation, open_ones: dict[int, Accusation], dry_run: bool) -> str:
    if accusation.refusal:
        return accusation.refusal
    if open_ones[accusation.validator] is not accusation:
        return "one is enough"
    return "would be reported" if dry_run else "reported"


@app.command
def claim(number: int = 0, *, dry_run: DryRun = False, network: NetworkName = None, as_json: Json = False) -> None:
    """Get what is credited to you: commissions and earnings of your validators, and rewards for reports.

    Parameters
    ----------
    number
        A validator that you have delegated to, for what the delegation has earned as well.
    """
    owner = _Owner(network)
    amount = owner.staking.read("credits", owner.address)
    amount += owner.staking.read("earned", number, owner.address) if number else 0
    document: dict[str, Any] = {"amount_nit": str(amount)}
    if amount and not dry_run:
        document["transaction"] = owner.send(owner.staking.message("claim", number), "claiming")
    emit(
        document, as_json, f"{'would get' if dry_run else 'got'} {format_cnd(amount)}" if amount else "nothing to claim"
    )
