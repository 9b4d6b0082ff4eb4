"""What the market does with jobs, leases, receipts and money."""

from __future__ import annotations

import boa
import pytest

from candela.economics.rewards import after_fees

from .conftest import CND, HASH, PRICE, WORK, World

TASK = WORK * PRICE // 10**6


def gone(world: World, account: str) -> int:
    return boa.env.get_balance(account)


def test_accepted_tasks_are_paid_and_the_rest_refunded(world: World) -> None:
    job = world.open()
    lease = world.lease(job)
    for task in range(4):
        world.settle(lease, task)
    before = gone(world, world.provider)
    world.market.accept(lease, 0b1111, sender=world.customer)
    assert gone(world, world.provider) - before == after_fees(4 * TASK)
    world.market.close_job(job, sender=world.customer)
    assert gone(world, world.customer) == 1_000 * CND - 4 * TASK
    assert world.balance() == 0


def test_receipt_pays_once(world: World) -> None:
    lease = world.lease(world.open())
    world.settle(lease, 0)
    with boa.reverts("market: task is settled"):
        world.settle(lease, 0)
    world.market.accept(lease, 1, sender=world.customer)
    with boa.reverts("market: task is paid or disputed"):
        world.market.accept(lease, 1, sender=world.customer)
    world.pass_time(1_000)
    with boa.reverts("market: task is paid or disputed"):
        world.market.claim(lease, 1, sender=world.provider)


def test_energy_is_bounded_by_what_the_device_can_draw_since_the_lease(world: World) -> None:
    lease = world.lease(world.open())
    world.settle(lease, 0, energy=500_000)
    world.pass_time(9)
    with boa.reverts("market: more energy than the device can draw"):
        world.settle(lease, 1, energy=5_000_001)
    world.settle(lease, 1, energy=5_000_000)
    world.registry.top_up_bond(world.provider, value=CND, sender=world.provider)
    world.registry.add_device(1, 1, 1 << 30, 10**9, "gpu", sender=world.provider)
    taken = world.market.take_lease(world.open(), 1, PRICE, 4, sender=world.provider)
    with boa.reverts("market: more energy than the device can draw"):
        world.settle(taken, 0, energy=2_000_001)
    world.settle(taken, 0, energy=2_000_000)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"price": PRICE + 1}, "market: wrong price"),
        ({"price": 0}, "market: wrong price"),
        ({"work": WORK + 1, "price": (WORK + 1) * PRICE // 10**6}, "market: work exceeds the limit"),
        ({"outcome": 4}, "market: unknown outcome"),
        ({"output": b"\0" * 32}, "market: output hash is empty"),
        ({"energy": 500_001}, "market: more energy than the device can draw"),
        ({"energy": 2**64 - 1}, "market: more energy than the device can draw"),
    ],
)
def test_wrong_receipt_pays_nothing(world: World, changed: dict, reason: str) -> None:
    lease = world.lease(world.open())
    with boa.reverts(reason):
        world.settle(lease, 0, **changed)
    assert world.market.leases(lease)[15] == 0, "nothing is owed"


def test_only_the_operator_settles_its_own_tasks(world: World) -> None:
    lease = world.lease(world.open(), count=2)
    with boa.reverts("market: not the operator of the lease"):
        world.settle(lease, 0, sender=world.customer)
    with boa.reverts("market: task is not in the lease"):
        world.settle(lease, 2)
    with boa.reverts("market: not the operator of the lease"):
        world.settle(lease + 1, 0)


def test_expired_lease_settles_nothing_and_is_taken_over(world: World) -> None:
    job = world.open()
    lease = world.lease(job)
    world.settle(lease, 1)
    with boa.reverts("market: lease has not expired"):
        world.market.expire_lease(lease, sender=world.customer)
    world.pass_time(11)
    with boa.reverts("market: lease has expired"):
        world.settle(lease, 0)
    second = world.market.take_over(lease, 0, PRICE, sender=world.provider)
    assert world.market.leases(second)[7] == 0b1101, "only what was not done"
    with boa.reverts("market: taken over already"):
        world.market.take_over(lease, 0, PRICE, sender=world.provider)
    world.pass_time(11)
    with boa.reverts("market: no retries left"):
        world.market.take_over(second, 0, PRICE, sender=world.provider)


def test_renewal_keeps_a_lease_alive_but_not_forever(world: World) -> None:
    lease = world.lease(world.open())
    for _ in range(20):
        world.pass_time(9)
        world.market.renew(lease, sender=world.provider)
    world.pass_time(9 * 8)
    with boa.reverts("market: lease has expired"):
        world.market.renew(lease, sender=world.provider)


def test_escrow_funds_fewer_tasks_then_pauses_until_topped_up(world: World) -> None:
    job = world.open(value=3 * TASK // 2)
    lease = world.lease(job)
    assert world.market.leases(lease)[7] == 1, "funds for one task"
    assert world.lease(job) == 0
    assert world.market.jobs(job)[1] == world.market.PAUSED_FUNDS()
    with boa.reverts("market: job is paused"):
        world.lease(job)
    world.market.top_up(job, value=3 * TASK, sender=world.provider)
    assert world.market.leases(world.lease(job))[7] == 0b111


def test_cancel_refunds_what_is_not_leased_and_pays_finished_work(world: World) -> None:
    job = world.open()
    lease = world.lease(job, count=2)
    world.settle(lease, 0)
    world.market.cancel(job, sender=world.customer)
    assert world.balance() == 2 * TASK
    with boa.reverts("market: job has ended"):
        world.lease(job)
    world.settle(lease, 1)
    world.market.accept(lease, 0b11, sender=world.customer)
    assert world.balance() == 0
    assert gone(world, world.customer) == 1_000 * CND - 2 * TASK


def test_unaccepted_work_is_claimed_after_the_window_only(world: World) -> None:
    lease = world.lease(world.open())
    world.settle(lease, 0)
    with boa.reverts("market: audit window is not over"):
        world.market.claim(lease, 1, sender=world.provider)
    world.pass_time(101)
    before = gone(world, world.provider)
    world.market.claim(lease, 1, sender=world.customer)
    assert gone(world, world.provider) - before == after_fees(TASK)


def test_disputed_payment_is_held_then_burned_and_the_task_done_again(world: World) -> None:
    job = world.open()
    lease = world.lease(job)
    world.settle(lease, 2)
    world.market.dispute(lease, 2, HASH, sender=world.customer)
    with boa.reverts("market: task is paid or disputed"):
        world.market.accept(lease, 0b100, sender=world.customer)
    world.market.release(lease, sender=world.provider)
    second = world.market.take_over(lease, 0, PRICE, sender=world.provider)
    assert world.market.leases(second)[7] == 0b1111
    with boa.reverts("market: dispute may still be withdrawn"):
        world.market.burn_disputed(lease, 2, sender=world.provider)
    world.pass_time(7 * 24 * 3600)
    before = world.balance()
    world.market.burn_disputed(lease, 2, sender=world.provider)
    assert before - world.balance() == TASK
    with boa.reverts("market: task is not disputed"):
        world.market.burn_disputed(lease, 2, sender=world.provider)


def test_withdrawn_dispute_pays_the_provider(world: World) -> None:
    lease = world.lease(world.open())
    world.settle(lease, 0)
    world.market.dispute(lease, 0, HASH, sender=world.customer)
    before = gone(world, world.provider)
    world.market.withdraw_dispute(lease, 0, sender=world.customer)
    assert gone(world, world.provider) - before == after_fees(TASK)
    world.market.release(lease, sender=world.provider)
    second = world.market.take_over(lease, 0, PRICE, sender=world.provider)
    assert world.market.leases(second)[7] == 0b1110, "what is paid is not done again"


def test_nobody_but_a_fitting_provider_can_pause_a_job(world: World) -> None:
    job = world.open(value=1)
    with boa.reverts("market: device is not listed"):
        world.market.take_lease(job, 0, PRICE, 1, sender=world.customer)
    assert world.market.jobs(job)[1] == world.market.OPEN()


def test_expired_job_refunds_its_customer(world: World) -> None:
    job = world.open()
    with boa.reverts("market: deadline is not over"):
        world.market.expire_job(job, sender=world.provider)
    world.pass_time(10_001)
    with boa.reverts("market: deadline is over"):
        world.lease(job)
    world.market.expire_job(job, sender=world.provider)
    assert gone(world, world.customer) == 1_000 * CND


def test_strangers_can_not_spend_a_customers_money(world: World) -> None:
    job = world.open()
    lease = world.lease(job)
    world.settle(lease, 0)
    for call in (
        lambda: world.market.cancel(job, sender=world.provider),
        lambda: world.market.pause(job, sender=world.provider),
        lambda: world.market.accept(lease, 1, sender=world.provider),
        lambda: world.market.dispute(lease, 0, HASH, sender=world.provider),
    ):
        with boa.reverts("market: not the customer"):
            call()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"device_kind": 1}, "market: wrong device kind"),
        ({"min_tier": 2}, "market: sandbox tier is too low"),
        ({"min_memory_bytes": 1 << 31}, "market: device has too little memory"),
        ({"max_price_per_unit": PRICE - 1}, "market: price is too high"),
    ],
)
def test_unfit_devices_get_no_lease(world: World, changed: dict, reason: str) -> None:
    job = world.open(**changed)
    with boa.reverts(reason):
        world.lease(job)


REFUSER = """
interface Registry:
    def register(operator: address): payable
    def add_device(
        kind: uint8, sandbox_tier: uint8, memory_bytes: uint64, intensity_ucd: uint64, name: String[64]
    ) -> uint32: nonpayable

interface Market:
    def withdraw(): nonpayable

open: public(bool)

@deploy
@payable
def __init__(registry: address, operator: address):
    extcall Registry(registry).register(operator, value=msg.value)

@external
def fetch(market: address):
    self.open = True
    extcall Market(market).withdraw()

@external
@payable
def __default__():
    assert self.open
"""


def test_recipient_that_refuses_is_credited_and_holds_up_nobody(world: World) -> None:
    operator = boa.env.generate_address("operator")
    boa.env.set_balance(operator, CND)
    with boa.env.prank(world.customer):
        refuser = boa.loads(REFUSER, world.registry.address, operator, value=CND)
    world.registry.add_device(0, 1, 1 << 30, 1, "cpu", sender=operator)
    job = world.open()
    lease = world.market.take_lease(job, 0, PRICE, 4, sender=operator)
    world.settle(lease, 0, sender=operator)
    world.market.accept(lease, 1, sender=world.customer)
    assert world.market.withdrawable(refuser.address) == after_fees(TASK)
    refuser.fetch(world.market.address)
    assert boa.env.get_balance(refuser.address) == after_fees(TASK)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"spec_hash": b"\0" * 32}, "market: spec hash is empty"),
        ({"task_count": 0}, "market: task count out of range"),
        ({"task_work_limit_uwu": 0}, "market: work limit is zero"),
        ({"max_price_per_unit": 2**80}, "market: price out of range"),
        ({"task_timeout": 0}, "market: task timeout out of range"),
        ({"lease_seconds": 4}, "market: lease seconds out of range"),
        ({"audit_window": 31 * 24 * 3600}, "market: audit window out of range"),
        ({"deadline": 0}, "market: deadline is over"),
    ],
)
def test_senseless_terms_are_refused(world: World, changed: dict, reason: str) -> None:
    with boa.reverts(reason):
        world.open(**changed)
