"""The node as a process of its own: ``python -m candela.network.process CONFIG`` runs until it is told to stop."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from candela import _ledger
from candela.network.parent import die_with_parent

_WATCH_SECONDS = 0.5


def main() -> None:
    """Start the node, print its endpoints as one JSON line, and wait for SIGTERM or SIGINT."""
    die_with_parent()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    node = _ledger.Node(Path(sys.argv[1]).read_text())
    try:
        endpoints = node.start()
    except _ledger.NodeError as error:
        sys.stdout.write(json.dumps({"error": str(error), "code": getattr(error, "code", "")}) + "\n")
        raise SystemExit(1) from None
    sys.stdout.write(json.dumps(endpoints) + "\n")
    sys.stdout.flush()
    while not stopping.wait(_WATCH_SECONDS):
        failure = node.failure()
        if failure is not None:
            sys.stderr.write(f"the node has failed: {failure}\n")
            raise SystemExit(1)
    node.stop()


if __name__ == "__main__":
    main()
