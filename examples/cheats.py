"""Providers that cheat, for `make demo-cheat` and the tests: python examples/cheats.py CHEAT start ...

The agent is the product's own; one of its parts is replaced before it starts.
"""

from __future__ import annotations

import hashlib
import sys

from candela import values
from candela.artefacts import ArtefactStore
from candela.chain.market import Outcome
from candela.provider.executor import Executor, Finished
from candela.provider.metering import Usage


def lie_about_results() -> None:
    """Answer at once with a number that is made up, and charge for a whole second."""

    def run(self: Executor, task_input: bytes) -> Finished:  # noqa: ARG001 - the input is what it does not look at
        usage = Usage(self._sandbox or self._start(), self._device)
        usage.stop()
        usage.cpu_seconds = usage.wall_seconds = 1.0
        return Finished(Outcome.OK, values.encode({"value": 42.0}), usage)

    Executor.run = run


def withhold() -> None:
    """State the hash of each output and store none."""

    def put(self: ArtefactStore, data: bytes) -> str:  # noqa: ARG001 - it is kept nowhere
        return hashlib.sha256(data).hexdigest()

    ArtefactStore.put = put


CHEATS = {"results": lie_about_results, "withhold": withhold}


def main() -> None:
    """Run the agent with one part replaced; what follows the cheat's name goes to ``candela provider``."""
    CHEATS[sys.argv.pop(1)]()
    from candela.cli.provider import app

    app()


if __name__ == "__main__":
    main()
