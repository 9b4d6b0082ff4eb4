# pragma version 0.4.3
# pragma evm-version prague
"""
@title Audits of delivered work
@license MIT OR Apache-2.0
@author The Candela developers
@notice Auditors who are drawn after delivery do a task again and judge its receipt, hidden from each other; the majority
        decides. A false result costs its provider a bond, and its customer nothing.
@dev Protocol: docs/audits.md. Registry and Market take this contract's word, so it stands at a fixed address. A committee
     is drawn by the randomness of a moment after delivery, among those who were enrolled before that moment. At any time:
     balance = sum of `bond` over auditors + sum of `budgets` + sum of `pot` over audits + sum of `withdrawable`.
"""

struct Device:
    active: bool
    kind: uint8
    sandbox_tier: uint8
    memory_bytes: uint64
    intensity_ucd: uint64
    name: String[64]

struct Standing:
    job_id: uint64
    customer: address
    provider: address
    price: uint256
    settled_at: uint64
    receipt: bytes32
    paid: bool
    disputed: bool
    task_timeout: uint32
    audit_window: uint32

struct Job:
    customer: address
    state: uint8
    available: uint256
    next_task: uint32
    lease_count: uint32
    open_leases: uint32

interface Registry:
    def offer(operator: address, device_id: uint32) -> (address, bool, Device): view
    def provider_of(operator: address) -> address: view
    def slash(provider: address, amount: uint256) -> uint256: nonpayable

interface Market:
    def jobs(job_id: uint64) -> Job: view
    def standing(lease_id: uint256, task: uint32) -> Standing: view
    def planter(lease_id: uint256) -> address: view
    def begin_audit(lease_id: uint256, task: uint32): nonpayable
    def end_audit(lease_id: uint256, task: uint32): nonpayable
    def uphold(lease_id: uint256, task: uint32): nonpayable
    def refute(lease_id: uint256, task: uint32) -> uint256: nonpayable
    def repeat(lease_id: uint256, task: uint32): nonpayable

interface Beacon:
    def randomness(moment: uint256) -> bytes32: view

# @notice Policies of jobs: how auditors judge. With REPLAY, and for jobs without one, the contract compares hashes itself.
REPLICATE: public(constant(uint8)) = 1
REPLAY: public(constant(uint8)) = 2
FREIVALDS: public(constant(uint8)) = 3

# @notice What an auditor says: nothing yet, the result is right, it is false, nobody can read it, it can't be judged.
SILENT: public(constant(uint8)) = 0
RIGHT: public(constant(uint8)) = 1
WRONG: public(constant(uint8)) = 2
WITHHELD: public(constant(uint8)) = 3
UNCHECKABLE: public(constant(uint8)) = 4

# @notice States of audits: those from UPHELD to RINGER are final.
OPEN: public(constant(uint8)) = 1
DRAWN: public(constant(uint8)) = 2
UPHELD: public(constant(uint8)) = 3
REFUTED: public(constant(uint8)) = 4
NOT_DELIVERED: public(constant(uint8)) = 5
NOT_CHECKABLE: public(constant(uint8)) = 6
UNDECIDED: public(constant(uint8)) = 7
RINGER: public(constant(uint8)) = 8
# @notice A dispute about a traced task, while its sides look for the first step at which they differ.
NARROWING: public(constant(uint8)) = 9

# @notice The contract that narrows disputes down to one step.
BISECTION: public(constant(address)) = 0x0000000000000000000000000000000000000CDc

# @notice What a false result costs its provider, in nit: the bond of one device.
SLASH: public(constant(uint256)) = 10**18
# @notice Share of it for a result that nobody can read, in per cent: the store may be to blame.
WITHHELD_PERCENT: public(constant(uint256)) = 10
# @notice What of a slash the customer's loss leaves is burned; auditors who found it get 30 %, the customer the rest.
BURNED_PERCENT: public(constant(uint256)) = 50
AUDITORS_PERCENT: public(constant(uint256)) = 30
# @notice Bond of an auditor, in nit; whoever has less is not drawn.
AUDITOR_BOND: public(constant(uint256)) = 10**17
# @notice What an auditor loses who says nothing, and one who says what the majority does not.
ABSENT_PENALTY: public(constant(uint256)) = 10**16
MISJUDGED_PENALTY: public(constant(uint256)) = 5 * 10**16
# @notice What a seat is paid beyond the price of the task, in nit.
SEAT_FEE: public(constant(uint256)) = 10**14
# @notice Seats of a dispute whose job has no policy.
DISPUTE_SEATS: public(constant(uint8)) = 3
MAX_SEATS: public(constant(uint8)) = 15
# @notice Moments that draw are multiples of so many seconds, and draw within so many.
STEP_SECONDS: public(constant(uint256)) = 10
DRAW_SECONDS: public(constant(uint256)) = 600
# @notice Seconds to commit beyond three times the task's timeout, to reveal, and to name a ringer after the last verdict.
COMMIT_SECONDS: public(constant(uint256)) = 120
REVEAL_SECONDS: public(constant(uint256)) = 120
UNSEAL_SECONDS: public(constant(uint256)) = 60

MILLION: constant(uint256) = 10**6
PROBES: constant(uint256) = 128
# Enough for a contract wallet to take a payment, too little to hold up whoever pays.
SEND_GAS: constant(uint256) = 50_000
ALWAYS: constant(uint64) = max_value(uint64)

struct Auditor:
    provider: address
    device_id: uint32
    bond: uint256
    enrolled_at: uint64
    ready_from: uint64
    ready_until: uint64
    open_seats: uint32

struct Policy:
    kind: uint8
    fraction_ppm: uint32
    seats: uint8
    ringers: bool

struct Audit:
    lease_id: uint256
    task: uint32
    job_id: uint64
    provider: address
    customer: address
    output_hash: bytes32
    price: uint256
    fee: uint256
    pot: uint256
    disputed: bool
    kind: uint8
    state: uint8
    seats: uint8
    committed: uint8
    revealed: uint8
    task_timeout: uint32
    moment: uint64
    commit_until: uint64
    reveal_until: uint64

struct Seat:
    auditor: uint256
    sealed: bytes32
    verdict: uint8
    output_hash: bytes32

event Enrolled:
    auditor: indexed(uint256)
    provider: indexed(address)
    device_id: uint32
    bond: uint256

event ReadinessChanged:
    auditor: indexed(uint256)
    ready: bool

event AuditorPenalised:
    auditor: indexed(uint256)
    audit_id: indexed(uint256)
    amount: uint256

event AuditorLeft:
    auditor: indexed(uint256)
    bond: uint256

event PolicySet:
    job_id: indexed(uint64)
    kind: uint8
    fraction_ppm: uint32
    seats: uint8
    ringers: bool
    budget: uint256

event Planted:
    job_id: indexed(uint64)
    lease_id: indexed(uint256)
    sealed: bytes32
    key: bytes32

event Retracted:
    job_id: indexed(uint64)
    lease_id: indexed(uint256)
    task: uint32

event BudgetChanged:
    job_id: indexed(uint64)
    budget: uint256

event Opened:
    audit_id: indexed(uint256)
    job_id: indexed(uint64)
    provider: indexed(address)
    lease_id: uint256
    task: uint32
    outcome: uint8
    code_hash: bytes32
    input_hash: bytes32
    output_hash: bytes32
    disputed: bool
    moment: uint64

event Drawn:
    audit_id: indexed(uint256)
    seats: uint8
    commit_until: uint64

event Seated:
    audit_id: indexed(uint256)
    provider: indexed(address)
    seat: uint8
    auditor: uint256

event Committed:
    audit_id: indexed(uint256)
    seat: uint8

event Revealed:
    audit_id: indexed(uint256)
    seat: uint8
    verdict: uint8
    output_hash: bytes32

event Concluded:
    audit_id: indexed(uint256)
    job_id: indexed(uint64)
    provider: indexed(address)
    state: uint8
    slashed: uint256
    refunded: uint256
    to_customer: uint256
    to_auditors: uint256
    burned: uint256

event Credited:
    account: indexed(address)
    amount: uint256

event Withdrawn:
    account: indexed(address)
    amount: uint256

registry: public(immutable(address))
market: public(immutable(address))
beacon: public(immutable(address))

auditor_count: public(uint256)
auditors: public(HashMap[uint256, Auditor])
policies: public(HashMap[uint64, Policy])
budgets: public(HashMap[uint64, uint256])
# By lease: what hides its ringer, and the ringer's task plus one once that was shown.
seals: public(HashMap[uint256, bytes32])
retracted: public(HashMap[uint256, uint256])
audit_count: public(uint256)
audits: public(HashMap[uint256, Audit])
seats: public(HashMap[uint256, HashMap[uint8, Seat]])
audit_of: public(HashMap[uint256, HashMap[uint32, uint256]])
withdrawable: public(HashMap[address, uint256])


@deploy
def __init__(_registry: address, _market: address, _beacon: address):
    """
    @param _registry The registry of providers.
    @param _market The market.
    @param _beacon The contract that records randomness.
    """
    registry = _registry
    market = _market
    beacon = _beacon


@external
@payable
def __default__():
    """
    @notice Take what the registry slashes, and nothing else.
    """
    assert msg.sender == registry, "audits: call a function"


@external
@payable
def enrol(device_id: uint32) -> uint256:
    """
    @notice Judge other providers' work with a device; the value is AUDITOR_BOND.
    @param device_id A listed device of the caller's provider.
    @return The auditor's number, from 1.
    """
    assert msg.value == AUDITOR_BOND, "audits: value is not the bond"
    provider: address = empty(address)
    listed: bool = False
    device: Device = empty(Device)
    provider, listed, device = staticcall Registry(registry).offer(msg.sender, device_id)
    assert listed, "audits: not a listed device of the caller's provider"
    auditor: uint256 = self.auditor_count + 1
    self.auditor_count = auditor
    now: uint64 = convert(block.timestamp, uint64)
    self.auditors[auditor] = Auditor(
        provider=provider,
        device_id=device_id,
        bond=msg.value,
        enrolled_at=now,
        ready_from=now,
        ready_until=ALWAYS,
        open_seats=0,
    )
    log Enrolled(auditor=auditor, provider=provider, device_id=device_id, bond=msg.value)
    return auditor


@external
def rest(auditor: uint256):
    """
    @notice Be drawn by no later moment, without penalty.
    @param auditor The auditor's number.
    """
    self._assert_acts_for(self.auditors[auditor].provider)
    assert self.auditors[auditor].ready_until == ALWAYS, "audits: auditor rests already"
    self._rest(auditor)


@external
@payable
def resume(auditor: uint256):
    """
    @notice Be drawn again; the value fills the bond up.
    @dev Not before the draws of all moments before the rest are over: whoever comes and goes would choose committees.
    @param auditor The auditor's number.
    """
    state: Auditor = self.auditors[auditor]
    self._assert_acts_for(state.provider)
    self._assert_rested(state)
    assert state.bond + msg.value == AUDITOR_BOND, "audits: value does not fill the bond up"
    self.auditors[auditor].bond = AUDITOR_BOND
    self.auditors[auditor].ready_from = convert(block.timestamp, uint64)
    self.auditors[auditor].ready_until = ALWAYS
    log ReadinessChanged(auditor=auditor, ready=True)


@external
@nonreentrant
def leave(auditor: uint256):
    """
    @notice Get an auditor's bond back, DRAW_SECONDS after it went to rest and once its seats are done.
    @param auditor The auditor's number.
    """
    state: Auditor = self.auditors[auditor]
    self._assert_acts_for(state.provider)
    self._assert_rested(state)
    assert state.open_seats == 0, "audits: a seat is open"
    self.auditors[auditor].bond = 0
    log AuditorLeft(auditor=auditor, bond=state.bond)
    self._send(state.provider, state.bond)


@external
@payable
def set_policy(job_id: uint64, kind: uint8, fraction_ppm: uint32, seats: uint8, ringers: bool):
    """
    @notice Say how a job's tasks are audited, and add the value to what its audits are paid from.
    @param job_id A job of the caller's.
    @param kind 1 replicate, 2 replay, 3 Freivalds.
    @param fraction_ppm How many of a million tasks are drawn, besides those that are disputed.
    @param seats Auditors of each: an odd number.
    @param ringers Whether providers may plant ringers.
    """
    self._assert_customer(job_id)
    assert kind >= REPLICATE and kind <= FREIVALDS, "audits: unknown policy"
    assert convert(fraction_ppm, uint256) <= MILLION, "audits: fraction out of range"
    assert seats % 2 == 1 and seats <= MAX_SEATS, "audits: seats are an odd number up to 15"
    self.policies[job_id] = Policy(kind=kind, fraction_ppm=fraction_ppm, seats=seats, ringers=ringers)
    self.budgets[job_id] += msg.value
    log PolicySet(
        job_id=job_id,
        kind=kind,
        fraction_ppm=fraction_ppm,
        seats=seats,
        ringers=ringers,
        budget=self.budgets[job_id],
    )


@external
@nonreentrant
def take_back(job_id: uint64):
    """
    @notice Get back what audits of a job have not used; later draws then find no money.
    @param job_id A job of the caller's.
    """
    self._assert_customer(job_id)
    amount: uint256 = self.budgets[job_id]
    self.budgets[job_id] = 0
    log BudgetChanged(job_id=job_id, budget=0)
    self._send(msg.sender, amount)


@external
def plant(lease_id: uint256, sealed: bytes32, key: bytes32):
    """
    @notice Seal, before a task of a lease is settled, which one is a ringer: its provider states a false result on purpose,
            as the customer asks, to test auditors. Only the lease's operator may, in jobs that take ringers.
    @param lease_id The lease.
    @param sealed keccak256(abi_encode(lease_id, task, salt)); any other value hides that there is none.
    @param key What tells the customer, and nobody else, the task and the salt.
    """
    job_id: uint64 = convert(lease_id >> 32, uint64)
    assert self.policies[job_id].ringers, "audits: the job takes no ringers"
    assert msg.sender == staticcall Market(market).planter(lease_id), "audits: not the operator of a fresh lease"
    assert sealed != empty(bytes32) and self.seals[lease_id] == empty(bytes32), "audits: sealed already"
    self.seals[lease_id] = sealed
    log Planted(job_id=job_id, lease_id=lease_id, sealed=sealed, key=key)


@external
@nonreentrant
def retract(lease_id: uint256, task: uint32, salt: bytes32, pay: bool):
    """
    @notice Show that a settled task is a ringer, if its moment has passed and no committee has found it false: it is done
            again. Anybody with the salt may.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @param salt What hid the task's number.
    @param pay Whether its provider is paid for it; only the customer can have that, else the price is the job's again.
    """
    self._assert_sealed(lease_id, task, salt)
    assert self.retracted[lease_id] == 0, "audits: retracted already"
    audit_id: uint256 = self.audit_of[lease_id][task]
    if audit_id == 0:
        about: Standing = staticcall Market(market).standing(lease_id, task)
        moment: uint256 = self._next_step(convert(about.settled_at, uint256))
        assert block.timestamp > moment, "audits: it may still be drawn"
    else:
        state: uint8 = self.audits[audit_id].state
        passed: bool = state == UPHELD or state == NOT_CHECKABLE or state == UNDECIDED
        assert passed, "audits: not a ringer that was missed"
    self.retracted[lease_id] = convert(task, uint256) + 1
    self._repeat(lease_id, task, pay)
    log Retracted(job_id=convert(lease_id >> 32, uint64), lease_id=lease_id, task=task)


@external
def open(
    lease_id: uint256,
    task: uint32,
    outcome: uint8,
    code_hash: bytes32,
    input_hash: bytes32,
    output_hash: bytes32,
    work_uwu: uint64,
) -> uint256:
    """
    @notice Open the audit of a task that its moment draws; anybody may, within DRAW_SECONDS of it.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @param outcome As the receipt states it, like all that follow.
    @param code_hash SHA-256 of the code.
    @param input_hash SHA-256 of the input.
    @param output_hash SHA-256 of the output.
    @param work_uwu Work.
    @return The audit's number.
    """
    about: Standing = staticcall Market(market).standing(lease_id, task)
    policy: Policy = self.policies[about.job_id]
    moment: uint256 = self._next_step(convert(about.settled_at, uint256))
    assert block.timestamp <= moment + DRAW_SECONDS, "audits: too late for a draw"
    drawing: bytes32 = staticcall Beacon(beacon).randomness(moment)
    assert drawing != empty(bytes32), "audits: randomness is not recorded"
    number: uint256 = convert(keccak256(abi_encode(drawing, b"task", lease_id, task)), uint256)
    assert number % MILLION < convert(policy.fraction_ppm, uint256), "audits: task is not drawn"
    pot: uint256 = self._pot(about, policy.seats)
    assert self.budgets[about.job_id] >= pot, "audits: the job's budget is too small"
    self.budgets[about.job_id] -= pot
    audit_id: uint256 = self._open(lease_id, task, about, policy.seats, moment, output_hash, False)
    self._log_opened(audit_id, lease_id, task, outcome, code_hash, input_hash, output_hash, work_uwu)
    return audit_id


@external
@payable
def dispute(
    lease_id: uint256,
    task: uint32,
    outcome: uint8,
    code_hash: bytes32,
    input_hash: bytes32,
    output_hash: bytes32,
    work_uwu: uint64,
) -> uint256:
    """
    @notice Let a committee judge a task of the caller's job: a payment that is held waits for it, one that is made can
            be made good from the bond. The value pays the committee; it comes back if the customer is right.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @param outcome As the receipt states it, like all that follow.
    @param code_hash SHA-256 of the code.
    @param input_hash SHA-256 of the input.
    @param output_hash SHA-256 of the output.
    @param work_uwu Work.
    @return The audit's number.
    """
    audit_id: uint256 = self._dispute(msg.sender, lease_id, task, output_hash, msg.value)
    self._log_opened(audit_id, lease_id, task, outcome, code_hash, input_hash, output_hash, work_uwu)
    return audit_id


@external
@payable
def narrow(
    customer: address,
    lease_id: uint256,
    task: uint32,
    outcome: uint8,
    code_hash: bytes32,
    input_hash: bytes32,
    output_hash: bytes32,
    work_uwu: uint64,
) -> uint256:
    """
    @notice As `dispute`, but the committee waits until BISECTION names the step that it is to do again.
    @param customer Who disputes.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @param outcome As the receipt states it, like all that follow.
    @param code_hash SHA-256 of the code.
    @param input_hash SHA-256 of the input.
    @param output_hash SHA-256 of the output.
    @param work_uwu Work.
    @return The audit's number.
    """
    assert msg.sender == BISECTION, "audits: not the contract of bisections"
    audit_id: uint256 = self._dispute(customer, lease_id, task, output_hash, msg.value)
    self.audits[audit_id].state = NARROWING
    # A committee that does one step again compares bytes, whatever else the job's policy is.
    self.audits[audit_id].kind = REPLAY
    self._log_opened(audit_id, lease_id, task, outcome, code_hash, input_hash, output_hash, work_uwu)
    return audit_id


@external
def judge_step(audit_id: uint256, claimed: bytes32):
    """
    @notice Let a committee be drawn for one step of a task.
    @param audit_id An audit whose sides have found the step.
    @param claimed Hash of the state that the step leads to, as the provider claims: what the verdicts are about.
    """
    self._assert_narrowing(audit_id)
    self.audits[audit_id].output_hash = claimed
    self.audits[audit_id].state = OPEN
    self.audits[audit_id].moment = convert(self._next_step(block.timestamp), uint64)


@external
@nonreentrant
def decide(audit_id: uint256, refuted: bool):
    """
    @notice End a dispute without a committee, because one side was silent or contradicted itself.
    @param audit_id An audit whose sides look for the step.
    @param refuted Whether that was the provider; else it gets what the committee would have been paid.
    """
    self._assert_narrowing(audit_id)
    audit: Audit = self.audits[audit_id]
    state: uint8 = REFUTED
    if not refuted:
        state = UPHELD
        self.audits[audit_id].pot = 0
        self._send(audit.provider, audit.pot)
    self.audits[audit_id].seats = 0
    nobody: DynArray[address, 15] = []
    self._finish(audit_id, state)
    self._judge(audit_id, audit, state, 0, nobody)


@external
@nonreentrant
def draw(audit_id: uint256):
    """
    @notice Seat an audit's committee once the randomness of its moment is recorded; anybody may.
    @dev Fewer seats where fewer auditors are to be had, always an odd number; with none the audit ends undecided.
    @param audit_id The audit.
    """
    audit: Audit = self.audits[audit_id]
    assert audit.state == OPEN, "audits: audit is not open"
    moment: uint256 = convert(audit.moment, uint256)
    drawing: bytes32 = staticcall Beacon(beacon).randomness(moment)
    assert drawing != empty(bytes32), "audits: randomness is not recorded"
    assert block.timestamp <= moment + DRAW_SECONDS, "audits: too late for a draw"
    chosen: DynArray[uint256, 15] = self._committee(audit, drawing)
    found: uint8 = convert(len(chosen), uint8)
    commit_seconds: uint256 = COMMIT_SECONDS + 3 * convert(audit.task_timeout, uint256)
    self.audits[audit_id].seats = found
    self.audits[audit_id].state = DRAWN
    self.audits[audit_id].commit_until = convert(block.timestamp + commit_seconds, uint64)
    self.audits[audit_id].reveal_until = convert(block.timestamp + commit_seconds + REVEAL_SECONDS, uint64)
    log Drawn(audit_id=audit_id, seats=found, commit_until=convert(block.timestamp + commit_seconds, uint64))
    for i: uint256 in range(len(chosen), bound=15):
        seat: uint8 = convert(i, uint8)
        self.seats[audit_id][seat].auditor = chosen[i]
        self.auditors[chosen[i]].open_seats += 1
        log Seated(audit_id=audit_id, provider=self.auditors[chosen[i]].provider, seat=seat, auditor=chosen[i])
    if found == 0:
        self._finish(audit_id, UNDECIDED)


@external
@nonreentrant
def postpone(audit_id: uint256):
    """
    @notice Let a later moment draw a dispute's committee, where nobody drew it in time; an audit by draw ends undecided.
    @param audit_id The audit.
    """
    audit: Audit = self.audits[audit_id]
    assert audit.state == OPEN, "audits: audit is not open"
    assert block.timestamp > convert(audit.moment, uint256) + DRAW_SECONDS, "audits: it may still be drawn"
    if audit.disputed:
        self.audits[audit_id].moment = convert(self._next_step(block.timestamp), uint64)
    else:
        self._finish(audit_id, UNDECIDED)


@external
def commit(audit_id: uint256, seat: uint8, sealed: bytes32):
    """
    @notice Fix a verdict that nobody else can read yet.
    @param audit_id The audit.
    @param seat A seat of an auditor of the caller's provider.
    @param sealed keccak256(abi_encode(audit_id, seat, provider, verdict, output_hash, salt)).
    """
    audit: Audit = self.audits[audit_id]
    self._assert_seated(audit_id, audit, seat)
    assert block.timestamp <= convert(audit.commit_until, uint256), "audits: too late to commit"
    assert sealed != empty(bytes32), "audits: verdict is empty"
    assert self.seats[audit_id][seat].sealed == empty(bytes32), "audits: verdict is fixed already"
    self.seats[audit_id][seat].sealed = sealed
    self.audits[audit_id].committed = audit.committed + 1
    log Committed(audit_id=audit_id, seat=seat)


@external
def reveal(audit_id: uint256, seat: uint8, verdict: uint8, output_hash: bytes32, salt: bytes32):
    """
    @notice Show a verdict once all are fixed, or the time for it is over.
    @dev With REPLAY a verdict must follow from the hashes: RIGHT is the receipt's, WRONG another.
    @param audit_id The audit.
    @param seat A seat of an auditor of the caller's provider.
    @param verdict RIGHT, WRONG, WITHHELD or UNCHECKABLE.
    @param output_hash SHA-256 of what the auditor's own run gave; zero where it gave nothing.
    @param salt What hid the verdict.
    """
    audit: Audit = self.audits[audit_id]
    self._assert_seated(audit_id, audit, seat)
    provider: address = self.auditors[self.seats[audit_id][seat].auditor].provider
    everybody: bool = audit.committed == audit.seats
    assert everybody or block.timestamp > convert(audit.commit_until, uint256), "audits: others may still commit"
    assert block.timestamp <= convert(audit.reveal_until, uint256), "audits: too late to reveal"
    assert self.seats[audit_id][seat].verdict == SILENT, "audits: verdict is revealed already"
    assert verdict >= RIGHT and verdict <= UNCHECKABLE, "audits: unknown verdict"
    fixed: bytes32 = keccak256(abi_encode(audit_id, seat, provider, verdict, output_hash, salt))
    assert fixed == self.seats[audit_id][seat].sealed, "audits: not the verdict that was fixed"
    if audit.kind == REPLAY and verdict <= WRONG:
        assert (output_hash == audit.output_hash) == (verdict == RIGHT), "audits: verdict contradicts the hashes"
    self.seats[audit_id][seat].verdict = verdict
    self.seats[audit_id][seat].output_hash = output_hash
    self.audits[audit_id].revealed = audit.revealed + 1
    if audit.revealed + 1 == audit.seats:
        self.audits[audit_id].reveal_until = convert(block.timestamp, uint64)
    log Revealed(audit_id=audit_id, seat=seat, verdict=verdict, output_hash=output_hash)


@external
@nonreentrant
def unseal(audit_id: uint256, salt: bytes32, pay: bool):
    """
    @notice Show that a task which the committee found false is a ringer: its provider loses nothing, auditors who found it
            right do, and it is done again. Anybody with the salt may.
    @dev The committee's word is needed: whoever plants can't make a true result false.
    @param audit_id The audit.
    @param salt What hid the task's number.
    @param pay As for `retract`.
    """
    audit: Audit = self.audits[audit_id]
    self._assert_heard(audit)
    self._assert_sealed(audit.lease_id, audit.task, salt)
    verdict: uint8 = 0
    output_hash: bytes32 = empty(bytes32)
    verdict, output_hash = self._majority(audit_id, audit)
    assert verdict == WRONG, "audits: its result was not found false"
    self._conclude(audit_id, audit, RINGER, WRONG)
    self._repeat(audit.lease_id, audit.task, pay)


@external
@nonreentrant
def conclude(audit_id: uint256):
    """
    @notice Count the verdicts and pay, once all are in or the time for them is over; anybody may.
    @param audit_id The audit.
    """
    audit: Audit = self.audits[audit_id]
    self._assert_heard(audit)
    verdict: uint8 = 0
    output_hash: bytes32 = empty(bytes32)
    verdict, output_hash = self._majority(audit_id, audit)
    if verdict == WRONG and self.seals[audit.lease_id] != empty(bytes32):
        until: uint256 = convert(audit.reveal_until, uint256) + UNSEAL_SECONDS
        assert block.timestamp > until, "audits: it may be a ringer"
    if verdict == SILENT:
        self._conclude(audit_id, audit, UNDECIDED, SILENT)
    else:
        # RIGHT, WRONG, WITHHELD and UNCHECKABLE end in the four states from UPHELD on.
        self._conclude(audit_id, audit, UPHELD + verdict - RIGHT, verdict)


@external
@nonreentrant
def withdraw():
    """
    @notice Fetch what could not be sent before.
    """
    amount: uint256 = self.withdrawable[msg.sender]
    assert amount > 0, "audits: nothing to withdraw"
    self.withdrawable[msg.sender] = 0
    log Withdrawn(account=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)


@external
@view
def fee(lease_id: uint256, task: uint32) -> uint256:
    """
    @notice What a dispute of a task costs.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @return Nit.
    """
    about: Standing = staticcall Market(market).standing(lease_id, task)
    seats: uint8 = self.policies[about.job_id].seats
    if seats == 0:
        seats = DISPUTE_SEATS
    return self._pot(about, seats)


@external
@view
def state_of(audit_id: uint256) -> uint8:
    """
    @notice Where an audit stands.
    @param audit_id The audit.
    @return Its state; 0 where there is none.
    """
    return self.audits[audit_id].state


@external
@view
def is_audited(job_id: uint64) -> bool:
    """
    @notice Whether tasks of a job are drawn.
    @param job_id The job.
    @return Whether its policy draws some.
    """
    return self.policies[job_id].fraction_ppm > 0


@external
@view
def winners(audit_id: uint256) -> (address, uint256, DynArray[address, 15]):
    """
    @notice Who is paid for an audit beside its fee.
    @param audit_id The audit.
    @return Its customer, the price of its task, and the auditors who said what was decided; none where nothing was.
    """
    found: DynArray[address, 15] = []
    state: uint8 = self.audits[audit_id].state
    if state >= UPHELD and state <= RINGER and state != UNDECIDED:
        verdict: uint8 = WRONG if state == RINGER else state - UPHELD + RIGHT
        for seat: uint8 in range(15):
            if seat == self.audits[audit_id].seats:
                break
            if self.seats[audit_id][seat].verdict == verdict:
                found.append(self.auditors[self.seats[audit_id][seat].auditor].provider)
    return self.audits[audit_id].customer, self.audits[audit_id].price, found


@external
@view
def moment_of(lease_id: uint256, task: uint32) -> uint256:
    """
    @notice The moment whose randomness says whether a task is audited.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @return Unix time in seconds.
    """
    about: Standing = staticcall Market(market).standing(lease_id, task)
    return self._next_step(convert(about.settled_at, uint256))


@internal
@view
def _assert_customer(job_id: uint64):
    job: Job = staticcall Market(market).jobs(job_id)
    assert msg.sender == job.customer, "audits: not the customer"


@internal
@view
def _assert_acts_for(provider: address):
    assert provider != empty(address), "audits: no such auditor"
    if msg.sender != provider:
        owner: address = staticcall Registry(registry).provider_of(msg.sender)
        assert owner == provider, "audits: not the auditor's operator"


@internal
@view
def _assert_rested(state: Auditor):
    assert state.ready_until != ALWAYS, "audits: auditor does not rest"
    assert block.timestamp > convert(state.ready_until, uint256) + DRAW_SECONDS, "audits: draws may still name it"


@internal
@view
def _assert_seated(audit_id: uint256, audit: Audit, seat: uint8):
    assert audit.state == DRAWN, "audits: no committee is seated"
    assert seat < audit.seats, "audits: no such seat"
    self._assert_acts_for(self.auditors[self.seats[audit_id][seat].auditor].provider)


@internal
@view
def _assert_narrowing(audit_id: uint256):
    assert msg.sender == BISECTION, "audits: not the contract of bisections"
    assert self.audits[audit_id].state == NARROWING, "audits: its step is not looked for"


@internal
@view
def _assert_heard(audit: Audit):
    assert audit.state == DRAWN, "audits: no committee is seated"
    over: bool = block.timestamp > convert(audit.reveal_until, uint256)
    assert over or audit.revealed == audit.seats, "audits: verdicts are missing"


@internal
@view
def _assert_sealed(lease_id: uint256, task: uint32, salt: bytes32):
    sealed: bytes32 = keccak256(abi_encode(lease_id, task, salt))
    assert sealed == self.seals[lease_id], "audits: not the task that was sealed"


@internal
def _repeat(lease_id: uint256, task: uint32, pay: bool):
    job: Job = staticcall Market(market).jobs(convert(lease_id >> 32, uint64))
    if pay and msg.sender == job.customer:
        extcall Market(market).repeat(lease_id, task)
    else:
        extcall Market(market).refute(lease_id, task)


@internal
@view
def _kind(job_id: uint64) -> uint8:
    # Fixed when the audit is opened: a customer must not change the rules under it.
    kind: uint8 = self.policies[job_id].kind
    if kind == 0:
        kind = REPLAY
    return kind


@internal
@pure
def _next_step(at: uint256) -> uint256:
    return (at // STEP_SECONDS + 1) * STEP_SECONDS


@internal
@pure
def _pot(about: Standing, seats: uint8) -> uint256:
    return convert(seats, uint256) * (about.price + SEAT_FEE)


@internal
def _dispute(customer: address, lease_id: uint256, task: uint32, output_hash: bytes32, payment: uint256) -> uint256:
    about: Standing = staticcall Market(market).standing(lease_id, task)
    assert customer == about.customer, "audits: not the customer"
    held: bool = about.disputed and not about.paid
    if held:
        extcall Market(market).begin_audit(lease_id, task)
    else:
        until: uint256 = convert(about.settled_at, uint256) + convert(about.audit_window, uint256)
        assert block.timestamp <= until, "audits: audit window is over"
    seats: uint8 = self.policies[about.job_id].seats
    if seats == 0:
        seats = DISPUTE_SEATS
    assert payment == self._pot(about, seats), "audits: value is not the committee's fee"
    return self._open(lease_id, task, about, seats, self._next_step(block.timestamp), output_hash, True)


@internal
def _open(
    lease_id: uint256,
    task: uint32,
    about: Standing,
    seats: uint8,
    moment: uint256,
    output_hash: bytes32,
    disputed: bool,
) -> uint256:
    assert self.audit_of[lease_id][task] == 0, "audits: task has been audited"
    assert self.retracted[lease_id] != convert(task, uint256) + 1, "audits: it was a ringer"
    audit_id: uint256 = self.audit_count + 1
    self.audit_count = audit_id
    self.audit_of[lease_id][task] = audit_id
    self.audits[audit_id] = Audit(
        lease_id=lease_id,
        task=task,
        job_id=about.job_id,
        provider=about.provider,
        customer=about.customer,
        output_hash=output_hash,
        price=about.price,
        fee=about.price + SEAT_FEE,
        pot=self._pot(about, seats),
        disputed=disputed,
        kind=self._kind(about.job_id),
        state=OPEN,
        seats=seats,
        committed=0,
        revealed=0,
        task_timeout=about.task_timeout,
        moment=convert(moment, uint64),
        commit_until=0,
        reveal_until=0,
    )
    return audit_id


@internal
def _log_opened(
    audit_id: uint256,
    lease_id: uint256,
    task: uint32,
    outcome: uint8,
    code_hash: bytes32,
    input_hash: bytes32,
    output_hash: bytes32,
    work_uwu: uint64,
):
    receipt: bytes32 = (staticcall Market(market).standing(lease_id, task)).receipt
    stated: bytes32 = keccak256(abi_encode(outcome, code_hash, input_hash, output_hash, work_uwu))
    assert stated == receipt, "audits: not the receipt of this task"
    log Opened(
        audit_id=audit_id,
        job_id=self.audits[audit_id].job_id,
        provider=self.audits[audit_id].provider,
        lease_id=lease_id,
        task=task,
        outcome=outcome,
        code_hash=code_hash,
        input_hash=input_hash,
        output_hash=output_hash,
        disputed=self.audits[audit_id].disputed,
        moment=self.audits[audit_id].moment,
    )


@internal
@view
def _committee(audit: Audit, drawing: bytes32) -> DynArray[uint256, 15]:
    # Random probes into those enrolled before the moment: who comes later changes nothing.
    chosen: DynArray[uint256, 15] = []
    owners: DynArray[address, 15] = []
    count: uint256 = self._enrolled_before(audit.moment)
    if count == 0:
        return chosen
    for probe: uint256 in range(PROBES):
        if len(chosen) == convert(audit.seats, uint256):
            break
        number: uint256 = convert(keccak256(abi_encode(drawing, b"seat", audit.lease_id, audit.task, probe)), uint256)
        index: uint256 = number % count + 1
        owner: address = self.auditors[index].provider
        if owner == audit.provider or owner == audit.customer or owner in owners:
            continue
        if self.auditors[index].ready_from >= audit.moment or self.auditors[index].ready_until < audit.moment:
            continue
        owners.append(owner)
        chosen.append(index)
    if len(chosen) > 0 and len(chosen) % 2 == 0:
        chosen.pop()
    return chosen


@internal
@view
def _enrolled_before(moment: uint64) -> uint256:
    # Numbers are given in order of time.
    low: uint256 = 0
    high: uint256 = self.auditor_count
    for _: uint256 in range(256):
        if low == high:
            break
        middle: uint256 = (low + high + 1) // 2
        if self.auditors[middle].enrolled_at < moment:
            low = middle
        else:
            high = middle - 1
    return low


@internal
@view
def _majority(audit_id: uint256, audit: Audit) -> (uint8, bytes32):
    # The verdict of more than half of the seats, silent ones included. With REPLAY, those who find a result false must
    # have found the same instead: a task that gives each something else convicts nobody.
    same: bool = audit.kind == REPLAY
    for i: uint8 in range(15):
        if i == audit.seats:
            break
        one: Seat = self.seats[audit_id][i]
        if one.verdict == SILENT:
            continue
        votes: uint8 = 0
        for k: uint8 in range(15):
            if k == audit.seats:
                break
            other: Seat = self.seats[audit_id][k]
            if other.verdict == one.verdict:
                if one.verdict != WRONG or not same or other.output_hash == one.output_hash:
                    votes += 1
        if votes > audit.seats // 2:
            return one.verdict, one.output_hash
    return SILENT, empty(bytes32)


@internal
def _conclude(audit_id: uint256, audit: Audit, state: uint8, verdict: uint8):
    fees: uint256 = 0
    winners: DynArray[address, 15] = []
    penalties: uint256 = 0
    for seat: uint8 in range(15):
        if seat == audit.seats:
            break
        said: Seat = self.seats[audit_id][seat]
        self.auditors[said.auditor].open_seats -= 1
        if said.verdict == SILENT:
            penalties += self._penalise(audit_id, said.auditor, ABSENT_PENALTY)
        elif state == UNDECIDED or said.verdict == verdict:
            # Who spoke where nothing was decided has worked all the same.
            winners.append(self.auditors[said.auditor].provider)
            fees += audit.fee
        elif said.verdict != UNCHECKABLE and verdict != UNCHECKABLE:
            penalties += self._penalise(audit_id, said.auditor, MISJUDGED_PENALTY)
    self.audits[audit_id].pot = audit.pot - fees
    for winner: address in winners:
        self._send(winner, audit.fee)
    self._burn(penalties)
    self._finish(audit_id, state)
    self._judge(audit_id, audit, state, fees, winners)


@internal
def _finish(audit_id: uint256, state: uint8):
    # What is left of the pot goes back to whoever paid it.
    audit: Audit = self.audits[audit_id]
    self.audits[audit_id].state = state
    self.audits[audit_id].pot = 0
    if state == UNDECIDED:
        extcall Market(market).end_audit(audit.lease_id, audit.task)
    if audit.disputed:
        self._send(audit.customer, audit.pot)
    elif audit.pot > 0:
        self.budgets[audit.job_id] += audit.pot
        log BudgetChanged(job_id=audit.job_id, budget=self.budgets[audit.job_id])


@internal
def _judge(audit_id: uint256, audit: Audit, state: uint8, fees: uint256, winners: DynArray[address, 15]):
    slashed: uint256 = 0
    refunded: uint256 = 0
    to_customer: uint256 = 0
    to_auditors: uint256 = 0
    if state == UPHELD or state == NOT_CHECKABLE:
        # Who orders what nobody can check has no claim against who did it.
        extcall Market(market).uphold(audit.lease_id, audit.task)
    elif state == REFUTED or state == NOT_DELIVERED:
        refunded = extcall Market(market).refute(audit.lease_id, audit.task)
    if state == REFUTED:
        slashed = extcall Registry(registry).slash(audit.provider, SLASH)
    elif state == NOT_DELIVERED:
        slashed = extcall Registry(registry).slash(audit.provider, SLASH * WITHHELD_PERCENT // 100)
    burned: uint256 = 0
    if slashed > 0:
        # The customer first: what it has paid for the task and for finding out.
        to_customer = min(slashed, audit.price - refunded + fees)
        rest: uint256 = slashed - to_customer
        count: uint256 = len(winners)
        each: uint256 = 0
        burned = rest * BURNED_PERCENT // 100
        if count > 0:
            each = rest * AUDITORS_PERCENT // 100 // count
        else:
            # Where nobody had to find it out, nobody gains by that.
            burned += rest * AUDITORS_PERCENT // 100
        to_auditors = each * count
        # All that rounding leaves is the customer's.
        to_customer = slashed - burned - to_auditors
        for winner: address in winners:
            self._send(winner, each)
        self._send(audit.customer, to_customer)
        self._burn(burned)
    log Concluded(
        audit_id=audit_id,
        job_id=audit.job_id,
        provider=audit.provider,
        state=state,
        slashed=slashed,
        refunded=refunded,
        to_customer=to_customer,
        to_auditors=to_auditors,
        burned=burned,
    )


@internal
def _penalise(audit_id: uint256, auditor: uint256, amount: uint256) -> uint256:
    taken: uint256 = min(self.auditors[auditor].bond, amount)
    self.auditors[auditor].bond -= taken
    log AuditorPenalised(auditor=auditor, audit_id=audit_id, amount=taken)
    # Whoever has less than a bond rests until it is filled up.
    if self.auditors[auditor].ready_until == ALWAYS:
        self._rest(auditor)
    return taken


@internal
def _rest(auditor: uint256):
    self.auditors[auditor].ready_until = convert(block.timestamp, uint64)
    log ReadinessChanged(auditor=auditor, ready=False)


@internal
def _burn(amount: uint256):
    if amount > 0:
        raw_call(empty(address), b"", value=amount)


@internal
def _send(account: address, amount: uint256):
    if amount == 0:
        return
    # A recipient that refuses must not hold up anybody else: it can fetch the amount itself.
    success: bool = raw_call(account, b"", value=amount, gas=SEND_GAS, revert_on_failure=False)
    if not success:
        self.withdrawable[account] += amount
        log Credited(account=account, amount=amount)
