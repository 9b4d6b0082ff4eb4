"""Find this machine's devices and measure how fast they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import psutil

CPU, GPU = 0, 1
_SIZE = 2048
"""Edge of the measured matrix product: profile C1 of DESIGN section 7."""


class LocalDevice(msgspec.Struct):
    """A device of this machine; memory in bytes, intensity in micro-candela (10^6 exact integer operations/s)."""

    kind: int
    name: str
    memory_bytes: int
    intensity_ucd: int
    index: int = 0


def detect() -> list[LocalDevice]:
    """The CPU as one device, measured; see :func:`unoffered_gpus`."""
    return [_cpu()]


def _cpu() -> LocalDevice:
    name = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "CPU",
    )
    memory = min(psutil.virtual_memory().total // 2, 1 << 45)
    return LocalDevice(CPU, f"{name}, 1 of {os.cpu_count()} cores"[:64], memory, _measure_cpu())


def _measure_cpu() -> int:
    """Exact products of 4-bit integers per second on one core; every partial sum is exact in single precision."""
    import numpy

    generator = numpy.random.default_rng(1)
    left = generator.integers(-8, 8, (_SIZE, _SIZE)).astype(numpy.float32)
    right = generator.integers(-8, 8, (_SIZE, _SIZE)).astype(numpy.float32)
    product, best = left, float("inf")
    for _ in range(2):
        # All threads of the product count: this is the speed of one core.
        started = time.process_time()
        product = left @ right
        best = min(best, time.process_time() - started)
    row = left[0].astype(numpy.int64) @ right[:, :16].astype(numpy.int64)
    if not (product[0, :16].astype(numpy.int64) == row).all():
        raise ArithmeticError("this machine's matrix product is not exact; it can't offer verifiable compute")
    return int(2 * _SIZE**3 / max(best, 1e-9) / 1e6)


def unoffered_gpus() -> list[str]:
    """Names of the GPUs that NVML knows. None is offered: no sandbox holds one yet, so its jobs would fail."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    except Exception:  # noqa: BLE001 - no driver, no library, no card: this machine has no GPU
        return []
