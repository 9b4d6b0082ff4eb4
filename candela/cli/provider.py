"""``candela provider``: offer this machine, see what it does and earns, end it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from candela.amounts import WORK_SCALE, format_cnd, parse_cnd
from candela.chain.client import Client
from candela.chain.market import JobState, Market
from candela.chain.registry import Provider, ProviderState, Registry
from candela.cli.output import report
from candela.errors import ProviderError, UsageError
from candela.market.matching import Constraint
from candela.provider import control
from candela.provider.config import DEFAULT_DATA, DEFAULT_PRICE, Config
from candela.provider.hours import ALWAYS

app = App(name="provider", help="Offer this machine's devices and get paid for finished work.")
app.command("candela.cli.shares:provider", name="shares", help="Offer shares of your node.")
app.command("candela.cli.rewards:app", name="rewards", help="What proved compute brings.")
app.command("candela.cli.membership:rotate", name="rotate", help="Replace the operator's key.")
app.command("candela.cli.membership:leave", name="leave", help="End the registration as a provider.")
app.command("candela.cli.membership:withdraw", name="withdraw", help="Get the bonds back after leaving.")

Data = Annotated[Path, Parameter(help="The agent's folder.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON on standard output.")]
_STOP_SECONDS = 40


def _print(value: Any) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


@app.command
def start(
    *,
    rpc: str = "http://127.0.0.1:8545",
    ws: str | None = None,
    store: str,
    keyfile: Path,
    passphrase_file: Path | None = None,
    data: Data = DEFAULT_DATA,
    price: str | None = None,
    kwh_price: str | None = None,
    allow_unsandboxed: Annotated[bool, Parameter(negative="")] = False,
    prove: Annotated[bool, Parameter(negative="")] = False,
    audit: Annotated[bool, Parameter(negative="")] = False,
    hours: str = ALWAYS,
    watts: int | None = None,
    watts_unenforced_ok: Annotated[bool, Parameter(negative="")] = False,
    die_with_parent: Annotated[bool, Parameter(negative="", show=False)] = False,
    json: Json = False,
) -> None:
    """Offer this machine until it is stopped.

    Parameters
    ----------
    rpc
        The node's HTTP endpoint.
    ws
        Its WebSocket endpoint; the same port when absent.
    store
        URL of the artefact store, for instance file:///srv/candela or s3://bucket/prefix.
    keyfile
        Keystore v3 file of the operator; a plain file of hex digits on development networks.
    passphrase_file
        File with the keystore's passphrase, readable by you alone.
    price
        Least CND per work unit, for instance 0.00001.
    kwh_price
        What a kWh costs you, in CND: no work is done for less than its energy. The larger of both prices is the floor.
    allow_unsandboxed
        Run jobs as plain processes where bubblewrap is missing; customers see it and may refuse.
    prove
        Fill windows of Proof of Intensity while no task runs, at most 2 % of the time. A bond of 1 CND per device is
        deposited for it, which false work would lose; docs/intensity.md tells more.
    audit
        Do other providers' tasks again when drawn to judge them, for pay. A bond of 0.1 CND is deposited for it, of
        which silence and false verdicts cost a part; docs/audits.md tells more.
    hours
        When new work is taken, by this machine's clock: "22:00-08:00", or "mon-fri 18:00-08:00, sat-sun 00:00-24:00".
        A lease that runs when they end is finished; docs/provider.md tells more.
    watts
        The most that each device may draw. The drivers of GPUs are told so, and given back the limit that they had when
        the agent stops. A device that can't be held to it ends the start.
    watts_unenforced_ok
        Offer devices that can't be held to the cap all the same, for instance CPUs.
    die_with_parent
        Stop when the process that started this one ends.
    """
    if die_with_parent:
        from candela.network.parent import die_with_parent as arm

        arm()
    if watts is not None and watts <= 0:
        raise UsageError(f"a device can't run with {watts} W", fix="give --watts a number of watts above 0")
    # One core is one device: the libraries that measure it must not use more.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from candela.provider import logs
    from candela.provider.agent import Agent
    from candela.provider.hours import Hours

    logs.configure(json)
    config = Config(
        rpc=rpc,
        ws=ws or rpc.replace("http", "ws", 1),
        store=store,
        data=str(data.resolve()),
        keyfile=str(keyfile.resolve()),
        passphrase_file=str(passphrase_file.resolve()) if passphrase_file else None,
        price=DEFAULT_PRICE if price is None else parse_cnd(price),
        kwh_price=0 if kwh_price is None else parse_cnd(kwh_price),
        allow_unsandboxed=allow_unsandboxed,
        prove=prove,
        audit=audit,
        hours=Hours(hours).text,
        watts=watts or 0,
        watts_unenforced_ok=watts_unenforced_ok,
    )

    def ready(snapshot: control.Snapshot) -> None:
        if json:
            _print({"address": snapshot.address, "tier": snapshot.tier, "devices": snapshot.devices})
            return
        _say(f"provider {snapshot.provider} is listed; sandbox: {snapshot.tier_detail}")
        for device in snapshot.devices:
            _say(f"  device {device['id']}: {device['name']}, {int(device['intensity_ucd']) / WORK_SCALE:,.0f} cd")
        _say(*_owner_lines(snapshot))
        _say(f"stop it with: candela provider stop --data {data}")

    Agent(config).run(ready)


def _chain(data: Path, rpc: str | None, address: str | None) -> tuple[Client, str]:
    snapshot = control.load_snapshot(data)
    who = address or (snapshot.provider if snapshot else None)
    if who is None:
        raise ProviderError(
            f"no provider was started with the data folder {data}",
            fix="name its folder with --data, or its address with --address",
        )
    return Client(rpc or (Config.load(data).rpc if snapshot else "http://127.0.0.1:8545")), who


@app.command
def status(
    *, data: Data = DEFAULT_DATA, rpc: str | None = None, address: str | None = None, json: Json = False
) -> None:
    """Show what the chain and the agent say about this provider."""
    client, who = _chain(data, rpc, address)
    entry = Registry(client).provider(who)
    snapshot = control.load_snapshot(data)
    pid = control.holder(data)
    balance = client.balance(who)
    state = ProviderState(entry.state).name.lower()
    if json:
        agent = msgspec.to_builtins(snapshot) if snapshot else None
        facts = {"provider": who, "state": state, "bond": entry.bond, "balance": balance}
        _print(facts | {"device_count": entry.device_count, "pid": pid, "agent": agent})
        return
    _say(*_status_lines(who, state, entry, balance, pid, snapshot))


def _owner_lines(snapshot: control.Snapshot) -> list[str]:
    """What the owner has asked for."""
    hours = snapshot.hours
    lines = [] if hours is None else [f"  hours {hours.text}: {'open' if hours.open else 'closed'}, {hours.now}"]
    lines += [f"  cap of {each.name}: {_cap(each)}" for each in snapshot.caps]
    return lines + _floor_lines(snapshot)


def _cap(cap: control.Cap) -> str:
    return f"{cap.watts} W, {'' if cap.enforced else 'NOT '}enforced: {cap.detail}"


def _floor_lines(snapshot: control.Snapshot) -> list[str]:
    return [f"  device {number} {floor.describe()}" for number, floor in snapshot.floors.items()]


def _status_lines(
    who: str, state: str, entry: Provider, balance: int, pid: int | None, snapshot: control.Snapshot | None
) -> list[str]:
    lines = [f"provider {who}: {state}, bond {format_cnd(entry.bond)}, balance {format_cnd(balance)}"]
    if pid is None or snapshot is None:
        return [*lines, "agent: not running here"]
    age = time.time() - snapshot.updated_at
    lines.append(
        f"agent: {snapshot.phase}, process {pid}, {snapshot.settled} tasks settled, {snapshot.waiting} waiting"
    )
    lines += [f"  seen {age:.0f} s ago"] if age > 5 else []
    lines += [f"  trouble: {snapshot.error}"] if snapshot.error else []
    lines += [f"  device {each['id']}: {each['kind']}, {each['name']}, {snapshot.tier}" for each in snapshot.devices]
    lines += _owner_lines(snapshot)
    for lease in snapshot.leases:
        task = "" if lease.running is None else f", task {lease.running} running"
        lines.append(f"  lease {lease.lease_id} of job {lease.job_id}: {lease.done} of {lease.tasks} tasks{task}")
    return lines


@app.command
def earnings(
    *,
    data: Data = DEFAULT_DATA,
    rpc: str | None = None,
    address: str | None = None,
    kwh_price: str | None = None,
    json: Json = False,
) -> None:
    """Show what each job has brought, and what is left of it after its energy.

    Parameters
    ----------
    kwh_price
        What a kWh costs you, in CND; what the agent was started with when absent.
    """
    from candela.provider.earnings import Net, read_earnings

    client, who = _chain(data, rpc, address)
    accounts = read_earnings(Market(client), who)
    kwh = _kwh_price(data, who) if kwh_price is None else parse_cnd(kwh_price)
    net = Net.of(accounts, kwh) if kwh else None
    if json:
        _print({"provider": who, "jobs": accounts, "net": net})
        return
    if not accounts:
        _say(f"provider {who} has not settled a task yet")
    for each in accounts:
        _say(
            f"job {each.job_id}: {each.tasks} tasks, settled {format_cnd(each.settled)}, paid {format_cnd(each.paid)}, "
            f"fees {format_cnd(each.fees + each.to_auditors)}, "
            f"pending {format_cnd(each.pending)}, held {format_cnd(each.held)}, refused {format_cnd(each.refused)}, "
            f"burned {format_cnd(each.burned)}, "
            f"{each.energy_mj / 1000:,.1f} J{f', estimated for {each.estimated}' if each.estimated else ''}"
        )
    if net is not None:
        _say(
            f"net {format_cnd(net.net)}: paid {format_cnd(net.paid)} less {format_cnd(net.energy)} for "
            f"{net.energy_mj / 1000:,.1f} J at {format_cnd(kwh)} per kWh"
        )


def _kwh_price(data: Path, who: str) -> int:
    return Config.load(data).kwh_price if _own(data, who) else 0


@app.command
def why(
    job: int | None = None,
    *,
    data: Data = DEFAULT_DATA,
    rpc: str | None = None,
    address: str | None = None,
    json: Json = False,
) -> None:
    """Explain why there is no work, and each part of pay, with the numbers that made it.

    Parameters
    ----------
    job
        Explain this job only; all that run, the provider's own state and its pay when absent.
    """
    client, who = _chain(data, rpc, address)
    market = Market(client)
    numbers = [job] if job is not None else list(range(market.read("job_count"), 0, -1))[:50]
    answers = [_answer(market, number, who, data) for number in numbers]
    standing, days, pay = [], [], []
    if job is None:
        from candela.provider.days import recent_days
        from candela.provider.pay import explain

        answers = [each for each in answers if each["state"] in ("open", "paused_user", "paused_funds")]
        standing, pay = _standing(Registry(client), who, data), explain(market, who)
        days = recent_days(client, who)
    snapshot = _own(data, who)
    if json:
        floors = snapshot.floors if snapshot and job is None else {}
        document = {"provider": who, "standing": standing, "floors": floors, "jobs": answers}
        _print(document | {"days": days, "pay": pay})
        return
    floors = _floor_lines(snapshot) if snapshot and job is None else []
    _say(*([f"provider {who}"] if job is None else []), *(_condition(each) for each in standing), *floors)
    if not answers:
        _say("no job is open")
    for answer in answers:
        _say(f"job {answer['job']}: {'fits' if answer['fits'] else 'does not fit'}")
        _say(*(_condition(msgspec.convert(each, Constraint)) for each in answer["constraints"]))
        _say(*([f"  NO  it failed here: {answer['failure']}"] if answer["failure"] else []))
    now = client.timestamp()
    _say(*(["proved compute"] if days else []), *(f"  day {e.day}, {e.state}: {e.describe(now)}" for e in days))
    _say(*(["pay"] if pay else []), *(f"  {each.name}: {format_cnd(each.amount)}; {each.reason}" for each in pay))


def _own(data: Path, who: str) -> control.Snapshot | None:
    """What the agent of a data folder last said, if it is this provider's."""
    snapshot = control.load_snapshot(data)
    return snapshot if snapshot is not None and snapshot.provider.lower() == who.lower() else None


def _condition(each: Constraint) -> str:
    return f"  {'yes' if each.holds else 'NO '} {each.name}: wanted {each.wanted}, got {each.offered}"


def _standing(registry: Registry, who: str, data: Path) -> list[Constraint]:
    """What must hold of the provider itself for any work to come."""
    entry, snapshot, now = registry.provider(who), _own(data, who), int(time.time())
    state, needed = ProviderState(entry.state), entry.device_count * registry.read("DEVICE_BOND")
    found = [
        Constraint("state", state == ProviderState.LISTED, "listed", state.name.lower()),
        Constraint("devices", entry.device_count > 0, "at least 1", str(entry.device_count)),
        Constraint("bond", entry.bond >= needed, f"at least {format_cnd(needed)}", format_cnd(entry.bond)),
    ]
    if state == ProviderState.JAILED:
        left = registry.jailed_until(who) - now
        sentence = f"{left:,} s left" if left > 0 else "over: start again to return"
        found.append(Constraint("jail", False, "none", sentence))
    if snapshot is not None:
        alive = control.holder(data) is not None
        found.append(Constraint("agent", alive and snapshot.phase == "running", "running", _phase(alive, snapshot)))
        if alive and snapshot.hours is not None:
            hours = snapshot.hours
            found.append(Constraint("hours", hours.open, f"now within {hours.text}", hours.now))
        for cap in snapshot.caps if alive else []:
            found.append(Constraint("watts", cap.enforced, f"{cap.name} at most {cap.watts} W", cap.detail))
        if alive and snapshot.reporting:
            found.append(Constraint("reports", False, "each day reported in time", snapshot.reporting))
    return found


def _phase(alive: bool, snapshot: control.Snapshot) -> str:
    return snapshot.phase + (f", in trouble: {snapshot.error}" if snapshot.error else "") if alive else "not running"


def _answer(market: Market, number: int, who: str, data: Path) -> dict[str, Any]:
    from candela.market import matching

    account, terms = market.job(number), market.terms(number)
    registry = Registry(market.client)
    entry = registry.provider(who)
    snapshot = _own(data, who)
    floors = {number: each.price for number, each in snapshot.floors.items()} if snapshot else {}
    listed = entry.state == ProviderState.LISTED
    common = [matching.Constraint("provider", listed, "listed", ProviderState(entry.state).name.lower())]
    left = terms.task_count - account.next_task
    common += matching.job_constraints(account.state, terms.deadline, int(time.time()), left)
    found = {each: registry.device(who, each) for each in range(entry.next_device)}
    by_device = [
        matching.constraints(terms, each, floors.get(number, DEFAULT_PRICE))
        for number, each in found.items()
        if each.active
    ]
    best = max(by_device, key=lambda each: sum(c.holds for c in each), default=[])
    failure = snapshot.unsuitable.get(str(number), "") if snapshot else ""
    every = common + best
    return {
        "job": number,
        "state": JobState(account.state).name.lower(),
        "fits": bool(best) and all(each.holds for each in every) and not failure,
        "constraints": msgspec.to_builtins(every),
        "failure": failure,
    }


def _agent(data: Path) -> int:
    pid = control.holder(data)
    if pid is None:
        raise ProviderError(f"no provider runs with the data folder {data}", fix="name its folder with --data")
    return pid


@app.command
def drain(*, data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Take no new leases, finish the running ones, then end."""
    pid = _agent(data)
    control.ask(data, "drain")
    os.kill(pid, signal.SIGUSR1)
    _print({"draining": pid}) if json else _say(f"the provider (process {pid}) finishes its leases and ends")


@app.command
def stop(*, data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Finish the running task, give leases back, and end."""
    pid = _agent(data)
    control.ask(data, "stop")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while control.holder(data) == pid:
        if time.monotonic() > deadline:
            raise ProviderError(f"the provider (process {pid}) has not stopped", fix=f"kill -9 {pid}; its leases lapse")
        time.sleep(0.05)
    _print({"stopped": pid}) if json else _say(f"the provider (process {pid}) has stopped")


@app.command
def doctor(*, rpc: str = "http://127.0.0.1:8545", store: str | None = None, json: Json = False) -> None:
    """Check what a provider needs: sandbox, limits, devices, node, store."""
    from candela.provider.checkup import examine

    report(examine(rpc, store), json)


if __name__ == "__main__":
    app()
