"""``candela ps``, ``logs``, ``cancel``, ``spend`` and ``quote``: a customer's jobs and what they cost."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any, Literal

import cyclopts
import msgspec

from candela.amounts import format_cnd, parse_cnd
from candela.artefacts import ArtefactStore
from candela.chain.client import Client
from candela.chain.contract import Event
from candela.chain.market import JobState, Market, TaskReceipt, receipt_of
from candela.chain.sender import Sender
from candela.cli.output import emit, note, table
from candela.errors import UsageError
from candela.network.configuration import Network

Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]
_POLL_SECONDS = 0.5


class JobLine(msgspec.Struct):
    """A job as the commands list it; amounts in nit."""

    job_id: int
    state: str
    settled: int
    tasks: int
    cost: int
    energy_mj: int
    available: int
    open_leases: int


def _connect(network: str | None) -> tuple[Network, Client, Market]:
    found = Network.find(network)
    client = Client(found.rpc)
    return found, client, Market(client)


def _address(network: Network) -> str:
    return network.account_address or network.account().address


def _opened(market: Market, customer: str) -> list[Event]:
    word = "0x" + customer.lower().removeprefix("0x").rjust(64, "0")
    return market.events(0, market.client.block_number(), market.topic("JobOpened"), None, word)


def _receipts(market: Market, job_id: int) -> list[TaskReceipt]:
    events = market.events(0, market.client.block_number(), market.topic("TaskSettled"), f"0x{job_id:064x}")
    return [receipt_of(event) for event in events]


def _line(market: Market, job_id: int, tasks: int) -> JobLine:
    job, receipts = market.job(job_id), _receipts(market, job_id)
    return JobLine(
        job_id=job_id,
        state=JobState(job.state).name.lower(),
        settled=len({each.task for each in receipts}),
        tasks=tasks,
        cost=sum(each.price for each in receipts),
        energy_mj=sum(each.energy_mj for each in receipts),
        available=job.available,
        open_leases=job.open_leases,
    )


def _lines(market: Market, customer: str) -> list[JobLine]:
    opened = _opened(market, customer)
    return [_line(market, event.fields["job_id"], event.fields["task_count"]) for event in opened]


def ps(*, network: str | None = None, running: bool = False, as_json: Json = False) -> None:
    """List your jobs.

    Parameters
    ----------
    network
        Configuration file or node URL; the network that was started last by default.
    running
        Leave out jobs that have ended.
    as_json
        Print JSON.
    """
    found, _, market = _connect(network)
    lines = _lines(market, _address(found))
    if running:
        lines = [each for each in lines if each.state in ("open", "paused_user", "paused_funds")]
    rows = [
        (each.job_id, each.state, f"{each.settled}/{each.tasks}", format_cnd(each.cost), each.open_leases)
        for each in lines
    ]
    text = table(["job", "state", "tasks", "cost", "leases"], rows) if rows else "no jobs"
    emit(msgspec.to_builtins(lines), as_json, text)
    if lines and not as_json:
        note(f"next: candela receipt {lines[-1].job_id}")


def spend(
    *,
    energy: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    network: str | None = None,
    as_json: Json = False,
) -> None:
    """Say what your jobs have cost.

    Parameters
    ----------
    energy
        Rank each job's providers by joules per result, and say how the joules were found.
    network
        Configuration file or node URL; the network that was started last by default.
    as_json
        Print JSON.
    """
    found, _, market = _connect(network)
    if energy:
        _rank(market, _address(found), as_json)
        return
    lines = _lines(market, _address(found))
    total = sum(each.cost for each in lines)
    rows = [(str(each.job_id), format_cnd(each.cost), f"{each.energy_mj / 1000:.1f} J") for each in lines]
    rows.append(("total", format_cnd(total), f"{sum(each.energy_mj for each in lines) / 1000:.1f} J"))
    document = {"total_nit": str(total), "jobs": [{"job_id": e.job_id, "cost_nit": str(e.cost)} for e in lines]}
    emit(document, as_json, table(["job", "cost", "energy"], rows))


def _rank(market: Market, customer: str, as_json: bool) -> None:
    from candela.market.energy import by_provider

    rows: list[tuple[Any, ...]] = []
    documents = []
    for event in _opened(market, customer):
        job_id = event.fields["job_id"]
        ranked = by_provider(_receipts(market, job_id))
        documents.append({"job_id": job_id, "providers": msgspec.to_builtins(ranked)})
        for place, each in enumerate(ranked, 1):
            how = ", ".join(f"{count} {method}" for method, count in sorted(each.methods.items()))
            joules = (f"{each.joules:.1f} J", f"{each.joules_per_result:.3f} J")
            rows.append((job_id, place, each.provider[:10], each.results, *joules, how))
    headings = ["job", "rank", "provider", "results", "energy", "per result", "found by"]
    emit(documents, as_json, table(headings, rows) if rows else "no results")


def logs(
    job: int,
    *,
    task: int | None = None,
    follow: Annotated[bool, cyclopts.Parameter(name=["--follow", "-f"], negative="")] = False,
    network: str | None = None,
) -> None:
    """Print what a job's tasks wrote to stdout and stderr.

    Parameters
    ----------
    job
        The job's number.
    task
        One task only.
    follow
        Go on until the job has ended.
    network
        Configuration file or node URL; the network that was started last by default.
    """
    found, _, market = _connect(network)
    store = ArtefactStore(found.store)
    terms = market.terms(job)
    tasks = range(terms.task_count) if task is None else [task]
    printed: dict[tuple[int, int], int] = {}
    while True:
        ended = JobState(market.job(job).state).ended
        for number in tasks:
            for attempt in range(terms.retries + 1):
                _print_new(store, job, number, attempt, printed)
        if not follow or ended:
            return
        time.sleep(_POLL_SECONDS)


def _print_new(store: ArtefactStore, job: int, task: int, attempt: int, printed: dict[tuple[int, int], int]) -> None:
    key = (task, attempt)
    for chunk in store.log(job, task, attempt, printed.get(key, 0)):
        printed[key] = printed.get(key, 0) + 1
        for line in chunk.decode(errors="replace").splitlines():
            sys.stdout.write(f"{task}: {line}\n")
    sys.stdout.flush()


def cancel(
    job: int,
    *,
    dry_run: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    network: str | None = None,
    as_json: Json = False,
) -> None:
    """End a job; finished tasks stay paid, the rest of its money comes back.

    Parameters
    ----------
    job
        The job's number.
    dry_run
        Only say what would be refunded.
    network
        Configuration file or node URL; the network that was started last by default.
    as_json
        Print JSON.
    """
    found, client, market = _connect(network)
    state = market.job(job)
    if JobState(state.state).ended:
        raise UsageError(f"job {job} has ended already", why=f"it is {JobState(state.state).name.lower()}")
    document: dict[str, Any] = {"job_id": job, "refund_nit": str(state.available), "open_leases": state.open_leases}
    later = f"; {state.open_leases} running leases give back the rest as they end" if state.open_leases else ""
    if dry_run:
        emit(document, as_json, f"would refund {format_cnd(state.available)} now{later}")
        return
    # One transaction: a session key would cost another.
    sender = Sender(client, found.account(), session=None)
    receipt = sender.send(market.message("cancel", job), f"cancelling job {job}")
    document["transaction"] = receipt.transaction_hash
    emit(document, as_json, f"cancelled; {format_cnd(state.available)} refunded{later}")


def quote(
    *,
    tasks: int = 1,
    seconds: float = 60,
    device: Literal["any", "cpu", "gpu"] = "any",
    memory: str = "2GiB",
    max_price: str = "0.00002",
    verify: str = "none",
    network: str | None = None,
    as_json: Json = False,
) -> None:
    """Say what tasks would cost on the devices that are offered now, and which fit.

    Parameters
    ----------
    tasks
        How many.
    seconds
        How long one keeps a device busy.
    device
        On which kind.
    memory
        What one task may use, as 512MiB.
    max_price
        Most CND per work unit.
    verify
        How results are audited: none, replay, replicate or freivalds, with :FRACTION:AUDITORS as in replay:0.1:3.
    network
        Configuration file or node URL; the network that was started last by default.
    as_json
        Print JSON.
    """
    from candela.function import options
    from candela.market.quote import quote as make_quote
    from candela.verification import parse as parse_policy

    parse_cnd(max_price)
    _, client, _ = _connect(network)
    chosen = options(
        device=device,
        timeout=max(1, int(seconds * 10)),
        retries=3,
        memory=memory,
        requirements=(),
        max_price=max_price,
        sandbox="bubblewrap",
        verify=parse_policy(verify),
    )
    found = make_quote(client, chosen, tasks, seconds)
    rows = []
    for each in found.devices:
        why = "fits" if not each.unmet else "; ".join(f"{c.name}: {c.offered}, wanted {c.wanted}" for c in each.unmet)
        rows.append((each.provider[:10], each.device_id, format_cnd(each.per_hour_nit) + "/h", why))
    lines = [table(["provider", "device", "up to", "fit"], rows) if rows else "no devices are offered"]
    lines.append(f"{tasks} x {seconds:g} s: {format_cnd(found.lowest_total)} to {format_cnd(found.highest_total)}")
    burned, to_auditors = format_cnd(found.burned), format_cnd(found.to_auditors)
    lines.append(f"of it up to {burned} are burned and {to_auditors} set aside for auditors")
    if found.deterrence is not None:
        lines.append(f"audits: {format_cnd(found.audits)} on average, {verify}")
        lines.append(f"ringers: {format_cnd(found.ringers)} on average, tasks done twice to test auditors")
        lines.append(found.deterrence.describe())
    document = {
        "tasks": tasks,
        "seconds": seconds,
        "lowest_total_nit": str(found.lowest_total),
        "highest_total_nit": str(found.highest_total),
        "burned_nit": str(found.burned),
        "to_auditors_nit": str(found.to_auditors),
        "audits_nit": str(found.audits),
        "ringers_nit": str(found.ringers),
        "deterrence": found.deterrence.describe() if found.deterrence else None,
        "devices": [
            {
                "provider": each.provider,
                "device_id": each.device_id,
                "per_hour_nit": str(each.per_hour_nit),
                "unmet": msgspec.to_builtins(each.unmet),
            }
            for each in found.devices
        ],
    }
    emit(document, as_json, "\n".join(lines))
    if not any(not each.unmet for each in found.devices):
        raise SystemExit(1)
