"""Rank providers by the energy of their results, as their receipts state it and however it was found."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from candela.chain.market import TaskReceipt

METHODS = {0: "unknown", 1: "nvml", 2: "rapl", 3: "estimate"}
"""How joules were found, by the number in receipts: counters of the driver or the processor, or no counter at all."""


class Consumption(msgspec.Struct):
    """What a provider's results of one job took."""

    provider: str
    results: int = 0
    energy_mj: int = 0
    work_uwu: int = 0
    price: int = 0
    """Nit."""
    methods: dict[str, int] = {}
    """Results by how their energy was found."""

    @property
    def joules(self) -> float:
        """All of it."""
        return self.energy_mj / 1000

    @property
    def joules_per_result(self) -> float:
        """Of a job's tasks, which are alike."""
        return self.joules / self.results if self.results else 0.0

    @property
    def measured(self) -> bool:
        """Whether a counter found all of it; nothing proves that the counter was read honestly."""
        return not self.methods.keys() & {"unknown", "estimate"}


def by_provider(receipts: Iterable[TaskReceipt]) -> list[Consumption]:
    """The providers of a job's receipts, those first whose results took least energy; equal ones by address."""
    found: dict[str, Consumption] = {}
    for receipt in receipts:
        one = found.setdefault(receipt.provider, Consumption(receipt.provider))
        one.results += 1
        one.energy_mj += receipt.energy_mj
        one.work_uwu += receipt.work_uwu
        one.price += receipt.price
        method = METHODS.get(receipt.energy_method, "unknown")
        one.methods[method] = one.methods.get(method, 0) + 1
    return sorted(found.values(), key=lambda each: (each.joules_per_result, each.provider))
