"""No sequence of disputes, bisections, draws, verdicts and departures creates, loses or traps a nit."""

from __future__ import annotations

import os

import boa
from eth_abi import abi
from eth_utils import keccak
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from candela.chain.bisection import DEPOSIT, Phase
from candela.market.bisection import customer_move, provider_move
from candela.trace import Tree, commit

from .audits import BOND, BURNED, OPEN, RIGHT, SALT, TRUE, UNCHECKABLE, WRONG, court
from .bisection import lied, states
from .conftest import CND, PRICE, WORK

LONG = os.environ.get("CANDELA_HYPOTHESIS") == "long"
TASKS = 4
FINAL = range(3, 9)
STATED = states(5)


class Justice(RuleBasedStateMachine):
    """Everybody does whatever they like; calls that revert change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._anchor = boa.env.anchor()
        self._anchor.__enter__()
        self.court = court(4)
        self.world, self.audits = self.court.world, self.court.audits
        self.registry, self.market = self.world.registry, self.world.market
        self.people = [self.world.customer, self.world.provider, *self.court.auditors]
        self.leases: list[int] = []
        self.bisection, self.court.output = self.court.bisection, commit(STATED).output_hash
        self.traces: dict[int, Tree] = {}
        boa.env.set_balance(BURNED, 0)
        self.total = self._everything()

    def teardown(self) -> None:
        """Undo everything on the shared chain."""
        self._anchor.__exit__(None, None, None)

    def _everything(self) -> int:
        contracts = [each.address for each in (self.registry, self.market, self.audits, self.bisection)]
        # Nobody shares out here what the market pays in for the owners of providers and for auditors.
        return sum(boa.env.get_balance(each) for each in [*self.people, *contracts, self.market.REWARDS(), BURNED])

    def _try(self, call, *arguments, **options):
        try:
            return call(*arguments, **options)
        except boa.BoaError:
            return None

    def _audit(self, pick: int) -> int:
        return pick % max(self.audits.audit_count(), 1) + 1

    @rule(kind=st.integers(0, 3), budget=st.integers(0, 9), settled=st.integers(1, TASKS), price=st.integers(0, PRICE))
    def work(self, kind: int, budget: int, settled: int, price: int) -> None:
        job = self._try(self.world.open, value=CND)
        lease = self._try(self.world.lease, job, TASKS, price) if job else None
        if not lease:
            return
        self.leases.append(lease)
        if kind:
            options = {"value": budget * BOND // 100, "sender": self.world.customer}
            self._try(self.audits.set_policy, job, kind, 500_000, 1 + 2 * (budget % 2), budget > 4, **options)
            ringer = keccak(abi.encode(["uint256", "uint32", "bytes32"], [lease, budget % TASKS, SALT]))
            self._try(self.audits.plant, lease, ringer, TRUE, sender=self.world.provider)
        for task in range(settled):
            self._try(self.world.settle, lease, task, price=WORK * price // 10**6, output=self.court.output)

    @rule(pick=st.integers(0, 9), task=st.integers(0, TASKS), hold=st.booleans())
    def dispute(self, pick: int, task: int, hold: bool) -> None:
        if self.leases:
            self._try(self.court.dispute, self.leases[pick % len(self.leases)], task, hold)

    @rule(pick=st.integers(0, 9), task=st.integers(0, TASKS), index=st.integers(0, 5), hold=st.booleans())
    def challenge(self, pick: int, task: int, index: int, hold: bool) -> None:
        if not self.leases:
            return
        lease, customer = self.leases[pick % len(self.leases)], self.world.customer
        if hold:
            self._try(self.market.dispute, lease, task, TRUE, sender=customer)
        fee = self._try(self.audits.fee, lease, task)
        if fee is None:
            return
        price = self.market.standing(lease, task)[3]
        stated, own = commit(STATED), Tree(lied(STATED, index))
        terms = (stated.steps, stated.root, stated.last, own.depth, own.root)
        options = {"value": fee + price + DEPOSIT, "sender": customer}
        audit = self._try(self.bisection.challenge, lease, task, self.court.receipt(), *terms, **options)
        if audit:
            self.traces[audit] = own

    @rule(pick=st.integers(0, 9), count=st.integers(1, 10))
    def move(self, pick: int, count: int) -> None:
        audit = self._audit(pick)
        for _ in range(count if audit in self.traces else 0):
            game = self.bisection.games(audit)
            for sender, move in (
                (self.world.provider, provider_move(game, Tree(STATED))),
                (self.world.customer, customer_move(game, self.traces[audit])),
            ):
                if move is not None:
                    self._try(getattr(self.bisection, move.function), audit, *move.arguments, sender=sender)

    @rule(pick=st.integers(0, 9), late=st.booleans())
    def end_game(self, pick: int, late: bool) -> None:
        self._try(self.bisection.time_out if late else self.bisection.pay_deposit, self._audit(pick))

    @rule(pick=st.integers(0, 9), task=st.integers(0, TASKS))
    def open(self, pick: int, task: int) -> None:
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            moment = self._try(self.audits.moment_of, lease, task)
            # A payment under audit has no time of its own.
            if moment and moment < 2**63:
                self.court.record(moment)
                self._try(self.audits.open, lease, task, *self.court.receipt())

    @rule(pick=st.integers(0, 9), late=st.booleans())
    def draw(self, pick: int, late: bool) -> None:
        audit = self._audit(pick)
        if late:
            self._try(self.audits.postpone, audit)
        elif self.court.audit(audit).state == OPEN:
            self._try(self.court.draw, audit)

    @rule(pick=st.integers(0, 9), said=st.lists(st.none() | st.integers(RIGHT, UNCHECKABLE), min_size=3, max_size=3))
    def say(self, pick: int, said: list[int | None]) -> None:
        audit = self._audit(pick)
        size = len(self.court.committee(audit))
        right = self.court.audit(audit).output_hash
        verdicts = [None if each is None else (each, TRUE if each == WRONG else right) for each in said[:size]]
        self._try(self.court.say, audit, verdicts)

    @rule(pick=st.integers(0, 9), unseal=st.booleans(), pay=st.booleans())
    def conclude(self, pick: int, unseal: bool, pay: bool) -> None:
        audit = self._audit(pick)
        if unseal:
            self._try(self.audits.unseal, audit, SALT, pay, sender=self.world.customer)
        else:
            self._try(self.audits.conclude, audit)

    @rule(pick=st.integers(0, 9), task=st.integers(0, TASKS), pay=st.booleans())
    def retract(self, pick: int, task: int, pay: bool) -> None:
        if self.leases:
            lease = self.leases[pick % len(self.leases)]
            self._try(self.audits.retract, lease, task, SALT, pay, sender=self.world.customer)

    @rule(who=st.integers(0, 3), step=st.sampled_from(["rest", "resume", "leave"]))
    def come_and_go(self, who: int, step: str) -> None:
        person = self.court.auditors[who]
        number = self.court.numbers[person]
        missing = BOND - self.audits.auditors(number)[2]
        value = missing if step == "resume" else 0
        self._try(getattr(self.audits, step), number, value=value, sender=person)

    @rule(pick=st.integers(0, 9), task=st.integers(0, TASKS), step=st.integers(0, 4))
    def trade(self, pick: int, task: int, step: int) -> None:
        if not self.leases:
            return
        lease, customer = self.leases[pick % len(self.leases)], self.world.customer
        calls = [
            (self.market.accept, (lease, 1 << task)),
            (self.market.claim, (lease, 1 << task)),
            (self.market.withdraw_dispute, (lease, task)),
            (self.market.burn_disputed, (lease, task)),
            (self.market.cancel, (lease >> 32,)),
        ]
        call, arguments = calls[step]
        self._try(call, *arguments, sender=customer)

    @rule(pick=st.integers(0, 9))
    def take_back(self, pick: int) -> None:
        if self.leases:
            self._try(self.audits.take_back, self.leases[pick % len(self.leases)] >> 32, sender=self.world.customer)

    @rule(step=st.sampled_from(["exit", "withdraw_bond", "leave_jail", "top_up"]))
    def provider_moves(self, step: str) -> None:
        provider = self.world.provider
        if step == "top_up":
            self._try(self.registry.top_up_bond, provider, value=CND, sender=provider)
        else:
            self._try(getattr(self.registry, step), sender=provider)

    @rule(seconds=st.sampled_from([1, 15, 130, 700, 8 * 24 * 3600]))
    def wait(self, seconds: int) -> None:
        self.court.pass_time(seconds)

    @invariant()
    def money_is_accounted_for(self) -> None:
        bonds = sum(self.audits.auditors(number)[2] for number in range(1, self.audits.auditor_count() + 1))
        budgets = sum(self.audits.budgets(job) for job in range(1, self.market.job_count() + 1))
        rows = [self.court.audit(number) for number in range(1, self.audits.audit_count() + 1)]
        assert all(row.pot == 0 for row in rows if row.state in FINAL), "an audit that has ended holds money"
        pots, credited = sum(row.pot for row in rows), sum(self.audits.withdrawable(each) for each in self.people)
        assert boa.env.get_balance(self.audits.address) == bonds + budgets + pots + credited
        games = [self.bisection.games(number) for number in range(1, self.audits.audit_count() + 1)]
        assert all((game.deposit > 0) == (Phase.UNKNOWN < game.phase < Phase.ENDED) for game in games)
        fetchable = sum(self.bisection.withdrawable(each) for each in self.people)
        assert boa.env.get_balance(self.bisection.address) == sum(each.deposit for each in games) + fetchable
        owners = [self.world.provider, *self.court.auditors]
        assert boa.env.get_balance(self.registry.address) == sum(self.registry.providers(each)[1] for each in owners)
        jobs = sum(self.market.jobs(job)[2] for job in range(1, self.market.job_count() + 1))
        escrow = sum(self.market.leases(lease)[14] for lease in self.leases)
        unsent = sum(self.market.withdrawable(each) for each in self.people)
        assert boa.env.get_balance(self.market.address) == jobs + escrow + unsent
        assert self._everything() == self.total

    @invariant()
    def seats_are_counted(self) -> None:
        open_seats = dict.fromkeys(self.court.numbers.values(), 0)
        for number in range(1, self.audits.audit_count() + 1):
            row = self.court.audit(number)
            for seat in range(row.seats if row.state == 2 else 0):
                open_seats[self.audits.seats(number, seat)[0]] += 1
        assert {number: self.audits.auditors(number)[6] for number in open_seats} == open_seats


TestJustice = Justice.TestCase
TestJustice.settings = settings(
    max_examples=200 if LONG else 8,
    stateful_step_count=60 if LONG else 25,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
