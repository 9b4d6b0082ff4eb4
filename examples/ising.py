"""Find the phase transition of the two-dimensional Ising model over a pool of machines.

Each task simulates one temperature: chessboard Metropolis updates of a periodic lattice, in units of the coupling. The
peak of the susceptibility lies near Onsager's critical temperature, 2 / ln(1 + sqrt 2) = 2.269.

    python examples/ising.py                # over the network that `candela up` started
    python examples/ising.py --local        # on this machine alone
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import candela

ONSAGER = 2 / math.log(1 + math.sqrt(2))

app = candela.App("ising", budget="2.50")


@app.function(device="any", timeout=120, memory="512MiB")
def simulate(temperature: float, size: int, sweeps: int, seed: int) -> dict[str, float]:
    """Magnetisation, susceptibility and Binder cumulant at one temperature.

    Args:
        temperature: in units of the coupling over Boltzmann's constant.
        size: sites along each side, even.
        sweeps: updates of the whole lattice; the first fifth is left out of the averages.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    spins = np.ones((size, size), dtype=np.int8)
    even = np.add.outer(np.arange(size), np.arange(size)) % 2 == 0
    # A flip costs 2 s (sum of neighbours), which takes five values.
    acceptance = np.exp(-2 * np.arange(-4, 5) / temperature).astype(np.float32)
    moments = []
    for sweep in range(sweeps):
        for colour in (even, ~even):
            columns = np.roll(spins, 1, 1) + np.roll(spins, -1, 1)
            neighbours = np.roll(spins, 1, 0) + np.roll(spins, -1, 0) + columns
            chance = acceptance[spins * neighbours + 4]
            flips = colour & (random.random((size, size), dtype=np.float32) < chance)
            spins[flips] *= -1
        if sweep >= sweeps // 5:
            moments.append(spins.mean())
    m = np.abs(np.array(moments))
    square, fourth = (m**2).mean(), (m**4).mean()
    return {
        "magnetisation": float(m.mean()),
        "susceptibility": float(size**2 * m.var() / temperature),
        "binder": float(1 - fourth / (3 * square**2)),
    }


def critical_temperature(temperatures: np.ndarray, susceptibility: np.ndarray) -> tuple[float, float]:
    """Peak of a parabola through the highest values, and the spacing of the temperatures as its uncertainty."""
    peak = int(np.clip(np.argmax(susceptibility), 2, len(temperatures) - 3))
    near = slice(peak - 2, peak + 3)
    a, b, _ = np.polyfit(temperatures[near], susceptibility[near], 2)
    spacing = float(np.diff(temperatures[near]).mean())
    vertex = -b / (2 * a) if a < 0 else temperatures[peak]
    return float(np.clip(vertex, temperatures[peak] - spacing, temperatures[peak] + spacing)), spacing


def draw_terminal(temperatures: np.ndarray, magnetisation: np.ndarray, critical: float) -> None:
    """Magnetisation against temperature in at most 80 columns."""
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.plot_size(78, 18)
    figure.theme("clear")
    figure.title("|magnetisation| against temperature")
    figure.draw(figure.signal(temperatures.tolist(), magnetisation.tolist(), marker="braille").lines())
    figure.line(critical, orientation=1, label=f"{critical:.2f}")
    figure.show(colorless=not sys.stdout.isatty())


def draw_png(path: Path, temperatures: np.ndarray, points: list[dict[str, float]], critical: float) -> None:
    """Magnetisation and susceptibility as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 1, sharex=True, figsize=(7, 7), layout="constrained")
    for axis, name in zip(axes, ("magnetisation", "susceptibility"), strict=True):
        axis.plot(temperatures, [each[name] for each in points], "o-", markersize=3)
        axis.axvline(critical, linestyle="--", color="black", label=f"peak: {critical:.3f}")
        axis.axvline(ONSAGER, linestyle=":", color="grey", label=f"Onsager: {ONSAGER:.3f}")
        axis.set_ylabel(name)
        axis.legend()
    axes[1].set_xlabel("temperature (J / k)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=48, help="sites along each side, even")
    parser.add_argument("--sweeps", type=int, default=3_000, help="updates of the whole lattice for each point")
    parser.add_argument("--points", type=int, default=32, help="temperatures from 1.6 to 3.2, at least 8")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--local", action="store_true", help="use this machine and no network")
    parser.add_argument("--png", type=Path, help="draw a picture into this file")
    chosen = parser.parse_args()
    if chosen.size < 4 or chosen.size % 2 or chosen.points < 8 or chosen.sweeps < 10:
        parser.error("--size must be even and at least 4, --points at least 8, --sweeps at least 10")
    return chosen


def main() -> None:
    """Run the simulation and show what came of it."""
    chosen = arguments()
    temperatures = np.linspace(1.6, 3.2, chosen.points)
    tasks = [(float(t), chosen.size, chosen.sweeps, chosen.seed * 1_000 + i) for i, t in enumerate(temperatures)]
    started = time.monotonic()
    with app.run(local=chosen.local) as run:
        points = list(simulate.starmap(tasks))
    seconds = time.monotonic() - started
    curves = {name: np.array([point[name] for point in points]) for name in points[0]}
    critical, uncertainty = critical_temperature(temperatures, curves["susceptibility"])
    draw_terminal(temperatures, curves["magnetisation"], critical)
    if chosen.png:
        draw_png(chosen.png, temperatures, points, critical)
    report(run, critical, uncertainty, seconds)


def report(run: Any, critical: float, uncertainty: float, seconds: float) -> None:
    """Print the findings and what they took."""
    from candela.amounts import format_cnd

    print(f"critical temperature: {critical:.3f} +- {uncertainty:.3f} (Onsager: {ONSAGER:.3f})")
    print(f"cost:   {format_cnd(app.spent)}")
    print(f"energy: {sum(job.energy_joules for job in run.jobs):.1f} J")
    print(f"time:   {seconds:.1f} s")


if __name__ == "__main__":
    main()
