"""Search the parameters of a classifier for handwritten digits over a pool of machines.

Each task cross-validates one setting of a support vector machine on the UCI handwritten digits that scikit-learn ships
(1,797 pictures of 8 x 8 pixels).

    python examples/digits.py               # over the network that `candela up` started
    python examples/digits.py --local       # on this machine alone
"""

from __future__ import annotations

import argparse
import itertools
import time

import candela

app = candela.App("digits", budget="2.50")


@app.function(device="any", timeout=120, memory="1GiB")
def cross_validate(c: float, gamma: float, folds: int) -> dict[str, float]:
    """Accuracy of one setting: mean and standard deviation over the folds.

    Args:
        c: how strongly errors are punished.
        gamma: inverse squared width of the kernel, for pixels scaled to [0, 1].
        folds: parts that the data is split into.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    pictures, labels = load_digits(return_X_y=True)
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    machine = SVC(C=c).set_params(gamma=gamma)
    scores = cross_val_score(machine, pictures / 16, labels, cv=splits)
    return {"mean": float(scores.mean()), "deviation": float(scores.std())}


def main() -> None:
    """Run the search and show the best settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--local", action="store_true", help="use this machine and no network")
    chosen = parser.parse_args()
    grid = list(itertools.product((0.3, 1.0, 3.0, 10.0), (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)))
    started = time.monotonic()
    with app.run(local=chosen.local) as run:
        scores = list(cross_validate.starmap((c, gamma, chosen.folds) for c, gamma in grid))
    seconds = time.monotonic() - started
    ranked = sorted(zip(grid, scores, strict=True), key=lambda each: -each[1]["mean"])
    print("     C   gamma   accuracy")
    for (c, gamma), score in ranked[:5]:
        print(f"{c:6.1f}  {gamma:6.2f}   {100 * score['mean']:.2f} % +- {100 * score['deviation']:.2f}")
    from candela.amounts import format_cnd

    print(f"settings: {len(grid)}, each over {chosen.folds} folds")
    print(f"cost:     {format_cnd(app.spent)}")
    print(f"energy:   {sum(job.energy_joules for job in run.jobs):.1f} J")
    print(f"time:     {seconds:.1f} s")


if __name__ == "__main__":
    main()
