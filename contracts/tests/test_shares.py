"""What a provider's vault does with holders, income, slashes and time."""

from __future__ import annotations

from collections.abc import Iterator

import boa
import pytest
from eth.exceptions import Revert
from eth_account import Account

from candela.economics.rewards import after_fees

from .audits import AUDITS
from .conftest import CND, compiled, deploy
from .economy import COMMISSION, OPEN, PERIOD, STAKE, WEEK, Vaults, devices, vaults

BURNED = "0x" + "0" * 40


@pytest.fixture
def world() -> Iterator[Vaults]:
    """A vault beside the real contracts."""
    with boa.env.anchor():
        registry = deploy("Registry")
        market = deploy("Market", registry.address)
        beacon = deploy("Beacon", folder="ledger")
        intensity = deploy("Intensity", registry.address, beacon.address, PERIOD, OPEN)
        yield vaults(registry, market, intensity)


def balance(account: str) -> int:
    return boa.env.get_balance(account)


def buy(world: Vaults, holder: str, assets: int = CND) -> int:
    return world.vault.deposit(assets, holder, value=assets, sender=holder)


def test_factory_makes_the_vault_a_provider_with_the_owner_s_stake(world: Vaults) -> None:
    vault = world.vault
    assert world.registry.provider_of(world.operator) == vault.address
    assert world.factory.is_vault(vault.address) and world.factory.vaults(0) == vault.address
    assert vault.own_stake() == vault.totalAssets() == STAKE
    assert (vault.owner(), vault.name(), vault.decimals()) == (world.owner, "Node", 24)
    with boa.reverts("shares: already initialized"):
        vault.initialize(world.holders[0], world.operator, "X", "X", COMMISSION, sender=world.holders[0])
    with boa.reverts("shares: stake is too small"):
        world.factory.create(world.holders[0], "N", "N", COMMISSION, value=CND - 1, sender=world.owner)
    with boa.reverts("shares: commission out of range"):
        world.factory.create(world.holders[0], "N", "N", 2_501, value=CND, sender=world.owner)
    with boa.reverts("registry: operator is taken"):
        world.factory.create(world.operator, "N", "N", COMMISSION, value=CND, sender=world.holders[0])


def test_implementation_is_nobody_s_vault(world: Vaults) -> None:
    implementation = compiled("compute", "Shares").at(world.factory.implementation())
    with boa.reverts("shares: already initialized"):
        implementation.initialize(world.owner, world.owner, "X", "X", COMMISSION, sender=world.owner)


def test_interfaces_are_those_of_the_standards(world: Vaults) -> None:
    vault = world.vault
    for interface in ("01ffc9a7", "620ee8e4", "e3bc4e65", "2f0a18c5"):
        assert vault.supportsInterface(bytes.fromhex(interface))
    assert not vault.supportsInterface(bytes.fromhex("ffffffff"))
    assert vault.asset() == "0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE"
    assert vault.share() == vault.address
    for preview in (vault.previewRedeem, vault.previewWithdraw):
        with boa.reverts("shares: redemption is requested first"):
            preview(1)


def test_job_revenue_raises_the_price_after_commission(world: Vaults) -> None:
    ann = world.holders[0]
    shares = buy(world, ann, STAKE)
    market = world.world(world.holders[1])
    devices(world.registry, world.vault.address, world.operator)
    lease = market.lease(market.open())
    market.settle(lease, 0)
    price = market.market.leases(lease)[15]
    assert price > 0
    market.market.accept(lease, 1, sender=market.customer)
    price = after_fees(price)
    assert balance(world.vault.address) == 2 * STAKE + price, "the market paid the vault"
    gain = price - price * COMMISSION // 10_000
    assert world.vault.totalAssets() == 2 * STAKE + gain
    assert STAKE + gain // 2 - 1 <= world.vault.convertToAssets(shares) <= STAKE + gain // 2
    before = balance(world.owner)
    world.vault.collect(sender=world.owner)
    assert balance(world.owner) - before == price - gain


def test_what_the_market_could_not_send_is_fetched_as_income(world: Vaults) -> None:
    market = world.world(world.holders[1])
    devices(world.registry, world.vault.address, world.operator)
    lease = market.lease(market.open())
    market.settle(lease, 0)
    price = market.market.leases(lease)[15]
    code = boa.env.get_code(world.vault.address)
    # An account that takes nothing, just while it is paid.
    boa.env.set_code(world.vault.address, bytes.fromhex("fe"))
    market.market.accept(lease, 1, sender=market.customer)
    boa.env.set_code(world.vault.address, code)
    price = after_fees(price)
    assert market.market.withdrawable(world.vault.address) == price
    world.vault.fetch(world.market.address)
    assert world.vault.totalAssets() == STAKE + price - price * COMMISSION // 10_000
    with boa.reverts("shares: neither market nor audits"):
        world.vault.fetch(world.registry.address)


def test_previews_tell_what_happens(world: Vaults) -> None:
    ann, bob, _ = world.holders
    world.pay(CND // 3 + 7)
    expected = world.vault.previewDeposit(CND + 1)
    assert buy(world, ann, CND + 1) == expected == world.vault.balanceOf(ann)
    world.pay(11)
    price = world.vault.previewMint(10**23 + 1)
    before = balance(bob)
    assert world.vault.mint(10**23 + 1, bob, value=CND, sender=bob) == price
    assert before - balance(bob) == price, "what was sent too much came back"
    with boa.reverts("shares: value is too small"):
        world.vault.mint(10**23, bob, value=world.vault.previewMint(10**23) - 1, sender=bob)
    with boa.reverts("shares: value is not the assets"):
        world.vault.deposit(2, bob, value=1, sender=bob)


def test_buying_and_asking_back_never_gains(world: Vaults) -> None:
    ann = world.holders[0]
    world.pay(CND // 7)
    for assets in (1, 2, 3, CND // 3, CND + 1):
        shares = buy(world, ann, assets)
        assert world.vault.convertToAssets(shares) <= assets


def test_claims_wait_longer_than_any_dispute(world: Vaults) -> None:
    ann = world.holders[0]
    world.at((world.now() // WEEK + 1) * WEEK + WEEK - 1)
    asked = world.now()
    world.request(ann, buy(world, ann))
    longest = 30 * 24 * 3600 + world.market.RESOLUTION_SECONDS()
    world.at(asked + longest)
    assert world.vault.maxRedeem(ann) == 0
    with boa.reverts("shares: more than has matured"):
        world.vault.withdraw(1, ann, ann, sender=ann)
    world.at((asked // WEEK + 7) * WEEK)
    assert world.now() - asked >= 42 * 24 * 3600
    assert world.vault.maxWithdraw(ann) == CND


def test_a_claim_is_paid_once_to_whom_its_controller_says(world: Vaults) -> None:
    ann, bob, eve = world.holders
    shares = buy(world, ann)
    world.request(ann, shares)
    assert world.vault.pendingRedeemRequest(0, ann) == shares
    assert world.vault.claimableRedeemRequest(0, ann) == 0
    assert world.vault.pendingRedeemRequest(1, ann) == 0, "requests have no other id"
    world.mature()
    assert world.vault.claimableRedeemRequest(0, ann) == world.vault.maxRedeem(ann) == shares
    with boa.reverts("shares: not the controller"):
        world.vault.redeem(shares, eve, ann, sender=eve)
    before = balance(bob)
    world.vault.redeem(shares // 2, bob, ann, sender=ann)
    rest = world.vault.maxWithdraw(ann)
    world.vault.setOperator(eve, True, sender=ann)
    world.vault.withdraw(rest, bob, ann, sender=eve)
    assert balance(bob) - before == CND
    assert world.vault.maxRedeem(ann) == world.vault.maxWithdraw(ann) == 0
    with boa.reverts("shares: more than has matured"):
        world.vault.redeem(1, bob, ann, sender=ann)


def test_claims_of_several_weeks_are_collected_together_and_in_parts(world: Vaults) -> None:
    ann = world.holders[0]
    shares = [buy(world, ann, CND + number) for number in range(3)]
    for number in shares:
        world.request(ann, number)
        boa.env.time_travel(seconds=WEEK)
    assert len(world.vault.claimWeeks(ann)) == 3
    world.mature()
    total = world.vault.maxWithdraw(ann)
    world.vault.withdraw(CND + CND // 2, ann, ann, sender=ann)
    assert world.vault.maxWithdraw(ann) == total - CND - CND // 2
    world.vault.redeem(world.vault.maxRedeem(ann), ann, ann, sender=ann)
    assert len(world.vault.claimWeeks(ann)) == 0
    assert 1_000 * CND - 3 <= balance(ann) <= 1_000 * CND


def test_open_weeks_of_one_controller_are_bounded_and_can_be_collected(world: Vaults) -> None:
    ann, bob, _ = world.holders
    shares = buy(world, ann, 20 * CND) // 20
    for _ in range(world.vault.MAX_CLAIMS()):
        world.request(ann, shares)
        boa.env.time_travel(seconds=WEEK)
    with boa.reverts("shares: too many open claims"):
        world.request(ann, shares)
    world.vault.requestRedeem(shares, bob, ann, sender=ann)
    assert world.vault.pendingRedeemRequest(0, bob) == shares, "another controller has room"
    world.vault.redeem(world.vault.maxRedeem(ann), ann, ann, sender=ann)
    world.request(ann, shares)


def test_shares_in_unbonding_earn_nothing_more(world: Vaults) -> None:
    ann = world.holders[0]
    world.request(ann, buy(world, ann))
    world.pay(CND)
    world.mature()
    assert world.vault.maxWithdraw(ann) == CND


def test_the_owner_s_stake_is_slashed_first(world: Vaults) -> None:
    ann = world.holders[0]
    shares = buy(world, ann)
    before = world.vault.convertToAssets(shares)
    taken = world.slash(STAKE // 2)
    assert taken == STAKE // 2
    assert before <= world.vault.convertToAssets(shares) <= before + 1, "holders lose nothing"
    assert STAKE - STAKE // 2 - 1 <= world.vault.own_stake() <= STAKE - STAKE // 2


def test_the_owner_can_t_escape_by_asking_its_stake_back(world: Vaults) -> None:
    ann = world.holders[0]
    shares = buy(world, ann)
    world.vault.unstake(world.vault.balanceOf(world.vault.address), sender=world.owner)
    world.slash(STAKE)
    assert world.vault.convertToAssets(shares) >= CND - 1
    world.mature()
    assert sum(world.vault.own_weeks(week) for week in range(world.now() // WEEK - 9, world.now() // WEEK + 9)) <= 1


def test_beyond_it_holders_and_claims_lose_alike(world: Vaults) -> None:
    ann, bob, _ = world.holders
    shares = buy(world, ann, 4 * CND)
    world.request(bob, buy(world, bob, 4 * CND))
    assert world.slash(STAKE + 2 * CND) == STAKE + 2 * CND
    assert abs(world.vault.convertToAssets(shares) - 3 * CND) <= 2
    world.mature()
    assert abs(world.vault.maxWithdraw(bob) - 3 * CND) <= 2


def test_matured_claims_are_out_of_reach(world: Vaults) -> None:
    ann = world.holders[0]
    world.request(ann, buy(world, ann))
    world.mature()
    taken = world.slash(100 * CND)
    assert taken == STAKE, "all that was left"
    assert world.vault.maxWithdraw(ann) == CND
    world.vault.withdraw(CND, ann, ann, sender=ann)


def test_the_bond_pays_before_the_vault_and_audits_gets_all(world: Vaults) -> None:
    devices(world.registry, world.vault.address, world.operator)
    before = balance(AUDITS)
    assert world.slash(CND // 2) == CND // 2
    assert world.vault.totalAssets() == STAKE, "the bond covered it"
    assert world.slash(CND) == CND
    assert world.vault.totalAssets() == STAKE - CND // 2
    assert balance(AUDITS) - before == CND + CND // 2
    assert world.vault.maxDeposit(world.owner) > 0, "a provider in jail comes back"
    assert balance(world.registry.address) == 0
    assert world.vault.accounted() == balance(world.vault.address)


def test_a_provider_without_a_vault_loses_its_bond_alone(world: Vaults) -> None:
    ann = world.holders[0]
    world.registry.register(ann, value=CND, sender=ann)
    assert world.registry.slash(ann, 2 * CND, sender=AUDITS) == CND


def test_the_registry_takes_money_only_while_it_slashes(world: Vaults) -> None:
    ann = world.holders[0]
    shares = buy(world, ann)
    world.request(ann, shares)
    world.mature()
    with boa.reverts():
        world.vault.redeem(shares, world.registry.address, ann, sender=ann)
    with pytest.raises(Revert):
        boa.env.raw_call(world.registry.address, value=1, sender=ann)


def test_only_the_registry_slashes(world: Vaults) -> None:
    for account in (world.owner, world.operator, world.holders[0], AUDITS):
        with boa.reverts("shares: not the registry"):
            world.vault.slash(1, sender=account)


def test_commission_moves_slowly_and_holders_can_leave_before(world: Vaults) -> None:
    vault, owner = world.vault, world.owner
    with boa.reverts("shares: not the owner"):
        vault.announce_commission(COMMISSION + 1, sender=world.holders[0])
    with boa.reverts("shares: step is too large"):
        vault.announce_commission(COMMISSION + 101, sender=owner)
    announced = world.now()
    vault.announce_commission(COMMISSION + 100, sender=owner)
    with boa.reverts("shares: a change is announced already"):
        vault.announce_commission(COMMISSION, sender=owner)
    assert vault.next_from() - announced >= WEEK
    world.at(vault.next_from() - 1)
    world.pay(10_000)
    vault.accrue()
    assert vault.withdrawable(owner) == COMMISSION
    world.at(vault.next_from())
    vault.accrue()
    world.pay(10_000)
    vault.accrue()
    assert vault.withdrawable(owner) == 2 * COMMISSION + 100
    assert vault.commission() == COMMISSION + 100


@pytest.mark.parametrize("step", [100, -100])
def test_income_around_a_change_is_charged_the_lower_commission(world: Vaults, step: int) -> None:
    world.vault.announce_commission(COMMISSION + step, sender=world.owner)
    world.at(world.vault.next_from() + 1)
    world.pay(10_000)
    assets = world.vault.totalAssets()
    world.vault.accrue()
    assert world.vault.withdrawable(world.owner) == COMMISSION + min(step, 0)
    assert world.vault.totalAssets() == assets, "the view said the same before"


def test_commission_stays_in_bounds(world: Vaults) -> None:
    commission = COMMISSION
    while commission > world.vault.MIN_COMMISSION():
        commission -= 100
        world.vault.announce_commission(commission, sender=world.owner)
        world.at(world.vault.next_from())
    with boa.reverts("shares: commission out of range"):
        world.vault.announce_commission(commission - 1, sender=world.owner)


def test_donating_to_steal_from_the_next_holder_loses(world: Vaults) -> None:
    """The inflation attack on an empty vault: the attacker loses a million times what its victim does."""
    ann, _, eve = world.holders
    world.vault.unstake(world.vault.balanceOf(world.vault.address), sender=world.owner)
    attacker = buy(world, eve, 1)
    world.pay(100 * CND)
    victim = buy(world, ann, CND)
    lost = CND - world.vault.convertToAssets(victim)
    assert lost < CND // 10_000
    assert world.vault.convertToAssets(attacker) < 60 * CND, "much of the donation went to shares that nobody owns"


def test_without_shares_everything_is_the_owner_s(world: Vaults) -> None:
    world.pay(12_345)
    world.vault.unstake(world.vault.balanceOf(world.vault.address), sender=world.owner)
    world.pay(999)
    world.mature()
    world.vault.claim_stake(sender=world.owner)
    world.vault.collect(sender=world.owner)
    assert balance(world.vault.address) == 0
    assert balance(world.owner) == 1_000 * CND + 12_345 + 999
    with boa.reverts("shares: nothing to claim"):
        world.vault.claim_stake(sender=world.owner)


def test_a_vault_slashed_to_nothing_sells_no_shares(world: Vaults) -> None:
    ann, bob, _ = world.holders
    buy(world, ann)
    world.slash(100 * CND)
    assert world.vault.maxDeposit(ann) == world.vault.maxMint(ann) == 0
    with boa.reverts("shares: slashed to nothing"):
        buy(world, bob)
    assert world.slash(CND) == 0


def test_a_provider_that_leaves_sells_no_shares_but_returns_money(world: Vaults) -> None:
    ann = world.holders[0]
    shares = buy(world, ann)
    devices(world.registry, world.vault.address, world.operator)
    assert world.vault.maxDeposit(ann) > 0
    with boa.reverts("shares: not the owner"):
        world.vault.leave(sender=ann)
    world.vault.leave(sender=world.owner)
    assert world.vault.maxDeposit(ann) == 0
    with boa.reverts("shares: the provider has left"):
        buy(world, ann)
    world.request(ann, shares)
    world.mature()
    world.vault.withdraw_bond(sender=world.owner)
    assert world.vault.withdrawable(world.owner) == CND, "the bond is the owner's, not income"
    world.vault.redeem(shares, ann, ann, sender=ann)
    assert balance(ann) == 1_000 * CND
    world.vault.return_to_market(world.operator, sender=world.owner)
    assert world.vault.maxDeposit(ann) > 0


def test_the_proof_bond_comes_back_to_the_owner(world: Vaults) -> None:
    world.intensity.deposit(world.vault.address, value=CND, sender=world.owner)
    with boa.reverts("shares: not the owner"):
        world.vault.withdraw_proof_bond(CND, sender=world.holders[0])
    world.vault.withdraw_proof_bond(CND, sender=world.owner)
    assert world.vault.withdrawable(world.owner) == CND
    assert world.vault.totalAssets() == STAKE


def test_operator_key_is_rotated_by_the_owner(world: Vaults) -> None:
    key = boa.env.generate_address("new key")
    world.vault.set_operator_key(key, sender=world.owner)
    assert world.registry.provider_of(key) == world.vault.address
    with boa.reverts("shares: not the owner"):
        world.vault.set_operator_key(world.operator, sender=key)


def test_shares_move_as_erc20(world: Vaults) -> None:
    ann, bob, eve = world.holders
    shares = buy(world, ann)
    world.vault.transfer(bob, shares // 2, sender=ann)
    assert world.vault.balanceOf(bob) == shares // 2
    with boa.reverts("shares: allowance is too small"):
        world.vault.transferFrom(bob, eve, 1, sender=eve)
    world.vault.approve(eve, 10, sender=bob)
    world.vault.transferFrom(bob, eve, 4, sender=eve)
    assert (world.vault.allowance(bob, eve), world.vault.balanceOf(eve)) == (6, 4)
    for receiver in (world.vault.address, BURNED):
        with boa.reverts():
            world.vault.transfer(receiver, 1, sender=ann)
    with boa.reverts("shares: balance is too small"):
        world.vault.transfer(eve, shares, sender=ann)


def test_somebody_else_asks_back_only_with_consent(world: Vaults) -> None:
    ann, bob, eve = world.holders
    shares = buy(world, ann)
    with boa.reverts("shares: allowance is too small"):
        world.vault.requestRedeem(shares, eve, ann, sender=eve)
    world.vault.approve(bob, shares // 2, sender=ann)
    world.vault.requestRedeem(shares // 2, bob, ann, sender=bob)
    world.vault.setOperator(eve, True, sender=ann)
    world.vault.requestRedeem(shares // 4, ann, ann, sender=eve)
    with boa.reverts():
        world.vault.requestRedeem(1, eve, world.vault.address, sender=eve)


def test_permit_approves_once_and_in_time(world: Vaults) -> None:
    account, spender = Account.from_key(b"\x07" * 32), world.holders[0]
    vault, deadline = world.vault, world.now() + 100

    def signed(value: int, nonce: int) -> tuple:
        message = {
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Permit": [
                    {"name": name, "type": kind}
                    for name, kind in (
                        ("owner", "address"),
                        ("spender", "address"),
                        ("value", "uint256"),
                        ("nonce", "uint256"),
                        ("deadline", "uint256"),
                    )
                ],
            },
            "primaryType": "Permit",
            "domain": {
                "name": "Node",
                "version": "1",
                "chainId": boa.env.evm.chain.chain_id,
                "verifyingContract": vault.address,
            },
            "message": {
                "owner": account.address,
                "spender": spender,
                "value": value,
                "nonce": nonce,
                "deadline": deadline,
            },
        }
        signature = account.sign_typed_data(full_message=message)
        return signature.v, signature.r.to_bytes(32, "big"), signature.s.to_bytes(32, "big")

    good = signed(5, 0)
    with boa.reverts("shares: wrong signature"):
        vault.permit(account.address, spender, 6, deadline, *good)
    vault.permit(account.address, spender, 5, deadline, *good)
    assert vault.allowance(account.address, spender) == 5
    with boa.reverts("shares: wrong signature"):
        vault.permit(account.address, spender, 5, deadline, *good)
    world.at(deadline + 1)
    with boa.reverts("shares: permit has expired"):
        vault.permit(account.address, spender, 5, deadline, *signed(5, 1))
