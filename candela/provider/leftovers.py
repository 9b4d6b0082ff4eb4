"""Clear away what agents that were killed have left behind on this machine."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from candela.provider.control_group import ROOT
from candela.provider.executor import FOLDER_PREFIX


def clear() -> None:
    """Remove job folders and control groups whose agent is gone."""
    for folder in _orphans(Path(tempfile.gettempdir()), FOLDER_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
    for parent in (ROOT, *(ROOT / controller for controller in ("memory", "pids", "cpuacct"))):
        for folder in _orphans(parent, "candela-"):
            # The kernel refuses while a process is inside.
            with contextlib.suppress(OSError):
                folder.rmdir()


def _orphans(parent: Path, prefix: str) -> Iterator[Path]:
    for folder in parent.glob(f"{prefix}*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            yield folder
