"""A vault and its model agree to the nit on random histories, and no nit is created, lost or trapped."""

from __future__ import annotations

import os

import boa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from candela.economics.shares import COMMISSION_STEP, MAX_COMMISSION, MIN_COMMISSION, Vault

from .audits import AUDITS
from .conftest import CND, deploy
from .economy import COMMISSION, OPEN, PERIOD, STAKE, WEEK, vaults

LONG = os.environ.get("CANDELA_HYPOTHESIS") == "long"
AMOUNTS = st.integers(1, 20 * CND) | st.sampled_from([1, 2, 999, CND, 3 * STAKE])
PARTS = st.integers(1, 1_000)
WHO = st.integers(0, 2)


class Histories(RuleBasedStateMachine):
    """An owner and three holders do what they like with one vault, and its model does the same."""

    def __init__(self) -> None:
        super().__init__()
        self._anchor = boa.env.anchor()
        self._anchor.__enter__()
        registry = deploy("Registry")
        market = deploy("Market", registry.address)
        beacon = deploy("Beacon", folder="ledger")
        self.world = vaults(registry, market, deploy("Intensity", registry.address, beacon.address, PERIOD, OPEN))
        self.vault = self.world.vault
        self.model = Vault(self.world.owner, COMMISSION)
        self.model.stake(STAKE, self.world.now())
        for account in (self.world.owner, *self.world.holders):
            boa.env.set_balance(account, 10**12 * CND)
        boa.env.set_balance(AUDITS, 0)
        self.brought_in = STAKE
        self.paid_out = 0

    def teardown(self) -> None:
        """Undo everything on the shared chain."""
        self._anchor.__exit__(None, None, None)

    @property
    def _floor_reached(self) -> bool:
        return self.model.managed * 10**9 < self.model.supply

    @initialize(assets=AMOUNTS)
    def somebody_buys(self, assets: int) -> None:
        self.buy(0, assets)

    @rule(who=WHO, assets=AMOUNTS)
    def buy(self, who: int, assets: int) -> None:
        holder = self.world.holders[who]
        if self._floor_reached or self.model.to_shares(assets) == 0:
            with boa.reverts():
                self.vault.deposit(assets, holder, value=assets, sender=holder)
            return
        assert self.vault.deposit(assets, holder, value=assets, sender=holder) == self.model.deposit(
            holder, assets, self.world.now()
        )
        self.brought_in += assets

    @rule(who=WHO, part=PARTS)
    def buy_a_number(self, who: int, part: int) -> None:
        holder, shares = self.world.holders[who], self.model.supply * part // 1_000
        if self._floor_reached or shares == 0:
            return
        price = self.model.mint(holder, shares, self.world.now())
        assert self.vault.mint(shares, holder, value=price + part, sender=holder) == price
        self.brought_in += price

    @rule(assets=AMOUNTS)
    def stake(self, assets: int) -> None:
        if self._floor_reached or self.model.to_shares(assets) == 0:
            return
        self.model.stake(assets, self.world.now())
        self.vault.stake(value=assets, sender=self.world.owner)
        self.brought_in += assets

    @rule(part=PARTS)
    def unstake(self, part: int) -> None:
        shares = self.model.own_shares * part // 1_000
        if self.model.to_assets(shares) == 0:
            with boa.reverts("shares: worth less than a nit"):
                self.vault.unstake(shares, sender=self.world.owner)
            return
        self.model.unstake(shares, self.world.now())
        self.vault.unstake(shares, sender=self.world.owner)

    @rule()
    def claim_stake(self) -> None:
        amount = self.model.claim_stake(self.world.now())
        if amount:
            assert self.vault.claim_stake(sender=self.world.owner) == amount
            self.paid_out += amount

    @rule(who=WHO, part=PARTS)
    def ask_back(self, who: int, part: int) -> None:
        holder = self.world.holders[who]
        shares = self.model.balances.get(holder, 0) * part // 1_000
        if self.model.to_assets(shares) == 0:
            with boa.reverts("shares: worth less than a nit"):
                self.world.request(holder, shares)
            return
        if len(self.vault.claimWeeks(holder)) == self.vault.MAX_CLAIMS():
            self.collect_claims(who)
        self.model.request(holder, shares, self.world.now())
        self.world.request(holder, shares)

    @rule(who=WHO)
    def collect_claims(self, who: int) -> None:
        holder = self.world.holders[who]
        shares, assets = self.model.matured(holder, self.world.now())
        assert (self.vault.maxRedeem(holder), self.vault.maxWithdraw(holder)) == (shares, assets)
        assert self.vault.redeem(shares, holder, holder, sender=holder) == assets
        assert self.model.collect(holder, self.world.now()) == assets
        self.paid_out += assets

    @rule(sender=WHO, receiver=WHO, part=PARTS)
    def give(self, sender: int, receiver: int, part: int) -> None:
        one, other = self.world.holders[sender], self.world.holders[receiver]
        shares = self.model.balances.get(one, 0) * part // 1_000
        self.model.transfer(one, other, shares)
        self.vault.transfer(other, shares, sender=one)

    @rule(amount=AMOUNTS)
    def earn(self, amount: int) -> None:
        self.world.pay(amount)
        self.vault.accrue()
        self.model.income(amount, self.world.now())
        self.brought_in += amount

    @rule(amount=AMOUNTS)
    def lose(self, amount: int) -> None:
        expected = self.model.slash(amount, self.world.now())
        assert self.world.slash(amount) == expected.taken

    @rule(step=st.integers(-COMMISSION_STEP, COMMISSION_STEP))
    def announce(self, step: int) -> None:
        self.vault.accrue()
        self.model.settle_commission(self.world.now())
        wanted = self.model.commission + step
        if self.model.next_from or not MIN_COMMISSION <= wanted <= MAX_COMMISSION:
            with boa.reverts():
                self.vault.announce_commission(wanted, sender=self.world.owner)
            return
        self.vault.announce_commission(wanted, sender=self.world.owner)
        self.model.announce(wanted, self.world.now())

    @rule(seconds=st.integers(1, WEEK) | st.just(8 * WEEK))
    def wait(self, seconds: int) -> None:
        boa.env.time_travel(seconds=seconds)

    @rule(who=WHO)
    def collect_credit(self, who: int) -> None:
        account = [self.world.owner, *self.world.holders][who]
        assert self.vault.withdrawable(account) == self.model.credits.get(account, 0)
        credit = self.model.collect_credit(account, self.world.now())
        if credit:
            assert self.vault.collect(sender=account) == credit
            self.paid_out += credit

    @invariant()
    def agree(self) -> None:
        vault, model = self.vault, self.model
        assert (vault.managed(), vault.totalSupply()) == (model.managed, model.supply)
        assert vault.balanceOf(vault.address) == model.own_shares
        for holder in self.world.holders:
            assert vault.balanceOf(holder) == model.balances.get(holder, 0)
            assert vault.withdrawable(holder) == model.credits.get(holder, 0)
        assert vault.withdrawable(self.world.owner) == model.credits.get(self.world.owner, 0)

    @invariant()
    def count_every_nit(self) -> None:
        held = boa.env.get_balance(self.vault.address)
        assert held == self.vault.accounted() == self.model.balance
        assert self.brought_in == held + self.paid_out + boa.env.get_balance(AUDITS)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=300 if LONG else 5,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
