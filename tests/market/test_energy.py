"""Providers are ranked by joules per result, and estimates are called what they are."""

from __future__ import annotations

from candela.chain.market import TaskReceipt
from candela.market.energy import by_provider


def receipt(provider: str, energy_mj: int, method: int) -> TaskReceipt:
    hashes = {name: bytes(32) for name in ("code_hash", "input_hash", "output_hash")}
    numbers = dict.fromkeys(("job_id", "lease_id", "task", "attempt", "device_id", "outcome", "started"), 0)
    facts = {"provider": provider, "energy_mj": energy_mj, "energy_method": method, "work_uwu": 7, "price": 3}
    return TaskReceipt(**hashes, **numbers, **facts)  # type: ignore[arg-type]


def test_least_energy_per_result_comes_first_however_many_results_there_are() -> None:
    receipts = [receipt("frugal", 1_000, 2), receipt("hungry", 4_000, 1)]
    receipts += [receipt("middle", 2_000, 3), receipt("middle", 3_000, 2)]
    ranked = by_provider(receipts)
    assert [each.provider for each in ranked] == ["frugal", "middle", "hungry"]
    assert [each.joules_per_result for each in ranked] == [1.0, 2.5, 4.0]
    assert [each.measured for each in ranked] == [True, False, True]
    assert ranked[1].methods == {"estimate": 1, "rapl": 1}
    assert (ranked[1].results, ranked[1].work_uwu, ranked[1].price) == (2, 14, 6)


def test_unknown_methods_are_no_measurement() -> None:
    (one,) = by_provider([receipt("new", 5, 99)])
    assert one.methods == {"unknown": 1}
    assert not one.measured
    assert by_provider([]) == []
