"""No sequence of calls creates, loses or traps a nit."""

from __future__ import annotations

import os

import boa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from .conftest import CND, HASH, PRICE, World, deploy

LONG = os.environ.get("CANDELA_HYPOTHESIS") == "long"
BURNED = "0x" + "0" * 40


class Economy(RuleBasedStateMachine):
    """Two customers and two providers do whatever they like; calls that revert change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._anchor = boa.env.anchor()
        self._anchor.__enter__()
        registry = deploy("Registry")
        market = deploy("Market", registry.address)
        self.people = [boa.env.generate_address(name) for name in "abcd"]
        for account in self.people:
            boa.env.set_balance(account, 100 * CND)
        self.customers, self.providers = self.people[:2], self.people[2:]
        for provider in self.providers:
            registry.register(provider, value=CND, sender=provider)
            registry.add_device(0, 1, 1 << 30, 1, "cpu", sender=provider)
        self.world = World(registry, market, self.customers[0], self.providers[0])
        self.market, self.leases = market, []
        boa.env.set_balance(BURNED, 0)
        self.total = self._everything()

    def teardown(self) -> None:
        """Undo everything on the shared chain."""
        self._anchor.__exit__(None, None, None)

    def _everything(self) -> int:
        return sum(boa.env.get_balance(each) for each in [*self.people, self.market.address, BURNED])

    def _try(self, call, *arguments, **options):
        try:
            return call(*arguments, **options)
        except boa.BoaError:
            return None

    def _note(self, lease: int | None) -> None:
        if lease:
            self.leases.append(lease)

    @rule(who=st.integers(0, 1), value=st.integers(0, 5), tasks=st.integers(1, 5), retries=st.integers(0, 2))
    def open_job(self, who: int, value: int, tasks: int, retries: int) -> None:
        terms = self.world.terms(task_count=tasks, retries=retries)
        self._try(self.market.open_job, terms, value=value * PRICE, sender=self.customers[who])

    @rule(who=st.integers(0, 1), job=st.integers(1, 3), count=st.integers(1, 5), price=st.integers(0, PRICE))
    def take_lease(self, who: int, job: int, count: int, price: int) -> None:
        self._note(self._try(self.market.take_lease, job, 0, price, count, sender=self.providers[who]))

    @rule(who=st.integers(0, 1), pick=st.integers(0, 9))
    def take_over(self, who: int, pick: int) -> None:
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            self._note(self._try(self.market.take_over, lease, 0, PRICE, sender=self.providers[who]))

    @rule(pick=st.integers(0, 9), task=st.integers(0, 5), work=st.integers(0, 1_000_001))
    def settle(self, pick: int, task: int, work: int) -> None:
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            entry = self.market.leases(lease)
            price = work * entry[12] // 10**6
            options = {"work": work, "price": price, "sender": entry[2]}
            self._try(self.world.settle, lease, task, **options)

    @rule(pick=st.integers(0, 9), bitmap=st.integers(1, 31), who=st.integers(0, 1), late=st.booleans())
    def pay(self, pick: int, bitmap: int, who: int, late: bool) -> None:
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            call = self.market.claim if late else self.market.accept
            self._try(call, lease, bitmap, sender=self.customers[who])

    @rule(pick=st.integers(0, 9), task=st.integers(0, 5), who=st.integers(0, 1), step=st.integers(0, 2))
    def dispute(self, pick: int, task: int, who: int, step: int) -> None:
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            sender = self.customers[who]
            if step == 0:
                self._try(self.market.dispute, lease, task, HASH, sender=sender)
            elif step == 1:
                self._try(self.market.withdraw_dispute, lease, task, sender=sender)
            else:
                self._try(self.market.burn_disputed, lease, task, sender=sender)

    @rule(pick=st.integers(0, 9), expire=st.booleans())
    def end_lease(self, pick: int, expire: bool) -> None:
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            call = self.market.expire_lease if expire else self.market.release
            self._try(call, lease, sender=self.market.leases(lease)[2])

    @rule(job=st.integers(1, 3), who=st.integers(0, 1), step=st.sampled_from(["cancel", "close_job", "expire_job"]))
    def end_job(self, job: int, who: int, step: str) -> None:
        self._try(getattr(self.market, step), job, sender=self.customers[who])

    @rule(job=st.integers(1, 3), who=st.integers(0, 1), step=st.sampled_from(["pause", "resume", "top_up"]))
    def change_job(self, job: int, who: int, step: str) -> None:
        value = PRICE if step == "top_up" else 0
        self._try(getattr(self.market, step), job, value=value, sender=self.customers[who])

    @rule(seconds=st.sampled_from([1, 11, 150, 20_000, 8 * 24 * 3600]))
    def wait(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @invariant()
    def money_is_accounted_for(self) -> None:
        jobs = sum(self.market.jobs(job)[2] for job in range(1, self.market.job_count() + 1))
        entries = [self.market.leases(lease) for lease in set(self.leases)]
        for entry in entries:
            assert entry[14] >= entry[15] + entry[16], "a lease owes more than it holds"
            assert entry[8] & ~entry[7] == 0, "done beyond the mask"
            assert entry[9] & ~entry[8] == 0, "paid beyond done"
        credited = sum(self.market.withdrawable(each) for each in self.people)
        assert self.world.balance() == jobs + sum(entry[14] for entry in entries) + credited
        assert self._everything() == self.total


TestEconomy = Economy.TestCase
TestEconomy.settings = settings(
    max_examples=200 if LONG else 8,
    stateful_step_count=60 if LONG else 20,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
