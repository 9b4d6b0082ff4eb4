"""The node as a process of its own: ``python -m candela.network.process CONFIG`` runs until it is told to stop.

It votes with the plain key in its folder, so it serves development networks only; ``candela validator run`` opens
encrypted ones.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from candela import _ledger
from candela.network.genesis import CHAIN_ID
from candela.network.parent import die_with_parent

_WATCH_SECONDS = 0.5


def serve(node: _ledger.Node) -> None:
    """Start a node, print its endpoints as one JSON line, and wait for SIGTERM or SIGINT.

    Raises:
        NodeError: it can't start.
        SystemExit: it has ended by itself; the status is 1.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    sys.stdout.write(json.dumps(node.start()) + "\n")
    sys.stdout.flush()
    _notify("READY=1")
    while not stopping.wait(_WATCH_SECONDS):
        failure = node.failure()
        if failure is not None:
            sys.stderr.write(f"the node has failed: {failure}\n")
            raise SystemExit(1)
    _notify("STOPPING=1")
    node.stop()


def _notify(state: str) -> None:
    """Tell systemd, where it has asked (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def main() -> None:
    """Run the node of a configuration file; end with the process that started it."""
    die_with_parent()
    text = Path(sys.argv[1]).read_text()
    try:
        node = _ledger.Node(text)
        chain_id = json.loads(text)["genesis"]["chainId"]
        if chain_id != CHAIN_ID:
            _refuse(f"chain {chain_id} is no development network: use candela validator run", "node-config")
        serve(node)
    except _ledger.NodeError as error:
        _refuse(str(error), getattr(error, "code", ""))


def _refuse(why: str, code: str) -> None:
    sys.stdout.write(json.dumps({"error": why, "code": code}) + "\n")
    raise SystemExit(1) from None


if __name__ == "__main__":
    main()
