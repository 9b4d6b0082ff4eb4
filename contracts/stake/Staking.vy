# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize codesize
"""
@title Stake of validators
@license MIT OR Apache-2.0
@author The Candela developers
@notice Who validates: bonds and delegations, the seats of each epoch, what validators earn, and what their faults cost.
@dev The ledger calls `attend`, `elect` and `distribute` as SYSTEM (as EIP-4788 does). `set_roots` is at slot 0, so the
     set of an epoch is proved by the slot keccak256(0 . epoch), 32 bytes each. No loop is longer than MAX_CANDIDATES.
     Amounts are in nit. What delegators earn is counted in nit x SCALE, so that no division loses anything.
     Rules and reasons: docs/staking.md.
"""

interface ConsensusKeys:
    def possesses(owner: address, staking: address, key: bytes32, proof: Bytes[64]) -> bool: view
    def subject(activity: Bytes[MAX_ACTIVITY]) -> (uint256, uint256): view
    def proves(activity: Bytes[MAX_ACTIVITY], key: bytes32) -> bool: view

# @notice The caller of `attend`, `elect` and `distribute`, to whom blocks pay their priority fees.
SYSTEM: public(constant(address)) = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE
# @notice Most seats of an epoch.
MAX_SEATS: public(constant(uint256)) = 128
# @notice Most validators that stand for election at a time.
MAX_CANDIDATES: public(constant(uint256)) = 256
# @notice Most seats of one owner, as a divisor of all seats; one seat is always allowed.
OWNER_SEAT_DIVISOR: public(constant(uint256)) = 10
# @notice Least delegation.
MIN_DELEGATION: public(constant(uint256)) = 10**18
# @notice Seconds for which stake pays for faults after the last election that it took part in.
UNBONDING_SECONDS: public(constant(uint256)) = 21 * 24 * 3600
# @notice Epochs whose seats are kept; older ones can't be accused.
EPOCHS_KEPT: public(constant(uint256)) = 1024
# @notice Bounds of the commission, in 1/10,000.
MIN_COMMISSION_BP: public(constant(uint256)) = 500
MAX_COMMISSION_BP: public(constant(uint256)) = 2500
# @notice How much a commission may rise, and after how many seconds without a change.
COMMISSION_STEP_BP: public(constant(uint256)) = 100
COMMISSION_SECONDS: public(constant(uint256)) = 7 * 24 * 3600
# @notice Seconds in jail.
JAIL_SECONDS: public(constant(uint256)) = 3600
# @notice Signatures of the busiest seat below which nobody is called absent, and the share of them that is presence.
PRESENCE_SAMPLE: public(constant(uint256)) = 100
PRESENCE_DIVISOR: public(constant(uint256)) = 20
# @notice Least penalty for a fault, in parts of ONE, and how much faults of one time weigh together.
MIN_PENALTY: public(constant(uint256)) = 5 * 10**7
CORRELATION: public(constant(uint256)) = 3
ONE: public(constant(uint256)) = 10**9
# @notice Seconds of a period in which faults count together, with those of the periods beside it.
PENALTY_PERIOD: public(constant(uint256)) = 7 * 24 * 3600
# @notice Percent of a penalty that is burned, and that the reporter gets; the rest goes to the safety fund.
BURN_PERCENT: public(constant(uint256)) = 50
REPORT_PERCENT: public(constant(uint256)) = 30
# @notice Bounds of the intensity factor, in 1/10,000.
MIN_FACTOR_BP: public(constant(uint256)) = 10_000
MAX_FACTOR_BP: public(constant(uint256)) = 15_000

# @notice Validator states.
RESTING: public(constant(uint8)) = 1
STANDING: public(constant(uint8)) = 2
JAILED: public(constant(uint8)) = 3
TOMBSTONED: public(constant(uint8)) = 4

# All coins together are below 2^100 nit and a delegation is none or at least 2^59, so no product passes 2^240.
SCALE: constant(uint256) = 10**28
HALF: constant(uint256) = 128
LOW: constant(uint256) = 2**128 - 1
FACTOR_GAS: constant(uint256) = 30_000
COUNTERS: constant(uint256) = 8
COUNTER_BITS: constant(uint256) = 32
MAX_ACTIVITY: constant(uint256) = 263

struct Seat:
    owner: address
    key: bytes32
    stake: uint256

struct Validator:
    owner: address
    state: uint8
    key: bytes32
    self_bond: uint256
    delegated: uint256
    # All that ever began to unbond: own << 128 | delegated.
    unbonded: uint256
    # Nit x SCALE that each delegated nit has earned, and what is too little to divide.
    accumulator: uint256
    carry: uint256
    commission_bp: uint256
    commission_since: uint256
    jailed_until: uint256
    elected_at: uint256

struct Delegation:
    amount: uint256
    accumulator: uint256
    # Nit x SCALE.
    earned: uint256

struct Unbonding:
    account: address
    validator: uint256
    amount: uint256
    own: bool
    # Where it lies in all that ever began to unbond.
    position: uint256
    release_at: uint256

struct StoredSeat:
    key: bytes32
    stake: uint256
    unbonded: uint256

struct Election:
    epoch: uint256
    at: uint256
    stake: uint256

# What is left of stake that pays for a fault: `liable` was there, `left` remains to be shared by it, `open` of `liable`
# has not been collected yet, and `held` of `left` is still here.
struct Remainder:
    liable: uint256
    left: uint256
    open: uint256
    held: uint256

struct Fault:
    epoch: uint256
    reporter: address
    period: uint256
    baseline: uint256
    settled: bool

event Registered:
    validator: indexed(uint256)
    owner: indexed(address)
    key: bytes32

event KeyRotated:
    validator: indexed(uint256)
    key: bytes32

event StateChanged:
    validator: indexed(uint256)
    state: uint8

event CommissionChanged:
    validator: indexed(uint256)
    commission_bp: uint256

event StakeChanged:
    validator: indexed(uint256)
    account: indexed(address)
    own: bool
    amount: uint256

event UnbondingStarted:
    unbonding: indexed(uint256)
    validator: indexed(uint256)
    account: indexed(address)
    amount: uint256
    release_at: uint256

event Elected:
    epoch: indexed(uint256)
    root: bytes32
    seats: uint256

event Distributed:
    epoch: indexed(uint256)
    amount: uint256

event FaultProved:
    validator: indexed(uint256)
    epoch: indexed(uint256)
    reporter: indexed(address)

event Penalized:
    validator: indexed(uint256)
    amount: uint256

event Paid:
    account: indexed(address)
    amount: uint256

# Slot 0: part of the protocol.
set_roots: HashMap[uint256, bytes32]
# @notice The last height whose certificate a block has shown. Slot 1: part of the protocol.
attended: public(uint256)
# Randomness of the block that elected each epoch, which orders its leaders. Slot 2: part of the protocol.
seeds: HashMap[uint256, bytes32]
# Certificates of the epoch that each seat has signed: COUNTERS of COUNTER_BITS bits a word.
attendances: uint256[MAX_SEATS // COUNTERS]

# @notice The last elected epoch.
epoch: public(uint256)
# @notice How many validators there are; they are numbered from 1.
validator_count: public(uint256)
validators: public(HashMap[uint256, Validator])
# @notice Whose key it is or was: keys never change hands.
validator_of: public(HashMap[bytes32, uint256])
delegations: public(HashMap[uint256, HashMap[address, Delegation]])
unbonding_count: public(uint256)
unbondings: public(HashMap[uint256, Unbonding])
candidates: DynArray[uint256, MAX_CANDIDATES]
candidate_place: HashMap[uint256, uint256]
elections: HashMap[uint256, Election]
stored_seats: HashMap[uint256, DynArray[StoredSeat, MAX_SEATS]]
genesis_owner: HashMap[bytes32, address]
next_distribution: uint256
# @notice Nit to be distributed.
pot: public(uint256)
# @notice Nit that an account can have paid to it.
credits: public(HashMap[address, uint256])
faults: public(HashMap[uint256, Fault])
own_remainder: public(HashMap[uint256, Remainder])
delegated_remainder: public(HashMap[uint256, Remainder])
# @notice Share of all seats or stake, the larger, that was proved faulty in a period, in parts of ONE.
faulted: public(HashMap[uint256, uint256])
owner_seats: transient(HashMap[address, uint256])

SEATS: public(immutable(uint256))
MIN_SEATS: public(immutable(uint256))
MIN_SELF_BOND: public(immutable(uint256))
CONSENSUS_KEYS: public(immutable(address))
INTENSITY: public(immutable(address))
SAFETY_FUND: public(immutable(address))


@deploy
def __init__(
    genesis_seats: DynArray[Seat, MAX_SEATS],
    seat_count: uint256,
    min_seats: uint256,
    min_self_bond: uint256,
    consensus_keys: address,
    intensity: address,
    safety_fund: address,
):
    """
    @notice Begin with the seats of epoch 0, whose stake is a weight without money.
    @param genesis_seats The seats, sorted by key.
    @param seat_count Most seats of an epoch.
    @param min_seats An election that finds fewer leaves the seats as they are.
    @param min_self_bond Least bond of a validator that stands for election.
    @param consensus_keys The contract that checks what keys have signed.
    @param intensity The contract with `factor(owner)` in 1/10,000; zero for none.
    @param safety_fund Who gets the rest of penalties.
    """
    assert len(genesis_seats) > 0, "staking: no genesis seats"
    assert seat_count <= MAX_SEATS and min_seats <= seat_count and min_seats > 0, "staking: seat counts make no sense"
    assert min_self_bond >= MIN_DELEGATION, "staking: self-bond is too small"
    assert safety_fund != empty(address), "staking: no safety fund"
    SEATS = seat_count
    MIN_SEATS = min_seats
    MIN_SELF_BOND = min_self_bond
    CONSENSUS_KEYS = consensus_keys
    INTENSITY = intensity
    SAFETY_FUND = safety_fund
    seats: DynArray[StoredSeat, MAX_SEATS] = []
    last: uint256 = 0
    for seat: Seat in genesis_seats:
        assert convert(seat.key, uint256) > last, "staking: genesis seats are not sorted by key"
        assert seat.stake > 0 and seat.stake <= LOW, "staking: stake of a genesis seat makes no sense"
        assert seat.owner != empty(address), "staking: a genesis seat has no owner"
        last = convert(seat.key, uint256)
        self.genesis_owner[seat.key] = seat.owner
        seats.append(StoredSeat(key=seat.key, stake=seat.stake, unbonded=0))
    self._seat(0, seats)


# Validators


@external
@payable
def register(key: bytes32, proof: Bytes[64], commission_bp: uint256) -> uint256:
    """
    @notice Become a validator; the value is the self-bond. Call `stand` to be elected.
    @param key Ed25519 key that votes; never used by another validator, nor on another network.
    @param proof The key's signature that shows its possession (ConsensusKeys.possesses).
    @param commission_bp What the owner takes of delegators' earnings, in 1/10,000.
    @return The validator's number.
    """
    assert msg.value >= MIN_SELF_BOND, "staking: self-bond is too small"
    self._assert_commission(commission_bp)
    validator: uint256 = self.validator_count + 1
    self.validator_count = validator
    self._claim_key(validator, key, proof)
    entry: Validator = empty(Validator)
    entry.owner = msg.sender
    entry.key = key
    entry.self_bond = msg.value
    entry.commission_bp = commission_bp
    entry.commission_since = block.timestamp
    # Its key may have a genesis seat already.
    entry.elected_at = block.timestamp
    self.validators[validator] = entry
    log Registered(validator=validator, owner=msg.sender, key=key)
    log StakeChanged(validator=validator, account=msg.sender, own=True, amount=msg.value)
    self._set_state(validator, RESTING)
    return validator


@external
def rotate(validator: uint256, key: bytes32, proof: Bytes[64]):
    """
    @notice Vote with another key from the next election on; the old one pays for its faults as before.
    @param validator One of the caller's validators.
    @param key Ed25519 key that was never used here.
    @param proof The new key's signature that shows its possession.
    """
    self._assert_owner(validator)
    self._claim_key(validator, key, proof)
    self.validators[validator].key = key
    log KeyRotated(validator=validator, key=key)


@external
def set_commission(validator: uint256, commission_bp: uint256):
    """
    @notice Change the commission: down at any time, up by COMMISSION_STEP_BP after COMMISSION_SECONDS without a change.
    @param validator One of the caller's validators.
    @param commission_bp In 1/10,000.
    """
    self._assert_owner(validator)
    self._assert_commission(commission_bp)
    entry: Validator = self.validators[validator]
    if commission_bp > entry.commission_bp:
        assert commission_bp <= entry.commission_bp + COMMISSION_STEP_BP, "staking: commission rises too far"
        assert block.timestamp >= entry.commission_since + COMMISSION_SECONDS, "staking: commission rises too soon"
    self.validators[validator].commission_bp = commission_bp
    self.validators[validator].commission_since = block.timestamp
    log CommissionChanged(validator=validator, commission_bp=commission_bp)


@external
def stand(validator: uint256, weaker: uint256):
    """
    @notice Stand for election, for the first time, again, or after jail.
    @param validator One of the caller's validators.
    @param weaker When MAX_CANDIDATES stand already: one of them with less stake, which has to go.
    """
    self._assert_owner(validator)
    entry: Validator = self.validators[validator]
    assert entry.state != STANDING, "staking: already standing"
    assert entry.state != JAILED or block.timestamp >= entry.jailed_until, "staking: still in jail"
    assert entry.self_bond >= MIN_SELF_BOND, "staking: self-bond is too small"
    if len(self.candidates) == MAX_CANDIDATES:
        assert self.candidate_place[weaker] != 0, "staking: the weaker one does not stand"
        assert self._stake(weaker) < self._stake(validator), "staking: the weaker one is not weaker"
        self._remove(weaker, RESTING)
    self.candidates.append(validator)
    self.candidate_place[validator] = len(self.candidates)
    self._set_state(validator, STANDING)


@external
def leave(validator: uint256):
    """
    @notice Stand for election no more; seats that were won are kept until their epochs end.
    @param validator One of the caller's validators.
    """
    self._assert_owner(validator)
    assert self.validators[validator].state == STANDING, "staking: not standing"
    self._remove(validator, RESTING)


@external
@payable
def bond(validator: uint256):
    """
    @notice Add the value to the self-bond.
    @param validator One of the caller's validators.
    """
    self._assert_owner(validator)
    self.validators[validator].self_bond += msg.value
    log StakeChanged(validator=validator, account=msg.sender, own=True, amount=self.validators[validator].self_bond)


@external
def unbond(validator: uint256, amount: uint256) -> uint256:
    """
    @notice Take from the self-bond; below MIN_SELF_BOND only all of it, which ends candidacy.
    @param validator One of the caller's validators.
    @param amount How much.
    @return The number to withdraw it by.
    """
    self._assert_owner(validator)
    bonded: uint256 = self.validators[validator].self_bond
    assert amount > 0 and amount <= bonded, "staking: not bonded that much"
    assert amount == bonded or bonded - amount >= MIN_SELF_BOND, "staking: too little would remain"
    self.validators[validator].self_bond = bonded - amount
    if amount == bonded and self.validators[validator].state == STANDING:
        self._remove(validator, RESTING)
    log StakeChanged(validator=validator, account=msg.sender, own=True, amount=bonded - amount)
    return self._unbond(validator, amount, True)


# Delegators


@external
@payable
def delegate(validator: uint256):
    """
    @notice Add the value to the caller's stake behind a validator; it pays for the validator's faults after its bond.
    @param validator The validator.
    """
    self._delegate(validator, msg.value)


@external
def undelegate(validator: uint256, amount: uint256) -> uint256:
    """
    @notice Take stake back; what remains is nothing or at least MIN_DELEGATION.
    @param validator The validator.
    @param amount How much.
    @return The number to withdraw it by.
    """
    assert self.validators[validator].state != TOMBSTONED, "staking: tombstoned; use recover"
    self._accrue(validator, msg.sender)
    delegated: uint256 = self.delegations[validator][msg.sender].amount
    assert amount > 0 and amount <= delegated, "staking: not delegated that much"
    assert amount == delegated or delegated - amount >= MIN_DELEGATION, "staking: too little would remain"
    self.delegations[validator][msg.sender].amount = delegated - amount
    self.validators[validator].delegated -= amount
    log StakeChanged(validator=validator, account=msg.sender, own=False, amount=delegated - amount)
    return self._unbond(validator, amount, False)


@external
@nonreentrant
def withdraw(unbonding: uint256):
    """
    @notice Get stake whose unbonding is over, less its share of a penalty.
    @param unbonding Its number.
    """
    self._pay(msg.sender, self._release(unbonding))


@external
@nonreentrant
def redelegate(unbonding: uint256, validator: uint256):
    """
    @notice Stake what has unbonded, less its share of a penalty, behind a validator. There is no way around unbonding:
            stake would leave its liability behind.
    @param unbonding Its number.
    @param validator The validator.
    """
    self._delegate(validator, self._release(unbonding))


@external
@nonreentrant
def recover(validator: uint256):
    """
    @notice Get what a settled penalty left of the caller's stake behind a tombstoned validator, at once.
    @param validator The validator.
    """
    assert self.faults[validator].settled, "staking: no settled penalty"
    self._accrue(validator, msg.sender)
    delegated: uint256 = self.delegations[validator][msg.sender].amount
    bonded: uint256 = 0
    if self.validators[validator].owner == msg.sender:
        bonded = self.validators[validator].self_bond
    assert delegated > 0 or bonded > 0, "staking: nothing to recover"
    amount: uint256 = 0
    if delegated > 0:
        self.delegations[validator][msg.sender].amount = 0
        self.validators[validator].delegated -= delegated
        amount += self._share(validator, False, delegated)
    if bonded > 0:
        self.validators[validator].self_bond = 0
        amount += self._share(validator, True, bonded)
    self._pay(msg.sender, amount)


@external
@nonreentrant
def claim(validator: uint256):
    """
    @notice Get what the caller's delegation has earned, and all that is credited to it.
    @param validator The validator delegated to; 0 for what is credited only.
    """
    self._accrue(validator, msg.sender)
    earned: uint256 = self.delegations[validator][msg.sender].earned
    self.delegations[validator][msg.sender].earned = earned % SCALE
    amount: uint256 = earned // SCALE + self.credits[msg.sender]
    self.credits[msg.sender] = 0
    self._pay(msg.sender, amount)


@external
@nonreentrant
def pay(account: address):
    """
    @notice Send an account what is credited to it; anybody may call.
    @param account For instance the safety fund.
    """
    amount: uint256 = self.credits[account]
    self.credits[account] = 0
    self._pay(account, amount)


# Epochs


@external
def elect(epoch: uint256):
    """
    @notice Make the seats of the next epoch.
    @dev Order: larger stake x intensity factor first, then the smaller first 15 bytes of the key, then who is first on the
         list of candidates.
    @param epoch The last elected epoch and one.
    """
    assert msg.sender == SYSTEM, "staking: caller is not the system"
    assert epoch == self.epoch + 1, "staking: epoch is not the next"
    keys: DynArray[uint256, MAX_CANDIDATES] = self._chosen()
    seats: DynArray[StoredSeat, MAX_SEATS] = []
    if len(keys) < MIN_SEATS:
        seats = self.stored_seats[self.epoch % EPOCHS_KEPT]
    else:
        for number: uint256 in keys:
            key: bytes32 = convert(number, bytes32)
            seats.append(StoredSeat(key=key, stake=self._stake(self.validator_of[key]), unbonded=0))
    for i: uint256 in range(len(seats), bound=MAX_SEATS):
        validator: uint256 = self.validator_of[seats[i].key]
        if validator != 0:
            self.validators[validator].elected_at = block.timestamp
            seats[i].unbonded = self.validators[validator].unbonded
    self.seeds[epoch] = block.prevrandao
    self._seat(epoch, seats)


@external
@payable
def fund():
    """
    @notice Add the value to what validators and their delegators will earn.
    """
    self.pot += msg.value


@external
def attend(height: uint256, signers: uint256):
    """
    @notice Count the signatures of a certificate, which a block of its epoch shows.
    @param height The height of the block that the certificate is of, above all that were shown before.
    @param signers A bit for each seat, the first one's the lowest.
    """
    assert msg.sender == SYSTEM, "staking: caller is not the system"
    assert height > self.attended, "staking: a certificate of this height was shown"
    self.attended = height
    for word: uint256 in range(MAX_SEATS // COUNTERS):
        signed: uint256 = signers >> (word * COUNTERS)
        if signed == 0:
            break
        added: uint256 = 0
        for seat: uint256 in range(COUNTERS):
            added |= ((signed >> seat) & 1) << (seat * COUNTER_BITS)
        self.attendances[word] += added


@external
@payable
def distribute(epoch: uint256):
    """
    @notice Share the pot and the value among the seats of an epoch by their signatures in certificates, and jail the absent.
    @dev What floor leaves, and the share of the tombstoned, stays in the pot.
    @param epoch An elected epoch after the last that was distributed, in which `attend` has counted since.
    """
    assert msg.sender == SYSTEM, "staking: caller is not the system"
    assert epoch >= self.next_distribution, "staking: already distributed"
    seats: DynArray[StoredSeat, MAX_SEATS] = self._seats_of(epoch)
    self.next_distribution = epoch + 1
    words: uint256[MAX_SEATS // COUNTERS] = self.attendances
    self.attendances = empty(uint256[MAX_SEATS // COUNTERS])
    counts: DynArray[uint256, MAX_SEATS] = []
    total: uint256 = 0
    busiest: uint256 = 0
    for i: uint256 in range(len(seats), bound=MAX_SEATS):
        count: uint256 = (words[i // COUNTERS] >> (i % COUNTERS * COUNTER_BITS)) & (2**COUNTER_BITS - 1)
        counts.append(count)
        total += count
        busiest = max(busiest, count)
    pot: uint256 = self.pot + msg.value
    paid: uint256 = 0
    for i: uint256 in range(len(seats), bound=MAX_SEATS):
        reward: uint256 = 0
        if total > 0:
            reward = pot * counts[i] // total
        paid += self._reward(seats[i].key, reward)
        if busiest >= PRESENCE_SAMPLE and counts[i] * PRESENCE_DIVISOR < busiest:
            self._jail(self.validator_of[seats[i].key])
    self.pot = pot - paid
    log Distributed(epoch=epoch, amount=paid)


# Faults


@external
@nonreentrant
def report(activity: Bytes[MAX_ACTIVITY]):
    """
    @notice Prove that a validator voted twice in a view. It is tombstoned and pays MIN_PENALTY at once, the rest when
            the faults of the time are known; the caller gets REPORT_PERCENT of both.
    @param activity The engine's encoding: ConflictingNotarize, ConflictingFinalize or NullifyFinalize.
    """
    epoch: uint256 = 0
    signer: uint256 = 0
    epoch, signer = staticcall ConsensusKeys(CONSENSUS_KEYS).subject(activity)
    seats: DynArray[StoredSeat, MAX_SEATS] = self._seats_of(epoch)
    election: Election = self.elections[epoch % EPOCHS_KEPT]
    # Whatever began to unbond after the election is still here.
    assert block.timestamp < election.at + UNBONDING_SECONDS, "staking: evidence is too old"
    assert signer < len(seats), "staking: no such seat"
    seat: StoredSeat = seats[signer]
    validator: uint256 = self.validator_of[seat.key]
    assert validator != 0, "staking: the seat has no bond"
    assert self.validators[validator].state != TOMBSTONED, "staking: already tombstoned"
    assert staticcall ConsensusKeys(CONSENSUS_KEYS).proves(activity, seat.key), "staking: evidence proves nothing"
    if self.candidate_place[validator] != 0:
        self._remove(validator, TOMBSTONED)
    else:
        self._set_state(validator, TOMBSTONED)
    period: uint256 = block.timestamp // PENALTY_PERIOD
    self.faulted[period] += max(seat.stake * ONE // election.stake, ONE // len(seats))
    self.faults[validator] = Fault(
        epoch=epoch, reporter=msg.sender, period=period, baseline=seat.unbonded, settled=False
    )
    entry: Validator = self.validators[validator]
    own: uint256 = entry.self_bond + (entry.unbonded >> HALF) - (seat.unbonded >> HALF)
    delegated: uint256 = entry.delegated + (entry.unbonded & LOW) - (seat.unbonded & LOW)
    self.own_remainder[validator] = Remainder(liable=own, left=own, open=own, held=own)
    self.delegated_remainder[validator] = Remainder(liable=delegated, left=delegated, open=delegated, held=delegated)
    log FaultProved(validator=validator, epoch=epoch, reporter=msg.sender)
    self._penalize(validator, (own + delegated) * MIN_PENALTY // ONE)


@external
@nonreentrant
def settle(validator: uint256):
    """
    @notice Take the rest of a penalty once the period after the report's is over; anybody may call.
    @dev The penalty is the liable stake x CORRELATION x the share that faulted in the three periods, at most all of it.
    @param validator A tombstoned validator.
    """
    fault: Fault = self.faults[validator]
    assert fault.reporter != empty(address) and not fault.settled, "staking: no open penalty"
    assert block.timestamp >= (fault.period + 2) * PENALTY_PERIOD, "staking: the period after the report is not over"
    self.faults[validator].settled = True
    share: uint256 = self.faulted[fault.period] + self.faulted[fault.period + 1]
    if fault.period > 0:
        share += self.faulted[fault.period - 1]
    own: Remainder = self.own_remainder[validator]
    delegated: Remainder = self.delegated_remainder[validator]
    liable: uint256 = own.liable + delegated.liable
    left: uint256 = own.left + delegated.left
    keep: uint256 = min(left, liable - liable * min(ONE, share * CORRELATION) // ONE)
    self._penalize(validator, left - keep)


# Views


@external
@view
def seats(epoch: uint256) -> DynArray[Seat, MAX_SEATS]:
    """
    @notice The seats of an epoch, sorted by key: the order that votes name their signers by.
    @param epoch One of the last EPOCHS_KEPT elected epochs.
    @return The seats.
    """
    return self._public(self._seats_of(epoch))


@external
@view
def set_root(epoch: uint256) -> bytes32:
    """
    @notice The commitment to the keys and stakes of an epoch's seats: keccak256(abi.encode(epoch, [(key, stake), ...])).
    @param epoch Any elected epoch.
    @return The root; zero when the epoch is not elected yet.
    """
    return self.set_roots[epoch]


@external
@view
def standing() -> DynArray[uint256, MAX_CANDIDATES]:
    """
    @notice The validators that stand for election.
    @return Their numbers, in no order.
    """
    return self.candidates


@external
@view
def earned(validator: uint256, account: address) -> uint256:
    """
    @notice What a delegation has earned and not been paid.
    @param validator The validator.
    @param account The delegator.
    @return In nit.
    """
    delegation: Delegation = self.delegations[validator][account]
    grown: uint256 = self.validators[validator].accumulator - delegation.accumulator
    return (delegation.earned + delegation.amount * grown) // SCALE


# Internals


@internal
@view
def _assert_owner(validator: uint256):
    """
    @dev The caller owns a validator that is not tombstoned.
    """
    assert self.validators[validator].owner == msg.sender, "staking: caller is not the owner"
    assert self.validators[validator].state != TOMBSTONED, "staking: tombstoned"


@internal
@pure
def _assert_commission(commission_bp: uint256):
    """
    @dev A commission is within its bounds.
    """
    assert commission_bp >= MIN_COMMISSION_BP, "staking: commission is too low"
    assert commission_bp <= MAX_COMMISSION_BP, "staking: commission is too high"


@internal
def _claim_key(validator: uint256, key: bytes32, proof: Bytes[64]):
    """
    @dev Makes a key a validator's for good.
    """
    assert self.validator_of[key] == 0, "staking: key is taken"
    shown: bool = staticcall ConsensusKeys(CONSENSUS_KEYS).possesses(msg.sender, self, key, proof)
    assert shown, "staking: key is not the caller's"
    self.validator_of[key] = validator


@internal
def _set_state(validator: uint256, state: uint8):
    """
    @dev Writes a state and tells of it.
    """
    self.validators[validator].state = state
    log StateChanged(validator=validator, state=state)


@internal
def _remove(validator: uint256, state: uint8):
    """
    @dev Takes a candidate off the list; the last one takes its place.
    """
    place: uint256 = self.candidate_place[validator]
    last: uint256 = self.candidates.pop()
    if last != validator:
        self.candidates[place - 1] = last
        self.candidate_place[last] = place
    self.candidate_place[validator] = 0
    self._set_state(validator, state)


@internal
def _jail(validator: uint256):
    """
    @dev Keeps a validator from being elected for JAIL_SECONDS; it loses no stake.
    """
    if validator == 0 or self.validators[validator].state == TOMBSTONED:
        return
    self.validators[validator].jailed_until = block.timestamp + JAIL_SECONDS
    if self.candidate_place[validator] != 0:
        self._remove(validator, JAILED)
    else:
        self._set_state(validator, JAILED)


@internal
@view
def _stake(validator: uint256) -> uint256:
    """
    @dev What a validator's seat weighs.
    """
    return self.validators[validator].self_bond + self.validators[validator].delegated


@internal
def _delegate(validator: uint256, amount: uint256):
    """
    @dev Adds to the caller's delegation.
    """
    entry: Validator = self.validators[validator]
    assert entry.state != 0 and entry.state != TOMBSTONED, "staking: no such validator"
    assert entry.self_bond >= MIN_SELF_BOND, "staking: validator has left"
    self._accrue(validator, msg.sender)
    delegated: uint256 = self.delegations[validator][msg.sender].amount + amount
    assert amount > 0 and delegated >= MIN_DELEGATION, "staking: delegation is too small"
    self.delegations[validator][msg.sender].amount = delegated
    self.validators[validator].delegated = entry.delegated + amount
    log StakeChanged(validator=validator, account=msg.sender, own=False, amount=delegated)


@internal
def _accrue(validator: uint256, account: address):
    """
    @dev Counts what a delegation has earned since it was looked at last.
    """
    accumulator: uint256 = self.validators[validator].accumulator
    delegation: Delegation = self.delegations[validator][account]
    if accumulator != delegation.accumulator:
        delegation.earned += delegation.amount * (accumulator - delegation.accumulator)
        delegation.accumulator = accumulator
        self.delegations[validator][account] = delegation


@internal
def _unbond(validator: uint256, amount: uint256, own: bool) -> uint256:
    """
    @dev Begins to unbond the caller's stake. It may have backed any election up to the validator's last, and each can be
         accused for UNBONDING_SECONDS.
    """
    position: uint256 = self.validators[validator].unbonded
    if own:
        self.validators[validator].unbonded = position + (amount << HALF)
        position = position >> HALF
    else:
        self.validators[validator].unbonded = position + amount
        position = position & LOW
    number: uint256 = self.unbonding_count + 1
    release_at: uint256 = self.validators[validator].elected_at + UNBONDING_SECONDS
    self.unbonding_count = number
    self.unbondings[number] = Unbonding(
        account=msg.sender, validator=validator, amount=amount, own=own, position=position, release_at=release_at
    )
    log UnbondingStarted(
        unbonding=number, validator=validator, account=msg.sender, amount=amount, release_at=release_at
    )
    return number


@internal
def _release(unbonding: uint256) -> uint256:
    """
    @dev Ends an unbonding of the caller, and returns what is left of it.
    """
    entry: Unbonding = self.unbondings[unbonding]
    assert entry.account == msg.sender, "staking: not the caller's"
    assert block.timestamp >= entry.release_at, "staking: still unbonding"
    self.unbondings[unbonding] = empty(Unbonding)
    fault: Fault = self.faults[entry.validator]
    baseline: uint256 = fault.baseline & LOW
    if entry.own:
        baseline = fault.baseline >> HALF
    if fault.reporter == empty(address) or entry.position < baseline:
        return entry.amount
    assert fault.settled, "staking: penalty is not settled"
    return self._share(entry.validator, entry.own, entry.amount)


@internal
def _share(validator: uint256, own: bool, amount: uint256) -> uint256:
    """
    @dev Collects what is left of liable stake; the last to collect burns what floor kept from all.
    """
    rest: Remainder = self.delegated_remainder[validator]
    if own:
        rest = self.own_remainder[validator]
    share: uint256 = amount * rest.left // rest.liable
    rest.open -= amount
    rest.held -= share
    dust: uint256 = 0
    if rest.open == 0:
        dust = rest.held
        rest.held = 0
    if own:
        self.own_remainder[validator] = rest
    else:
        self.delegated_remainder[validator] = rest
    self._pay(empty(address), dust)
    return share


@internal
def _penalize(validator: uint256, amount: uint256):
    """
    @dev Takes from what is left, the validator's own first: 50 burned, 30 to the reporter, the rest to the safety fund.
    """
    own: uint256 = min(amount, self.own_remainder[validator].left)
    self.own_remainder[validator].left -= own
    self.own_remainder[validator].held -= own
    self.delegated_remainder[validator].left -= amount - own
    self.delegated_remainder[validator].held -= amount - own
    burned: uint256 = amount * BURN_PERCENT // 100
    reported: uint256 = amount * REPORT_PERCENT // 100
    self.credits[self.faults[validator].reporter] += reported
    self.credits[SAFETY_FUND] += amount - burned - reported
    self._pay(empty(address), burned)
    log Penalized(validator=validator, amount=amount)


@internal
def _reward(key: bytes32, reward: uint256) -> uint256:
    """
    @dev Credits a seat's reward to the owner and the delegators, and returns how much was credited.
    """
    validator: uint256 = self.validator_of[key]
    if validator == 0:
        self.credits[self.genesis_owner[key]] += reward
        return reward
    entry: Validator = self.validators[validator]
    if entry.state == TOMBSTONED:
        return 0
    shared: uint256 = 0
    if entry.delegated > 0:
        shared = reward * entry.delegated // (entry.self_bond + entry.delegated)
        shared -= shared * entry.commission_bp // 10_000
        scaled: uint256 = shared * SCALE + entry.carry
        self.validators[validator].accumulator = entry.accumulator + scaled // entry.delegated
        self.validators[validator].carry = scaled % entry.delegated
    self.credits[entry.owner] += reward - shared
    return reward


@internal
def _pay(account: address, amount: uint256):
    """
    @dev Sends nit; to the zero address it burns them.
    """
    if amount > 0:
        raw_call(account, b"", value=amount)
        log Paid(account=account, amount=amount)


@internal
@view
def _factor(owner: address) -> uint256:
    """
    @dev The intensity factor of an owner, in 1/10,000; MIN_FACTOR_BP when none can be read. It can't fail.
    """
    if INTENSITY == empty(address):
        return MIN_FACTOR_BP
    success: bool = False
    output: Bytes[32] = b""
    success, output = raw_call(
        INTENSITY,
        abi_encode(owner, method_id=method_id("factor(address)")),
        max_outsize=32,
        gas=FACTOR_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success or len(output) != 32:
        return MIN_FACTOR_BP
    return min(max(convert(output, uint256), MIN_FACTOR_BP), MAX_FACTOR_BP)


@internal
def _chosen() -> DynArray[uint256, MAX_CANDIDATES]:
    """
    @dev The keys that win seats, ascending.
    """
    standing: DynArray[uint256, MAX_CANDIDATES] = self.candidates
    ranks: DynArray[uint256, MAX_CANDIDATES] = []
    for i: uint256 in range(len(standing), bound=MAX_CANDIDATES):
        weight: uint256 = self._stake(standing[i]) * self._factor(self.validators[standing[i]].owner) // 10_000
        key: uint256 = convert(self.validators[standing[i]].key, uint256)
        ranks.append((min(weight, LOW) << HALF) | ((~key >> 136) << 8) | (255 - i))
    ranks = self._sorted(ranks)
    cap: uint256 = max(1, SEATS // OWNER_SEAT_DIVISOR)
    keys: DynArray[uint256, MAX_CANDIDATES] = []
    for i: uint256 in range(len(ranks), bound=MAX_CANDIDATES):
        if len(keys) == SEATS:
            break
        validator: uint256 = standing[255 - (ranks[len(ranks) - 1 - i] & 255)]
        owner: address = self.validators[validator].owner
        if self.owner_seats[owner] < cap:
            self.owner_seats[owner] += 1
            keys.append(convert(self.validators[validator].key, uint256))
    # Transient storage lasts until the end of the transaction, which may elect again.
    for validator: uint256 in standing:
        self.owner_seats[self.validators[validator].owner] = 0
    return self._sorted(keys)


@internal
@pure
def _sorted(numbers: DynArray[uint256, MAX_CANDIDATES]) -> DynArray[uint256, MAX_CANDIDATES]:
    """
    @dev Shell sort with the gaps of Ciura, ascending.
    """
    result: DynArray[uint256, MAX_CANDIDATES] = numbers
    gaps: uint256[6] = [132, 57, 23, 10, 4, 1]
    for gap: uint256 in gaps:
        for start: uint256 in range(MAX_CANDIDATES):
            place: uint256 = start + gap
            if place >= len(result):
                break
            number: uint256 = result[place]
            for _: uint256 in range(MAX_CANDIDATES):
                if place < gap or result[place - gap] <= number:
                    break
                result[place] = result[place - gap]
                place -= gap
            result[place] = number
    return result


@internal
def _seat(epoch: uint256, seats: DynArray[StoredSeat, MAX_SEATS]):
    """
    @dev Stores the seats of an epoch and the commitment to them.
    """
    stake: uint256 = 0
    committed: DynArray[uint256[2], MAX_SEATS] = []
    for seat: StoredSeat in seats:
        stake += seat.stake
        committed.append([convert(seat.key, uint256), seat.stake])
    root: bytes32 = keccak256(abi_encode(epoch, committed))
    self.epoch = epoch
    self.set_roots[epoch] = root
    self.stored_seats[epoch % EPOCHS_KEPT] = seats
    self.elections[epoch % EPOCHS_KEPT] = Election(epoch=epoch, at=block.timestamp, stake=stake)
    log Elected(epoch=epoch, root=root, seats=len(seats))


@internal
@view
def _seats_of(epoch: uint256) -> DynArray[StoredSeat, MAX_SEATS]:
    """
    @dev The seats of an epoch that is elected and not forgotten.
    """
    known: bool = epoch <= self.epoch and self.elections[epoch % EPOCHS_KEPT].epoch == epoch
    assert known, "staking: epoch is unknown or too old"
    return self.stored_seats[epoch % EPOCHS_KEPT]


@internal
@view
def _public(seats: DynArray[StoredSeat, MAX_SEATS]) -> DynArray[Seat, MAX_SEATS]:
    """
    @dev Seats with their owners.
    """
    result: DynArray[Seat, MAX_SEATS] = []
    for seat: StoredSeat in seats:
        owner: address = self.genesis_owner[seat.key]
        validator: uint256 = self.validator_of[seat.key]
        if validator != 0:
            owner = self.validators[validator].owner
        result.append(Seat(owner=owner, key=seat.key, stake=seat.stake))
    return result
