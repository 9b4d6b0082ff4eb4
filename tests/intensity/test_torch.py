"""What PyTorch computes is what numpy and plain integers do. Skipped where PyTorch is not installed."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from candela.errors import IntensityError
from candela.intensity import C1, G1, Context, HostPath, Profile, Prover, drawn, verify
from candela.intensity.rails import check_exact
from candela.intensity.seed import COLUMNS, ROWS
from candela.intensity.torch_path import CudaPath, TorchPath, exact_paths, fastest_prover
from tests.intensity import reference

torch = pytest.importorskip("torch", reason="PyTorch is not installed: uv sync --group torch")

SEED = 20261126
CUDA = ["int8", "fp8", "fp16", "bf16", "fp32"] if torch.cuda.is_available() else []
PATHS = [("int8", "cpu"), ("fp32", "cpu"), *((kind, "cuda:0") for kind in CUDA)]


def _path(kind: str, device: str) -> TorchPath:
    path = TorchPath(kind) if device == "cpu" else CudaPath(kind, device)
    try:
        check_exact(path)
    except (IntensityError, RuntimeError) as error:
        pytest.skip(f"{kind} is not exact on {device}, so it may not prove: {error}")
    return path


@pytest.fixture(params=PATHS, ids="-".join)
def path(request: pytest.FixtureRequest) -> TorchPath:
    return _path(*request.param)


def test_the_fastest_exact_type_proves(context: Context) -> None:
    prover, kind, rate = fastest_prover("cpu", C1)
    assert kind in ("int8", "fp32")
    assert rate > 0
    assert prover.prove(context, 3).roots == Prover().prove(context, 3).roots


def test_the_exact_types_of_each_device_are_found_by_trying() -> None:
    assert [path.kind for path in exact_paths()] == ["int8", "fp32"]
    if CUDA:
        assert {path.kind for path in exact_paths("cuda:0")} >= {"fp32"}


@pytest.mark.parametrize(("count", "depth"), [(1, 16), (33, 160), (5, 65536)])
def test_panels_are_those_of_numpy(path: TorchPath, count: int, depth: int) -> None:
    seed = np.random.default_rng(SEED).bytes(32)
    panel = path.panel(seed, COLUMNS, 70_001, count, depth)
    assert np.array_equal(panel.to(torch.float32).cpu().numpy(), HostPath().panel(seed, COLUMNS, 70_001, count, depth))


def test_a_thousand_random_seeds_agree_with_integers(path: TorchPath) -> None:
    source = np.random.default_rng(SEED)
    for _ in range(1_000):
        seed, row, column = source.bytes(32), *(int(each) for each in source.integers(0, 1 << 20, 2))
        # Integer products on GPUs have at least 17 rows.
        rows, columns = path.panel(seed, ROWS, row, 32, 64), path.panel(seed, COLUMNS, column, 32, 64)
        left, right = reference.line(seed, b"A", row + 5, 64), reference.line(seed, b"B", column + 9, 64)
        expected = sum(a * b for a, b in zip(left, right, strict=True))
        assert path.multiply(rows, columns)[5, 9] == expected, f"seed {SEED}"


@pytest.mark.parametrize("profile", [None, Profile("deep", 254, 64, 32, 65536)], ids=["small", "deep"])
def test_a_window_has_the_root_that_numpy_gives_and_passes(
    context: Context, path: TorchPath, profile: Profile | None
) -> None:
    if profile is not None:
        context = Context(1, context.contract, profile, context.beacon, context.provider, 3)
    window, expected = (prover.prove(context, 9) for prover in (Prover(path), Prover()))
    assert window.commitment() == expected.commitment()
    later = b"\x55" * 32
    verify(context, window.commitment(), later, window.open(drawn(context, window.commitment(), later)))


def test_half_precision_sums_are_refused() -> None:
    def half(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        left, right = (torch.from_numpy(each).to(torch.bfloat16) for each in (rows, columns))
        return (left @ right.T).to(torch.int32).numpy()

    with pytest.raises(IntensityError, match="not exact"):
        check_exact(HostPath(half))


def test_a_type_without_exact_sums_is_refused_by_name() -> None:
    for kind, device in (("fp16", "cpu"), ("fp4", "cuda:0"), ("fp32", "tpu")):
        with pytest.raises(IntensityError, match="there is no"):
            TorchPath(kind, device)
    assert list(exact_paths("tpu")) == []
    with pytest.raises(IntensityError, match="no exact"):
        fastest_prover("tpu", C1)


def test_a_panel_that_is_not_that_of_its_keys_is_refused() -> None:
    path = TorchPath("fp32")
    true = path.panel
    path.panel = lambda seed, side, first, count, depth: true(seed, side, first + 1, count, depth)
    with pytest.raises(IntensityError, match="panels are not those"):
        Prover(path)


@pytest.mark.skipif(not CUDA, reason="there is no GPU")
def test_a_whole_unit_for_gpus_passes_on_the_host() -> None:
    context = Context(1, b"\x01" * 20, G1, b"\x02" * 32, b"\x03" * 20, 0)
    window = fastest_prover("cuda:0", G1)[0].prove(context, 9)
    later = b"\x55" * 32
    verify(context, window.commitment(), later, window.open(drawn(context, window.commitment(), later)))


def test_kernels_for_gpus_agree_with_the_host_in_the_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton is not installed: uv sync --group torch")
    command = [sys.executable, "-m", "tests.intensity.interpreted"]
    done = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "equal\n", done.stderr
