"""A whole network on one machine: ledger, providers and funded accounts."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from candela.chain.account import Account
from candela.errors import DirectoryHeldError, NetworkError, PortTakenError
from candela.network.configuration import VARIABLE, Network, default_path, other_running
from candela.network.elections import EPOCH_BLOCKS, Elections
from candela.network.genesis import CHAIN_ID, DEFAULT_BLOCK_GAS, genesis
from candela.network.parent import PARENT_VARIABLE
from candela.network.validators import check_count, committee, folder, membership, public_key

ACCOUNTS = 10
MAX_PROVIDERS = 64
_FUNDS = 10_000 * 10**18
_READY_SECONDS = 60
_STOP_SECONDS = 15
_RESTARTS = 5
_PROVIDER_RESTARTS = 3
_TAIL_LINES = 3


class Ready(msgspec.Struct):
    """What a running network offers."""

    rpc: str
    ws: str
    chain_id: int
    store: str
    data: str
    accounts: list[dict[str, str]]
    providers: list[dict[str, Any]]
    validators: list[dict[str, str]]


class Settings(msgspec.Struct):
    """How to start a network.

    Attributes:
        data: its folder; a chain that is there goes on.
        port: for HTTP and WebSocket.
        providers: CPU providers to start.
        block_gas: most gas in a block; fixed when the chain is made.
        validators: nodes that agree on the first epoch's blocks; fixed when the chain is made.
        epoch_blocks: blocks after which validators are elected; fixed when the chain is made.
        log_filter: what the nodes log, such as ``info`` or ``candela=debug,warn``.
        log_format: ``plain`` for people or ``json``, one object a line.
    """

    data: Path
    port: int
    providers: int
    block_gas: int = DEFAULT_BLOCK_GAS
    validators: int = 1
    epoch_blocks: int = EPOCH_BLOCKS
    log_filter: str = "info"
    log_format: str = "plain"


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _probe(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _port_taken(port, error.strerror or "") from None
            raise NetworkError(
                f"port {port} can't be used", why=error.strerror or str(error), fix="choose another port with --port"
            ) from None


def _port_taken(port: int, why: str) -> PortTakenError:
    return PortTakenError(
        f"port {port} is taken by another program",
        why=why,
        fix="stop that program, or choose another port with --port",
    )


class Child:
    """One process of the network; its first line on stdout says that it is ready.

    Args:
        name: for messages and its log file.
        command: what to run.
        log: where its stderr goes.
    """

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            # In a session of its own: Ctrl-C reaches the supervisor alone, which stops the others in order.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
            )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - it was asked for above
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def ready(self, deadline: float) -> dict[str, Any]:
        """The JSON of its first line.

        Raises:
            NetworkError: it ended or said nothing in time.
        """
        try:
            line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.01))
            return json.loads(line)
        except (queue.Empty, ValueError):
            raise NetworkError(f"the {self.name} did not start", why=self.tail(), fix=f"see {self.log}") from None

    def tail(self) -> str:
        """The end of its log."""
        return " / ".join(self.log.read_text(errors="replace").strip().splitlines()[-_TAIL_LINES:])

    def stop(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def join(self) -> None:
        """Wait until it has ended; kill it if it does not."""
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Devnet:
    """Starts a network, watches over it, and stops all of it.

    Args:
        settings: how to start it.
        say: called with news for people.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
        self.settings, self._say = settings, say
        self.nodes: list[Child] = []
        self._endpoints: list[dict[str, str]] = []
        self._members: list[dict[str, Any]] = []
        self.providers: list[Child] = []
        self._restarts = 0
        self._provider_restarts: dict[int, int] = {}
        self._gone: set[int] = set()
        self._lock: int | None = None
        self.ready: Ready | None = None

    def __enter__(self) -> Self:
        """Start everything."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.stop()

    def _start(self) -> None:
        data = self.settings.data
        _probe(self.settings.port)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._hold(data)
        check_count(data, self.settings.validators)
        keys = self._keys()
        endpoints = self._start_nodes(keys)
        store = (data / "store").resolve().as_uri()
        deadline = time.monotonic() + _READY_SECONDS
        for index in range(self.settings.providers):
            self.providers.append(self._start_provider(index, keys["providers"][index], endpoints, store))
        states = [provider.ready(deadline) for provider in self.providers]
        accounts = [Account(bytes.fromhex(secret)) for secret in keys["accounts"]]
        self.ready = Ready(
            rpc=endpoints["http"],
            ws=endpoints["ws"],
            chain_id=CHAIN_ID,
            store=store,
            data=str(data.resolve()),
            accounts=[{"address": each.address, "private_key": each.export()} for each in accounts],
            providers=states,
            validators=self._endpoints,
        )
        self._write_network(keys["accounts"][0])

    def _hold(self, data: Path) -> None:
        import fcntl

        self._lock = os.open(data / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DirectoryHeldError(
                f"another `candela up` uses {data}", fix="stop it, or choose another folder with --data"
            ) from None

    def _keys(self) -> dict[str, list[str]]:
        path = self.settings.data / "accounts.json"
        if path.exists():
            return json.loads(path.read_text())
        fresh = {
            name: [Account.create().export().removeprefix("0x") for _ in range(count)]
            for name, count in (("accounts", ACCOUNTS), ("providers", MAX_PROVIDERS))
        }
        _write_private(path, json.dumps(fresh))
        return fresh

    def _genesis(self, keys: dict[str, list[str]]) -> dict[str, Any]:
        path = self.settings.data / "genesis.json"
        if path.exists():
            return json.loads(path.read_text())
        secrets = keys["accounts"] + keys["providers"]
        balances = {Account(bytes.fromhex(secret)).address: _FUNDS for secret in secrets}
        operator = Account(bytes.fromhex(keys["accounts"][-1])).address
        elections = Elections(
            keys=tuple(public_key(folder(self.settings.data, index)) for index in range(self.settings.validators)),
            owner=operator,
            safety_fund=operator,
            epoch_blocks=self.settings.epoch_blocks,
        )
        document = genesis(balances, int(time.time() * 1000), self.settings.block_gas, elections)
        _write_private(path, json.dumps(document))
        return document

    def _start_nodes(self, keys: dict[str, list[str]]) -> dict[str, str]:
        count = self.settings.validators
        self._members = committee(self.settings.data, count)
        for index in range(count):
            self.nodes.append(self._spawn_node(index, keys, self.settings.port if index == 0 else 0))
        self._endpoints = [self._node_ready(index) for index in range(count)]
        return self._endpoints[0]

    def _spawn_node(self, index: int, keys: dict[str, list[str]], port: int) -> Child:
        data = self.settings.data
        directory, name = folder(data, index), "node" if index == 0 else f"node-{index}"
        config = {
            "data_dir": str(directory),
            "genesis": self._genesis(keys),
            "fee_recipient": Account(bytes.fromhex(keys["accounts"][-1])).address,
            "rpc": {"host": "127.0.0.1", "port": port},
            "logging": {"filter": self.settings.log_filter, "format": self.settings.log_format},
            **membership(self._members, index),
        }
        _write_private(data / f"{name}.json", json.dumps(config))
        command = [sys.executable, "-m", "candela.network.process", str(data / f"{name}.json")]
        return Child(name.replace("-", " "), command, data / "logs" / f"{name}.log")

    def _node_ready(self, index: int) -> dict[str, str]:
        node = self.nodes[index]
        endpoints = node.ready(time.monotonic() + _READY_SECONDS)
        if "error" not in endpoints:
            return endpoints
        if endpoints["code"] == "node-port-taken":
            raise _port_taken(self.settings.port, endpoints["error"])
        raise NetworkError(f"the {node.name} did not start", why=endpoints["error"], fix=f"see {node.log}")

    def agent(self, index: int) -> list[str]:  # noqa: ARG002 - a subclass may let providers differ
        """The command that runs a provider, up to ``start``."""
        return [sys.executable, "-m", "candela.cli", "provider"]

    def _start_provider(self, index: int, secret: str, endpoints: dict[str, str], store: str) -> Child:
        folder = self.settings.data / "providers" / str(index)
        keyfile = folder / "key"
        if not keyfile.exists():
            _write_private(keyfile, secret)
        command = [*self.agent(index), "start", "--json", "--data", str(folder)]
        command += ["--rpc", endpoints["http"], "--ws", endpoints["ws"], "--store", store, "--keyfile", str(keyfile)]
        # One's own jobs on one's own machine: where bubblewrap is missing the providers offer the tier "none".
        command += ["--allow-unsandboxed", "--audit", "--die-with-parent"]
        return Child(f"provider {index}", command, self.settings.data / "logs" / f"provider-{index}.log")

    def _write_network(self, customer: str) -> None:
        assert self.ready is not None  # noqa: S101 - set by the only caller
        keyfile = self.settings.data / "customer.key"
        _write_private(keyfile, customer)
        ready = self.ready
        network = Network(
            rpc=ready.rpc,
            ws=ready.ws,
            store=ready.store,
            chain_id=ready.chain_id,
            keyfile=str(keyfile.resolve()),
            account_address=ready.accounts[0]["address"],
        )
        network.write(self.settings.data / "network.json")
        if other_running(default_path(), network):
            self._say(f"{default_path()} stays with another running network; to use this one:")
            self._say(f"  export {VARIABLE}={self.settings.data.resolve() / 'network.json'}")
            return
        network.write(default_path())

    def watch(self) -> Iterator[None]:
        """Yield about twice a second; restarts a node or a provider that has crashed.

        Raises:
            NetworkError: nodes crash again and again.
        """
        while True:
            for index, node in enumerate(self.nodes):
                if node.process.poll() is not None:
                    self._count_restart(node)
                    self.restart_node(index)
            self._watch_providers()
            yield
            time.sleep(0.5)

    def _count_restart(self, node: Child) -> None:
        self._restarts += 1
        if self._restarts > _RESTARTS * len(self.nodes):
            raise NetworkError(f"the {node.name} has ended again after {_RESTARTS} restarts", fix=f"see {node.log}")

    def restart_node(self, index: int) -> None:
        """Start a node again that has ended, where it was.

        Raises:
            NetworkError: it does not start.
        """
        node = self.nodes[index]
        self._say(f"the {node.name} ended with status {node.process.returncode}; starting it again")
        port = int(self._endpoints[index]["http"].rpartition(":")[2].strip("/"))
        self.nodes[index] = self._spawn_node(index, self._keys(), port)
        self._node_ready(index)

    def _watch_providers(self) -> None:
        for index, provider in enumerate(self.providers):
            status = provider.process.poll()
            if status is None or index in self._gone or self.ready is None:
                continue
            why = f"the {provider.name} ended with status {status}" + (f": {provider.tail()}" if status else "")
            done = self._provider_restarts.get(index, 0)
            if status == 0 or done >= _PROVIDER_RESTARTS:
                self._gone.add(index)
                self._say(f"{why}; it is not started again")
                continue
            self._provider_restarts[index] = done + 1
            self._say(f"{why}; starting it again")
            endpoints = {"http": self.ready.rpc, "ws": self.ready.ws}
            secret = self._keys()["providers"][index]
            self.providers[index] = self._start_provider(index, secret, endpoints, self.ready.store)

    def stop(self) -> None:
        """Stop the providers, then the nodes, and wait for all of them."""
        for provider in self.providers:
            provider.stop()
        for provider in self.providers:
            provider.join()
        for node in self.nodes:
            node.stop()
        for node in self.nodes:
            node.join()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def default_data() -> Path:
    """Where ``candela up`` keeps its network unless told otherwise."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "candela" / "devnet"
