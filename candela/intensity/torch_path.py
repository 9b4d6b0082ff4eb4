"""Multiply and expand with PyTorch, on a CPU or a GPU, in the data types whose sums stay exact."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from candela.errors import IntensityError
from candela.intensity.product import Factor
from candela.intensity.profile import LOWEST
from candela.intensity.rails import check_exact

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
_CHUNK_ENTRIES = 1 << 24
"""Entries made at a time, so that intermediate words take little of a card's memory."""
_TYPES = {"int8": "int8", "fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_BY_DEVICE = {"cpu": ("int8", "fp32"), "cuda": ("int8", "fp16", "bf16", "fp32")}
"""Data types in the order in which they are tried. A CPU sums half-precision products in half precision."""


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise IntensityError(
            "this device needs PyTorch", why=f"it can't be imported: {error}", fix="pip install torch, or use numpy"
        ) from None


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


class TorchPath:
    """One data type of one device, as a prover's way to multiply and to make panels.

    Args:
        kind: ``int8`` (sums in int32), ``fp32``, ``fp16`` or ``bf16`` (sums in single precision).
        device: PyTorch's name of the device, for instance ``cpu`` or ``cuda:0``.

    Raises:
        IntensityError: PyTorch is missing, or it has no such product on this device.
    """

    def __init__(self, kind: str, device: str = "cpu") -> None:
        self._torch = _torch()
        if kind not in _BY_DEVICE.get(device.partition(":")[0], ()):
            raise IntensityError(
                f"there is no {kind} product on {device}",
                why="its sums would not be exact, or the device is not known",
                fix="use one of those that exact_paths() lists",
            )
        if device != "cpu" and not self._torch.cuda.is_available():
            raise IntensityError(f"there is no device {device}", why="PyTorch finds no usable GPU", fix="use cpu")
        self.kind, self.device = kind, device
        self._type = getattr(self._torch, _TYPES[kind])

    def __call__(self, rows: Factor, columns: Factor) -> np.ndarray:
        """Rows (r, k) by columns (c, k), arrays or what :meth:`panel` made, to int32 (r, c) in the host's memory."""
        left, right = self._tensor(rows), self._tensor(columns).T
        if self.kind == "int8":
            made = self._torch._int_mm(left, right)
        elif self.kind == "fp32":
            made = left @ right
        else:
            made = self._torch.mm(left, right, out_dtype=self._torch.float32)
        return made.to(self._torch.int32).cpu().numpy()

    def panel(self, keys: np.ndarray, depth: int) -> Factor:
        """The rows of uint64 ``keys``, ``depth`` entries each, on the device in this path's type."""
        torch = self._torch
        lines = torch.from_numpy(keys.view(np.int64)).to(self.device)
        counters = torch.arange(depth // 16, dtype=torch.int64, device=self.device) * _signed(_GOLDEN)
        panel = torch.empty((len(keys), depth), dtype=self._type, device=self.device)
        step = max(1, _CHUNK_ENTRIES // depth)
        for start in range(0, len(keys), step):
            words = lines[start : start + step, None] + counters[None, :]
            octets = self._mixed(self._mixed(words)).view(torch.uint8)
            pairs = torch.stack((octets & 15, octets >> 4), dim=-1).view(-1, depth)
            panel[start : start + step] = pairs.to(torch.int8) + LOWEST
        return panel

    def _mixed(self, words: Any) -> Any:
        """The finaliser of splitmix64. int64 multiplies like uint64; its right shift drops the copies of the sign."""
        for shift, factor in _ROUNDS:
            words = (words ^ ((words >> shift) & (_MASK >> shift))) * _signed(factor)
        return words

    def _tensor(self, factor: Factor) -> Any:
        if isinstance(factor, np.ndarray):
            return self._torch.from_numpy(factor).to(self.device, self._type)
        return factor


def exact_paths(device: str = "cpu") -> Iterator[TorchPath]:
    """The paths of a device that are exact on it; each has just passed the rail vectors.

    Raises:
        IntensityError: PyTorch is missing, or it does not know the device.
    """
    torch = _torch()
    # Half-precision sums between the parts of a split product would round.
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    for kind in _BY_DEVICE.get(device.partition(":")[0], ()):
        path = TorchPath(kind, device)
        try:
            check_exact(path, path.panel)
        except (IntensityError, RuntimeError, NotImplementedError):
            continue
        yield path
