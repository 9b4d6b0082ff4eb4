"""Four validators in processes of their own, and what they use."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benches.load import Sender
from benches.targets import Target
from benches.wire import Connection, quantity
from candela._ledger import decode_header
from candela.network.devnet import Devnet, Settings

VALIDATORS = 4
NAME = f"{VALIDATORS} nodes"
_DEADLINE_SECONDS = 60
_POLL_SECONDS = 0.002
_SOCKET = re.compile(r"pid=(\d+)")
_SENT = re.compile(r"bytes_sent:(\d+)")


class Committee:
    """A running network of validators and one account that pays."""

    def __init__(self, network: Devnet) -> None:
        assert network.ready is not None  # noqa: S101 - it was started
        self.network = network
        self.chain_id = network.ready.chain_id
        self.ports = [int(each["http"].rpartition(":")[2].strip("/")) for each in network.ready.validators]
        self.funder = bytes.fromhex(network.ready.accounts[0]["private_key"].removeprefix("0x"))
        self._prober = Sender(self.chain_id)
        self._prober.secret = bytes.fromhex(network.ready.accounts[1]["private_key"].removeprefix("0x"))

    def target(self) -> Target:
        """The first validator as a target for workloads."""
        return Target(NAME, self.ports[0], self.chain_id, self.pids()[0], self.funder)

    def pids(self) -> list[int]:
        """The processes of the validators."""
        return [node.process.pid for node in self.network.nodes]

    def logs(self) -> list[Path]:
        """What the validators log."""
        return [node.log for node in self.network.nodes]

    def submit(self, at: int) -> str:
        """Send one transfer to validator ``at``; its hash."""
        raw = self._prober.sign("0x" + "09" * 20, value=1)
        return Connection(self.ports[at]).call("eth_sendRawTransaction", "0x" + raw.hex())

    def is_final(self, connection: Connection, digest: str) -> bool:
        """Whether the validator behind ``connection`` has the receipt."""
        return connection.call("eth_getTransactionReceipt", digest) is not None

    def finality(self, at: int) -> float:
        """Seconds from sending a transfer to validator ``at`` until it has the receipt."""
        connection = Connection(self.ports[at])
        began = time.monotonic()
        digest = self.submit(at)
        until(lambda: self.is_final(connection, digest), f"{digest} is final at validator {at}")
        return time.monotonic() - began

    def height(self, at: int) -> int:
        """The head of validator ``at``."""
        return quantity(Connection(self.ports[at]).call("eth_blockNumber"))

    def intervals(self, at: int, blocks: range) -> list[float]:
        """Seconds between blocks and those before them, by their timestamps, as validator ``at`` has them."""
        connection = Connection(self.ports[at])
        headers = [connection.call("candela_getHeader", hex(number))["headerBytes"] for number in blocks]
        times = [decode_header(bytes.fromhex(header[2:]))["timestamp_ms"] for header in headers]
        return [(later - earlier) / 1_000 for earlier, later in itertools.pairwise(times)]

    def kill(self, at: int) -> None:
        """End validator ``at`` without warning."""
        process = self.network.nodes[at].process
        process.kill()
        process.wait(_DEADLINE_SECONDS)

    def cpu_seconds(self) -> float:
        """Processor time of every validator so far."""
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in self.pids())

    def sent_bytes(self) -> int | None:
        """Bytes that the validators have sent to each other so far; ``None`` without the program ``ss``."""
        try:
            answer = subprocess.run(["ss", "-tinpH"], check=True, stdout=subprocess.PIPE, text=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None
        return _sent_by(answer, self.pids(), self.ports)


def _sent_by(listing: str, pids: list[int], rpc_ports: list[int]) -> int:
    """Bytes in a listing of ``ss`` that these processes sent over connections other than JSON-RPC's."""
    wanted, ports, total = set(map(str, pids)), {f":{port}" for port in rpc_ports}, 0
    lines = listing.splitlines()
    for head, details in itertools.pairwise(lines):
        owners, sent = _SOCKET.findall(head), _SENT.search(details)
        if not wanted.intersection(owners) or sent is None:
            continue
        if not any(head.split()[3].endswith(port) for port in ports):
            total += int(sent.group(1))
    return total


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for ``condition``.

    Raises:
        TimeoutError: it does not hold in time.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_DEADLINE_SECONDS} s: {what}")
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def committee(**settings: Any) -> Iterator[Committee]:
    """Four validators on a fresh directory."""
    with tempfile.TemporaryDirectory(prefix="candela-bench-") as data:
        # The user's own default network stays what it is.
        os.environ["XDG_CONFIG_HOME"] = data
        with Devnet(
            Settings(data=Path(data) / "data", port=0, providers=0, validators=VALIDATORS, **settings)
        ) as network:
            yield Committee(network)
