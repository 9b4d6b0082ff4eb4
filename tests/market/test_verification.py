"""Policies say what audits cost and whether a lie would pay; what makes no sense is refused."""

from __future__ import annotations

import random

import pytest

from candela.errors import UsageError
from candela.verification import SLASH_NIT, Freivalds, Replay, Replicate, deterrence, parse

PRICE = 10**14


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Replay(fraction=1.1),
        lambda: Replay(fraction=-0.1),
        lambda: Replay(auditors=2),
        lambda: Replay(auditors=17),
        lambda: Replicate(rtol=1.0),
        lambda: Replicate(atol=float("inf")),
        lambda: Freivalds(rtol=float("nan")),
        lambda: parse("sometimes"),
        lambda: parse("replay:much"),
        lambda: parse("replay:0.1:3:5"),
        lambda: parse("none:0.1"),
    ],
)
def test_senseless_policies_are_refused(wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError):
        wrong()


def test_policies_are_read_from_text() -> None:
    assert parse("none") is None
    assert parse("replay") == Replay()
    assert parse("replicate:0.25:5") == Replicate(fraction=0.25, auditors=5)
    assert parse("freivalds:1") == Freivalds(fraction=1.0)


def test_deposit_pays_for_all_audits_of_nearly_every_job() -> None:
    seed = 11
    generator = random.Random(seed)
    policy, tasks = Replay(fraction=0.05), 200
    deposit, each = policy.deposit_nit(tasks, PRICE), policy.audit_nit(PRICE)
    drawn = [sum(generator.random() < policy.fraction for _ in range(tasks)) for _ in range(2_000)]
    assert sum(each * audits > deposit for audits in drawn) <= 10, f"seed {seed}"
    mean = sum(drawn) / len(drawn) * each
    assert abs(policy.expected_nit(tasks, PRICE) - mean) < 0.05 * mean
    assert Replay(fraction=1.0).deposit_nit(tasks, PRICE) == tasks * each
    assert Replay(fraction=0.0).deposit_nit(tasks, PRICE) == 0


def test_inequality_is_told_with_its_numbers() -> None:
    safe = deterrence(PRICE, 0.05)
    assert safe.holds
    assert safe.describe() == "0.05 x (S 1 + R 0.0001) > G 0.0001 CND: lying does not pay"
    dear = deterrence(SLASH_NIT, 0.05)
    assert not dear.holds
    assert dear.least_probability == 0.5
    assert dear.describe().endswith("<= G 1 CND: LYING PAYS below p = 0.5")
