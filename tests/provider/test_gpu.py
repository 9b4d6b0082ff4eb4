"""Jobs and proofs on a GPU of this machine. Skipped where there is none, or PyTorch is not installed."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from candela import values
from candela.chain.intensity import Intensity
from candela.manifest import JobManifest
from candela.network import genesis as network
from candela.provider import gpus
from candela.provider.devices import CPU, GPU, LocalDevice
from candela.provider.executor import Executor, Finished
from candela.provider.metering import EnergyMethod
from candela.provider.sandbox import probe

from .conftest import Chain, started

pytestmark = pytest.mark.skipif(
    not gpus.found() or importlib.util.find_spec("torch") is None, reason="there is no GPU, or no PyTorch"
)
PRODUCT = """
import torch

def main(size):
    left = torch.arange(size * size, device="cuda").reshape(size, size).remainder(7).to(torch.float64)
    made = left @ left.T
    torch.cuda.synchronize()
    return torch.cuda.device_count(), torch.cuda.get_device_name(), float(made.sum())
"""
LOOK = """
import glob

def main():
    import torch
    return torch.cuda.is_available(), sorted(glob.glob("/dev/nvidia*"))
"""
GREEDY = """
def main():
    return len(bytearray(8 << 30))
"""
OPENS_AFTER_SECONDS, OPEN_SECONDS = 75, 30


def _run(source: str, kind: int, *arguments: object) -> Finished:
    manifest = JobManifest(
        name="test",
        module="job",
        entry="main",
        source="0" * 64,
        requirements=[],
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        inputs=["0" * 64],
        memory_bytes=6 << 30,
        timeout_seconds=120,
    )
    logs: list[bytes] = []
    device = LocalDevice(kind, "test", 1 << 36, 10**9)
    executor = Executor(manifest, {"job.py": source.encode()}, None, probe().tier, device, logs.append)
    try:
        return executor.run(values.encode({"args": list(arguments), "kwargs": {}}))
    finally:
        executor.close()


def _expected(size: int) -> float:
    import numpy as np

    left = (np.arange(size * size).reshape(size, size) % 7).astype(float)
    return float((left @ left.T).sum())


def test_a_task_has_its_gpu_and_no_other_and_energy_is_counted() -> None:
    finished = _run(PRODUCT, GPU, 512)
    answer = values.decode(finished.output)
    assert answer.get("value") == (1, gpus.gpu(0).name, _expected(512)), answer
    assert finished.usage.energy_method == EnergyMethod.NVML
    assert finished.usage.energy_mj > 0
    print(f"{finished.usage.energy_mj / 1000:.1f} J in {finished.usage.wall_seconds:.1f} s")


def test_a_task_that_asked_for_none_has_none() -> None:
    available, nodes = values.decode(_run(LOOK, CPU).output)["value"]
    assert not available
    assert nodes == []


def test_memory_of_the_host_is_bounded_beside_a_gpu() -> None:
    error = values.decode(_run(GREEDY, GPU).output)["error"]
    assert error["type"] == "MemoryError"


@pytest.fixture
def proving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    """A chain whose first window opens when a GPU has been measured."""
    monkeypatch.setattr(network, "WINDOW_PERIOD_SECONDS", int(time.time()) + OPENS_AFTER_SECONDS)
    monkeypatch.setattr(network, "WINDOW_OPEN_SECONDS", OPEN_SECONDS)
    running = started(tmp_path)
    yield running
    running.close()


def test_an_agent_offers_its_gpu_works_with_it_and_proves_what_it_can_do(proving: Chain) -> None:
    proving.provider(1, options=["--prove"])
    job = proving.open_job(PRODUCT, [(256,), (512,)], device_kind=GPU, memory_bytes=4 << 30)
    receipts = proving.wait_for_tasks(job, 2)
    for task, size in enumerate((256, 512)):
        assert proving.value(receipts[task])["value"][2] == _expected(size)  # type: ignore[index]
        assert receipts[task].energy_method == EnergyMethod.NVML
    intensity, provider = Intensity(proving.client), proving.accounts[1].address

    def proved() -> dict | None:
        found = intensity.read("windows", 1, provider, 1)
        return found if found["units"] else None

    state = proving.wait(proved, OPENS_AFTER_SECONDS + OPEN_SECONDS)
    assert state["profile"] == 2
    print(f"{state['units']} units of G1 in a window of {OPEN_SECONDS} s")
