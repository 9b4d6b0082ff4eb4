"""Look at this machine as a provider would."""

from __future__ import annotations

from collections.abc import Callable

from candela.amounts import WORK_SCALE
from candela.artefacts import ArtefactStore
from candela.chain.client import Client
from candela.errors import Error
from candela.finding import Finding
from candela.provider import devices, environment
from candela.provider.control_group import ControlGroup
from candela.provider.sandbox import Tier, probe


def examine(rpc: str, store: str | None) -> list[Finding]:
    """Everything, in the order in which it matters."""
    found = [_sandbox(), _groups(), *_devices(), _wheels(), _try("node", lambda: _node(rpc))]
    if store is not None:
        found.append(_try("store", lambda: _store(store)))
    return found


def _sandbox() -> Finding:
    result = probe()
    fix = "" if result.tier > Tier.NONE else "install bubblewrap, or start with --allow-unsandboxed"
    return Finding("sandbox", result.tier > Tier.NONE, result.detail, fix)


def _groups() -> Finding:
    group = ControlGroup.create(1 << 28, 16)
    if group is None:
        detail = "this user can't make control groups; limits hold for each process, not for all of a task's together"
        return Finding("control groups", False, detail, "run as a user with delegated control groups", needed=False)
    group.remove()
    return Finding("control groups", True, "memory and processes of a task are bounded together")


def _devices() -> list[Finding]:
    offered, unoffered = devices.detect(probe().tier)
    found = [Finding("device", True, _describe(each)) for each in offered]
    return found + [
        Finding("gpu", False, f"{each.name} is not offered: {each.why}", each.fix, needed=False) for each in unoffered
    ]


def _describe(device: devices.LocalDevice) -> str:
    return f"{device.name}, {device.memory_bytes >> 20} MiB, {device.intensity_ucd / WORK_SCALE:,.3f} cd"


def _wheels() -> Finding:
    path = environment.installer()
    fix = "" if path else "pip install uv"
    return Finding("packages", path is not None, path or "uv is not installed", fix, needed=False)


def _node(rpc: str) -> Finding:
    client = Client(rpc, timeout=5)
    return Finding("node", True, f"{rpc}, chain {client.chain_id()}, block {client.block_number()}")


def _store(url: str) -> Finding:
    store = ArtefactStore(url)
    content = b"candela provider doctor"
    store.get(store.put(content), len(content))
    return Finding("store", True, url)


def _try(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Error as error:
        return Finding(name, False, f"{error.what} {error.why}".strip(), error.fix)
