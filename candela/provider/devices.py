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
    """The GPUs that NVML knows and torch can use, else the CPU as one device; each measured."""
    return _gpus() or [_cpu()]


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


def _gpus() -> list[LocalDevice]:
    try:
        import pynvml
        import torch  # pyright: ignore[reportMissingImports]

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount() if torch.cuda.is_available() else 0
    except Exception:  # noqa: BLE001 - no driver, no library, no card: this machine has no GPU to offer
        return []
    devices = []
    for index in range(count):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
        name = pynvml.nvmlDeviceGetName(handle)
        devices.append(LocalDevice(GPU, str(name)[:64], memory, _measure_gpu(index), index))
    return devices


def _measure_gpu(index: int) -> int:
    import torch  # pyright: ignore[reportMissingImports]

    size = 8192
    with torch.cuda.device(index):
        generator = torch.Generator(device="cuda").manual_seed(1)
        left = torch.randint(-8, 8, (size, size), dtype=torch.int8, device="cuda", generator=generator)
        right = torch.randint(-8, 8, (size, size), dtype=torch.int8, device="cuda", generator=generator)
        product = torch._int_mm(left, right)
        torch.cuda.synchronize()
        started, rounds = time.perf_counter(), 10
        for _ in range(rounds):
            product = torch._int_mm(left, right)
        torch.cuda.synchronize()
        seconds = (time.perf_counter() - started) / rounds
        expected = left[0].cpu().long() @ right[:, :16].cpu().long()
        if not torch.equal(product[0, :16].cpu().long(), expected):
            raise ArithmeticError("this GPU's matrix product is not exact; it can't offer verifiable compute")
    return int(2 * size**3 / seconds / 1e6)
