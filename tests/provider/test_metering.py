"""What a task used is counted in CPU seconds, and energy says how it was found."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from candela.provider.devices import CPU, GPU, LocalDevice, detect
from candela.provider.metering import EnergyMethod, Usage
from candela.provider.sandbox import Tier

DEVICE = LocalDevice(CPU, "test", 1 << 30, 2_000_000)


class Busy:
    """A process that works until it has used some CPU time, then waits."""

    def __init__(self, seconds: float) -> None:
        program = (
            f"import time\nwhile time.process_time() < {seconds}: pass\nprint(time.process_time(), flush=True)\ninput()"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.group = None

    def wait_until_done(self) -> float:
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate("\n")


def test_cpu_seconds_of_a_process_are_counted() -> None:
    busy = Busy(0.3)
    usage = Usage(busy, DEVICE)  # type: ignore[arg-type]
    used = busy.wait_until_done()
    usage.stop()
    busy.close()
    assert usage.cpu_seconds == pytest.approx(used, abs=0.15)
    assert usage.started <= time.time()


def test_work_is_intensity_times_seconds_up_to_the_limit() -> None:
    usage = Usage(SimpleNamespace(group=None, process=SimpleNamespace(pid=os.getpid())), DEVICE)  # type: ignore[arg-type]
    usage.cpu_seconds, usage.wall_seconds = 1.5, 9.0
    assert usage.work_uwu(10**9) == 3_000_000
    assert usage.work_uwu(1_000) == 1_000
    usage.cpu_seconds = 0.0
    assert usage.work_uwu(10**9) == 1


def test_work_on_a_gpu_is_counted_by_the_clock() -> None:
    gpu = LocalDevice(GPU, "test", 1 << 30, 2_000_000)
    usage = Usage(SimpleNamespace(group=None, process=SimpleNamespace(pid=os.getpid())), gpu)  # type: ignore[arg-type]
    usage.cpu_seconds, usage.wall_seconds = 1.5, 9.0
    assert usage.work_uwu(10**9) == 18_000_000


def test_energy_names_its_method(monkeypatch: pytest.MonkeyPatch) -> None:
    from candela.provider import metering

    monkeypatch.setattr(metering, "_RAPL", metering.Path("/nowhere"))
    usage = Usage(SimpleNamespace(group=None, process=SimpleNamespace(pid=os.getpid())), DEVICE)  # type: ignore[arg-type]
    usage.stop()
    assert usage.energy_method == EnergyMethod.ESTIMATE
    readings = iter((5_000_000, 7_500_000))
    counter = SimpleNamespace(read_text=lambda: str(next(readings)))
    monkeypatch.setattr(metering, "_RAPL", counter)
    task, machine = iter((10.0, 11.0)), iter((100.0, 104.0))
    monkeypatch.setattr(metering, "_cpu_seconds", lambda _: next(task))
    monkeypatch.setattr(metering, "_machine_seconds", lambda: next(machine))
    usage = Usage(SimpleNamespace(group=None, process=SimpleNamespace(pid=os.getpid())), DEVICE)  # type: ignore[arg-type]
    usage.stop()
    # The task had one of the four seconds for which all cores together were busy.
    assert (usage.energy_method, usage.energy_mj) == (EnergyMethod.RAPL, 625)


def test_this_machine_has_a_measured_device() -> None:
    for device in detect(Tier.NONE)[0]:
        assert device.intensity_ucd > 1_000
        assert device.memory_bytes > 1 << 20
        assert 0 < len(device.name) <= 64
