"""Hold the GPU's kernels against the host in Triton's interpreter: run with ``TRITON_INTERPRET=1``."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from candela.intensity.path import HostPath
from candela.intensity.rails import _check_unit
from candela.intensity.seed import ROWS
from candela.intensity.torch_path import _TYPES, CudaPath, TorchPath


class Interpreted(CudaPath):
    """A GPU's path whose tensors are the host's; the product alone is not the GPU's."""

    def __init__(self, kind: str) -> None:
        TorchPath.__init__(self, "fp32")
        self.kind, self._type = kind, getattr(self._torch, _TYPES[kind])
        self._arm()

    def release(self) -> None:
        """Nothing is held."""

    def _product(self, rows: Any, columns: Any) -> Any:
        made = rows.float() @ columns.float().T
        return made.to(self._torch.int32) if self.kind == "int8" else made

    def _on(self) -> Any:
        return contextlib.nullcontext()


def main() -> None:
    """Panels at odd places, then a small unit with its leaves and its tree."""
    seed = bytes(range(32))
    for kind in ("int8", "bf16", "fp32"):
        path = Interpreted(kind)
        for first, count, depth in ((0, 1, 16), (70_001, 33, 160), (1 << 17, 2, 8192)):
            made = path.panel(seed, ROWS, first, count, depth).float().numpy()
            assert np.array_equal(made, HostPath().panel(seed, ROWS, first, count, depth)), (kind, first)
        _check_unit(path)
    print("equal")


if __name__ == "__main__":
    main()
