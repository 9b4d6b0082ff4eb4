"""NVIDIA GPUs of this machine as NVML knows them, and what a sandbox needs to hold one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

_SHARED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_LIBRARY = "libnvidia-ml.so"


class Gpu(msgspec.Struct, frozen=True):
    """One GPU.

    Args:
        index: its number at NVML, and at CUDA with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
        minor: the number of its device node.
        name: what its maker calls it.
        memory_bytes: its own memory.
    """

    index: int
    minor: int
    name: str
    memory_bytes: int

    @property
    def nodes(self) -> list[str]:
        """The device nodes that a process needs to use it, and no other GPU."""
        return [each for each in (f"/dev/nvidia{self.minor}", *_SHARED_NODES) if Path(each).exists()]


@cache
def _nvml() -> Any:
    """NVML, ready to be asked; ``None`` where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def found() -> list[Gpu]:
    """All GPUs of this machine, none where there is no driver."""
    nvml = _nvml()
    return [] if nvml is None else [_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]


def gpu(index: int) -> Gpu:
    """One GPU by its number.

    Raises:
        IndexError: there is no such GPU, or no driver.
    """
    return found()[index]


def energy_mj(index: int) -> float | None:
    """The GPU's own running count of millijoules, or ``None`` where it has none (before the Volta generation)."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(nvml.nvmlDeviceGetHandleByIndex(index)))
    except nvml.NVMLError:
        return None


@cache
def library_folder() -> str | None:
    """Where the driver's libraries are, as the loader has found them for this process."""
    if _nvml() is None:
        return None
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.partition("/")[2]
        if Path(path).name.startswith(_LIBRARY):
            return str(Path(f"/{path}").parent)
    return None


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    return Gpu(index, int(nvml.nvmlDeviceGetMinorNumber(handle)), str(nvml.nvmlDeviceGetName(handle)), memory)
