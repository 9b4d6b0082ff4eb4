"""``python -m benches [--short] [--only W1 ...] [--json PATH]``: see ``make bench``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benches import idle, load, targets
from benches.report import Row, compare, save, table

_WORKLOADS = ("W1", "W3", "W8", "idle")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--short", action="store_true", help="small sizes; figures are only indicative")
    parser.add_argument("--only", nargs="+", choices=_WORKLOADS, default=_WORKLOADS, help="workloads to run")
    parser.add_argument("--no-peers", action="store_true", help="leave out geth and anvil")
    parser.add_argument("--batch", type=int, default=100, help="transactions per JSON-RPC request")
    parser.add_argument("--json", type=Path, default=Path("out/bench.json"), help="where the JSON goes")
    return parser.parse_args()


def _ledger_rows(arguments: argparse.Namespace) -> list[Row]:
    mix = load.Mix(senders=100, transactions=2_000 if arguments.short else 20_000, batch=arguments.batch, connections=4)
    runs = 1 if arguments.short else 3
    workloads = [run for name, run in (("W1", load.transfers), ("W3", load.erc20)) if name in arguments.only]
    rows: list[Row] = []
    for workload in workloads:
        with targets.candela() as (target, _):
            rows += workload(target, mix, runs)
        for peer in () if arguments.no_peers else (targets.geth, targets.anvil):
            with peer() as target:
                if target is None:
                    print(f"{peer.__name__} is not installed: left out")
                    continue
                try:
                    rows += workload(target, mix, runs)
                except load.TargetError as error:
                    print(f"{peer.__name__} is left out of this workload: {error}")
    return rows


def main() -> None:
    """Run what the command line asks for."""
    arguments = _arguments()
    rows = _ledger_rows(arguments)
    if "W8" in arguments.only:
        from benches import tasks

        with targets.candela(providers=4) as (_, ready):
            tasks_a_run, runs = (200, 1) if arguments.short else (4_000, 3)
            rows += tasks.settled(Path(ready["data"]) / "network.json", tasks_a_run, runs)
    if "idle" in arguments.only:
        with targets.candela() as (target, _):
            rows += idle.idle(target, 5 if arguments.short else 30)
    compare(rows, "geth")
    print(table(rows))
    save(rows, arguments.json)
    print(f"\nJSON: {arguments.json}")


if __name__ == "__main__":
    main()
