"""Bound and meter all processes of a sandbox together, where the system lets us make control groups."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
"""Where the system keeps control groups."""
_numbers = itertools.count()


class ControlGroup:
    """A control group, version 2 or 1.

    Args:
        folders: its folders by controller; version 2 has one.
    """

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    @classmethod
    def create(cls, memory_bytes: int, processes: int) -> ControlGroup | None:
        """A new group with these limits, or ``None`` where the system doesn't let this user make one."""
        name = f"candela-{os.getpid()}-{next(_numbers)}"
        unified = (ROOT / "cgroup.controllers").exists()
        folders = (
            {"unified": ROOT / name}
            if unified
            else {controller: ROOT / controller / name for controller in ("memory", "pids", "cpuacct")}
        )
        group = cls(folders)
        settings = (
            {"unified": {"memory.max": memory_bytes, "pids.max": processes}}
            if unified
            else {"memory": {"memory.limit_in_bytes": memory_bytes}, "pids": {"pids.max": processes}}
        )
        try:
            for folder in folders.values():
                folder.mkdir()
            for controller, files in settings.items():
                for file, value in files.items():
                    (folders[controller] / file).write_text(str(value))
        except OSError:
            group.remove()
            return None
        return group

    def join(self) -> None:
        """Put the calling process into the group; its children follow."""
        for folder in self._folders.values():
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def cpu_seconds(self) -> float:
        """CPU time that all its processes have used."""
        if "unified" in self._folders:
            lines = (self._folders["unified"] / "cpu.stat").read_text().splitlines()
            return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6
        return int((self._folders["cpuacct"] / "cpuacct.usage").read_text()) / 1e9

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed a process of it for its memory."""
        file = "memory.events" if "unified" in self._folders else "memory.oom_control"
        folder = self._folders.get("unified") or self._folders["memory"]
        with contextlib.suppress(OSError, ValueError):
            fields = dict(line.split() for line in (folder / file).read_text().splitlines())
            return int(fields.get("oom_kill", 0)) > 0
        return False

    def kill(self) -> None:
        """Kill every process in it, also those that have left their session."""
        folder = self._folders.get("unified") or self._folders["pids"]
        for _ in range(50):
            try:
                processes = [int(each) for each in (folder / "cgroup.procs").read_text().split()]
            except (OSError, ValueError):
                return
            if not processes:
                return
            for process in processes:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.001)

    def remove(self) -> None:
        """Remove the group once its processes are gone."""
        for folder in self._folders.values():
            for _ in range(50):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                else:
                    break
