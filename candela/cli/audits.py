"""``candela dispute`` and ``candela audits``: have results judged, and see what came of it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import cyclopts

from candela.amounts import format_cnd
from candela.artefacts import ArtefactStore
from candela.chain.audits import Audits, AuditState
from candela.chain.client import Client
from candela.chain.market import Market, TaskReceipt, receipt_of
from candela.chain.sender import Sender
from candela.cli.output import emit, note, table
from candela.errors import ArtefactError, BundleError, UsageError
from candela.manifest import MAX_MANIFEST_BYTES, decode_manifest
from candela.network.configuration import Network
from candela.values import MAX_BYTES
from candela.verification import deterrence

Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]


def _last_receipt(market: Market, job: int, task: int) -> TaskReceipt:
    market.job(job)
    events = market.events(0, market.client.block_number(), market.topic("TaskSettled"), f"0x{job:064x}")
    found = [receipt_of(event) for event in events if event.fields["task"] == task]
    if not found:
        raise UsageError(f"task {task} of job {job} is not settled", fix="see which are: candela ps")
    return found[-1]


def dispute(
    job: int,
    task: int,
    *,
    reason: str = "",
    whole: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    dry_run: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    network: str | None = None,
    as_json: Json = False,
) -> None:
    """Let a committee of auditors judge a result; its price is held back until the verdict if the result can be read.

    The committee's fee comes back if the result is false or can't be read: then the provider's bond pays it.

    A task with a trace is done again on this machine first. Then both sides look for the first step at which they
    differ, and a committee does that one. The command stays until it is decided; give it again to go on.

    Parameters
    ----------
    job
        The job's number.
    task
        The task's number in the job.
    reason
        What is wrong; only its hash goes on chain.
    whole
        Let the committee do the whole task again even if it has a trace.
    dry_run
        Only say what it would cost.
    network
        Configuration file or node URL; the network that was started last by default.
    as_json
        Print JSON.
    """
    found = Network.find(network)
    client = Client(found.rpc)
    market, audits = Market(client), Audits(client)
    receipt = _last_receipt(market, job, task)
    if not whole and _traced(found, market, job):
        from candela.cli import traces

        if traces.narrow(found, market, receipt, reason, dry_run, as_json):
            return
        note("the task left no trace that can be read: a committee does it again as a whole")
    if number := audits.read("audit_of", receipt.lease_id, task):
        raise UsageError(
            f"task {task} of job {job} is audited already", fix=f"see audit {number}: candela audits {job}"
        )
    fee, stake = audits.fee(receipt.lease_id, task), deterrence(receipt.price, 1.0)
    document: dict[str, Any] = {"job_id": job, "task": task, "provider": receipt.provider, "fee_nit": str(fee)}
    document |= {"deterrence": stake.describe()}
    if dry_run:
        emit(document, as_json, f"would cost {format_cnd(fee)} unless the result is false\n{stake.describe()}")
        return
    # Two transactions: a session key would cost another.
    sender = Sender(client, found.account(), session=None)
    if _readable(found, receipt):
        hold(market, sender, receipt, reason)
    sent = sender.send(audits.disputing(receipt, fee), "asking for a committee")
    document |= {"transaction": sent.transaction_hash, "audit": audits.read("audit_of", receipt.lease_id, task)}
    emit(document, as_json, f"audit {document['audit']} is open; its committee costs {format_cnd(fee)}")
    if not as_json:
        note(stake.describe())
        note(f"next: candela audits {job}")


def _traced(network: Network, market: Market, job: int) -> bool:
    spec = market.terms(job).spec_hash.hex()
    try:
        return decode_manifest(ArtefactStore(network.store).get(spec, MAX_MANIFEST_BYTES)).traced
    except (ArtefactError, BundleError) as error:
        note(f"the job's manifest can't be read, so a trace can't be used: {error.what}")
        return False


def _readable(network: Network, receipt: TaskReceipt) -> bool:
    """Whether the output is in the store: what is held back is done again, and would then be there for the auditors."""
    try:
        ArtefactStore(network.store).get(receipt.output_hash.hex(), MAX_BYTES)
    except ArtefactError:
        return False
    return True


def hold(market: Market, sender: Sender, receipt: TaskReceipt, reason: str) -> None:
    """Hold the payment back, if it has not been made and is not held already."""
    lease = market.lease(receipt.lease_id)
    if not (lease.paid | lease.disputed) >> receipt.task - lease.first_task & 1:
        digest = hashlib.sha256(reason.encode()).digest()
        sender.send(market.message("dispute", receipt.lease_id, receipt.task, digest), "holding the payment back")


def list_audits(job: int | None = None, *, network: str | None = None, as_json: Json = False) -> None:
    """List audits and where their money went.

    Parameters
    ----------
    job
        One job's only.
    network
        Configuration file or node URL; the network that was started last by default.
    as_json
        Print JSON.
    """
    audits = Audits(Client(Network.find(network).rpc))
    if job is not None:
        # Refuses a job that does not exist.
        Market(audits.client).job(job)
    head, topics = audits.client.block_number(), [None, *([f"0x{job:064x}"] if job is not None else [])]
    opened = audits.events(0, head, audits.topic("Opened"), *topics)
    ended = {
        each.fields["audit_id"]: each.fields for each in audits.events(0, head, audits.topic("Concluded"), *topics)
    }
    documents = [_document(audits, each.fields, ended.get(each.fields["audit_id"])) for each in opened]
    rows = [_row(each) for each in documents]
    headings = ["audit", "job", "task", "provider", "verdict", "slashed", "back", "to you"]
    emit(documents, as_json, table(headings, rows) if rows else "no audits")
    if job is not None and not as_json:
        note(_stake(audits, job))


def _stake(audits: Audits, job: int) -> str:
    """Whether a lie about the dearest task of a job would have paid."""
    market, share = Market(audits.client), audits.policy(job).fraction_ppm / 10**6
    events = market.events(0, market.client.block_number(), market.topic("TaskSettled"), f"0x{job:064x}")
    price = max((event.fields["price"] for event in events), default=0)
    if not share:
        return "no task is drawn: a lie is judged where the customer disputes it"
    return deterrence(price, share).describe()


def _document(audits: Audits, opened: dict[str, Any], concluded: dict[str, Any] | None) -> dict[str, Any]:
    names = ("audit_id", "job_id", "task", "provider", "disputed")
    state = AuditState(concluded["state"] if concluded else audits.read("state_of", opened["audit_id"]))
    money = {f"{name}_nit": str(concluded[name]) for name in _MONEY} if concluded else {}
    return {name: opened[name] for name in names} | {"state": state.name.lower()} | money


_MONEY = ("slashed", "refunded", "to_customer", "to_auditors", "burned")


def _row(document: dict[str, Any]) -> list[Any]:
    money = [_short(int(document.get(f"{name}_nit", 0))) for name in _MONEY[:3]]
    facts = [document["audit_id"], document["job_id"], document["task"], document["provider"][:10], document["state"]]
    return [*facts, *money]


def _short(nit: int) -> str:
    """An amount with five digits: for tables; ``--json`` has them all."""
    return f"{nit / 10**18:.5g}"
