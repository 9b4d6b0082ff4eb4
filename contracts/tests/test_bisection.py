"""Of two traces the honest one wins, whatever the other side says, and a side that says nothing loses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import boa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candela.chain.bisection import Phase
from candela.economics.rewards import after_fees
from candela.market.bisection import Move, customer_move
from candela.trace import END, RAISED, Commitment, Tree, commit, join

from .audits import (
    BURNED,
    FEE,
    NARROWING,
    REFUTED,
    REPLAY,
    REPLICATE,
    RIGHT,
    SLASH,
    TASK,
    UPHELD,
    WITHHELD,
    WRONG,
    Court,
    court,
)
from .bisection import CUSTOMER, PROVIDER, Model, RefusedError, found, lied, next_move, played, states
from .conftest import CND, HASH, WORK

DEPOSIT = CND // 100 + TASK
POT = 3 * FEE
CLOCK = 3600 + 3 * 60
GAS: dict[str, int] = {}
OTHER = b"\x09" * 32


@st.composite
def disputes(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """An honest trace, and one that differs from it: at a step, by its length, or by everything."""
    honest = states(draw(st.integers(1, 300)))
    if draw(st.booleans()):
        honest = [*honest[:-1], RAISED]
    index = draw(st.integers(0, len(honest) - 1))
    other = draw(st.integers(1, 300))
    false = draw(
        st.sampled_from(
            [
                lied(honest, index),
                [*honest[:index], OTHER, *honest[index + 1 :]],
                [*honest[:index], END, *honest[index + 1 :]],
                [*honest[:index], RAISED, *honest[index + 1 :]],
                honest[:index] or [OTHER],
                [*honest, *states(other, "more")],
                [*honest, END, *states(other, "more")],
                states(other, "other"),
            ]
        )
    )
    return honest, false


def anchored(leaves: list[bytes]) -> list[bytes]:
    """A trace that a receipt can state: it ends with a state."""
    while len(leaves) > 1 and leaves[-1] in (END, RAISED):
        leaves = leaves[:-1]
    return leaves if leaves[-1] not in (END, RAISED) else [OTHER]


def extended(leaves: list[bytes]) -> list[bytes]:
    """A trace without the ends that stand behind its last leaf anyway."""
    while len(leaves) > 1 and leaves[-1] == END:
        leaves = leaves[:-1]
    return leaves


@settings(max_examples=200, deadline=None)
@given(disputes())
def test_honest_provider_wins_against_every_false_trace(pair: tuple[list[bytes], list[bytes]]) -> None:
    honest, false = pair
    honest = anchored(honest)
    won, game = played(honest, extended(false), honest)
    assert won
    assert game.level == 0 or extended(false) == honest


@settings(max_examples=200, deadline=None)
@given(disputes())
def test_liar_loses_against_the_honest_trace(pair: tuple[list[bytes], list[bytes]]) -> None:
    honest, false = pair
    false = anchored(false)
    if false != honest:
        won, _ = played(false, honest, honest)
        assert not won


@settings(max_examples=100, deadline=None)
@given(disputes())
def test_game_stops_at_the_first_step_that_differs(pair: tuple[list[bytes], list[bytes]]) -> None:
    honest, false = pair
    honest, false = anchored(honest), extended(false)
    if false != honest:
        longest = max(len(honest), len(false))
        padded = [each + [END] * (longest - len(each)) for each in (honest, false)]
        first = next(at for at, (one, two) in enumerate(zip(*padded, strict=True)) if one != two)
        _, game = played(honest, false, honest)
        assert game.index == first
        assert game.before == (END if first == 0 else honest[first - 1] if first <= len(honest) else END)


class Table:
    """A game on the contract, with the model beside it."""

    def __init__(self, bench: Court, theirs: list[bytes], ours: list[bytes], hold: bool = True) -> None:
        self.court, self.world = bench, bench.world
        self.contract, self.audits = bench.bisection, bench.audits
        self.theirs, self.ours = Tree(theirs), Tree(ours)
        self.stated = commit(theirs)
        self.lease = self.world.lease(self.world.open())
        self.world.settle(self.lease, 0, output=self.stated.output_hash)
        if hold:
            self.world.market.dispute(self.lease, 0, HASH, sender=self.world.customer)
        self.audit = self.challenge()
        self.model = Model(self.stated, self.ours)

    def receipt(self) -> tuple:
        return (0, HASH, HASH, self.stated.output_hash, WORK)

    def challenge(self, **changed: Any) -> int:
        terms = {"steps": self.stated.steps, "root": self.stated.root, "last": self.stated.last}
        terms |= {"depth": self.ours.depth, "own": self.ours.root}
        terms |= {key: changed.pop(key) for key in list(changed) if key in terms}
        options = {"value": POT + DEPOSIT, "sender": self.world.customer} | changed
        audit = self.contract.challenge(self.lease, 0, self.receipt(), *terms.values(), **options)
        self._note("challenge")
        return audit

    def _note(self, name: str) -> None:
        GAS[name] = max(GAS.get(name, 0), self.contract._computation.get_gas_used() + 21_000)

    def account(self, by: str) -> str:
        return self.world.provider if by == PROVIDER else self.world.customer

    def play(self, by: str, move: Move) -> None:
        """Make a move on both."""
        getattr(self.contract, move.function)(self.audit, *move.arguments, sender=self.account(by))
        self._note(move.function)
        self.model.play(by, move)
        assert self.model.same_as(self.contract.games(self.audit)), "the contract follows the model"

    def step(self) -> tuple[str, Move]:
        """Make the next move; returns whose it was."""
        by, move = next_move(self.model.game, self.theirs, self.ours)
        self.play(by, move)
        return by, move

    def to(self, phase: Phase) -> None:
        """Play until a phase."""
        while self.model.game.phase != phase:
            assert not self.model.winner
            self.step()

    def finish(self, honest: list[bytes]) -> int:
        """Play to the end, an honest committee included; returns the audit's state."""
        while not self.model.winner:
            self.step()
        if self.model.winner == "committee":
            own = found(self.model.game, honest)
            right = own == self.model.game.theirs
            self.court.draw(self.audit)
            seats = len(self.court.committee(self.audit))
            self.court.say(self.audit, [(RIGHT if right else WRONG, own)] * seats)
            self.audits.conclude(self.audit)
            self.contract.pay_deposit(self.audit)
        return self.court.audit(self.audit).state


@pytest.fixture
def bench() -> Iterator[Court]:
    with boa.env.anchor():
        yield court()


def money(account: str) -> int:
    return boa.env.get_balance(account)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(disputes())
def test_contract_gives_right_to_the_honest_side(bench: Court, pair: tuple[list[bytes], list[bytes]]) -> None:
    honest, false = pair
    with boa.env.anchor():
        truth = anchored(honest)
        assert Table(bench, truth, extended(false)).finish(truth) == UPHELD
    lie = anchored(false)
    if lie != honest:
        with boa.env.anchor():
            assert Table(bench, lie, honest).finish(honest) == REFUTED
            assert bench.world.registry.providers(bench.world.provider)[1] == 0


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 300])
def test_liar_at_the_first_and_the_last_step_loses(bench: Court, count: int) -> None:
    honest = states(count)
    for index in {0, count - 1}:
        with boa.env.anchor():
            table = Table(bench, lied(honest, index), honest)
            assert table.finish(honest) == REFUTED
            assert table.model.game.index == index


def test_convicted_liar_pays_as_in_any_audit(bench: Court) -> None:
    honest = states(20)
    customer, provider, burned = money(bench.world.customer), money(bench.world.provider), money(BURNED)
    table = Table(bench, lied(honest, 7), honest)
    bench.world.market.release(table.lease, sender=bench.world.provider)
    assert table.finish(honest) == REFUTED
    rest = SLASH - POT
    each = rest * 30 // 100 // 3
    back = SLASH - rest * 50 // 100 - 3 * each
    assert money(bench.world.customer) - customer == back - POT - CND, "the deposit came back"
    assert bench.world.market.jobs(1)[2] == CND, "and the price, to the job"
    assert money(BURNED) - burned == rest * 50 // 100
    assert money(bench.world.provider) == provider
    assert money(bench.bisection.address) == 0


def test_false_challenge_costs_the_committee_and_the_deposit(bench: Court) -> None:
    honest = states(20)
    customer, provider = money(bench.world.customer), money(bench.world.provider)
    assert Table(bench, honest, lied(honest, 7)).finish(honest) == UPHELD
    assert money(bench.world.provider) - provider == after_fees(TASK) + DEPOSIT
    assert customer - money(bench.world.customer) == CND + POT + DEPOSIT
    assert money(bench.bisection.address) == 0


def test_challenge_with_the_same_trace_is_lost_at_once(bench: Court) -> None:
    honest = states(20)
    provider = money(bench.world.provider)
    table = Table(bench, honest, honest)
    table.step()
    assert (table.model.winner, bench.audit(table.audit).state) == (PROVIDER, UPHELD)
    assert money(bench.world.provider) - provider == after_fees(TASK) + DEPOSIT + POT, (
        "what the committee would have got too"
    )


def test_provider_that_is_silent_loses_as_a_liar_does(bench: Court) -> None:
    honest = states(20)
    for phase in (Phase.ANCHORING, Phase.ANSWERING, Phase.SHOWING):
        with boa.env.anchor():
            burned, customer = money(BURNED), money(bench.world.customer)
            table = Table(bench, lied(honest, 7), honest)
            table.to(phase)
            bench.pass_time(CLOCK)
            with boa.reverts("bisection: the clock has not run out"):
                bench.bisection.time_out(table.audit)
            bench.pass_time(1)
            by, move = next_move(table.model.game, table.theirs, table.ours)
            with boa.reverts("bisection: the clock has run out"):
                table.play(by, move)
            bench.bisection.time_out(table.audit)
            table._note("time_out")
            assert bench.audit(table.audit).state == REFUTED
            assert money(BURNED) - burned == SLASH * 50 // 100 + SLASH * 30 // 100, "no auditor had to find it"
            assert money(bench.world.customer) - customer == SLASH - SLASH * 80 // 100 - CND
            assert bench.world.registry.providers(bench.world.provider)[1] == 0


def test_customer_that_is_silent_pays_the_provider_and_the_task(bench: Court) -> None:
    honest = states(20)
    provider = money(bench.world.provider)
    table = Table(bench, honest, lied(honest, 7))
    table.to(Phase.COUNTERING)
    bench.pass_time(CLOCK + 1)
    bench.bisection.time_out(table.audit)
    assert bench.audit(table.audit).state == UPHELD
    assert money(bench.world.provider) - provider == after_fees(TASK) + DEPOSIT + POT
    with boa.reverts("bisection: nobody is to move"):
        bench.bisection.time_out(table.audit)


def test_clock_counts_all_moves_of_a_side_and_none_of_the_other(bench: Court) -> None:
    honest = states(100)
    table = Table(bench, lied(honest, 70), honest)
    spent = {PROVIDER: 0, CUSTOMER: 0}
    for seconds in range(1, 9):
        bench.pass_time(seconds)
        by, _ = table.step()
        spent[by] += seconds
        row = bench.bisection.games(table.audit)
        assert (row.provider_seconds, row.customer_seconds) == (CLOCK - spent[PROVIDER], CLOCK - spent[CUSTOMER])


def test_wrong_nodes_are_refused_at_every_move(bench: Court) -> None:
    honest = states(13)
    table = Table(bench, lied(honest, 9), honest)
    reasons = {"anchor": "does not end|missing", "open": "not the nodes", "show": "not the leaf|wrong number"}
    seen = set()
    while not table.model.winner:
        by, move = next_move(table.model.game, table.theirs, table.ours)
        for bad in spoiled(move):
            with pytest.raises(RefusedError):
                table.model.play(by, bad)
            with pytest.raises(boa.BoaError, match=reasons[move.function]):
                table.play(by, bad)
        table.play(by, move)
        seen.add(move.function)
    assert seen == set(reasons)


def spoiled(move: Move) -> list[Move]:
    """A move with each of its hashes changed, and with too many or too few nodes."""
    *head, tail = move.arguments
    if not isinstance(tail, list):
        left, right = move.arguments
        return [Move(move.function, each) for each in ((OTHER, right), (left, OTHER), (right, left))]
    changed = [[*tail[:at], OTHER, *tail[at + 1 :]] for at in range(len(tail))]
    return [Move(move.function, (*head, each)) for each in [*changed, [*tail, OTHER], tail[:-1]] if each != tail]


def test_output_that_is_not_the_traces_last_state_can_not_be_defended(bench: Court) -> None:
    honest = states(20)
    stated = Commitment(13, Tree(honest).root, honest[12])
    table = Table.__new__(Table)
    table.court, table.world, table.contract, table.audits = bench, bench.world, bench.bisection, bench.audits
    table.theirs = table.ours = Tree(honest)
    table.stated = stated
    table.lease = bench.world.lease(bench.world.open())
    bench.world.settle(table.lease, 0, output=stated.output_hash)
    table.audit = table.challenge()
    nodes = [Tree(honest).node(level, (12 >> level) - 1) for level in range(5) if 12 >> level & 1]
    with boa.reverts("bisection: the trace does not end with the result"):
        bench.bisection.anchor(table.audit, 13, stated.root, stated.last, nodes, sender=bench.world.provider)
    bench.pass_time(CLOCK + 1)
    bench.bisection.time_out(table.audit)
    assert bench.audit(table.audit).state == REFUTED


def test_only_the_sides_move_and_only_in_their_turn(bench: Court) -> None:
    honest = states(13)
    table = Table(bench, lied(honest, 9), honest)
    stranger, seen = bench.auditors[0], set()
    while not table.model.winner:
        by, move = next_move(table.model.game, table.theirs, table.ours)
        other = CUSTOMER if by == PROVIDER else PROVIDER
        call = getattr(bench.bisection, move.function)
        for sender in (stranger, *([table.account(other)] if move.function != "show" else [])):
            with boa.reverts():
                call(table.audit, *move.arguments, sender=sender)
        for function in {"anchor", "show"} - {move.function}:
            wrong = (1, HASH, HASH, []) if function == "anchor" else (HASH, [])
            with boa.reverts(f"bisection: not the time to {function}"):
                getattr(bench.bisection, function)(table.audit, *wrong, sender=table.account(by))
        if move.function != "open":
            with boa.reverts("bisection: not the time to open"):
                bench.bisection.open(table.audit, HASH, HASH, sender=table.account(by))
        table.play(by, move)
        seen.add((by, move.function))
    assert seen == {(PROVIDER, "anchor"), (PROVIDER, "open"), (CUSTOMER, "open"), (PROVIDER, "show")}


def test_customer_may_show_the_state_before_the_step(bench: Court) -> None:
    honest = states(13)
    table = Table(bench, lied(honest, 9), honest)
    table.to(Phase.SHOWING)
    move = customer_move(table.model.game, table.ours)
    assert move is not None
    table.play(CUSTOMER, move)
    assert table.model.game.phase == Phase.JUDGING


def test_operator_moves_for_its_provider(bench: Court) -> None:
    operator = boa.env.generate_address("operator")
    honest = states(5)
    table = Table(bench, honest, lied(honest, 2))
    bench.world.registry.set_operator(operator, sender=bench.world.provider)
    _, move = next_move(table.model.game, table.theirs, table.ours)
    bench.bisection.anchor(table.audit, *move.arguments, sender=operator)


def test_committee_compares_the_step_and_not_the_output(bench: Court) -> None:
    honest = states(20)
    table = Table(bench, lied(honest, 7), honest)
    assert bench.audit(table.audit).state == NARROWING
    table.to(Phase.JUDGING)
    row = bench.audit(table.audit)
    assert (row.output_hash, row.kind) == (lied(honest, 7)[7], REPLAY)
    bench.draw(table.audit)
    member = bench.committee(table.audit)[0]
    bench.audits.commit(table.audit, 0, bench.sealed(table.audit, 0, member, RIGHT, honest[7]), sender=member)
    for each, seat in zip(bench.committee(table.audit)[1:], (1, 2), strict=True):
        bench.audits.commit(table.audit, seat, bench.sealed(table.audit, seat, each, RIGHT, HASH), sender=each)
    with boa.reverts("audits: verdict contradicts the hashes"):
        bench.audits.reveal(table.audit, 0, RIGHT, honest[7], b"\x05" * 32, sender=member)


def test_policy_of_the_job_does_not_soften_the_step(bench: Court) -> None:
    honest = states(5)
    job = bench.world.open()
    bench.audits.set_policy(job, REPLICATE, 0, 3, False, sender=bench.world.customer)
    lease = bench.world.lease(job)
    stated = commit(honest)
    bench.world.settle(lease, 0, output=stated.output_hash)
    other = Tree(lied(honest, 2))
    audit = bench.bisection.challenge(
        lease,
        0,
        (0, HASH, HASH, stated.output_hash, WORK),
        *(stated.steps, stated.root, stated.last, other.depth, other.root),
        value=POT + DEPOSIT,
        sender=bench.world.customer,
    )
    assert bench.audit(audit).kind == REPLAY


def test_withheld_state_convicts_less_and_an_undecided_step_nobody(bench: Court) -> None:
    honest = states(20)
    for verdicts, bond in (([(WITHHELD, END)] * 3, CND - SLASH // 10), ([None] * 3, CND)):
        with boa.env.anchor():
            customer = money(bench.world.customer)
            table = Table(bench, lied(honest, 7), honest, hold=False)
            table.to(Phase.JUDGING)
            with boa.reverts("bisection: the audit has not ended"):
                bench.bisection.pay_deposit(table.audit)
            bench.draw(table.audit)
            bench.say(table.audit, verdicts)
            bench.audits.conclude(table.audit)
            bench.bisection.pay_deposit(table.audit)
            with boa.reverts("bisection: no committee judges"):
                bench.bisection.pay_deposit(table.audit)
            assert bench.world.registry.providers(bench.world.provider)[1] == bond
            assert money(bench.world.customer) - customer >= -CND, "fee and deposit came back"


def test_challenges_that_make_no_sense_are_refused(bench: Court) -> None:
    honest = states(5)
    table = Table.__new__(Table)
    table.court, table.world, table.contract, table.audits = bench, bench.world, bench.bisection, bench.audits
    table.stated, table.ours = commit(honest), Tree(lied(honest, 2))
    table.lease = bench.world.lease(bench.world.open())
    bench.world.settle(table.lease, 0, output=table.stated.output_hash)
    refusals = {
        "not the trace of this output": {"steps": 4},
        "number of states out of range": {"steps": 2**20 + 1},
        "the result is no state": {"last": RAISED},
        "depth out of range": {"depth": 21},
        "value is not the fee": {"value": POT},
    }
    for reason, change in refusals.items():
        with pytest.raises(boa.BoaError, match=reason):
            table.challenge(**change)
    with boa.reverts("audits: not the customer"):
        table.challenge(sender=bench.auditors[0])
    table.challenge()
    with boa.reverts("audits: task has been audited"):
        table.challenge()


def test_late_challenges_are_refused(bench: Court) -> None:
    honest = states(5)
    stated, other = commit(honest), Tree(lied(honest, 2))
    lease = bench.world.lease(bench.world.open())
    bench.world.settle(lease, 0, output=stated.output_hash)
    bench.pass_time(101)
    with boa.reverts("audits: audit window is over"):
        bench.bisection.challenge(
            lease,
            0,
            (0, HASH, HASH, stated.output_hash, WORK),
            *(stated.steps, stated.root, stated.last, other.depth, other.root),
            value=POT + DEPOSIT,
            sender=bench.world.customer,
        )


def test_nobody_else_narrows_or_decides_audits(bench: Court) -> None:
    honest = states(5)
    table = Table(bench, honest, lied(honest, 2))
    for call, arguments in (
        (bench.audits.narrow, (bench.world.customer, table.lease, 1, *table.receipt())),
        (bench.audits.judge_step, (table.audit, HASH)),
        (bench.audits.decide, (table.audit, True)),
    ):
        with boa.reverts("audits: not the contract of bisections"):
            call(*arguments, sender=bench.world.customer)
    for call in (bench.audits.draw, bench.audits.postpone):
        with boa.reverts("audits: audit is not open"):
            call(table.audit)
    with boa.reverts("audits: no committee is seated"):
        bench.audits.conclude(table.audit)
    with boa.reverts("bisection: nobody is to move"):
        bench.bisection.time_out(table.audit + 1)


def test_longest_trace_takes_forty_moves_and_each_a_bounded_amount_of_gas(bench: Court) -> None:
    # A tree of a million different leaves is not needed for the way through it.
    honest, false = Tree([HASH]), Tree([OTHER])
    depth = 20
    path = [hashlib.sha256(b"%d" % level).digest() for level in range(depth)]
    roots = []
    for leaf in (honest.root, false.root):
        node = leaf
        for each in path:
            node = join(each, node)
        roots.append(node)
    stated = Commitment(2**20, roots[1], OTHER)
    lease = bench.world.lease(bench.world.open())
    bench.world.settle(lease, 0, output=stated.output_hash)
    contract, provider, customer = bench.bisection, bench.world.provider, bench.world.customer
    audit = contract.challenge(
        lease,
        0,
        (0, HASH, HASH, stated.output_hash, WORK),
        *(stated.steps, stated.root, stated.last, depth, roots[0]),
        value=POT + DEPOSIT,
        sender=customer,
    )

    def note(name: str) -> None:
        GAS[name] = max(GAS.get(name, 0), contract._computation.get_gas_used() + 21_000)

    note("challenge")
    contract.anchor(audit, 2**20, stated.root, OTHER, path, sender=provider)
    note("anchor")
    moves = 0
    for level in reversed(range(depth)):
        for sender, leaf in ((provider, OTHER), (customer, HASH)):
            node = leaf
            for each in path[:level]:
                node = join(each, node)
            contract.open(audit, path[level], node, sender=sender)
            note("open")
            moves += 1
    assert (moves, contract.games(audit).index) == (40, 2**20 - 1)
    contract.show(audit, path[0], [], sender=provider)
    note("show")
    assert contract.games(audit).phase == Phase.JUDGING


def test_gas_of_each_move_is_bounded() -> None:
    print(f"gas of a bisection's moves, most seen, with 21,000 for the transaction: {GAS}")
    bounds = {"challenge": 1_200_000, "anchor": 200_000, "open": 200_000, "show": 300_000, "time_out": 400_000}
    assert all(GAS[name] <= bounds[name] for name in GAS), GAS
