"""What PyTorch computes is what numpy and plain integers do. Skipped where PyTorch is not installed."""

from __future__ import annotations

import numpy as np
import pytest

from candela.errors import IntensityError
from candela.intensity import Context, Profile, Prover, drawn, verify
from candela.intensity.expansion import expand
from candela.intensity.rails import check_exact
from candela.intensity.seed import COLUMNS, ROWS, keys
from candela.intensity.torch_path import TorchPath, exact_paths
from tests.intensity import reference

torch = pytest.importorskip("torch", reason="PyTorch is not installed: uv sync --group torch")

SEED = 20261126
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
PATHS = [(kind, device) for device in DEVICES for kind in ("int8", "fp32", "fp16", "bf16")]


@pytest.fixture(params=[each for each in PATHS if each not in (("fp16", "cpu"), ("bf16", "cpu"))], ids="-".join)
def path(request: pytest.FixtureRequest) -> TorchPath:
    return TorchPath(*request.param)


def test_the_exact_types_of_each_device_are_found_by_trying() -> None:
    found = {(each.kind, each.device) for device in DEVICES for each in exact_paths(device)}
    assert found >= {("int8", "cpu"), ("fp32", "cpu")}


@pytest.mark.parametrize(("count", "depth"), [(1, 16), (33, 160), (5, 65536)])
def test_panels_are_those_of_numpy(path: TorchPath, count: int, depth: int) -> None:
    drawn_keys = np.random.default_rng(SEED).integers(0, 1 << 64, count, dtype=np.uint64)
    panel = path.panel(drawn_keys, depth)
    assert np.array_equal(panel.to(torch.float32).cpu().numpy(), expand(drawn_keys, 0, depth)), f"seed {SEED}"


def test_a_panel_made_in_chunks_is_the_whole_panel(path: TorchPath, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_keys = np.random.default_rng(SEED).integers(0, 1 << 64, 37, dtype=np.uint64)
    whole = path.panel(drawn_keys, 160)
    monkeypatch.setattr("candela.intensity.torch_path._CHUNK_ENTRIES", 480)
    assert torch.equal(path.panel(drawn_keys, 160), whole)


def test_a_thousand_random_seeds_agree_with_integers(path: TorchPath) -> None:
    source = np.random.default_rng(SEED)
    for _ in range(1_000):
        seed, row, column = source.bytes(32), *(int(each) for each in source.integers(0, 1 << 20, 2))
        # Integer products on GPUs have at least 17 rows.
        rows = path.panel(keys(seed, ROWS, row, 32), 64)
        columns = path.panel(keys(seed, COLUMNS, column, 32), 64)
        left, right = reference.line(seed, b"A", row + 5, 64), reference.line(seed, b"B", column + 9, 64)
        expected = sum(a * b for a, b in zip(left, right, strict=True))
        assert path(rows, columns)[5, 9] == expected, f"seed {SEED}"


@pytest.mark.parametrize("profile", [None, Profile("deep", 254, 64, 32, 65536)], ids=["small", "deep"])
def test_a_window_has_the_root_that_numpy_gives_and_passes(
    context: Context, path: TorchPath, profile: Profile | None
) -> None:
    if profile is not None:
        context = Context(1, context.contract, profile, context.beacon, context.provider, 3)
    window, expected = (prover.prove(context, 9) for prover in (Prover(path, path.panel), Prover()))
    assert window.commitment() == expected.commitment()
    later = b"\x55" * 32
    verify(context, window.commitment(), later, [window.open(at) for at in drawn(context, window.commitment(), later)])


def test_half_precision_sums_are_refused() -> None:
    def half(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        left, right = (torch.from_numpy(each).to(torch.bfloat16) for each in (rows, columns))
        return (left @ right.T).to(torch.int32).numpy()

    with pytest.raises(IntensityError, match="not exact"):
        check_exact(half)


def test_a_type_without_exact_sums_is_refused_by_name() -> None:
    for kind, device in (("fp16", "cpu"), ("fp8", "cpu"), ("fp32", "tpu")):
        with pytest.raises(IntensityError, match="there is no"):
            TorchPath(kind, device)
    assert list(exact_paths("tpu")) == []


def test_a_panel_that_is_not_that_of_its_keys_is_refused() -> None:
    path = TorchPath("fp32")
    with pytest.raises(IntensityError, match="panels are not those"):
        Prover(path, lambda keys, depth: path.panel(keys ^ np.uint64(1), depth))
