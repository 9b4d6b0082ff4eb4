"""``candela receipt`` and ``candela verify``: take a receipt home, and check it without the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec

from candela import receipt as receipts
from candela.chain.client import Client
from candela.chain.market import Market
from candela.cli.output import emit, note
from candela.errors import UsageError
from candela.network.configuration import Network


def receipt(job: int, task: int = 0, *, out: Path | None = None, network: str | None = None) -> None:
    """Export a task's receipt with its proof as JSON.

    Parameters
    ----------
    job
        The job's number.
    task
        The task's number.
    out
        A file instead of stdout.
    network
        Configuration file or node URL; the network that was started last by default.
    """
    client = Client(Network.find(network).rpc)
    Market(client).job(job)
    document = receipts.export(client, job, task)
    if out is None:
        emit(document, True, "")
        return
    try:
        out.write_text(json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"{out} can't be written", why=error.strerror or str(error)) from error
    note(f"next: candela verify {out}")


def verify(
    file: Path,
    *,
    output: Path | None = None,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> None:
    """Check a receipt offline; the exit status is 1 when anything is wrong.

    Parameters
    ----------
    file
        What `candela receipt` wrote.
    output
        The task's encoded output, to be compared with its hash.
    as_json
        Print JSON.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} can't be read", why=error.strerror or str(error)) from error
    checks = receipts.verify(receipts.load(data), output)
    marks = {True: "ok", False: "FAILED", None: "not checked"}
    lines = [f"{marks[each.holds]:<12}{each.name}\n{'':<12}{each.detail}" for each in checks]
    emit({"holds": receipts.holds(checks), "checks": msgspec.to_builtins(checks)}, as_json, "\n".join(lines))
    if not receipts.holds(checks):
        raise SystemExit(1)
