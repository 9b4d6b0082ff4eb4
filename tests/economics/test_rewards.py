"""The model of rewards alone, over many days and many providers."""

from __future__ import annotations

import os
import random

from candela.economics.rewards import VESTING_SECONDS, Rewards, capacity_share, emission

DAY_SECONDS = 24 * 3600
SEED = int(os.environ.get("SEED", "1"))
CND = 10**18


def test_ten_thousand_random_days_pay_no_more_than_was_paid_in() -> None:
    dice = random.Random(SEED)
    rewards = Rewards(reserve=10**6 * CND)
    funded, paid, unpaid = rewards.reserve, 0, []
    for day in range(10_000):
        now = (day + 1) * DAY_SECONDS
        fees = dice.choice([0, 1, dice.randrange(10**6), dice.randrange(CND)])
        rewards.reserve, funded = rewards.reserve + fees, funded + fees
        for number in range(dice.randrange(9)):
            rewards.report(day, day, now, f"provider {number}", dice.choice([1, dice.randrange(1, 10**30)]))
            unpaid.append((day, f"provider {number}"))
        for _ in range(min(len(unpaid), dice.randrange(12))):
            at = dice.randrange(len(unpaid))
            paid += rewards.pay(*unpaid[at], now)
            if unpaid[at][1] not in rewards.days[unpaid[at][0]].points:
                unpaid[at] = unpaid[-1]
                unpaid.pop()
        assert rewards.reserve + paid <= funded, f"seed {SEED}, day {day}"
    assert rewards.balance == funded - paid, f"seed {SEED}"
    for day, provider in unpaid:
        paid += rewards.pay(day, provider, 10_000 * DAY_SECONDS + VESTING_SECONDS)
    assert rewards.balance == rewards.reserve == funded - paid, f"seed {SEED}: nothing is trapped"


def test_ten_thousand_providers_share_a_day_without_losing_more_than_a_nit_each() -> None:
    dice = random.Random(SEED)
    rewards = Rewards(reserve=10**8 * CND)
    for number in range(10_000):
        rewards.report(0, 0, 0, str(number), dice.randrange(1, 10**20))
    payouts = sum(rewards.payout(0, str(number)) for number in range(10_000))
    assert rewards.days[0].pool - 10_000 < payouts <= rewards.days[0].pool == emission(10**8 * CND, 0)


def test_the_reserve_is_never_used_up() -> None:
    reserve = 10**9 * CND
    for day in range(36_525):
        reserve -= emission(reserve, day)
    assert reserve > 0
    assert emission(reserve, 36_525) == reserve * capacity_share(36_525) // 20_000_000
