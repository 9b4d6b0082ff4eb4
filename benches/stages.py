"""Where the time of a block goes, from what the validators log about it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benches.report import Row, row

FILTER = "info,candela_consensus=debug"
_TARGET = "candela_consensus::"


class Stages:
    """Reads the logs of ``name``'s validators from now on; they have to be in JSON with :data:`FILTER`."""

    def __init__(self, name: str, logs: list[Path]) -> None:
        self._name, self._logs = name, {log: log.stat().st_size for log in logs}

    def rows(self, mix: str) -> list[Row]:
        """Medians over every block with transactions and every validator.

        ``send`` is the time from the proposal until verification begins elsewhere, ``vote`` that from a validator's own
        verdict until it holds the certificate, ``persist`` that from the certificate until block and state are stored.
        """
        blocks: dict[str, dict[str, dict[Path, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
        checked = [0, 0]
        for log in self._logs:
            for event in self._events(log):
                if event["message"] == "transactions checked":
                    checked[0] += event["took_us"]
                    checked[1] += event["transactions"]
                elif event.get("transactions"):
                    blocks[event["hash"]][event["message"].removeprefix("block ")][log] = event
        times, sizes, counts = _times(blocks)
        rows = [row("stages", self._name, stage, "ms", runs, mix) for stage, runs in times.items()]
        rows.append(row("stages", self._name, "block", "tx", counts, mix))
        rows.append(row("stages", self._name, "bytes of a block", "B/tx", sizes, mix))
        if checked[1]:
            rows.append(row("stages", self._name, "gossip, checked", "us/tx", [checked[0] / checked[1]], mix))
        return rows

    def _events(self, log: Path) -> Iterator[dict[str, Any]]:
        with log.open("rb") as file:
            file.seek(self._logs[log])
            for line in file:
                if not line.startswith(b"{"):
                    continue
                event = json.loads(line)
                if event["target"].startswith(_TARGET) and event["level"] == "DEBUG":
                    yield event


def _at(event: dict[str, Any]) -> float:
    """Unix milliseconds."""
    return 1_000 * datetime.fromisoformat(event["timestamp"]).timestamp()


def _times(
    blocks: dict[str, dict[str, dict[Path, dict[str, Any]]]],
) -> tuple[dict[str, list[float]], list[float], list[float]]:
    """Milliseconds by stage, bytes a transaction, and transactions a block."""
    times: dict[str, list[float]] = {stage: [] for stage in ("propose", "send", "verify", "vote", "persist", "all")}
    sizes: list[float] = []
    counts: list[float] = []
    for block in blocks.values():
        if not block["proposed"] or not block["stored"]:
            continue
        (proposed,) = list(block["proposed"].values())[:1]
        times["propose"].append(proposed["took_us"] / 1_000)
        sizes.append(proposed["bytes"] / proposed["transactions"])
        counts.append(proposed["transactions"])
        for log, verified in block["verified"].items():
            took = verified["took_us"] / 1_000
            times["verify"].append(took)
            times["send"].append(_at(verified) - took - _at(proposed))
            if log in block["certified"]:
                times["vote"].append(_at(block["certified"][log]) - _at(verified))
        stored = [_at(event) for event in block["stored"].values()]
        times["persist"] += [event["took_us"] / 1_000 for event in block["stored"].values()]
        times["all"].append(median(stored) - _at(proposed) + proposed["took_us"] / 1_000)
    return {stage: runs for stage, runs in times.items() if runs}, sizes, counts
