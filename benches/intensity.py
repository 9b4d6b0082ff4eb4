"""Proof of Intensity on this machine's CPU: what proving costs, and what checking costs: ``make bench-intensity``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benches.report import Row, compare, row, save, table
from candela.intensity import C1, G1, SAMPLES, Context, Prover, drawn, verify
from candela.intensity.tiles import Tiles

_LATER = b"\x09" * 32


def _seconds(work: Callable[[], Any], runs: int) -> tuple[list[float], list[float], Any]:
    """Wall-clock and CPU seconds of each run, and what the last one gave."""
    walls, cpus, result = [], [], None
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return walls, cpus, result


def _context(profile: Any) -> Context:
    return Context(4_410_948, b"\x01" * 20, profile, b"\x02" * 32, b"\x03" * 20, 0)


def _c1(units: int, runs: int) -> list[Row]:
    context, mix = _context(C1), f"C1, {units} units"
    prover = Prover()
    walls, cpus, window = _seconds(lambda: prover.prove(context, units), runs)
    generator = np.random.default_rng(1)
    factors = generator.integers(-8, 8, (2, C1.m, C1.k)).astype(np.float32)
    plain, _, _ = _seconds(lambda: [factors[0] @ factors[1].T for _ in range(units)], runs)
    commitment = window.commitment()
    indices = drawn(context, commitment, _LATER)
    opening, _, openings = _seconds(lambda: [window.open(index) for index in indices], runs)
    checks, check_cpus, _ = _seconds(lambda: verify(context, commitment, _LATER, openings), 3 * runs)
    operations = units * C1.operations / 1e12
    ratios = median(walls) / median(checks), median(cpus) / median(check_cpus)
    print(f"prover : verifier, {ratios[0]:.0f} in wall-clock time, {ratios[1]:.0f} in CPU time")
    return [
        row("PoI", "matrix product", "window", "Gop/s", [1e3 * operations / each for each in plain], mix),
        row("PoI", "prover", "window", "Gop/s", [1e3 * operations / each for each in walls], mix),
        row("PoI", "prover", "prove", "s", walls, mix),
        row("PoI", "prover", "open 64 tiles", "ms", [each * 1e3 for each in opening], mix),
        row("PoI", "verifier", "verify", "ms", [each * 1e3 for each in checks], mix),
        row("PoI", "verifier", "verify, CPU", "ms", [each * 1e3 for each in check_cpus], mix),
    ]


def _g1(runs: int) -> list[Row]:
    """Recomputing tiles is all but a few milliseconds of a check; a whole unit would take a CPU a minute."""
    context = _context(G1)
    indices = [int(each) for each in np.random.default_rng(1).integers(0, G1.tiles, SAMPLES)]

    def share(number: int) -> None:
        tiles = Tiles(context)
        for index in indices[number::2]:
            tiles.tile(index)

    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(share, range(2)))

    walls, _, _ = _seconds(both, runs)
    return [row("PoI", "verifier", "64 tiles, 2 threads", "ms", [each * 1e3 for each in walls], "G1")]


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benches.intensity", description=__doc__)
    parser.add_argument("--short", action="store_true", help="small sizes; figures are only indicative")
    parser.add_argument("--json", type=Path, default=Path("out/bench-intensity.json"), help="where the JSON goes")
    arguments = parser.parse_args()
    rows = _c1(2, 1) if arguments.short else _c1(12, 5)
    rows += _g1(1 if arguments.short else 5)
    compare(rows, "matrix product")
    print(table(rows))
    save(rows, arguments.json)
    print(f"\nJSON: {arguments.json}")


if __name__ == "__main__":
    main()
