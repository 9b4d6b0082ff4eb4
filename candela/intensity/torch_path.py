"""Do the work of a window with PyTorch, on a CPU or a GPU, in the data types whose sums stay exact."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from candela.errors import IntensityError
from candela.intensity.path import HostPath, Leaves
from candela.intensity.product import Factor
from candela.intensity.profile import C1, LOWEST, TILE, Profile
from candela.intensity.prover import Prover
from candela.intensity.rails import check_exact
from candela.intensity.tree import Tree

_TYPES = {"int8": "int8", "fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp8": "float8_e4m3fn"}
_BY_DEVICE = {"cpu": ("int8", "fp32"), "cuda": ("int8", "fp8", "fp16", "bf16", "fp32")}
"""Data types that may be exact. A CPU sums half-precision products in half precision."""
_WORDS = 256
"""Words of a line that one program of a GPU expands."""
_LANES = 128
"""Hashes that one program of a GPU makes."""
_BLOCK_SECONDS = 0.05
"""Longest time between two looks at whether to stop."""
_UNABLE = (IntensityError, RuntimeError, NotImplementedError)
"""How a data type fails that a device has no exact product in."""


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = {"torch": "PyTorch"}.get(name, "Triton")
        raise IntensityError(
            f"this device needs {library}",
            why=f"it can't be imported: {error}",
            fix=f"pip install {library.lower().replace('pytorch', 'torch')}, or prove with the CPU",
        ) from None


class TorchPath(HostPath):
    """One data type of a CPU; the host hashes.

    Args:
        kind: ``int8`` (sums in int32) or ``fp32``.
        device: PyTorch's name of the device.

    Raises:
        IntensityError: PyTorch is missing, or it has no such product on this device.
    """

    def __init__(self, kind: str, device: str = "cpu") -> None:
        super().__init__()
        if kind not in _BY_DEVICE.get(device.partition(":")[0], ()):
            raise IntensityError(
                f"there is no {kind} product on {device}",
                why="its sums would not be exact, or the device is not known",
                fix="use one of those that exact_paths() lists",
            )
        self._torch = _import("torch")
        self.kind, self.device = kind, device
        self._type = getattr(self._torch, _TYPES[kind])

    def panel(self, seed: bytes, side: bytes, first: int, count: int, depth: int) -> Factor:
        """A tensor of this path's type, shape (count, depth)."""
        return self.factor(super().panel(seed, side, first, count, depth))

    def factor(self, lines: np.ndarray) -> Factor:
        """A tensor of this path's type."""
        return self._torch.from_numpy(lines).to(self.device).to(self._type)

    def multiply(self, rows: Factor, columns: Factor) -> np.ndarray:
        """int32, shape (rows, columns), in the host's memory."""
        return self._product(rows, columns).to(self._torch.int32).cpu().numpy()

    def _product(self, rows: Any, columns: Any) -> Any:
        return self._torch._int_mm(rows, columns.T) if self.kind == "int8" else rows @ columns.T


class CudaPath(TorchPath):
    """One data type of an NVIDIA GPU. Nothing but roots comes back to the host while it proves.

    Args:
        kind: ``int8`` (sums in int32), or ``fp8``, ``fp16``, ``bf16`` or ``fp32`` (sums in single precision).
        device: PyTorch's name of the device, for instance ``cuda:0``.

    Raises:
        IntensityError: PyTorch, Triton or the GPU is missing, or it has no such product.
    """

    def __init__(self, kind: str, device: str = "cuda:0") -> None:
        super().__init__(kind, device)
        if not self._torch.cuda.is_available():
            raise IntensityError(f"there is no device {device}", why="PyTorch finds no usable GPU", fix="use cpu")
        self._arm()

    def _arm(self) -> None:
        self._kernels = _import("candela.intensity.kernels")
        rounds = np.frombuffer(self._kernels.ROUNDS, dtype=">u4").astype(np.uint32).view(np.int32)
        self._rounds = self._torch.from_numpy(rounds).to(self.device)
        self._unit = self._torch.ones((), device=self.device)

    def panel(self, seed: bytes, side: bytes, first: int, count: int, depth: int) -> Factor:
        """A tensor of this path's type, shape (count, depth), made on the GPU."""
        torch = self._torch
        with self._on():
            words = torch.from_numpy(np.frombuffer(seed, dtype=np.int32).copy()).to(self.device)
            keys = torch.empty(count, dtype=torch.int64, device=self.device)
            grid = (-(-count // _LANES),)
            self._kernels.hash_keys[grid](words, keys, self._rounds, first, count, SIDE=side[0], LANES=_LANES)
            panel = torch.empty((count, depth), dtype=self._type, device=self.device)
            self._kernels.expand[(-(-depth // (16 * _WORDS)), count)](keys, panel, depth // 16, WORDS=_WORDS)
        return panel

    def measure(self, profile: Profile) -> float:
        """As on a CPU; what is found also sets how often a prover looks whether to stop."""
        rate = super().measure(profile)
        lines = int(rate * _BLOCK_SECONDS / (2 * profile.n * profile.k)) // TILE * TILE
        self.block_rows = max(TILE, min(lines, profile.m))
        return rate

    def rail(self, lines: int, depth: int) -> Factor:
        """Made on the GPU."""
        made = self._torch.full((lines, depth), LOWEST, dtype=self._torch.float16, device=self.device)
        made[:, -1] = -1
        return made.to(self._type)

    def leaves(self, rows: Factor, columns: Factor, row: int, column: int) -> Leaves:
        """int32, shape (tiles, 8), on the GPU; the bytes of each line are a hash."""
        with self._on():
            made = self._product(rows, columns)
            across = made.shape[1] // TILE
            tiles = made.shape[0] // TILE * across
            digests = self._torch.empty((tiles, 8), dtype=self._torch.int32, device=self.device)
            grid = (-(-tiles // _LANES),)
            self._kernels.hash_tiles[grid](made, digests, self._rounds, tiles, across, row, column, LANES=_LANES)
        return digests

    def root(self, leaves: Sequence[Leaves]) -> bytes:
        """The root alone comes to the host."""
        return _bytes(self._levels(leaves)[-1])

    def tree(self, leaves: Sequence[Leaves]) -> Tree:
        """All of it comes to the host."""
        first, *above = (_bytes(level) for level in self._levels(leaves))
        return Tree(first, above)

    def release(self) -> None:
        """Give PyTorch's reserve back to the driver. What a process needs to use the GPU at all stays with it."""
        self._torch.cuda.empty_cache()

    def _levels(self, leaves: Sequence[Leaves]) -> list[Any]:
        torch = self._torch
        level = leaves[0] if len(leaves) == 1 else torch.cat(list(leaves))
        levels = [level]
        with self._on():
            while len(level) > 1:
                pairs = len(level) // 2
                above = torch.empty((len(level) - pairs, 8), dtype=torch.int32, device=self.device)
                grid = (-(-pairs // _LANES),)
                self._kernels.hash_pairs[grid](level, above, self._rounds, pairs, LANES=_LANES)
                if len(level) % 2:
                    above[-1] = level[-1]
                level = above
                levels.append(level)
        return levels

    def _product(self, rows: Any, columns: Any) -> Any:
        torch = self._torch
        if self.kind == "fp8":
            one = self._unit
            return torch._scaled_mm(rows, columns.T, one, one, out_dtype=torch.float32, use_fast_accum=False)
        if self.kind in ("fp16", "bf16"):
            return torch.mm(rows, columns.T, out_dtype=torch.float32)
        return super()._product(rows, columns)

    def _seconds(self, rows: Any, columns: Any) -> float:
        """Without the way to the host's memory."""
        self._torch.cuda.synchronize(self.device)
        started = time.perf_counter()
        made = self._product(rows, columns)
        self._torch.cuda.synchronize(self.device)
        del made
        return time.perf_counter() - started

    def _on(self) -> Any:
        return self._torch.cuda.device(self.device)


def _bytes(level: Any) -> bytes:
    return level.cpu().numpy().tobytes()


def _paths(device: str) -> Iterator[TorchPath]:
    torch = _import("torch")
    # Half-precision sums between the parts of a split product would round.
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    for kind in _BY_DEVICE.get(device.partition(":")[0], ()):
        yield TorchPath(kind) if device == "cpu" else CudaPath(kind, device)


def exact_paths(device: str = "cpu", profile: Profile = C1) -> Iterator[TorchPath]:
    """The paths of a device that are exact on it; each has just passed the rail vectors.

    Args:
        profile: sizes of the largest product tried.

    Raises:
        IntensityError: PyTorch or the device is missing.
    """
    for path in _paths(device):
        try:
            check_exact(path, profile)
        except _UNABLE:
            continue
        finally:
            path.release()
        yield path


def fastest_prover(device: str, profile: Profile) -> tuple[Prover, str, float]:
    """The fastest of a device's exact ways to prove, with its data type and operations a second at a profile's size.

    Raises:
        IntensityError: PyTorch or the device is missing, or no path is exact.
    """
    rates: list[tuple[float, TorchPath]] = []
    for path in _paths(device):
        with contextlib.suppress(*_UNABLE):
            rates.append((path.measure(profile), path))
        path.release()
    # Trying takes longer than measuring, and the first that is exact is the one.
    for rate, path in sorted(rates, key=lambda each: each[0], reverse=True):
        with contextlib.suppress(*_UNABLE):
            return Prover(path, profile), path.kind, rate
    raise IntensityError(
        f"{device} has no exact matrix product",
        why="no data type passes the rail vectors",
        fix="offer the device without proofs of intensity",
    )
