"""What proved compute earns, and that splitting, lying and waiting earn no more."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candela.economics.rewards import (
    WINDOWS,
    WORK,
    auditors_share,
    capacity_share,
    covered,
    device_work,
    emission,
    fee,
    vested,
    work_emission,
)

from .audits import AUDITS
from .conftest import CND, World
from .economy import COMMISSION, OPEN, STAKE, Pay, devices, pay

RESERVE = 1_000_000 * CND
UNIT = 2 * 2048**3
UNITS = 240
YEAR_HALF = 180 * 24 * 3600


@pytest.fixture
def bench() -> Iterator[Pay]:
    """A filled reserve."""
    with boa.env.anchor():
        yield pay(RESERVE)


def earn(bench: Pay, providers: list[str], day: int) -> list[int]:
    """Let providers report their device 0, and seal the day."""
    bench.to_reports_of(day)
    for provider in providers:
        bench.rewards.report(day, [0], sender=provider)
    bench.to_seal_of(day)
    return [bench.rewards.payout(day, provider) for provider in providers]


def test_payouts_follow_what_was_proved(bench: Pay) -> None:
    day, one, two = bench.today(), bench.provider("one"), bench.provider("two")
    bench.measure(one, day, [UNIT * 3] * WINDOWS)
    bench.measure(two, day, [UNIT] * WINDOWS)
    pool = bench.rewards.emission(day)
    assert pool == emission(RESERVE, 0) == RESERVE * 8 // 10 // 2_000
    assert earn(bench, [one, two], day) == [pool * 3 // 4, pool // 4]
    assert bench.rewards.reserve() == RESERVE - pool


def test_a_quarter_is_paid_at_once_and_the_rest_over_half_a_year(bench: Pay) -> None:
    day, one = bench.today(), bench.provider("one")
    bench.measure(one, day, [UNIT] * WINDOWS)
    (payout,) = earn(bench, [one], day)
    before = boa.env.get_balance(one)
    assert bench.rewards.due(day, one) == payout // 4
    bench.rewards.pay(one, [day, day])
    assert boa.env.get_balance(one) - before == payout // 4, "a day that is named twice is paid once"
    bench.vaults.at(bench.rewards.sealed_at(day) + YEAR_HALF // 2)
    bench.rewards.pay(one, [day])
    assert boa.env.get_balance(one) - before == vested(payout, YEAR_HALF // 2)
    bench.vaults.at(bench.rewards.sealed_at(day) + YEAR_HALF)
    bench.rewards.pay(one, [day])
    assert boa.env.get_balance(one) - before == payout
    assert bench.rewards.pay(one, [day]) == 0
    assert bench.rewards.allocated() == 0


def test_days_are_reported_in_time_and_once(bench: Pay) -> None:
    day, one = bench.today(), bench.provider("one")
    bench.measure(one, day, [UNIT] * WINDOWS)
    with boa.reverts("rewards: the day's windows are not final"):
        bench.rewards.report(day, [0], sender=one)
    bench.to_reports_of(day)
    with boa.reverts("rewards: nothing is measured or covered"):
        bench.rewards.report(day, [1], sender=one)
    with boa.reverts("rewards: no devices"):
        bench.rewards.report(day, [], sender=one)
    with boa.reverts("rewards: device is reported"):
        bench.rewards.report(day, [0, 0], sender=one)
    bench.rewards.report(day, [0], sender=one)
    with boa.reverts("rewards: device is reported"):
        bench.rewards.report(day, [0], sender=one)
    with boa.reverts("rewards: the day is not over"):
        bench.rewards.pay(one, [day])
    bench.to_seal_of(day)
    with boa.reverts("rewards: too late to report"):
        bench.rewards.report(day, [1], sender=one)


def test_nobody_reports_for_others_by_naming_them_operator(bench: Pay) -> None:
    day, victim = bench.today(), bench.provider("victim")
    bench.vaults.registry.set_operator(boa.env.generate_address("hot key"), sender=victim)
    thief = boa.env.generate_address("thief")
    bench.vaults.registry.register(victim, sender=thief)
    bench.measure(victim, day, [UNIT] * WINDOWS)
    bench.to_reports_of(day)
    bench.rewards.report(day, [0], sender=victim)
    assert bench.rewards.points(day, victim) > 0
    assert bench.rewards.points(day, thief) == 0


def test_whoever_is_slashed_earns_nothing_that_day(bench: Pay) -> None:
    day, one = bench.today(), bench.provider("one", 2 * CND)
    bench.measure(one, day, [UNIT] * WINDOWS)
    bench.vaults.registry.slash(one, 1, sender=AUDITS)
    bench.to_reports_of(day)
    with boa.reverts("rewards: slashed since the day began"):
        bench.rewards.report(day, [0], sender=one)


def test_work_beyond_the_stake_earns_nothing(bench: Pay) -> None:
    day, one, two = bench.today(), bench.provider("one"), bench.provider("two")
    most = covered(CND, OPEN)
    assert bench.rewards.covered(one) == most
    bench.measure(one, day, [most // WINDOWS * 5] * WINDOWS)
    bench.measure(two, day, [most // WINDOWS] * WINDOWS)
    first, second = earn(bench, [one, two], day)
    assert first == pytest.approx(second, rel=1e-9)


def test_a_vault_s_holders_cover_its_work_and_share_its_payout(bench: Pay) -> None:
    day, world = bench.today(), bench.vaults
    ann = world.holders[0]
    shares = world.vault.deposit(STAKE, ann, value=STAKE, sender=ann)
    devices(world.registry, world.vault.address, world.operator)
    assert bench.rewards.covered(world.vault.address) == covered(2 * STAKE + CND, OPEN)
    bench.measure(world.vault.address, day, [UNIT] * WINDOWS)
    bench.to_reports_of(day)
    bench.rewards.report(day, [0], sender=world.operator)
    bench.to_seal_of(day)
    bench.rewards.pay(world.vault.address, [day])
    paid = bench.rewards.paid(day, world.vault.address)
    gain = paid - paid * COMMISSION // 10_000
    assert STAKE + gain // 2 - 10 <= world.vault.convertToAssets(shares) <= STAKE + gain // 2


def test_a_day_without_reports_costs_the_reserve_nothing(bench: Pay) -> None:
    bench.vaults.at(bench.vaults.now() + 30 * 24 * 3600)
    assert bench.rewards.reserve() == RESERVE


@given(st.lists(st.integers(0, 2**64), min_size=WINDOWS, max_size=WINDOWS))
def test_no_window_counts_more_than_was_proved(windows: list[int]) -> None:
    assert device_work(windows) <= sum(windows)
    assert device_work([2 * each for each in windows]) == 2 * device_work(windows)


def test_capacity_s_share_falls_from_four_fifths_to_one_fifth_in_four_years() -> None:
    shares = [capacity_share(day) for day in range(3_000)]
    assert (shares[0], shares[1_461], shares[-1]) == (8_000, 2_000, 2_000)
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("identities", [1, 2, 4, 8])
@pytest.mark.parametrize("cut", ["by units", "by windows"])
def test_one_device_earns_the_same_under_any_number_of_identities(bench: Pay, identities: int, cut: str) -> None:
    day, rival = bench.today(), bench.provider("rival", 8 * CND)
    bench.measure(rival, day, [UNITS * UNIT] * WINDOWS)
    names = [bench.provider(f"identity {number}", 8 * CND // identities) for number in range(identities)]
    for number, name in enumerate(names):
        if cut == "by units":
            units = [UNITS // identities + (number < UNITS % identities)] * WINDOWS
        else:
            units = [UNITS * (window % identities == number) for window in range(WINDOWS)]
        bench.measure(name, day, [each * UNIT for each in units])
    together = sum(earn(bench, [*names, rival], day)[:-1])
    alone = bench.rewards.days(day).pool // 2
    assert abs(together - alone) * 50 <= alone


def test_splitting_and_merging_stake_or_devices_changes_nothing(bench: Pay) -> None:
    day = bench.today()
    merged, rival = bench.provider("merged", 4 * CND), bench.provider("rival", 4 * CND)
    parts = [bench.provider(f"part {number}") for number in range(4)]
    for number, part in enumerate(parts):
        bench.measure(merged, day, [5 * UNIT] * WINDOWS, device=number)
        bench.measure(part, day, [5 * UNIT] * WINDOWS)
    bench.measure(rival, day, [20 * UNIT] * WINDOWS)
    bench.to_reports_of(day)
    bench.rewards.report(day, [0, 1], sender=merged)
    bench.rewards.report(day, [2, 3], sender=merged)
    split = earn(bench, [*parts, rival], day)
    assert bench.rewards.payout(day, merged) == split[-1]
    assert 0 <= split[-1] - sum(split[:4]) < 4, "rounding alone tells them apart"


@pytest.mark.parametrize("price", [1, 10**9, 10**13])
def test_paying_oneself_through_the_market_earns_nothing(bench: Pay, price: int) -> None:
    day, world = bench.today(), bench.vaults
    customer, provider = boa.env.generate_address("customer"), bench.provider("washer")
    market = World(world.registry, world.market, customer, provider)
    world.registry.add_device(0, 1, 1 << 30, 1, "cpu", sender=provider)
    boa.env.set_balance(customer, CND)
    lease = market.lease(market.open(value=CND // 2, max_price_per_unit=price), price=price)
    for task in range(4):
        market.settle(lease, task, price=price)
    world.market.accept(lease, 15, sender=customer)
    world.market.close_job(lease >> 32, sender=customer)
    burned, share = fee(4 * price), auditors_share(4 * price)
    left = boa.env.get_balance(customer) + boa.env.get_balance(provider)
    assert left == CND - burned - share, "only gas and fees are gone"
    waiting = bench.rewards.audit_pools(customer) & (1 << 128) - 1
    assert waiting == share, "what its own auditors can get at most"
    bench.to_reports_of(day)
    with boa.reverts("rewards: nothing is measured or covered"):
        bench.rewards.report(day, [0], sender=provider)
    boa.env.time_travel(seconds=181 * 24 * 3600)
    back = bench.rewards.pay(provider, [day])
    assert back == burned * 4 // 5, "nobody else has worked, and the pool is large"
    assert left + back + share <= CND - burned // 5, "even if it audits itself"
    assert bench.rewards.allocated() == waiting
    bench.rewards.release(customer)
    assert bench.rewards.allocated() == 0


@pytest.mark.parametrize("unit", [CND, 100 * CND], ids=["the cap decides", "the pool decides"])
def test_the_pool_for_work_is_shared_by_fees_up_to_what_they_bear(bench: Pay, unit: int) -> None:
    day, market = bench.today(), bench.vaults.market.address
    boa.env.set_balance(bench.payer, 1)
    one, two = bench.provider("one"), bench.provider("two")
    pool = bench.rewards.emission(WORK | day)
    assert pool == work_emission(RESERVE, 0) == 100 * CND
    for provider, burned in ((one, unit), (two, unit), (one, 2 * unit), (two, 0)):
        bench.charge(provider, bench.payer, 1, burned)
    with boa.reverts("rewards: not the market"):
        bench.rewards.charge(one, bench.payer, 1, 0, value=1, sender=bench.payer)
    assert boa.env.get_balance(market) == 0
    assert bench.rewards.reserve() == RESERVE - pool, "the first fee of the day set its pool aside"
    expected = [min(pool * 3 // 4, 3 * unit * 8 // 10), min(pool // 4, unit * 8 // 10)]
    assert [bench.rewards.payout(WORK | day, each) for each in (one, two)] == expected
    with boa.reverts("rewards: the day is not over"):
        bench.rewards.pay(one, [day])
    bench.to_seal_of(day)
    assert bench.rewards.due(WORK | day, one) == bench.rewards.pay(one, [day]) == expected[0] // 4
    with boa.reverts("rewards: the day is not over"):
        bench.rewards.pay(one, [WORK | day])
    boa.env.time_travel(seconds=YEAR_HALF)
    assert bench.rewards.pay(one, [day]) == expected[0] - expected[0] // 4
    assert bench.rewards.pay(two, [day]) == expected[1]
    assert bench.rewards.allocated() == 0
    assert bench.balance() == bench.rewards.reserve() == RESERVE - sum(expected), "what was not due came back"
