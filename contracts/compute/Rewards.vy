# pragma version 0.4.3
# pragma evm-version prague
"""
@title Rewards for proved compute
@license MIT OR Apache-2.0
@author The Candela developers
@notice Each day a part of the reserve is shared out among providers: one pool in proportion to the operations that Proof
        of Intensity measured in the day's 24 windows and that their stake covers, the other in proportion to the fees that
        were burned of what they were paid for jobs, but at most 0.8 of those. A quarter is paid at once, the rest over 180
        days. Auditors share what is set aside of the payments of jobs that they judge.
@dev Rules: docs/economics.md. Providers state their devices and this contract reads what was measured, so that nobody has
     to be believed, and no call's cost grows with the number of providers. Nothing is minted: the reserve is what was paid
     in. At any time: balance = `reserve` + `allocated`, and `allocated` = sum of `remaining` over days + sum of what
     `audit_pools` hold + sum of `credits`. A day's pool for work is kept under its number | WORK; its points are the fees
     in nit, counted by the day on which jobs paid them.
"""

struct Provider:
    operator: address
    bond: uint256
    state: uint8
    device_count: uint32
    next_device: uint32
    unbonding_until: uint64

interface Registry:
    def provider_of(operator: address) -> address: view
    def providers(provider: address) -> Provider: view
    def jailed_until(provider: address) -> uint64: view

interface Intensity:
    def measured(provider: address, device: uint256, window: uint256) -> uint256: view
    def period() -> uint256: view
    def open_seconds() -> uint256: view
    def DEMAND_SECONDS() -> uint256: view
    def SHOW_SECONDS() -> uint256: view

interface Factory:
    def is_vault(account: address) -> bool: view

interface Audits:
    def is_audited(job_id: uint64) -> bool: view
    def winners(audit_id: uint256) -> (address, uint256, DynArray[address, 15]): view

interface Vault:
    def totalAssets() -> uint256: view

# @notice Windows in a day.
WINDOWS: public(constant(uint256)) = 24
# @notice Each day shares out at most one part in so many of the reserve: half of it in 3.8 years.
EMISSION_DIVISOR: public(constant(uint256)) = 2000
# @notice Share of that for proved capacity, in basis points, on the first day and from the end of the slope on.
FIRST_SHARE: public(constant(uint256)) = 8000
LAST_SHARE: public(constant(uint256)) = 2000
SLOPE_DAYS: public(constant(uint256)) = 1461
# @notice Operations a second that a stake of one nit covers: a stake of 1 CND covers 10 cd.
COVERED_OPERATIONS: public(constant(uint256)) = 10**13
# @notice The contract that says who is audited, and who has judged.
AUDITS: public(constant(address)) = 0x0000000000000000000000000000000000000Cd9
# @notice What a customer's payments set aside for auditors goes to the reserve so many seconds after the last of them.
RELEASE_SECONDS: public(constant(uint256)) = 60 * 24 * 3600
# @notice The most of a burned fee that the pool for work pays back, in per cent: who pays itself always loses.
REBATE_PERCENT: public(constant(uint256)) = 80
# @notice With this bit, the number of a day means its pool for work.
WORK: public(constant(uint256)) = 2**128
# @notice Share of a payout that is paid at once, in per cent, and seconds over which the rest vests.
LIQUID_PERCENT: public(constant(uint256)) = 25
VESTING_SECONDS: public(constant(uint256)) = 180 * 24 * 3600
# @notice Days are reported until so many windows have opened after their end.
REPORT_WINDOWS: public(constant(uint256)) = 12
MAX_DEVICES: constant(uint256) = 64
MAX_DAYS: constant(uint256) = 200
MAX_AUDITS: constant(uint256) = 50

LOWER_HALF: constant(uint256) = 2**128 - 1
BASIS_POINTS: constant(uint256) = 10_000
COIN: constant(uint256) = 10**18

struct Day:
    pool: uint256
    points: uint256
    remaining: uint256
    open_payouts: uint256

event Funded:
    sender: indexed(address)
    amount: uint256

event Opened:
    day: indexed(uint256)
    pool: uint256

event Reported:
    day: indexed(uint256)
    provider: indexed(address)
    work: uint256
    covered: uint256
    points: uint256

event AuditorsPaid:
    audit_id: indexed(uint256)
    customer: indexed(address)
    auditors: uint256
    each: uint256

event Released:
    customer: indexed(address)
    amount: uint256

event Paid:
    provider: indexed(address)
    amount: uint256

event Carried:
    day: indexed(uint256)
    amount: uint256

registry: public(immutable(address))
intensity: public(immutable(address))
shares: public(immutable(address))
market: public(immutable(address))
period: public(immutable(uint256))
first_day: public(immutable(uint256))
# Seconds from a window's opening to when it is final, and for which it is open.
FINAL_SECONDS: immutable(uint256)
OPEN_SECONDS: immutable(uint256)

allocated: public(uint256)
days: public(HashMap[uint256, Day])
work: public(HashMap[uint256, HashMap[address, uint256]])
points: public(HashMap[uint256, HashMap[address, uint256]])
paid: public(HashMap[uint256, HashMap[address, uint256]])
reported: public(HashMap[uint256, HashMap[address, HashMap[uint256, bool]]])
# By customer: what waits for auditors of its jobs, and in the upper half when the last of it came: one slot.
audit_pools: public(HashMap[address, uint256])
shared: public(HashMap[uint256, bool])
credits: public(HashMap[address, uint256])


@deploy
def __init__(_registry: address, _intensity: address, _shares: address, _market: address):
    """
    @param _registry The registry of providers.
    @param _intensity Proof of Intensity, whose windows are read.
    @param _shares The factory of node shares.
    @param _market The market, whose fees are burned.
    """
    registry = _registry
    intensity = _intensity
    shares = _shares
    market = _market
    period = staticcall Intensity(_intensity).period()
    OPEN_SECONDS = staticcall Intensity(_intensity).open_seconds()
    demand_seconds: uint256 = staticcall Intensity(_intensity).DEMAND_SECONDS()
    FINAL_SECONDS = OPEN_SECONDS + demand_seconds + 2 * staticcall Intensity(_intensity).SHOW_SECONDS()
    assert FINAL_SECONDS < period * REPORT_WINDOWS, "rewards: windows are final too late"
    first_day = block.timestamp // (period * WINDOWS)


@external
@payable
def __default__():
    """
    @notice Add the value to the reserve.
    """
    log Funded(sender=msg.sender, amount=msg.value)


@external
@nonreentrant
def report(day: uint256, devices: DynArray[uint256, MAX_DEVICES]) -> uint256:
    """
    @notice Count what devices of the caller's provider have proved in a day. Several calls add up.
    @param day The day's number: it begins at `day * 24 * period`.
    @param devices Ids of devices, each once.
    @return The provider's points: operations that were measured and that its stake covers.
    """
    assert block.timestamp >= self._reports_from(day), "rewards: the day's windows are not final"
    assert block.timestamp < self._sealed_at(day), "rewards: too late to report"
    assert len(devices) > 0, "rewards: no devices"
    provider: address = self._provider()
    jailed_until: uint64 = staticcall Registry(registry).jailed_until(provider)
    assert convert(jailed_until, uint256) <= self._begins_at(day), "rewards: slashed since the day began"
    work: uint256 = self.work[day][provider]
    for device: uint256 in devices:
        assert not self.reported[day][provider][device], "rewards: device is reported"
        self.reported[day][provider][device] = True
        work += self._work(provider, device, day)
    covered: uint256 = self._covered(provider)
    points: uint256 = min(work, covered)
    assert points > 0, "rewards: nothing is measured or covered"
    self.work[day][provider] = work
    self._set_points(day, provider, points)
    log Reported(day=day, provider=provider, work=work, covered=covered, points=points)
    return points


@external
@payable
def charge(provider: address, customer: address, job_id: uint64, burned: uint256):
    """
    @notice Burn a part of the value, the fee of a payment to a provider, and keep the rest for auditors: for those of the
            customer's jobs, or in the reserve where the job is not audited; only the market may.
    @dev Without a lock: a vault that is paid here may fetch what the market owes it.
    @param provider Who was paid.
    @param customer Who has paid.
    @param job_id The job.
    @param burned The fee.
    """
    assert msg.sender == market, "rewards: not the market"
    raw_call(empty(address), b"", value=burned)
    share: uint256 = msg.value - burned
    if share > 0 and staticcall Audits(AUDITS).is_audited(job_id):
        waiting: uint256 = self.audit_pools[customer] & LOWER_HALF
        self.audit_pools[customer] = (waiting + share) | (block.timestamp << 128)
        self.allocated += share
    if burned > 0:
        key: uint256 = WORK | (block.timestamp // (period * WINDOWS))
        self._set_points(key, provider, self.points[key][provider] + burned)


@external
def share_out(audit_ids: DynArray[uint256, MAX_AUDITS]) -> uint256:
    """
    @notice Credit those who judged audits with what the customer's payments have set aside: each gets the same, at most
            the price of the task; what is left, rounding too, waits for the customer's next audit. Anybody may call.
    @param audit_ids Audits with a verdict, each once.
    @return What was credited in all.
    """
    total: uint256 = 0
    for audit_id: uint256 in audit_ids:
        assert not self.shared[audit_id], "rewards: the audit has had its share"
        self.shared[audit_id] = True
        customer: address = empty(address)
        price: uint256 = 0
        winners: DynArray[address, 15] = []
        customer, price, winners = staticcall Audits(AUDITS).winners(audit_id)
        count: uint256 = len(winners)
        assert count > 0, "rewards: the audit has no verdict"
        pool: uint256 = self.audit_pools[customer]
        each: uint256 = min((pool & LOWER_HALF) // count, price)
        self.audit_pools[customer] = pool - each * count
        for winner: address in winners:
            self.credits[winner] += each
        total += each * count
        log AuditorsPaid(audit_id=audit_id, customer=customer, auditors=count, each=each)
    return total


@external
def release(customer: address):
    """
    @notice Give what no audit has used to the reserve, RELEASE_SECONDS after the customer's last payment; anybody may.
    @param customer The customer.
    """
    pool: uint256 = self.audit_pools[customer]
    assert block.timestamp > (pool >> 128) + RELEASE_SECONDS, "rewards: auditors may still share it"
    amount: uint256 = pool & LOWER_HALF
    self.audit_pools[customer] = 0
    self.allocated -= amount
    log Released(customer=customer, amount=amount)


@external
@nonreentrant
def pay(provider: address, days: DynArray[uint256, MAX_DAYS]) -> uint256:
    """
    @notice Send a provider what has vested of its payouts of both pools, and what it is due as an auditor; anybody may.
    @param provider Who is paid: the owner's address, or its vault.
    @param days Days whose reporting has ended, or none.
    @return How much was paid.
    """
    amount: uint256 = self.credits[provider]
    self.credits[provider] = 0
    for day: uint256 in days:
        assert day < WORK and block.timestamp >= self._sealed_at(day), "rewards: the day is not over"
        amount += self._settle(day, provider)
        amount += self._settle(WORK | day, provider)
    self.allocated -= amount
    log Paid(provider=provider, amount=amount)
    if amount > 0:
        raw_call(provider, b"", value=amount)
    return amount


@external
@view
def reserve() -> uint256:
    """
    @notice What later days share out.
    @return In nit.
    """
    return self._reserve()


@external
@view
def emission(day: uint256) -> uint256:
    """
    @notice What a day would share out if its first report, or its first fee, came now.
    @param day The day, or WORK | day.
    @return In nit.
    """
    return self._emission(day)


@external
@view
def reports_from(day: uint256) -> uint256:
    """
    @notice When a day can be reported from.
    @param day The day.
    @return Unix time in seconds.
    """
    return self._reports_from(day)


@external
@view
def sealed_at(day: uint256) -> uint256:
    """
    @notice When a day's reporting ends and its payouts begin to vest.
    @param day The day.
    @return Unix time in seconds.
    """
    return self._sealed_at(day)


@external
@view
def payout(day: uint256, provider: address) -> uint256:
    """
    @notice What a provider gets for a day in all; it falls while others still report, or pay fees.
    @param day The day, or WORK | day.
    @param provider The owner's address, or its vault.
    @return In nit; 0 after all of it was paid.
    """
    return self._payout(day, provider)


@external
@view
def due(day: uint256, provider: address) -> uint256:
    """
    @notice What can be paid to a provider now.
    @param day The day, or WORK | day.
    @param provider The owner's address, or its vault.
    @return In nit.
    """
    payout: uint256 = self._payout(day, provider)
    if payout == 0 or block.timestamp < self._sealed_at(day):
        return 0
    return self._vested(day, payout) - self.paid[day][provider]


@external
@view
def covered(provider: address) -> uint256:
    """
    @notice Operations of a day that a provider's stake covers: its bond at the registry, and what its vault holds.
    @param provider The owner's address, or its vault.
    @return Operations.
    """
    return self._covered(provider)


@internal
@view
def _provider() -> address:
    # An owner acts for itself, even if somebody else has named its address as their operator.
    if (staticcall Registry(registry).providers(msg.sender)).state != 0:
        return msg.sender
    return staticcall Registry(registry).provider_of(msg.sender)


@internal
@view
def _begins_at(day: uint256) -> uint256:
    return day * WINDOWS * period


@internal
@view
def _reports_from(day: uint256) -> uint256:
    # The last window of the day is final then, and a slash for it can't come later.
    return self._begins_at(day + 1) - period + FINAL_SECONDS


@internal
@view
def _sealed_at(day: uint256) -> uint256:
    return self._begins_at((day & ~WORK) + 1) + REPORT_WINDOWS * period


@internal
@view
def _work(provider: address, device: uint256, day: uint256) -> uint256:
    # The sum over the day's windows, but no more than the median of those that count in each of them.
    sorted: uint256[24] = empty(uint256[24])
    count: uint256 = 0
    total: uint256 = 0
    for i: uint256 in range(WINDOWS):
        measured: uint256 = staticcall Intensity(intensity).measured(provider, device, day * WINDOWS + i)
        if measured == 0:
            continue
        at: uint256 = count
        for _: uint256 in range(WINDOWS):
            if at == 0 or sorted[at - 1] <= measured:
                break
            sorted[at] = sorted[at - 1]
            at -= 1
        sorted[at] = measured
        count += 1
        total += measured
    if count == 0:
        return 0
    return min(total, sorted[count // 2] * count)


@internal
@view
def _covered(provider: address) -> uint256:
    stake: uint256 = (staticcall Registry(registry).providers(provider)).bond
    if shares.is_contract and staticcall Factory(shares).is_vault(provider):
        stake += staticcall Vault(provider).totalAssets()
    return stake * COVERED_OPERATIONS * OPEN_SECONDS * WINDOWS // COIN


@internal
@view
def _reserve() -> uint256:
    return self.balance - self.allocated


@internal
@view
def _emission(day: uint256) -> uint256:
    age: uint256 = min(max(day & ~WORK, first_day) - first_day, SLOPE_DAYS)
    share: uint256 = FIRST_SHARE - (FIRST_SHARE - LAST_SHARE) * age // SLOPE_DAYS
    if day >= WORK:
        share = BASIS_POINTS - share
    return self._reserve() * share // (BASIS_POINTS * EMISSION_DIVISOR)


@internal
def _set_points(day: uint256, provider: address, points: uint256):
    state: Day = self.days[day]
    if state.points == 0:
        state.pool = self._emission(day)
        state.remaining = state.pool
        self.allocated += state.pool
        log Opened(day=day, pool=state.pool)
    before: uint256 = self.points[day][provider]
    if before == 0:
        state.open_payouts += 1
    state.points = state.points - before + points
    self.points[day][provider] = points
    self.days[day] = state


@internal
@view
def _payout(day: uint256, provider: address) -> uint256:
    points: uint256 = self.points[day][provider]
    if points == 0:
        return 0
    share: uint256 = self.days[day].pool * points // self.days[day].points
    return min(share, points * REBATE_PERCENT // 100) if day >= WORK else share


@internal
@view
def _vested(day: uint256, payout: uint256) -> uint256:
    if payout == 0:
        return 0
    age: uint256 = min(block.timestamp - self._sealed_at(day), VESTING_SECONDS)
    liquid: uint256 = payout * LIQUID_PERCENT // 100
    return liquid + (payout - liquid) * age // VESTING_SECONDS


@internal
def _settle(day: uint256, provider: address) -> uint256:
    payout: uint256 = self._payout(day, provider)
    due: uint256 = self._vested(day, payout) - self.paid[day][provider]
    self.paid[day][provider] += due
    self.days[day].remaining -= due
    if self.points[day][provider] > 0 and self.paid[day][provider] == payout:
        self._close(day, provider)
    return due


@internal
def _close(day: uint256, provider: address):
    # Whoever is paid last gives what rounding left back to the reserve.
    self.points[day][provider] = 0
    self.paid[day][provider] = 0
    self.days[day].open_payouts -= 1
    if self.days[day].open_payouts == 0:
        rest: uint256 = self.days[day].remaining
        self.days[day].remaining = 0
        self.allocated -= rest
        log Carried(day=day, amount=rest)
