"""Find this machine's devices and measure how fast they are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import psutil

from candela.errors import IntensityError
from candela.intensity.profile import G1
from candela.intensity.remote import RemoteProver
from candela.provider import gpus
from candela.provider.sandbox import Tier, refusal

CPU, GPU = 0, 1
_SIZE = 2048
"""Edge of the measured matrix product: profile C1 of DESIGN section 7."""
_RESERVED_BYTES = 1 << 30
"""Of a GPU's memory, for what driver and prover keep there."""


class LocalDevice(msgspec.Struct):
    """A device of this machine; memory in bytes, intensity in micro-candela (10^6 exact integer operations/s)."""

    kind: int
    name: str
    memory_bytes: int
    intensity_ucd: int
    index: int = 0


class Unoffered(msgspec.Struct):
    """A device that this machine has and can't offer."""

    name: str
    why: str
    fix: str


def detect(tier: Tier) -> tuple[list[LocalDevice], list[Unoffered]]:
    """The CPU as one device and each GPU that can do exact work, measured; and the GPUs that can't, with the reason.

    A GPU is offered after it has worked in a sandbox of the tier and has passed the rail vectors, which takes a while,
    the longest the first time, when its kernels are compiled.
    """
    offered, unoffered = [_cpu()], []
    for gpu in gpus.found():
        try:
            reason = refusal(gpu) if tier is Tier.BUBBLEWRAP else ""
            if reason:
                unoffered.append(Unoffered(gpu.name, reason, "check its driver with nvidia-smi"))
            else:
                offered.append(_measured(gpu))
        except IntensityError as error:
            unoffered.append(Unoffered(gpu.name, f"{error.what}: {error.why}", error.fix))
    return offered, unoffered


def _measured(gpu: gpus.Gpu) -> LocalDevice:
    prover = RemoteProver(f"cuda:{gpu.index}", G1)
    try:
        rate = prover.start().rate
    finally:
        prover.release()
    # A task's memory is bounded in the host's, where it starts and ends.
    memory = min(gpu.memory_bytes - _RESERVED_BYTES, psutil.virtual_memory().total // 2)
    return LocalDevice(GPU, gpu.name[:64], memory, int(rate / 1e6), gpu.index)


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
