"""Count the gas of receipts, rewards and node shares, and time 10,000 providers' day: ``make bench-economy``."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boa

from benches.report import Row, row, save, table
from candela.economics.rewards import WINDOWS, Rewards
from contracts.tests.audits import AUDITS
from contracts.tests.conftest import CND, compiled, deploy
from contracts.tests.economy import OPEN, PERIOD, Vaults, deploy_rewards, devices, vaults

_PROVIDERS = 10_000
_MOMENTS = """
# pragma version 0.4.3
randomness: public(HashMap[uint256, bytes32])

@external
def record(moment: uint256, drawn: bytes32):
    self.randomness[moment] = drawn
"""


class _Costs:
    def __init__(self) -> None:
        self.rows: list[Row] = []

    def of(self, stage: str, contract: Any, call: Callable[[], Any], mix: str = "") -> Any:
        """Count the gas of a call, without the 21,000 and the calldata of its transaction."""
        result = call()
        used = contract._computation.get_gas_used()
        self.rows.append(
            row(
                "economy",
                Path(contract.compiler_data.contract_path).stem.removeprefix("Shares") or "Shares",
                stage,
                "gas",
                [used],
                mix,
            )
        )
        return result


def _work(costs: _Costs, world: Vaults, audits: Any) -> None:
    customer = world.world(world.holders[2])
    lease = customer.lease(customer.open(task_count=8), count=4)
    customer.settle(lease, 0)
    costs.of("receipt", world.market, lambda: customer.settle(lease, 1), "second of a lease of 4")
    costs.of("receipt", world.market, lambda: customer.settle(lease, 2), "third of a lease of 4")
    customer.settle(lease, 3)

    def pay(task: int, mix: str) -> None:
        costs.of("pay", world.market, lambda: world.market.accept(lease, 1 << task % 4, sender=customer.customer), mix)

    costs.of(
        "pay", world.market, lambda: world.market.accept(lease, 3, sender=customer.customer), "2 tasks, to a vault"
    )
    pay(2, "a task, later that day")
    audits.set_policy(lease >> 32, 2, 50_000, 3, False, sender=customer.customer)
    pay(3, "a task of an audited job, its customer's first")
    lease = customer.lease(lease >> 32)
    customer.settle(lease, 4)
    customer.settle(lease, 5)
    pay(5, "a task of an audited job")


def _shares(costs: _Costs, world: Vaults) -> None:
    vault, (ann, bob, _) = world.vault, world.holders
    costs.of("create", world.factory, lambda: world.factory.create(bob, "N", "N", 500, value=CND, sender=ann))
    shares = costs.of("deposit", vault, lambda: vault.deposit(CND, ann, value=CND, sender=ann))
    costs.of("transfer", vault, lambda: vault.transfer(bob, shares // 4, sender=ann))
    costs.of("request", vault, lambda: world.request(ann, shares // 4))
    costs.of("slash", world.registry, lambda: world.slash(2 * CND), "bond and vault")
    world.mature()
    ready = vault.maxRedeem(ann)
    costs.of("redeem", vault, lambda: vault.redeem(ready, ann, ann, sender=ann))


def _proved_day(world: Vaults, moments: Any) -> int:
    """Commit in each window of a day; returns its number."""
    day = world.now() // (WINDOWS * PERIOD) + 1
    world.intensity.deposit(world.vault.address, value=CND, sender=world.owner)
    for window in range(day * WINDOWS, (day + 1) * WINDOWS):
        world.at(window * PERIOD)
        moments.record(window * PERIOD, b"\x01" * 32)
        world.intensity.commit(window, 0, 1, b"\x02" * 32, 12, sender=world.operator)
        moments.record(window * PERIOD + OPEN + world.intensity.DRAW_DELAY(), b"\x03" * 32)
    return day


def _rewards(costs: _Costs, world: Vaults, moments: Any, rewards: Any) -> None:
    boa.env.set_balance(world.payer, 10**6 * CND)
    boa.env.raw_call(rewards.address, value=10**6 * CND, sender=world.payer)
    day = _proved_day(world, moments)
    world.at(rewards.reports_from(day))
    costs.of("report a day", rewards, lambda: rewards.report(day, [0], sender=world.operator), "24 windows of a device")
    world.at(rewards.sealed_at(day))
    costs.of("claim", rewards, lambda: rewards.pay(world.vault.address, [day]), "a day, to a vault")
    world.at(rewards.sealed_at(day) + 30 * 24 * 3600)
    costs.of("claim again", rewards, lambda: rewards.pay(world.vault.address, [day]), "a day, to a vault")


def _gas() -> list[Row]:
    costs = _Costs()
    with boa.env.anchor():
        registry, moments = deploy("Registry"), boa.loads(_MOMENTS)
        market = deploy("Market", registry.address)
        intensity = deploy("Intensity", registry.address, moments.address, PERIOD, OPEN)
        world = vaults(registry, market, intensity)
        devices(registry, world.vault.address, world.operator)
        boa.env.set_balance(AUDITS, 0)
        audits = compiled("compute", "Audits").deploy(
            registry.address, market.address, moments.address, override_address=AUDITS
        )
        rewards = deploy_rewards(registry, intensity, market)
        boa.env.set_balance(rewards.address, CND)
        _work(costs, world, audits)
        _rewards(costs, world, moments, rewards)
        _shares(costs, world)
    return costs.rows


def _day_of_many(runs: int, providers: int) -> list[Row]:
    dice, seconds = random.Random(1), []
    works = [dice.randrange(1, 10**20) for _ in range(providers)]
    for _ in range(runs):
        rewards, started = Rewards(reserve=10**8 * CND), time.perf_counter()
        for number, work in enumerate(works):
            rewards.report(0, 0, 0, str(number), work)
        paid = sum(rewards.pay(0, str(number), 0) for number in range(providers))
        seconds.append(1e3 * (time.perf_counter() - started))
        if paid > rewards.days[0].pool:
            raise AssertionError(f"paid {paid} of {rewards.days[0].pool} nit")
    return [row("economy", "model", "a day, all of it", "ms", seconds, f"{providers} providers")]


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benches.economy", description=__doc__)
    parser.add_argument("--short", action="store_true", help="one run of the model")
    parser.add_argument("--json", type=Path, default=Path("out/bench-economy.json"), help="where the JSON goes")
    arguments = parser.parse_args()
    rows = _gas() + _day_of_many(1 if arguments.short else 5, _PROVIDERS)
    print(table(rows))
    save(rows, arguments.json)
    print(f"\nJSON: {arguments.json}")


if __name__ == "__main__":
    main()
