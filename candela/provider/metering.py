"""Meter what a task costs: seconds, work and energy, and say how the energy was measured."""

from __future__ import annotations

import contextlib
import time
from enum import IntEnum
from pathlib import Path

import psutil

from candela.provider.devices import GPU, LocalDevice
from candela.provider.sandbox import Sandbox

_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_WATTS_PER_BUSY_CORE = 10.0
"""Estimate where nothing measures: a server CPU's design power over its cores."""


class EnergyMethod(IntEnum):
    """How joules were found; part of every receipt."""

    UNKNOWN = 0
    NVML = 1
    RAPL = 2
    ESTIMATE = 3


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
        self._method, self._energy = _energy(device)
        self.cpu_seconds = self.wall_seconds = 0.0
        self.energy_mj, self.energy_method = 0, int(EnergyMethod.UNKNOWN)

    def stop(self) -> None:
        """Take the second reading."""
        self.wall_seconds = time.perf_counter() - self._wall
        self.cpu_seconds = max(_cpu_seconds(self._sandbox) - self._cpu, 0.0)
        method, energy = _energy(self._device)
        if method is self._method and method is not EnergyMethod.ESTIMATE and energy >= self._energy:
            self.energy_mj = int(energy - self._energy)
        else:
            method = EnergyMethod.ESTIMATE
            self.energy_mj = int(self.cpu_seconds * _WATTS_PER_BUSY_CORE * 1000)
        self.energy_method = int(method)

    def work_uwu(self, limit_uwu: int) -> int:
        """Micro work units: intensity times the seconds for which the device was busy, at most ``limit_uwu``."""
        busy = self.wall_seconds if self._device.kind == GPU else self.cpu_seconds
        return min(max(int(self._device.intensity_ucd * busy), 1), limit_uwu)


def _cpu_seconds(sandbox: Sandbox) -> float:
    if sandbox.group is not None:
        with contextlib.suppress(OSError):
            return sandbox.group.cpu_seconds()
    total = 0.0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(sandbox.process.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])
    return total


def _energy(device: LocalDevice) -> tuple[EnergyMethod, float]:
    """A running counter of millijoules and what it comes from."""
    if device.kind == GPU:
        with contextlib.suppress(Exception):
            import pynvml

            handle = pynvml.nvmlDeviceGetHandleByIndex(device.index)
            return EnergyMethod.NVML, float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    with contextlib.suppress(OSError, ValueError):
        return EnergyMethod.RAPL, int(_RAPL.read_text()) / 1000
    return EnergyMethod.ESTIMATE, 0.0
