"""Start the nodes under measurement: ours, and geth and anvil where they are installed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benches.wire import Connection, quantity

_READY_SECONDS = 60


class Target(msgspec.Struct):
    """A running node: where it answers, its chain id, and a funded key to pay from."""

    name: str
    port: int
    chain_id: int
    pid: int
    funder: bytes | None
    """Secret key of a funded account; ``None`` when the node holds the key itself (geth's developer account)."""


def free_port() -> int:
    """A TCP port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_rpc(port: int, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args} ended with {process.returncode} before it answered")
        with contextlib.suppress(OSError):
            return quantity(Connection(port).call("eth_chainId"))
        time.sleep(0.05)
    raise SystemExit(f"{process.args} did not answer on port {port} within {_READY_SECONDS} s")


@contextlib.contextmanager
def candela(providers: int = 0) -> Iterator[tuple[Target, dict]]:
    """Our own network on a fresh directory; yields it with what ``candela up --json`` printed."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="candela-bench-") as data:
        command = [sys.executable, "-m", "candela.cli", "up", "--json", "--data", data]
        command += ["--port", str(port), "--providers", str(providers)]
        # The user's own default network stays what it is.
        environment = os.environ | {"XDG_CONFIG_HOME": data}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        try:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                raise SystemExit("candela up ended before it was ready; run it by hand to see why")
            ready = json.loads(line)
            secret = bytes.fromhex(ready["accounts"][0]["private_key"].removeprefix("0x"))
            yield Target("candela", port, ready["chain_id"], process.pid, secret), ready
        finally:
            _stop(process)


def _find(name: str) -> str | None:
    return shutil.which(name) or next(
        (str(p) for p in (Path.home() / "go/bin" / name, Path.home() / ".foundry/bin" / name) if p.is_file()), None
    )


@contextlib.contextmanager
def geth() -> Iterator[Target | None]:
    """``geth --dev`` on a fresh directory, or ``None`` when it isn't installed."""
    binary = _find("geth")
    if binary is None:
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="candela-bench-") as data:
        command = [binary, "--dev", "--datadir", data, "--http", "--http.port", str(port), "--http.api", "eth,net,web3"]
        command += ["--verbosity", "1", "--nodiscover", "--port", "0", "--authrpc.port", "0", "--ipcdisable"]
        command += ["--txpool.globalslots", "200000", "--txpool.accountslots", "5000"]
        command += ["--txpool.globalqueue", "200000", "--txpool.accountqueue", "5000"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield Target("geth", port, _await_rpc(port, process), process.pid, None)
        finally:
            _stop(process)


@contextlib.contextmanager
def anvil() -> Iterator[Target | None]:
    """anvil with its default settings, or ``None`` when it isn't installed."""
    binary = os.environ.get("ANVIL") or _find("anvil")
    if binary is None:
        yield None
        return
    port = free_port()
    process = subprocess.Popen(
        [binary, "--port", str(port), "--quiet", "--accounts", "1", "--mnemonic", "test " * 11 + "junk"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # The first key of the mnemonic that every Ethereum development tool ships.
    secret = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
    try:
        yield Target("anvil", port, _await_rpc(port, process), process.pid, secret)
    finally:
        _stop(process)
