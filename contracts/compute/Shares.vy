# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize codesize
"""
@title Shares in a provider's node
@license MIT OR Apache-2.0
@author The Candela developers
@notice A vault that is itself the registered provider: the market and the rewards pay it, holders own it by shares, and
        slashing takes from it: the registry's bond first, then the stake of its owner, then what holders have.
@dev ERC-4626 with the native coin as asset (ERC-7535) and redemption in two steps (ERC-7540): `requestRedeem` turns shares
     into a fixed claim that earns nothing more but can still be slashed until it matures, at the start of a week, 42 to
     49 days later; `redeem` and `withdraw` pay matured claims. All requests have the id 0.
     A share is worth (managed + 1) / (totalSupply + VIRTUAL_SHARES) nit; the virtual shares make it dear to bend that by
     a donation. The owner's stake is the vault's own balance of shares.
     At any time: balance >= `accounted` = `managed` + claims of holders + claims of the owner + `withdrawable`; what exceeds
     it is income that the next call shares out.
"""

import ShareToken as token

initializes: token
exports: token.__interface__

interface Registry:
    def register(operator: address): payable
    def set_operator(operator: address): nonpayable
    def exit(): nonpayable
    def withdraw_bond(): nonpayable
    def providers(provider: address) -> Provider: view

interface Debtor:
    def withdraw(): nonpayable

interface Intensity:
    def withdraw(amount: uint256): nonpayable

struct Provider:
    operator: address
    bond: uint256
    state: uint8
    device_count: uint32
    next_device: uint32
    unbonding_until: uint64

# Every clone has storage of its own but shares these with the implementation.
registry: public(immutable(address))
market: public(immutable(address))
intensity: public(immutable(address))
audits: public(immutable(address))

# @notice Bounds of the commission, in basis points.
MIN_COMMISSION: public(constant(uint256)) = 500
MAX_COMMISSION: public(constant(uint256)) = 2500
# @notice Most that one announcement changes it by, in basis points.
COMMISSION_STEP: public(constant(uint256)) = 100
# @notice Seconds of the vault's week, on which claims mature and commissions change.
WEEK: public(constant(uint256)) = 7 * 24 * 3600
# @notice Claims mature at the start of the seventh week after the one in which they were requested. The longest dispute
#         in the market lasts 37 days: 30 of audit window and 7 in which a payment is held.
UNBONDING_WEEKS: public(constant(uint256)) = 7
# @notice Shares of one nit when there are none yet, and shares that nobody owns.
VIRTUAL_SHARES: public(constant(uint256)) = 10**6
# @notice Most weeks in which one controller may have open claims.
MAX_CLAIMS: public(constant(uint256)) = 16

BASIS_POINTS: constant(uint256) = 10_000
EXITING: constant(uint8) = 4
EXITED: constant(uint8) = 5
# Deposits end when the price has fallen below a thousandth of its first: new shares would be countless.
PRICE_FLOOR: constant(uint256) = 1000
UNBOUNDED: constant(uint256) = 2**128 - 1
NATIVE: constant(address) = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE

struct Week:
    claims: uint256
    assets: uint256

struct Claim:
    shares: uint256
    claims: uint256

event Deposit:
    sender: indexed(address)
    owner: indexed(address)
    assets: uint256
    shares: uint256

event Withdraw:
    sender: indexed(address)
    receiver: indexed(address)
    owner: indexed(address)
    assets: uint256
    shares: uint256

event RedeemRequest:
    controller: indexed(address)
    owner: indexed(address)
    request_id: indexed(uint256)
    sender: address
    shares: uint256

event OperatorSet:
    controller: indexed(address)
    operator: indexed(address)
    approved: bool

event Income:
    amount: uint256
    commission: uint256

event Slashed:
    amount: uint256
    own: uint256

event CommissionAnnounced:
    commission: uint256
    effective: uint256

event Staked:
    amount: uint256
    shares: uint256

event Unstaked:
    amount: uint256
    shares: uint256
    matures: uint256

event Credited:
    account: indexed(address)
    amount: uint256

event Collected:
    account: indexed(address)
    amount: uint256

owner: public(address)
factory: public(address)
isOperator: public(HashMap[address, HashMap[address, bool]])

managed: public(uint256)
accounted: public(uint256)
withdrawable: public(HashMap[address, uint256])

commission: public(uint256)
next_commission: public(uint256)
next_from: public(uint256)

weeks: public(HashMap[uint256, Week])
claims: public(HashMap[address, HashMap[uint256, Claim]])
claim_weeks: HashMap[address, DynArray[uint256, MAX_CLAIMS]]
own_weeks: public(HashMap[uint256, uint256])
own_claim_weeks: DynArray[uint256, MAX_CLAIMS]


@deploy
def __init__(_registry: address, _market: address, _intensity: address, _audits: address):
    """
    @param _registry The registry of providers, which alone slashes.
    @param _market The market for compute.
    @param _intensity Proof of Intensity, where devices have bonds.
    @param _audits The contract of audits.
    """
    registry = _registry
    market = _market
    intensity = _intensity
    audits = _audits
    # The implementation itself is no vault.
    self.factory = self


@external
@payable
def initialize(_owner: address, operator: address, _name: String[64], _symbol: String[16], _commission: uint256):
    """
    @notice Make a clone the vault of a provider; called once, by the factory. The value is the owner's first stake.
    @param _owner Who owns the node: stakes first, takes the commission, holds the registration.
    @param operator The key that signs leases and receipts.
    @param _name Name of the share token.
    @param _symbol Its symbol.
    @param _commission In basis points.
    """
    assert self.factory == empty(address), "shares: already initialized"
    assert _owner != empty(address), "shares: owner is zero"
    assert _commission >= MIN_COMMISSION and _commission <= MAX_COMMISSION, "shares: commission out of range"
    self.factory = msg.sender
    self.owner = _owner
    token.name = _name
    token.symbol = _symbol
    self.commission = _commission
    self._stake(msg.value)
    extcall Registry(registry).register(operator)


@external
@payable
def __default__():
    """
    @notice Take income: job revenue, rewards, gifts. It is shared out by the next call.
    """
    pass


# --- the owner ------------------------------------------------------------------------------------------------------


@external
@payable
@nonreentrant
def stake():
    """
    @notice Add the value to the owner's stake.
    """
    self._accrue(msg.value)
    self._stake(msg.value)


@external
@nonreentrant
def unstake(shares: uint256):
    """
    @notice Turn shares of the owner's stake into a claim; it is slashed before anything of the holders until it matures.
    @param shares How many of the vault's own shares.
    """
    self._assert_owner()
    self._accrue(0)
    assets: uint256 = self._redeem(self, shares)
    week: uint256 = self._maturity()
    if week not in self.own_claim_weeks:
        assert len(self.own_claim_weeks) < MAX_CLAIMS, "shares: too many open claims"
        self.own_claim_weeks.append(week)
    self.own_weeks[week] += assets
    self._free_dust()
    log Unstaked(amount=assets, shares=shares, matures=week * WEEK)


@external
@nonreentrant
def claim_stake() -> uint256:
    """
    @notice Pay the owner's matured claims to the owner.
    @return How much.
    """
    self._assert_owner()
    amount: uint256 = 0
    count: uint256 = len(self.own_claim_weeks)
    for step: uint256 in range(count, bound=MAX_CLAIMS):
        at: uint256 = count - 1 - step
        week: uint256 = self.own_claim_weeks[at]
        if week * WEEK > block.timestamp:
            continue
        amount += self.own_weeks[week]
        self.own_weeks[week] = 0
        self.own_claim_weeks[at] = self.own_claim_weeks[len(self.own_claim_weeks) - 1]
        self.own_claim_weeks.pop()
    assert amount > 0, "shares: nothing to claim"
    self.accounted -= amount
    raw_call(msg.sender, b"", value=amount)
    return amount


@external
@nonreentrant
def announce_commission(_commission: uint256):
    """
    @notice Change the commission at the start of the week after the next: holders have a week or more to leave.
    @param _commission In basis points; at most COMMISSION_STEP from today's.
    """
    self._assert_owner()
    self._accrue(0)
    assert self.next_from == 0, "shares: a change is announced already"
    assert _commission >= MIN_COMMISSION and _commission <= MAX_COMMISSION, "shares: commission out of range"
    low: uint256 = min(_commission, self.commission)
    high: uint256 = max(_commission, self.commission)
    assert high - low <= COMMISSION_STEP, "shares: step is too large"
    self.next_commission = _commission
    self.next_from = (block.timestamp // WEEK + 2) * WEEK
    log CommissionAnnounced(commission=_commission, effective=self.next_from)


@external
def set_operator_key(operator: address):
    """
    @notice Replace the key that signs leases and receipts.
    @param operator The new key.
    """
    self._assert_owner()
    extcall Registry(registry).set_operator(operator)


@external
def leave():
    """
    @notice End the registration as a provider; nobody can buy shares afterwards, everybody can redeem.
    """
    self._assert_owner()
    extcall Registry(registry).exit()


@external
def return_to_market(operator: address):
    """
    @notice Register again after leaving and withdrawing the bond.
    @param operator The key that signs leases and receipts.
    """
    self._assert_owner()
    extcall Registry(registry).register(operator)


@external
@nonreentrant
def withdraw_bond():
    """
    @notice Fetch the registry's bond, which is the owner's alone, after leaving.
    """
    self._assert_owner()
    self._accrue(0)
    extcall Registry(registry).withdraw_bond()
    self._credit_rest()


@external
@nonreentrant
def withdraw_proof_bond(amount: uint256):
    """
    @notice Fetch the bond at Proof of Intensity, which is the owner's alone.
    @param amount In nit.
    """
    self._assert_owner()
    self._accrue(0)
    extcall Intensity(intensity).withdraw(amount)
    self._credit_rest()


# --- holders: ERC-7535 and ERC-7540 ---------------------------------------------------------------------------------


@external
@payable
@nonreentrant
def deposit(assets: uint256, receiver: address) -> uint256:
    """
    @notice Buy shares for the value.
    @param assets The value again, in nit.
    @param receiver Who gets the shares.
    @return How many.
    """
    assert msg.value == assets, "shares: value is not the assets"
    self._accrue(msg.value)
    shares: uint256 = self._to_shares(self.managed, assets)
    self._enter(receiver, assets, shares)
    return shares


@external
@payable
@nonreentrant
def mint(shares: uint256, receiver: address) -> uint256:
    """
    @notice Buy an exact number of shares; what is left of the value comes back.
    @param shares How many.
    @param receiver Who gets them.
    @return Their price in nit.
    """
    self._accrue(msg.value)
    assets: uint256 = self._price(self.managed, shares)
    assert msg.value >= assets, "shares: value is too small"
    self._enter(receiver, assets, shares)
    if msg.value > assets:
        raw_call(msg.sender, b"", value=msg.value - assets)
    return assets


@external
@nonreentrant
def requestRedeem(shares: uint256, controller: address, owner: address) -> uint256:
    """
    @notice Turn shares into a claim of fixed value; until it matures it earns nothing and can be slashed.
    @param shares How many.
    @param controller Who may collect the claim.
    @param owner Whose shares: the caller's, or those of somebody who made the caller operator or approved the amount.
    @return 0: the claims of a controller have no numbers.
    """
    assert controller != empty(address), "shares: controller is zero"
    if owner != msg.sender and not self.isOperator[owner][msg.sender]:
        token._spend_allowance(owner, msg.sender, shares)
    assert owner != self, "shares: stake is the owner's"
    self._accrue(0)
    assets: uint256 = self._redeem(owner, shares)
    week: uint256 = self._maturity()
    if self.claims[controller][week].shares == 0:
        assert len(self.claim_weeks[controller]) < MAX_CLAIMS, "shares: too many open claims"
        self.claim_weeks[controller].append(week)
    self.claims[controller][week].shares += shares
    self.claims[controller][week].claims += assets
    self.weeks[week].claims += assets
    self.weeks[week].assets += assets
    self._free_dust()
    log RedeemRequest(controller=controller, owner=owner, request_id=0, sender=msg.sender, shares=shares)
    return 0


@external
@nonreentrant
def redeem(shares: uint256, receiver: address, controller: address) -> uint256:
    """
    @notice Collect matured claims.
    @param shares How many of the requested shares.
    @param receiver Who is paid.
    @param controller Whose claims; the caller or somebody who made the caller operator.
    @return What was paid, in nit.
    """
    self._assert_controls(controller)
    done: uint256 = 0
    assets: uint256 = 0
    done, assets = self._collect(controller, shares, max_value(uint256))
    assert done == shares, "shares: more than has matured"
    self._pay_claim(receiver, controller, assets, shares)
    return assets


@external
@nonreentrant
def withdraw(assets: uint256, receiver: address, controller: address) -> uint256:
    """
    @notice Collect an exact amount of matured claims.
    @param assets In nit.
    @param receiver Who is paid.
    @param controller Whose claims; the caller or somebody who made the caller operator.
    @return How many of the requested shares that took.
    """
    self._assert_controls(controller)
    shares: uint256 = 0
    done: uint256 = 0
    shares, done = self._collect(controller, max_value(uint256), assets)
    assert done == assets, "shares: more than has matured"
    self._pay_claim(receiver, controller, assets, shares)
    return shares


@external
def setOperator(operator: address, approved: bool) -> bool:
    """
    @notice Let somebody request and collect in the caller's place, or no longer.
    @param operator Who.
    @param approved Whether.
    @return True.
    """
    self.isOperator[msg.sender][operator] = approved
    log OperatorSet(controller=msg.sender, operator=operator, approved=approved)
    return True


@external
@nonreentrant
def accrue():
    """
    @notice Share out what has come in since the last call; anyone may call.
    """
    self._accrue(0)


@external
@nonreentrant
def fetch(debtor: address):
    """
    @notice Fetch what the market or the contract of audits could not send; anyone may call. It is income.
    @param debtor One of the two.
    """
    assert debtor == market or debtor == audits, "shares: neither market nor audits"
    extcall Debtor(debtor).withdraw()
    self._accrue(0)


@external
@nonreentrant
def collect() -> uint256:
    """
    @notice Fetch the caller's commission, returned bond, or what could not be sent before.
    @return How much.
    """
    self._accrue(0)
    amount: uint256 = self.withdrawable[msg.sender]
    assert amount > 0, "shares: nothing to collect"
    self.withdrawable[msg.sender] = 0
    self.accounted -= amount
    log Collected(account=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)
    return amount


@external
@nonreentrant
def slash(amount: uint256) -> uint256:
    """
    @notice Take from the owner's stake, then from holders and open claims alike; the registry may, and gets the money.
    @param amount Nit to take; less is taken when there is less.
    @return What was taken.
    """
    assert msg.sender == registry, "shares: not the registry"
    self._accrue(0)
    wanted: uint256 = min(amount, UNBOUNDED)
    own: uint256 = self._take_own(wanted)
    taken: uint256 = own + self._take_all(wanted - own)
    self._free_dust()
    self.accounted -= taken
    log Slashed(amount=taken, own=own)
    raw_call(msg.sender, b"", value=taken)
    return taken


# --- views ----------------------------------------------------------------------------------------------------------


@external
@pure
def asset() -> address:
    """
    @notice The native coin (ERC-7528).
    @return Its stand-in address.
    """
    return NATIVE


@external
@view
def share() -> address:
    """
    @notice The share token (ERC-7575): this contract.
    @return Its address.
    """
    return self


@external
@pure
def supportsInterface(interface_id: bytes4) -> bool:
    """
    @notice ERC-165, asynchronous redemption and operators of ERC-7540, and ERC-7575.
    @param interface_id The interface.
    @return Whether it is there.
    """
    return interface_id in [0x01ffc9a7, 0x620ee8e4, 0xe3bc4e65, 0x2f0a18c5]


@external
@view
def totalAssets() -> uint256:
    """
    @notice Nit behind the shares, income that has not been shared out included.
    @return The amount; open claims and commission are not in it.
    """
    return self._assets()


@external
@view
def convertToShares(assets: uint256) -> uint256:
    """
    @notice Shares for an amount at today's price.
    @param assets In nit.
    @return Shares, rounded down.
    """
    return self._to_shares(self._assets(), assets)


@external
@view
def convertToAssets(shares: uint256) -> uint256:
    """
    @notice What shares are worth today.
    @param shares How many.
    @return Nit, rounded down.
    """
    return self._to_assets(self._assets(), shares)


@external
@view
def previewDeposit(assets: uint256) -> uint256:
    """
    @notice Shares that a deposit gives now.
    @param assets In nit.
    @return Shares, rounded down.
    """
    return self._to_shares(self._assets(), assets)


@external
@view
def previewMint(shares: uint256) -> uint256:
    """
    @notice What shares cost now.
    @param shares How many.
    @return Nit, rounded up.
    """
    return self._price(self._assets(), shares)


@external
@pure
def previewRedeem(shares: uint256) -> uint256:
    """
    @notice Nobody can tell: redemption takes weeks (ERC-7540 wants a revert).
    @param shares How many.
    """
    raise "shares: redemption is requested first"


@external
@pure
def previewWithdraw(assets: uint256) -> uint256:
    """
    @notice Nobody can tell: redemption takes weeks (ERC-7540 wants a revert).
    @param assets In nit.
    """
    raise "shares: redemption is requested first"


@external
@view
def maxDeposit(receiver: address) -> uint256:
    """
    @notice Most that can be deposited.
    @param receiver Who would get the shares.
    @return No bound, or 0 when the provider has left or the vault was slashed to nothing.
    """
    return UNBOUNDED if self._open() else 0


@external
@view
def maxMint(receiver: address) -> uint256:
    """
    @notice Most shares that can be bought.
    @param receiver Who would get them.
    @return No bound, or 0 when the provider has left or the vault was slashed to nothing.
    """
    return UNBOUNDED if self._open() else 0


@external
@view
def maxRedeem(controller: address) -> uint256:
    """
    @notice Requested shares that have matured.
    @param controller Whose.
    @return How many.
    """
    return self._claimed(controller, True)[0]


@external
@view
def maxWithdraw(controller: address) -> uint256:
    """
    @notice What matured claims pay.
    @param controller Whose.
    @return In nit.
    """
    return self._claimed(controller, True)[1]


@external
@view
def pendingRedeemRequest(request_id: uint256, controller: address) -> uint256:
    """
    @notice Requested shares that have not matured.
    @param request_id 0.
    @param controller Whose.
    @return How many.
    """
    return self._claimed(controller, False)[0] if request_id == 0 else 0


@external
@view
def claimableRedeemRequest(request_id: uint256, controller: address) -> uint256:
    """
    @notice Requested shares that have matured.
    @param request_id 0.
    @param controller Whose.
    @return How many.
    """
    return self._claimed(controller, True)[0] if request_id == 0 else 0


@external
@view
def claimWeeks(controller: address) -> DynArray[uint256, MAX_CLAIMS]:
    """
    @notice Weeks in which open claims mature.
    @param controller Whose.
    @return Numbers of weeks: a claim of week w matures at w * WEEK.
    """
    return self.claim_weeks[controller]


@external
@view
def own_stake() -> uint256:
    """
    @notice What the owner has staked and not asked back.
    @return In nit.
    """
    return self._to_assets(self._assets(), token.balanceOf[self])


@external
@view
def slashable() -> uint256:
    """
    @notice The most that can be slashed now.
    @return In nit.
    """
    total: uint256 = self._assets()
    first: uint256 = block.timestamp // WEEK + 1
    for i: uint256 in range(UNBONDING_WEEKS):
        total += self.weeks[first + i].assets + self.own_weeks[first + i]
    return total


# --- internal -------------------------------------------------------------------------------------------------------


@internal
@view
def _assert_owner():
    assert msg.sender == self.owner, "shares: not the owner"


@internal
@view
def _assert_controls(controller: address):
    allowed: bool = msg.sender == controller or self.isOperator[controller][msg.sender]
    assert allowed, "shares: not the controller"


@internal
@view
def _maturity() -> uint256:
    return block.timestamp // WEEK + UNBONDING_WEEKS


@internal
@view
def _fee(income: uint256) -> uint256:
    if token.totalSupply == 0:
        return income
    rate: uint256 = self.commission
    if self.next_from != 0 and block.timestamp >= self.next_from:
        # Income since the last call came before or after the change: the lower rate wrongs no holder.
        rate = min(rate, self.next_commission)
    return income * rate // BASIS_POINTS


@internal
@view
def _assets() -> uint256:
    income: uint256 = self.balance - self.accounted
    return self.managed + income - self._fee(income)


@internal
def _accrue(incoming: uint256):
    income: uint256 = self.balance - self.accounted - incoming
    if income > 0:
        fee: uint256 = self._fee(income)
        self.accounted += income
        self.managed += income - fee
        self.withdrawable[self.owner] += fee
        log Income(amount=income, commission=fee)
    if self.next_from != 0 and block.timestamp >= self.next_from:
        self.commission = self.next_commission
        self.next_from = 0


@internal
def _credit_rest():
    rest: uint256 = self.balance - self.accounted
    self.accounted += rest
    self.withdrawable[self.owner] += rest
    log Credited(account=self.owner, amount=rest)


@internal
def _free_dust():
    # Without shares nothing is managed: what rounding left is the owner's.
    if token.totalSupply == 0 and self.managed > 0:
        self.withdrawable[self.owner] += self.managed
        self.managed = 0


@internal
@view
def _to_shares(total: uint256, assets: uint256) -> uint256:
    return assets * (token.totalSupply + VIRTUAL_SHARES) // (total + 1)


@internal
@view
def _to_assets(total: uint256, shares: uint256) -> uint256:
    return shares * (total + 1) // (token.totalSupply + VIRTUAL_SHARES)


@internal
@view
def _price(total: uint256, shares: uint256) -> uint256:
    return self._divide_up(shares * (total + 1), token.totalSupply + VIRTUAL_SHARES)


@internal
@pure
def _divide_up(dividend: uint256, divisor: uint256) -> uint256:
    return (dividend + divisor - 1) // divisor


@internal
@view
def _takes_part() -> bool:
    # Registered, and not leaving; a provider in jail comes back.
    state: uint8 = (staticcall Registry(registry).providers(self)).state
    return state != 0 and state != EXITING and state != EXITED


@internal
@view
def _open() -> bool:
    worth: bool = self._assets() * VIRTUAL_SHARES * PRICE_FLOOR >= token.totalSupply
    return worth and self._takes_part()


@internal
def _enter(receiver: address, assets: uint256, shares: uint256):
    assert self._takes_part(), "shares: the provider has left"
    self._mint(receiver, assets, shares)
    log Deposit(sender=msg.sender, owner=receiver, assets=assets, shares=shares)


@internal
def _stake(assets: uint256):
    shares: uint256 = self._to_shares(self.managed, assets)
    self._mint(self, assets, shares)
    log Staked(amount=assets, shares=shares)


@internal
def _mint(receiver: address, assets: uint256, shares: uint256):
    assert receiver != empty(address), "shares: receiver is zero"
    assert shares > 0, "shares: too little for a share"
    assert self.managed * VIRTUAL_SHARES * PRICE_FLOOR >= token.totalSupply, "shares: slashed to nothing"
    self.managed += assets
    self.accounted += assets
    token._mint(receiver, shares)


@internal
def _redeem(holder: address, shares: uint256) -> uint256:
    assets: uint256 = self._to_assets(self.managed, shares)
    assert assets > 0, "shares: worth less than a nit"
    token._burn(holder, shares)
    self.managed -= assets
    return assets


@internal
@view
def _claimed(controller: address, matured: bool) -> (uint256, uint256):
    shares: uint256 = 0
    assets: uint256 = 0
    for week: uint256 in self.claim_weeks[controller]:
        if (week * WEEK <= block.timestamp) == matured:
            claim: Claim = self.claims[controller][week]
            shares += claim.shares
            if claim.claims > 0:
                assets += claim.claims * self.weeks[week].assets // self.weeks[week].claims
    return shares, assets


@internal
def _collect(controller: address, shares: uint256, assets: uint256) -> (uint256, uint256):
    # Takes matured claims until either amount is reached; the other one is the result.
    taken_shares: uint256 = 0
    taken_assets: uint256 = 0
    count: uint256 = len(self.claim_weeks[controller])
    for step: uint256 in range(count, bound=MAX_CLAIMS):
        at: uint256 = count - 1 - step
        week: uint256 = self.claim_weeks[controller][at]
        if week * WEEK > block.timestamp or taken_shares == shares or taken_assets == assets:
            continue
        part_shares: uint256 = 0
        part_assets: uint256 = 0
        part_shares, part_assets = self._collect_week(controller, week, shares - taken_shares, assets - taken_assets)
        taken_shares += part_shares
        taken_assets += part_assets
        if self.claims[controller][week].shares == 0:
            self.claim_weeks[controller][at] = self.claim_weeks[controller][len(self.claim_weeks[controller]) - 1]
            self.claim_weeks[controller].pop()
    return taken_shares, taken_assets


@internal
def _collect_week(controller: address, week: uint256, most_shares: uint256, most_assets: uint256) -> (uint256, uint256):
    claim: Claim = self.claims[controller][week]
    pool: Week = self.weeks[week]
    shares: uint256 = min(claim.shares, most_shares)
    claims: uint256 = claim.claims * shares // claim.shares
    assets: uint256 = claims * pool.assets // pool.claims
    if assets > most_assets:
        assets = most_assets
        claims = min(self._divide_up(assets * pool.claims, pool.assets), claim.claims)
        shares = min(self._divide_up(claim.shares * claims, claim.claims), claim.shares)
    if shares == claim.shares or claims == claim.claims:
        shares = claim.shares
        claims = claim.claims
    self.claims[controller][week].shares -= shares
    self.claims[controller][week].claims -= claims
    pool.claims -= claims
    pool.assets -= assets
    if pool.claims == 0 and pool.assets > 0:
        # The last claim of a week is paid in full; rounding may have left some of it.
        self.withdrawable[controller] += pool.assets
        pool.assets = 0
    self.weeks[week] = pool
    return shares, assets


@internal
def _pay_claim(receiver: address, controller: address, assets: uint256, shares: uint256):
    assert receiver != empty(address), "shares: receiver is zero"
    self.accounted -= assets
    log Withdraw(sender=msg.sender, receiver=receiver, owner=controller, assets=assets, shares=shares)
    raw_call(receiver, b"", value=assets)


@internal
def _take_own(amount: uint256) -> uint256:
    taken: uint256 = 0
    own: uint256 = token.balanceOf[self]
    if own > 0 and amount > 0:
        # Burning at least as many shares as the amount is worth leaves the price where it was, or higher.
        burned: uint256 = self._divide_up(amount * (token.totalSupply + VIRTUAL_SHARES), self.managed + 1)
        taken = amount
        if burned > own:
            burned = own
            taken = self._to_assets(self.managed, own)
        token._burn(self, burned)
        self.managed -= taken
    first: uint256 = block.timestamp // WEEK + 1
    for i: uint256 in range(UNBONDING_WEEKS):
        part: uint256 = min(amount - taken, self.own_weeks[first + i])
        if part > 0:
            self.own_weeks[first + i] -= part
            taken += part
    return taken


@internal
def _take_all(amount: uint256) -> uint256:
    first: uint256 = block.timestamp // WEEK + 1
    total: uint256 = self.managed
    for i: uint256 in range(UNBONDING_WEEKS):
        total += self.weeks[first + i].assets
    taken: uint256 = min(amount, total)
    if taken == 0:
        return 0
    # Each pool gives its share of what is left to take, so that the last one gives exactly the rest.
    left: uint256 = taken
    part: uint256 = left * self.managed // total
    total -= self.managed
    self.managed -= part
    left -= part
    for i: uint256 in range(UNBONDING_WEEKS):
        pool: uint256 = self.weeks[first + i].assets
        if pool > 0:
            part = left * pool // total
            total -= pool
            left -= part
            self.weeks[first + i].assets = pool - part
    return taken
