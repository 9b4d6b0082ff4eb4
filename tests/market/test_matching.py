"""Both sides get the same answer to whether a device fits a job."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candela.chain.market import ANY_DEVICE, JobState, Terms
from candela.chain.registry import Device, Offer
from candela.errors import NoProviderError
from candela.market.matching import constraints, fits, job_constraints
from candela.market.quote import require_fit
from candela.provider.devices import CPU

TERMS = Terms(bytes(32), 1, 4, 10**13, 10**6, ANY_DEVICE, 1, 1 << 30, 3, 60, 10, 60, 2**40)
DEVICE = Device(True, 0, 1, 1 << 30, 10**6, "test")

terms = st.builds(
    lambda kind, tier, memory, price: msgspec.structs.replace(
        TERMS, device_kind=kind, min_tier=tier, min_memory_bytes=memory, max_price_per_unit=price
    ),
    st.sampled_from([0, 1, ANY_DEVICE]),
    st.integers(0, 3),
    st.integers(0, 1 << 40),
    st.integers(1, 10**15),
)
devices = st.builds(
    Device, st.just(True), st.integers(0, 1), st.integers(0, 3), st.integers(0, 1 << 40), st.just(10**6), st.just("d")
)


@given(terms, devices, st.integers(0, 10**15))
def test_a_device_fits_when_every_constraint_holds(wanted: Terms, device: Device, floor: int) -> None:
    kind = wanted.device_kind == device.kind or (wanted.device_kind == ANY_DEVICE and device.kind == CPU)
    isolated = device.sandbox_tier >= wanted.min_tier
    enough = device.memory_bytes >= wanted.min_memory_bytes
    assert fits(wanted, device, floor) == (kind and isolated and enough and floor <= wanted.max_price_per_unit)


@given(terms, devices, st.integers(0, 10**15))
def test_a_better_device_never_fits_worse(wanted: Terms, device: Device, floor: int) -> None:
    better = msgspec.structs.replace(
        device, sandbox_tier=device.sandbox_tier + 1, memory_bytes=2 * device.memory_bytes + 1
    )
    assert fits(wanted, better, floor // 2) or not fits(wanted, device, floor)


@given(st.lists(devices, max_size=8), terms)
def test_a_job_is_refused_only_when_nobody_fits_and_each_reason_is_named(offered: list[Device], wanted: Terms) -> None:
    offers = [Offer("0x" + "11" * 20, number, device) for number, device in enumerate(offered)]
    if any(fits(wanted, device, 0) for device in offered):
        require_fit(offers, wanted)
        return
    with pytest.raises(NoProviderError) as caught:
        require_fit(offers, wanted)
    nearest = min(
        ([each.name for each in constraints(wanted, device, 0) if not each.holds] for device in offered),
        key=len,
        default=[],
    )
    assert all(name in caught.value.why for name in nearest)


def test_each_unmet_constraint_carries_both_numbers() -> None:
    checked = constraints(TERMS, msgspec.structs.replace(DEVICE, memory_bytes=1 << 20), 10**14)
    found = {each.name: (each.wanted, each.offered) for each in checked if not each.holds}
    assert found["memory"] == ("1024 MiB", "1 MiB")
    assert found["price"] == ("at most 0.00001 CND per work unit", "at least 0.0001 CND per work unit")


def test_a_job_gives_leases_only_while_it_is_open_in_time_and_has_tasks() -> None:
    assert all(each.holds for each in job_constraints(JobState.OPEN, 100, 100, 1))
    late = job_constraints(JobState.PAUSED_FUNDS, 99, 100, 0)
    assert [each.name for each in late if not each.holds] == ["job is open", "deadline", "tasks left"]
    assert late[0].offered == "paused_funds"
