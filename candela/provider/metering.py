"""Meter what a task costs: seconds, work and energy, and say how the energy was measured."""

from __future__ import annotations

import contextlib
import os
import time
from enum import IntEnum
from pathlib import Path

import psutil

from candela.provider import gpus
from candela.provider.devices import GPU, LocalDevice
from candela.provider.sandbox import Sandbox

_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_TICKS = os.sysconf("SC_CLK_TCK")
_MAX_PROCESSES = 1_000
WATTS_PER_BUSY_CORE = 10.0
"""Estimate where nothing measures: a server CPU's design power over its cores."""


class EnergyMethod(IntEnum):
    """How joules were found; part of every receipt."""

    UNKNOWN = 0
    NVML = 1
    RAPL = 2
    ESTIMATE = 3


MEASURED = (EnergyMethod.NVML, EnergyMethod.RAPL)
"""What counters tell."""


class Usage:
    """Measures from its creation to :meth:`stop`.

    Args:
        sandbox: whose processes are metered.
        device: what they run on.
    """

    def __init__(self, sandbox: Sandbox, device: LocalDevice) -> None:
        self._sandbox, self._device = sandbox, device
        self.started = time.time()
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds(sandbox)
        self._machine = _machine_seconds()
        self._method, self._energy = _energy(device)
        self.cpu_seconds = self.wall_seconds = 0.0
        self.energy_mj, self.energy_method = 0, int(EnergyMethod.UNKNOWN)

    def stop(self) -> None:
        """Take the second reading."""
        self.wall_seconds = time.perf_counter() - self._wall
        self.cpu_seconds = max(_cpu_seconds(self._sandbox) - self._cpu, 0.0)
        method, energy = _energy(self._device)
        if method is self._method and method is not EnergyMethod.ESTIMATE and energy >= self._energy:
            self.energy_mj = int((energy - self._energy) * self._share())
        else:
            method = EnergyMethod.ESTIMATE
            self.energy_mj = int(self.cpu_seconds * WATTS_PER_BUSY_CORE * 1000)
        self.energy_method = int(method)

    def _share(self) -> float:
        """Its part of what the counter shows: RAPL counts the whole machine, other agents' tasks included."""
        if self._method is not EnergyMethod.RAPL:
            return 1.0
        busy = _machine_seconds() - self._machine
        return self.cpu_seconds / max(busy, self.cpu_seconds, 1e-9)

    def work_uwu(self, limit_uwu: int) -> int:
        """Micro work units: intensity times the seconds for which the device was busy, at most ``limit_uwu``."""
        busy = self.wall_seconds if self._device.kind == GPU else self.cpu_seconds
        return min(max(int(self._device.intensity_ucd * busy), 1), limit_uwu)


def _machine_seconds() -> float:
    """CPU time that all processes of this machine have used."""
    times = psutil.cpu_times()
    return times.user + times.system


def _cpu_seconds(sandbox: Sandbox) -> float:
    if sandbox.group is not None:
        with contextlib.suppress(OSError):
            return sandbox.group.cpu_seconds()
    return sum(_process_seconds(pid) for pid in _family(sandbox.process.pid))


def _family(root: int) -> list[int]:
    """A process and its descendants."""
    found, pending = [], [root]
    while pending and len(found) < _MAX_PROCESSES:
        pid = pending.pop()
        found.append(pid)
        with contextlib.suppress(OSError, ValueError):
            pending += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found


def _process_seconds(pid: int) -> float:
    """CPU time of a process and of the children it has waited for."""
    total = precise = 0.0
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total, waited = sum(map(int, fields[11:13])) / _TICKS, sum(map(int, fields[13:15])) / _TICKS
        # Ticks are coarse; the scheduler's own count is exact, but forgets threads that have ended.
        threads = Path(f"/proc/{pid}/task").iterdir()
        precise = sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9
        return max(total, precise) + waited
    return max(total, precise)


def _energy(device: LocalDevice) -> tuple[EnergyMethod, float]:
    """A running counter of millijoules and what it comes from."""
    if device.kind == GPU:
        counted = gpus.energy_mj(device.index)
        return (EnergyMethod.ESTIMATE, 0.0) if counted is None else (EnergyMethod.NVML, counted)
    with contextlib.suppress(OSError, ValueError):
        return EnergyMethod.RAPL, int(_RAPL.read_text()) / 1000
    return EnergyMethod.ESTIMATE, 0.0
