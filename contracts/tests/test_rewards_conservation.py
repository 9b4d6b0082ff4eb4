"""Over random days, rewards and their model agree, and never pay a nit more than was paid in, to auditors either."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import boa
import pytest

from candela.economics.rewards import (
    RELEASE_SECONDS,
    WINDOWS,
    WORK,
    AuditPool,
    Rewards,
    covered,
    device_work,
    vested,
)

from .audits import AUDITS
from .conftest import CND
from .economy import DAY, OPEN, Pay, pay

DAYS = int(os.environ.get("DAYS", "40"))
SEED = int(os.environ.get("SEED", "1"))
HALF_YEAR = 180 * 24 * 3600
PEOPLE = 6
EXITING = 4


class History:
    """Providers join, prove, are slashed, leave and are paid; the model does the same."""

    def __init__(self, bench: Pay, random_: random.Random) -> None:
        self.bench, self.random = bench, random_
        self.registry, self.rewards = bench.vaults.registry, bench.rewards
        self.first_day = bench.today()
        self.model = Rewards(bench.balance())
        self.funded, self.paid = bench.balance(), 0
        self.active: list[str] = []
        self.customers = [boa.env.generate_address(f"customer {number}") for number in range(2)]
        self.auditors = [boa.env.generate_address(f"auditor {number}") for number in range(4)]
        self.audits = 0
        self.open: set[tuple[int, str]] = set()

    def day(self) -> None:
        """Live through one day: prove, be slashed, report, be paid."""
        day, dice = self.bench.today(), self.random
        if dice.random() < 0.5:
            amount = dice.choice([1, dice.randrange(10**6), dice.randrange(100 * CND)])
            self.bench.fund(amount)
            self.model.reserve += amount
            self.funded += amount
        if len(self.active) < PEOPLE and dice.random() < 0.3:
            bond = dice.choice([1, dice.randrange(1, 10**6), dice.randrange(1, 3 * CND)])
            self.active.append(self.bench.provider(f"provider {day}", bond))
        slashed = {each for each in self.active if dice.random() < 0.1}
        for provider in sorted(slashed):
            self.registry.slash(provider, dice.randrange(CND), sender=AUDITS)
        work = {each: self._prove(each, day) for each in self.active if dice.random() < 0.8}
        self._charge(day)
        self._share_out()
        self.bench.to_reports_of(day)
        for provider, devices in work.items():
            self._report(day, provider, devices, provider in slashed)
        if self.active and dice.random() < 0.1:
            leaver = self.active.pop(dice.randrange(len(self.active)))
            if self.registry.providers(leaver).state < EXITING:
                self.registry.exit(sender=leaver)
        self.bench.vaults.at(max(self.bench.vaults.now(), self.rewards.sealed_at(day)))
        for entry in dice.sample(sorted(self.open), min(len(self.open), 5)):
            self._pay(*entry)
        self._agree(day)
        self.bench.vaults.at((self.bench.today() + 1) * DAY)

    def finish(self) -> None:
        """Pay everything once it has vested."""
        self.bench.vaults.at(self.bench.vaults.now() + HALF_YEAR + DAY)
        for entry in sorted(self.open):
            self._pay(*entry)
        assert not self.open
        for auditor in self.auditors:
            self._collect(auditor)
        for customer in self.customers:
            self._release(customer)
        assert self.rewards.allocated() == 0
        assert self.bench.balance() == self.rewards.reserve() == self.model.reserve == self.funded - self.paid

    def _charge(self, day: int) -> None:
        """Fees and auditors' shares of jobs that the day's customers paid; jobs of odd numbers are audited."""
        dice = self.random
        for provider in self.active:
            for _ in range(dice.choice([0, 0, 1, 3])):
                burned, share = (dice.choice([0, 1, dice.randrange(10**6), dice.randrange(CND)]) for _ in range(2))
                customer, job = dice.choice(self.customers), dice.randrange(4)
                self.bench.charge(provider, customer, job, burned, share)
                self.model.set_aside(customer, share, self.bench.vaults.now(), audited=job % 2 == 1)
                self.model.burn(day, day - self.first_day, self.rewards.sealed_at(day), provider, burned)
                self.funded += share
                if burned:
                    self.open.add((day, provider))

    def _share_out(self) -> None:
        """Audits of the day, and pools that nobody has used."""
        dice = self.random
        for customer in self.customers:
            pool = self.model.audit_pools.get(customer, AuditPool())
            assert self.rewards.audit_pools(customer) == pool.paid_at << 128 | pool.waiting
            if dice.random() < 0.5:
                self.audits += 1
                price = dice.choice([0, 1, dice.randrange(10**6), dice.randrange(CND)])
                winners = dice.sample(self.auditors, dice.choice([1, 2, 3]))
                self.bench.judgements.judge(self.audits, customer, price, winners)
                assert self.rewards.share_out([self.audits]) == self.model.share_out(customer, price, winners)
                with boa.reverts("rewards: the audit has had its share"):
                    self.rewards.share_out([self.audits])
            elif self.bench.vaults.now() > pool.paid_at + RELEASE_SECONDS:
                self._release(customer)
        auditor = dice.choice(self.auditors)
        assert self.rewards.credits(auditor) == self.model.credits.get(auditor, 0)
        if dice.random() < 0.3:
            self._collect(auditor)

    def _release(self, customer: str) -> None:
        before = self.rewards.allocated()
        self.rewards.release(customer)
        assert before - self.rewards.allocated() == self.model.release(customer)

    def _collect(self, auditor: str) -> None:
        before = boa.env.get_balance(auditor)
        self.rewards.pay(auditor, [])
        due = self.model.collect(auditor)
        assert boa.env.get_balance(auditor) - before == due
        self.paid += due

    def _prove(self, provider: str, day: int) -> list[int]:
        devices = []
        for device in range(self.random.randrange(1, 4)):
            scale = self.random.choice([0, 1, 10**6, 10**15])
            windows = [self.random.choice([0, self.random.randrange(scale + 1)]) for _ in range(WINDOWS)]
            self.bench.measure(provider, day, windows, device)
            devices.append(device_work(windows))
        return devices

    def _report(self, day: int, provider: str, devices: list[int], slashed: bool) -> None:
        points = min(sum(devices), covered(self.registry.providers(provider).bond, OPEN))
        if slashed or points == 0:
            with boa.reverts():
                self.rewards.report(day, list(range(len(devices))), sender=provider)
            return
        assert self.rewards.report(day, list(range(len(devices))), sender=provider) == points
        self.model.report(day, day - self.first_day, self.rewards.sealed_at(day), provider, points)
        self.open.add((day, provider))

    def _pay(self, day: int, provider: str) -> None:
        payouts = [self.model.payout(key, provider) for key in (day, WORK | day)]
        assert [self.rewards.payout(key, provider) for key in (day, WORK | day)] == payouts
        burned = self.rewards.points(WORK | day, provider)
        assert payouts[1] <= burned * 4 // 5
        due = self.model.pay(day, provider, self.bench.vaults.now())
        known = sum(self.rewards.due(key, provider) for key in (day, WORK | day))
        assert known == due <= sum(vested(payout, HALF_YEAR) for payout in payouts) == sum(payouts)
        before = boa.env.get_balance(provider)
        self.rewards.pay(provider, [day])
        assert boa.env.get_balance(provider) - before == due
        self.paid += due
        keys = (key for key in (day, WORK | day) if key in self.model.days)
        if not any(provider in self.model.days[key].points for key in keys):
            self.open.discard((day, provider))

    def _agree(self, day: int) -> None:
        assert self.bench.balance() == self.model.balance == self.funded - self.paid
        assert self.rewards.reserve() == self.model.reserve
        for key in (day, WORK | day):
            if key in self.model.days:
                state = self.model.days[key]
                chain = self.rewards.days(key)
                assert (chain.pool, chain.points, chain.remaining) == (state.pool, state.total, state.remaining)
                assert sum(self.model.payout(key, each) for each in state.points) <= state.pool


@pytest.fixture
def bench() -> Iterator[Pay]:
    """A reserve that the first day's providers share."""
    with boa.env.anchor():
        yield pay(1_000 * CND)


def test_payouts_never_exceed_what_was_paid_in(bench: Pay) -> None:
    print(f"seed {SEED}, {DAYS} days")
    history = History(bench, random.Random(SEED))  # noqa: S311
    for _ in range(DAYS):
        history.day()
    assert history.paid > 0
    history.finish()
