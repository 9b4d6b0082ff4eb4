"""W8 end to end: trivial tasks over four CPU providers, each settled with its own receipt."""

from __future__ import annotations

import time
from pathlib import Path

import candela
from benches.report import Row, row

app = candela.App("bench", budget="1000")


@app.function(device="any", timeout=60)
def successor(number: int) -> int:
    """The next number."""
    return number + 1


def settled(network: Path, tasks: int, runs: int) -> list[Row]:
    """Tasks per second from ``map`` to the last checked result, on the network of a configuration file."""
    rates = []
    for _ in range(runs):
        with app.run(network=network):
            started = time.monotonic()
            results = list(successor.map(range(tasks)))
            rates.append(tasks / (time.monotonic() - started))
        if results != [number + 1 for number in range(tasks)]:
            raise RuntimeError("a task returned a wrong result")
    mix = f"W8 trivial tasks, one receipt each; four CPU providers; {tasks} a run"
    return [row("W8", "candela", "settled", "tasks/s", rates, mix)]
