"""The command line of a soak: a seed, how long or how often, and the result as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.soak.scratch import scratch
from tests.soak.server import BrokenPromiseError


def command(
    description: str | None,
    count: tuple[str, int],
    run: Callable[[int, int, Path], dict[str, Any]],
    failures: tuple[type[Exception], ...] = (),
    prepare: Callable[[], None] | None = None,
) -> int:
    """Run a soak from the command line; the exit status.

    Args:
        description: what it does.
        count: the option that says how long or how often, and its default.
        run: takes seed, count and an empty folder.
        failures: what it may raise besides a broken promise.
        prepare: comes before there is a folder.
    """
    name, default = count
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(f"--{name}", type=int, default=default, dest="count")
    options = parser.parse_args()
    try:
        if prepare is not None:
            prepare()
        with scratch() as directory:
            result = run(options.seed, options.count, directory)
    except (BrokenPromiseError, *failures) as failure:
        print(f"seed {options.seed}: {failure}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0
