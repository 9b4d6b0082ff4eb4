"""No work is done for less than its energy costs, as counters measured it or else by an estimate."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candela.amounts import NIT_PER_CND, WORK_SCALE
from candela.chain.market import TaskReceipt
from candela.errors import ProviderError
from candela.provider.devices import CPU, GPU, LocalDevice
from candela.provider.earnings import JobEarnings, Net
from candela.provider.floor import Floors, Use, energy_cost, median_use
from candela.provider.metering import EnergyMethod
from candela.provider.power import Gpus

KWH = 12 * NIT_PER_CND
STATED = 10**13
CORE = LocalDevice(CPU, "core", 1 << 30, 100_000)
CARD = LocalDevice(GPU, "card", 1 << 34, 900 * WORK_SCALE, 1)


class Driver:
    """A driver that lets card 1 draw 450 W."""

    def uuid(self, index: int) -> str:
        return f"GPU-{index}"

    def enforced_mw(self, uuid: str) -> int:
        return {"GPU-1": 450_000}[uuid]


def none() -> Gpus:
    raise ProviderError("the GPU's driver gave no answer")


def receipt(energy_mj: int, work_uwu: int, method: EnergyMethod = EnergyMethod.RAPL, device_id: int = 0) -> TaskReceipt:
    facts = dict.fromkeys(("code_hash", "input_hash", "output_hash"), b"")
    facts |= dict.fromkeys(("job_id", "lease_id", "task", "attempt", "outcome", "started", "price"), 0)
    return TaskReceipt(
        **facts,  # type: ignore[arg-type]
        provider="0x",
        device_id=device_id,
        work_uwu=work_uwu,
        energy_mj=energy_mj,
        energy_method=int(method),
    )


def floors(stated: int = STATED, kwh: int = KWH) -> Floors:
    found = Floors(stated, kwh, Driver)  # type: ignore[arg-type]
    found.prepare([CORE, CARD])
    return found


def test_without_a_price_of_energy_the_stated_price_is_the_floor() -> None:
    floor = Floors(STATED, 0, none).of(0, CORE)
    assert floor.price == STATED
    assert floor.describe() == "asks 0.00001 CND per work unit"


def test_a_core_that_nothing_measures_is_priced_by_the_estimate() -> None:
    floor = floors().of(0, CORE)
    # 10 W at 0.1 cd are 100 J a work unit; 12 CND for 3.6 MJ; the market keeps 7 %.
    assert floor.joules_per_unit == 100
    assert floor.energy == floor.price == 100 * KWH * 100 // (93 * 3_600_000) + 1
    text = floor.describe()
    assert text.startswith(
        "asks 0.000358 CND per work unit: its energy costs 0.000358 CND with the fee, more than the stated"
    )
    assert text.endswith("100 J at 12 CND per kWh, estimated: 10 W for a busy core")


def test_the_larger_price_counts() -> None:
    floor = floors(stated=NIT_PER_CND).of(0, CORE)
    assert floor.price == NIT_PER_CND > floor.energy > 0
    assert "less than the stated 1 CND" in floor.describe()


def test_a_card_that_nothing_has_measured_is_priced_at_the_most_it_may_draw() -> None:
    floor = floors().of(3, CARD)
    assert floor.joules_per_unit == 0.5
    assert "at most: the driver's limit is 450 W" in floor.describe()


def test_a_card_of_which_nothing_is_known_ends_the_start() -> None:
    with pytest.raises(ProviderError, match="no answer"):
        Floors(STATED, KWH, none).prepare([CARD])
    Floors(STATED, 0, none).prepare([CARD])


def test_what_counters_have_measured_replaces_the_estimate_device_by_device() -> None:
    found = floors()
    found.learn(receipt(5_000, WORK_SCALE, EnergyMethod.ESTIMATE))
    found.learn(receipt(5_000, WORK_SCALE, EnergyMethod.UNKNOWN))
    found.learn(receipt(0, WORK_SCALE))
    assert "estimated" in found.of(0, CORE).basis
    found.learn(receipt(5_000, WORK_SCALE))
    found.learn(receipt(10_000, 2 * WORK_SCALE, EnergyMethod.NVML))
    floor = found.of(0, CORE)
    assert (floor.joules_per_unit, floor.basis) == (5, "measured: median of 2 receipts, nvml and rapl")
    assert "estimated" in found.of(1, CORE).basis


def test_tasks_that_are_cut_off_at_little_work_do_not_bend_the_floor() -> None:
    honest = [receipt(5_000, WORK_SCALE)] * 10
    assert median_use(honest + [receipt(100_000, 1)] * 900).joules_per_unit == 5


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 10**12)), min_size=1, max_size=40))
def test_half_of_the_work_took_no_more_energy_a_unit_than_the_median(found: list[tuple[int, int]]) -> None:
    use = median_use([receipt(*each) for each in found])
    middle = Fraction(use.energy_mj, use.work_uwu)
    work = sum(each for _, each in found)
    assert 2 * sum(w for e, w in found if Fraction(e, w) <= middle) >= work
    assert 2 * sum(w for e, w in found if Fraction(e, w) >= middle) >= work


@given(energy=st.integers(1, 10**12), work=st.integers(1, 10**15), kwh=st.integers(1, 10**24))
def test_the_price_covers_the_energy_and_no_more_than_a_nit_beyond(energy: int, work: int, kwh: int) -> None:
    exact = Fraction(energy, work) * kwh * WORK_SCALE / 3_600_000_000 / Fraction(93, 100)
    assert exact <= Use(energy, work, "").cost_per_unit(kwh) < exact + 1


@given(energy=st.integers(0, 10**15), kwh=st.integers(0, 10**24))
def test_what_is_left_is_pay_less_energy(energy: int, kwh: int) -> None:
    accounts = [
        JobEarnings(1, paid=10**18, energy_mj=energy // 2),
        JobEarnings(2, paid=5, energy_mj=energy - energy // 2),
    ]
    net = Net.of(accounts, kwh)
    cost = Fraction(energy * kwh, 3_600_000_000)
    assert cost <= net.energy < cost + 1
    assert net.net == 10**18 + 5 - net.energy
    assert energy_cost(3_600_000_000, kwh) == kwh
