"""Read what GPUs may draw from their driver, through NVML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from candela.errors import ProviderError


class Gpus(Protocol):
    """The power of this machine's GPUs by their index, in milliwatts."""

    def enforced_mw(self, index: int) -> int:
        """The most that the driver lets a GPU draw, whoever set it."""
        ...


class Nvml:
    """NVIDIA's driver.

    Raises:
        ProviderError: there is no driver; with each method, the driver refused.
    """

    def __init__(self) -> None:
        import pynvml

        self._library: Any = pynvml
        self._ask("initialise", pynvml.nvmlInit)

    def enforced_mw(self, index: int) -> int:
        """The most that the driver lets a GPU draw, whoever set it."""
        return int(self._ask("enforced limit", lambda: self._library.nvmlDeviceGetEnforcedPowerLimit(self._gpu(index))))

    def _gpu(self, index: int) -> Any:
        return self._library.nvmlDeviceGetHandleByIndex(index)

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._library.NVMLError as error:
            raise ProviderError(
                "the GPU's driver gave no answer",
                why=f"NVML, {what}: {error}",
                fix="look at: nvidia-smi -q -d POWER",
            ) from error
