"""Turn measurements into a table for people and JSON for machines."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from statistics import median
from typing import Any

import msgspec


class Row(msgspec.Struct, kw_only=True):
    """One measured figure.

    ``value`` is the median of ``runs``; ``ratio`` compares it with ``baseline``'s value for the same stage and mix.
    """

    workload: str
    target: str
    stage: str
    unit: str
    value: float
    runs: list[float]
    mix: str
    ratio: float | None = None
    baseline: str | None = None


def row(workload: str, target: str, stage: str, unit: str, runs: list[float], mix: str) -> Row:
    """A row whose value is the median of ``runs``."""
    return Row(workload=workload, target=target, stage=stage, unit=unit, value=median(runs), runs=runs, mix=mix)


def compare(rows: list[Row], baseline: str) -> None:
    """Fill in every row's ratio to the row of ``baseline`` with the same workload, stage and mix."""
    reference = {(r.workload, r.stage, r.mix): r.value for r in rows if r.target == baseline}
    for r in rows:
        value = reference.get((r.workload, r.stage, r.mix))
        if value and r.target != baseline:
            r.ratio, r.baseline = r.value / value, baseline


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}


def table(rows: list[Row]) -> str:
    """Align ``rows`` for an 80-column terminal, grouped by mix."""
    lines = []
    for mix in dict.fromkeys(r.mix for r in rows):
        lines += ["", mix]
        for r in (r for r in rows if r.mix == mix):
            ratio = f"{r.ratio:5.2f}x {r.baseline}" if r.ratio is not None else ""
            lines.append(f"  {r.target:<9}{r.stage:<22}{r.value:>12,.1f} {r.unit:<9}{ratio}".rstrip())
    return "\n".join(lines)


def save(rows: list[Row], path: Path) -> None:
    """Write ``rows`` with the machine they were measured on as JSON to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "rows": rows}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
