"""What a node costs while nothing happens."""

from __future__ import annotations

import time

import psutil

from benches.report import Row, row
from benches.targets import Target


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def idle(target: Target, seconds: float) -> list[Row]:
    """CPU share of one core and resident memory of ``target``'s processes over ``seconds`` without traffic.

    Memory is the proportional share (PSS), so pages that processes share count once.
    """
    processes = _tree(target.pid)
    before, started = _cpu_seconds(processes), time.monotonic()
    time.sleep(seconds)
    share = 100 * (_cpu_seconds(processes) - before) / (time.monotonic() - started)
    memory = sum(process.memory_full_info().pss for process in processes) / 2**20
    mix = f"idle network, no providers, {len(processes)} processes, {seconds:.0f} s"
    return [
        row("idle", target.name, "CPU of one core", "%", [share], mix),
        row("idle", target.name, "memory", "MiB", [memory], mix),
    ]
