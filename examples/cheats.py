"""Providers that cheat, for `make demo-cheat` and the tests: python examples/cheats.py CHEAT start ...

The agent is the product's own; one of its parts is replaced before it starts.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable

import msgspec

from candela import values
from candela.artefacts import ArtefactStore
from candela.chain.audits import Verdict
from candela.chain.market import Outcome
from candela.intensity.opening import Opening
from candela.intensity.profile import C1, TILE
from candela.provider.examination import Examiner, Finding, Statement
from candela.provider.executor import Executor, Finished
from candela.provider.metering import EnergyMethod, Usage
from candela.trace import commit


def lie_about_results() -> None:
    """Answer at once with a number that is made up, and charge for a whole second."""

    def run(self: Executor, task_input: bytes) -> Finished:  # noqa: ARG001 - the input is what it does not look at
        usage = Usage(self._sandbox or self._start(), self._device)
        usage.stop()
        usage.cpu_seconds = usage.wall_seconds = 1.0
        return Finished(Outcome.OK, values.encode({"value": 42.0}), usage)

    Executor.run = run


LIE_AT = 7
"""The step at which the liar leaves the truth, counted from 0."""


def lie_about_a_step() -> None:
    """Go through a task's states honestly up to a step, and make up the rest."""
    honest = Executor.step

    def step(self: Executor, task_input: bytes, state: bytes = b"", limit: int = 0) -> Finished:
        finished = honest(self, task_input, state, limit)
        steps = finished.steps
        if state or steps is None or len(steps.leaves) <= LIE_AT:
            return finished
        made_up = [values.encode({"made up": number}) for number in range(LIE_AT, len(steps.leaves))]
        steps.leaves[LIE_AT:] = [hashlib.sha256(each).digest() for each in made_up]
        steps.state = made_up[-1]
        return Finished(Outcome.OK, commit(steps.leaves).encode(), finished.usage, steps)

    Executor.step = step


def withhold() -> None:
    """State the hash of each output and store none."""

    def put(self: ArtefactStore, data: bytes) -> str:  # noqa: ARG001 - it is kept nowhere
        return hashlib.sha256(data).hexdigest()

    ArtefactStore.put = put


def fake_intensity() -> None:
    """Commit to a window of tiles that were never computed: all of them zero."""
    import numpy as np

    from candela.intensity import path, prover
    from candela.provider import windows

    tile = np.zeros((TILE, TILE), "<i4").tobytes()
    honest = prover.Window.open

    class Nothing(path.HostPath):
        def panel(self, seed: bytes, side: bytes, first: int, count: int, depth: int) -> np.ndarray:  # noqa: ARG002
            return np.zeros((count, depth), np.int8)

        def multiply(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            return np.zeros((len(rows), len(columns)), np.int32)

    class Idle(prover.Prover):
        def __init__(self) -> None:
            super().__init__()
            self._path = Nothing()

    def show(self: prover.Window, indices: Iterable[int]) -> list[Opening]:
        return [msgspec.structs.replace(each, tile=tile) for each in honest(self, indices)]

    prover.Window.open = show
    # What the agent makes its windows with is bound as a default.
    windows.Windows.__init__.__defaults__ = (C1, Idle)


def overstate_energy() -> None:
    """State a thousand times a core's whole power for as long as a task runs, as if a counter had said so."""
    honest = Usage.stop

    def stop(self: Usage) -> None:
        honest(self)
        self.energy_mj, self.energy_method = int(1e9 * (1 + self.wall_seconds)), int(EnergyMethod.RAPL)

    Usage.stop = stop


def agree_unseen() -> None:
    """Judge others for pay, and find every result right without doing the task again."""

    def examine(self: Examiner, stated: Statement) -> Finding:  # noqa: ARG001 - it looks at nothing
        return Finding(Verdict.RIGHT, stated.output_hash, "it will be right")

    Examiner.examine = examine


CHEATS = {
    "audits": agree_unseen,
    "energy": overstate_energy,
    "intensity": fake_intensity,
    "results": lie_about_results,
    "step": lie_about_a_step,
    "withhold": withhold,
}


def main() -> None:
    """Run the agent with one part replaced; what follows the cheat's name goes to ``candela provider``."""
    cheat = sys.argv.pop(1)
    CHEATS[cheat]()
    if cheat == "intensity":
        sys.argv.append("--prove")
    elif cheat == "results" and "--audit" in sys.argv:
        # It would judge others by its own inventions.
        sys.argv.remove("--audit")
    from candela.cli.provider import app

    app()


if __name__ == "__main__":
    main()
