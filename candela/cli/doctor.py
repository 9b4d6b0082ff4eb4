"""``candela doctor``: is everything here that is needed, and if not, what to do."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec

from candela.artefacts import ArtefactStore
from candela.chain.client import Client
from candela.cli.output import emit
from candela.errors import Error
from candela.network.configuration import Network

_LEAST_FREE_BYTES = 1 << 30


class Finding(msgspec.Struct):
    """One thing that was looked at; ``ok`` is ``None`` for what is good to have but not needed."""

    name: str
    ok: bool | None
    detail: str


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 11), version)


def _engine() -> Finding:
    from candela import _ledger

    return Finding("ledger engine", True, str(_ledger.__file__))


def _sandbox() -> Finding:
    from candela.provider.sandbox import Tier, probe

    found = probe()
    return Finding("sandbox", True if found.tier >= Tier.BUBBLEWRAP else None, found.detail)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.home()).free
    return Finding("free disk", free >= _LEAST_FREE_BYTES, f"{free >> 30} GiB in {Path.home()}")


def _node() -> Finding:
    network = Network.find(None)
    chain_id = Client(network.rpc, timeout=5).chain_id()
    return Finding("node", chain_id == network.chain_id, f"{network.rpc}, chain id {chain_id}")


def _store() -> Finding:
    network = Network.find(None)
    store = ArtefactStore(network.store)
    probe = b"candela doctor"
    return Finding("artefact store", store.get(store.put(probe), 100) == probe, network.store)


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Error as error:
        return Finding(name, False, " ".join(str(error).split()))
    except ImportError as error:
        return Finding(name, False, f"{error}; build it with: make build")


def doctor(*, as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False) -> None:
    """Check this machine and its network; the exit status is 1 when something needed is missing.

    Parameters
    ----------
    as_json
        Print JSON.
    """
    checks = {
        "Python": _python,
        "ledger engine": _engine,
        "sandbox": _sandbox,
        "free disk": _disk,
        "node": _node,
        "artefact store": _store,
    }
    findings = [_checked(name, check) for name, check in checks.items()]
    marks = {True: "ok", False: "FAILED", None: "missing"}
    lines = [
        textwrap.fill(f"{marks[each.ok]:<8}{each.name}: {each.detail}", 80, subsequent_indent=" " * 8)
        for each in findings
    ]
    emit(msgspec.to_builtins(findings), as_json, "\n".join(lines))
    if any(each.ok is False for each in findings):
        raise SystemExit(1)
