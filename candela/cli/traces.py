"""Dispute a task with a trace from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil

from candela.accuser import Accuser, stated_trace
from candela.amounts import format_cnd
from candela.artefacts import ArtefactStore
from candela.chain.audits import Audits
from candela.chain.bisection import Bisection, Phase, deposit_of
from candela.chain.market import Market, TaskReceipt
from candela.chain.sender import Sender
from candela.cli.audits import hold
from candela.cli.output import emit, note
from candela.errors import UsageError
from candela.network.configuration import Network
from candela.provider.devices import CPU, LocalDevice
from candela.provider.retracing import Retracer
from candela.provider.sandbox import probe
from candela.verification import deterrence

_PACKAGES = Path.home() / ".candela" / "packages"
"""Where packages of jobs are put that this machine lacks."""


def narrow(network: Network, market: Market, receipt: TaskReceipt, reason: str, dry_run: bool, as_json: bool) -> bool:
    """Dispute a task down to one step and wait for the verdict; ``False`` where it has left no trace to do so.

    Args:
        network: where the job is.
        market: its market.
        receipt: the task's.
        reason: what is wrong.
        dry_run: only say what it would cost.
        as_json: print JSON.

    Raises:
        UsageError: the task has been audited, or gives the same trace here.
    """
    stated = stated_trace(ArtefactStore(network.store), receipt)
    if stated is None:
        return False
    job, task = receipt.job_id, receipt.task
    audits, bisection = Audits(market.client), Bisection(market.client)
    number = audits.read("audit_of", receipt.lease_id, task)
    if number and bisection.game(number).phase in (Phase.UNKNOWN, Phase.ENDED):
        raise UsageError(
            f"task {task} of job {job} is audited already", fix=f"see audit {number}: candela audits {job}"
        )
    fee, stake = audits.fee(receipt.lease_id, task), deterrence(receipt.price, 1.0)
    document: dict[str, Any] = {"job_id": job, "task": task, "provider": receipt.provider, "fee_nit": str(fee)}
    document |= {"deposit_nit": str(deposit_of(receipt)), "steps": stated.steps, "deterrence": stake.describe()}
    if dry_run:
        cost = f"{format_cnd(fee)} and a deposit of {format_cnd(deposit_of(receipt))}"
        emit(document, as_json, f"would cost {cost} unless the result is false\n{stake.describe()}")
        return True
    sender = Sender(market.client, network.account(), session=None)
    device = LocalDevice(CPU, "this machine", psutil.virtual_memory().total, 0)
    retracer = Retracer(market, ArtefactStore(network.store), _PACKAGES, probe().tier, device)
    accuser = Accuser(sender, retracer, note)
    own = accuser.own_trace(receipt, stated)
    if not number:
        hold(market, sender, receipt, reason)
        number = accuser.challenge(receipt, stated, own)
    state = accuser.play(number, receipt, own)
    document |= {"audit": number, "step": bisection.game(number).index, "state": state.name.lower()}
    emit(document, as_json, f"audit {number} has ended: {state.name.lower().replace('_', ' ')}")
    if not as_json:
        note(f"next: candela audits {job}")
    return True
