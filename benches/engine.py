"""``python -m benches.engine [--short]``: the ledger engine without RPC; see ``make bench-engine``."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

_SHORT_EXECUTION = ("--transactions", "1000", "--runs", "1")
_SHORT_PIPELINE = ("--transactions", "4000", "--senders", "400")
_PIPELINES = (("W1", "session"), ("W3", "session"), ("W8", "session"), ("W1", "ecdsa"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.engine", description=__doc__)
    parser.add_argument("--short", action="store_true", help="small sizes: checks results, measures little")
    parser.add_argument("--json", type=Path, default=Path("out/bench-engine.json"), help="where the JSON goes")
    return parser.parse_args()


def _run(binary: str, *arguments: str) -> Any:
    command = ["cargo", "run", "--release", "--quiet", "-p", "candela-bench", "--bin", binary, "--", *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _executions(reports: list[dict[str, Any]]) -> str:
    workers = [each["workers"] for each in reports[0]["parallel"]]
    head = f"{'':4}{'workload':26}{'in order/s':>12}{'B/tx':>6}{'MiB':>6}"
    lines = [head + "".join(f" | {count} w: build  CPU  replay ceiling windows" for count in workers)]
    for report in reports:
        line = f"{report['workload']:4}{report['title']:26}{report['sequential']['per_second']:12,.0f}"
        line += f"{report['access_list_bytes'] / report['transactions']:6.0f}{report['peak_memory_bytes'] >> 20:6}"
        for each in report["parallel"]:
            windows = f"{each['shared_windows']}/{each['ordered_windows']}/{each['clashes']}"
            line += (
                f" | {each['build']['ratio']:8.2f}x {each['build']['cpu_ratio']:5.2f} {each['replay']['ratio']:6.2f}x"
            )
            line += f" {each['ceiling']:6.2f}x {windows:>8}"
        lines.append(line)
    lines.append(
        "build and replay: speed over the sequential executor; CPU: its CPU time; windows: shared/in order/clashes\n"
        "ceiling: speed of as many sequential executors, each on a block of its own, over one"
    )
    return "\n".join(lines)


def _pipelines(reports: list[dict[str, Any]]) -> str:
    lines = []
    for report in reports:
        stages = "  ".join(f"{name} {cost[0]:.1f}" for name, cost in sorted(report["stages"].items()))
        lines.append(
            f"{report['workload']} {report['title']}, {report['scheme']}: {report['per_second']:,.0f}/s, "
            f"CPU {report['cpu_s'] / report['wall_s']:.2f} of {report['threads']} cores, {report['blocks']} blocks, "
            f"{report['peak_memory_bytes'] >> 20} MiB\n  us per transaction: {stages}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run both measurements and print them; a wrong result of any executor ends this with an error."""
    arguments = _arguments()
    executions = _run("candela-bench-execution", *(_SHORT_EXECUTION if arguments.short else ()))
    print(_executions(executions), end="\n\n", flush=True)
    pipelines: list[dict[str, Any]] = []
    for workload, scheme in _PIPELINES:
        size = _SHORT_PIPELINE if arguments.short else ()
        pipelines += _run("candela-bench-pipeline", "--workload", workload, "--scheme", scheme, *size)
    print(_pipelines(pipelines))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"execution": executions, "pipeline": pipelines}, indent=1) + "\n")
    print(f"\nJSON: {arguments.json}")


if __name__ == "__main__":
    main()
