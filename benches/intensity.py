"""Proof of Intensity on this machine: what proving costs, and what checking costs: ``make bench-intensity``."""

from __future__ import annotations

import argparse
import importlib
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
from candela.intensity.torch_path import TorchPath, exact_paths, fastest_prover

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
    opening, _, openings = _seconds(lambda: window.open(indices), runs)
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


def _gpu(device: str, runs: int) -> list[Row]:
    """Each exact data type of a GPU on whole units, and the fastest one's window from proof to check."""
    context, mix = _context(G1), f"G1, {importlib.import_module('torch').cuda.get_device_name(device)}"
    rows = [each for path in exact_paths(device, G1) for each in _path(path, context, mix, runs)]
    window = fastest_prover(device, G1)[0].prove(context, 64)
    indices = drawn(context, window.commitment(), _LATER)
    opening, _, openings = _seconds(lambda: window.open(indices), 1)
    checks, _, _ = _seconds(lambda: verify(context, window.commitment(), _LATER, openings), runs)
    mix = f"{mix}, 64 units"
    rows.append(row("PoI", "prover", "open 64 tiles", "ms", [each * 1e3 for each in opening], mix))
    rows.append(row("PoI", "verifier", "verify", "ms", [each * 1e3 for each in checks], mix))
    return rows


def _path(path: TorchPath, context: Context, mix: str, runs: int) -> list[Row]:
    """A data type's plain product, the stages that a proof adds to it, and windows of about three seconds."""
    stages = _stages(path, context, runs)
    work, target = G1.operations / 1e12, f"{path.kind} prover"
    units = max(16, int(3 / median(stages["product"])))
    prover = Prover(path, G1)
    walls, _, _ = _seconds(lambda: prover.prove(context, units), runs)
    window = [units * work / seconds for seconds in walls]
    print(f"{path.kind}: a window is {median(window) * median(stages['product']) / work:.2f} of the plain product")
    rows = [row("PoI", target, name, "ms", [1e3 * seconds for seconds in taken], mix) for name, taken in stages.items()]
    rows.append(row("PoI", path.kind, "window", "Top/s", [work / seconds for seconds in stages["product"]], mix))
    return [*rows, row("PoI", target, "window", "Top/s", window, mix)]


def _stages(path: TorchPath, context: Context, runs: int) -> dict[str, list[float]]:
    """Seconds of the parts of a unit."""
    seed, wait = context.seed(0), importlib.import_module("torch").cuda.synchronize

    def each(work: Callable[[], Any], count: int = 10) -> list[float]:
        def several() -> None:
            for _ in range(count):
                work()
            wait(path.device)

        several()
        return [seconds / count for seconds in _seconds(several, runs)[0]]

    left, right = (path.panel(seed, side, 0, G1.m, G1.k) for side in (b"A", b"B"))
    leaves = [path.leaves(left, right, 0, 0)]
    return {
        "product": each(lambda: path._product(left, right)),
        "panel": each(lambda: path.panel(seed, b"B", 0, G1.n, G1.k)),
        "product and leaves": each(lambda: path.leaves(left, right, 0, 0)),
        "root": each(lambda: path.root(leaves)),
    }


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benches.intensity", description=__doc__)
    parser.add_argument("--short", action="store_true", help="small sizes; figures are only indicative")
    parser.add_argument("--gpu", metavar="DEVICE", help="measure a GPU as well, for instance cuda:0; needs PyTorch")
    parser.add_argument("--json", type=Path, default=Path("out/bench-intensity.json"), help="where the JSON goes")
    arguments = parser.parse_args()
    rows = _c1(2, 1) if arguments.short else _c1(12, 5)
    rows += _g1(1 if arguments.short else 5)
    if arguments.gpu:
        rows += _gpu(arguments.gpu, 1 if arguments.short else 3)
    compare(rows, "matrix product")
    print(table(rows))
    save(rows, arguments.json)
    print(f"\nJSON: {arguments.json}")


if __name__ == "__main__":
    main()
