"""A node in the process of a test, and nodes in processes of their own that know each other."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from candela import _ledger
from candela.chain.client import Client
from candela.network.devnet import Child
from candela.network.validators import folder, membership

DEADLINE_SECONDS = 60


def alone(folder: Path, genesis: dict[str, Any], *, port: int = 0, **settings: Any) -> _ledger.Node:
    """A node with one validator in this process, to be started; clients find it at ``port``, or at a free one."""
    config = {
        "data_dir": str(folder),
        "genesis": genesis,
        "fee_recipient": "0x" + "11" * 20,
        "rpc": {"host": "127.0.0.1", "port": port, "cors_origins": []},
    }
    return _ledger.Node(json.dumps(config | settings))


@contextmanager
def client_of(folder: Path, genesis: dict[str, Any], **settings: Any) -> Iterator[Client]:
    """A client of a node in this process, made as by :func:`alone`, which then stops."""
    node = alone(folder, genesis, **settings)
    client = Client(node.start()["http"])
    try:
        yield client
    finally:
        client.close()
        node.stop()


def here(_: int) -> list[str]:
    """No prefix: the node runs where the test does."""
    return []


class Nodes:
    """Nodes that are started, killed and started again.

    Args:
        directory: where they keep their folders, configurations and logs.
        genesis: the chain.
        members: their voting keys and addresses for each other, as ``candela.network.validators.committee`` makes them.
        rpc: where each one takes clients.
        fee_recipient: who gets the fees of their blocks.
        within: what stands before the command that runs a node.
        logged: the filter of what they log.
    """

    def __init__(
        self,
        directory: Path,
        genesis: dict[str, Any],
        members: Sequence[dict[str, Any]],
        rpc: Sequence[tuple[str, int]],
        fee_recipient: str,
        within: Callable[[int], list[str]] = here,
        logged: str = "info",
    ) -> None:
        self._directory, self._genesis, self._members = directory, genesis, list(members)
        self._rpc, self._fee_recipient, self._within = list(rpc), fee_recipient, within
        self._logged = logged
        self._running: dict[int, Child] = {}

    def log(self, index: int) -> Path:
        """What a node logs."""
        return self._directory / f"{index}.log"

    def start(self, *indexes: int) -> list[str]:
        """Start nodes at the same time; the URL of each.

        Raises:
            NetworkError: one does not start.
        """
        for index in indexes:
            self._running[index] = self._spawn(index)
        deadline = time.monotonic() + DEADLINE_SECONDS
        answers = [self._running[index].ready(deadline) for index in indexes]
        for answer in answers:
            assert "error" not in answer, answer["error"]
        # Where it listens again after a kill, so that clients find it.
        for index, answer in zip(indexes, answers, strict=True):
            self._rpc[index] = (self._rpc[index][0], int(answer["http"].rpartition(":")[2].strip("/")))
        return [answer["http"] for answer in answers]

    def _spawn(self, index: int) -> Child:
        host, port = self._rpc[index]
        config = {
            "data_dir": str(folder(self._directory, index)),
            "genesis": self._genesis,
            "fee_recipient": self._fee_recipient,
            "rpc": {"host": host, "port": port},
            "logging": {"filter": self._logged, "format": "plain"},
            **membership(self._members, index),
        }
        path = self._directory / f"{index}.json"
        path.write_text(json.dumps(config))
        command = [*self._within(index), sys.executable, "-m", "candela.network.process", str(path)]
        return Child(f"node {index}", command, self.log(index))

    def kill(self, index: int) -> None:
        """End a node without warning."""
        process = self._running.pop(index).process
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE_SECONDS)

    def stop(self) -> None:
        """End all of them."""
        for node in self._running.values():
            node.stop()
        for node in self._running.values():
            node.join()
