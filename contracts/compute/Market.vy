# pragma version 0.4.3
# pragma evm-version prague
"""
@title Market for compute
@license MIT OR Apache-2.0
@author The Candela developers
@notice Customers open jobs with escrow, providers lease tasks, and each receipt settles one task.
@dev A lease covers up to 256 tasks; bit i of its bitmaps is task `first_task + i`. Escrow moves from the job to the lease
     when the lease is taken, so that settling touches the lease alone and receipts of different leases never conflict.
     A disputed payment waits for an audit; the contract of audits stands at a fixed address, like all system contracts.
     At any time: balance = sum of `available` over jobs + sum of `escrow` over leases + sum of `withdrawable`.
"""

struct Device:
    active: bool
    kind: uint8
    sandbox_tier: uint8
    memory_bytes: uint64
    intensity_ucd: uint64
    name: String[64]

interface Registry:
    def offer(operator: address, device_id: uint32) -> (address, bool, Device): view

# @notice The contract whose verdicts decide on disputed payments.
AUDITS: public(constant(address)) = 0x0000000000000000000000000000000000000Cd9

# @notice Job states.
OPEN: public(constant(uint8)) = 1
PAUSED_USER: public(constant(uint8)) = 2
PAUSED_FUNDS: public(constant(uint8)) = 3
SETTLED: public(constant(uint8)) = 4
CANCELLED: public(constant(uint8)) = 5
EXPIRED: public(constant(uint8)) = 6

# @notice Lease states.
ACTIVE: public(constant(uint8)) = 1
COMPLETED: public(constant(uint8)) = 2
RELEASED: public(constant(uint8)) = 3
LAPSED: public(constant(uint8)) = 4

# @notice Outcomes of a task; every one of them is finished work.
OK: public(constant(uint8)) = 0
USER_ERROR: public(constant(uint8)) = 1
TIMEOUT: public(constant(uint8)) = 2
LIMIT: public(constant(uint8)) = 3

# @notice `device_kind` of a job that runs anywhere.
CPU: constant(uint8) = 0
ANY_DEVICE: public(constant(uint8)) = 255
# @notice Micro work units in a work unit (1 cd x 1 s).
WORK_SCALE: public(constant(uint256)) = 10**6
# @notice The contract that is told of fees, burns them, and keeps the share of auditors.
REWARDS: public(constant(address)) = 0x0000000000000000000000000000000000000cD7
# @notice Share of each payment to a provider that is burned, in basis points.
FEE_BASIS_POINTS: public(constant(uint256)) = 500
# @notice Share of it that is set aside for auditors, in basis points.
AUDITORS_BASIS_POINTS: public(constant(uint256)) = 200
# @notice The most milliwatts that one core, alone on a large processor, or one GPU can draw.
CORE_MILLIWATTS: public(constant(uint256)) = 500 * 1000
GPU_MILLIWATTS: public(constant(uint256)) = 2_000 * 1000
# @notice Seconds for which a disputed payment is held before it is burned.
RESOLUTION_SECONDS: public(constant(uint256)) = 7 * 24 * 3600

# The time in the record of a payment that an audit decides on.
UNDER_AUDIT: constant(uint64) = max_value(uint64)
# Enough for a contract wallet to take a payment, too little to hold up whoever pays.
SEND_GAS: constant(uint256) = 50_000
MAX_TASKS: constant(uint32) = 1_000_000
MAX_LEASE_TASKS: constant(uint32) = 256
MIN_LEASE_SECONDS: constant(uint32) = 5
MAX_LEASE_SECONDS: constant(uint32) = 24 * 3600
MAX_TASK_SECONDS: constant(uint32) = 7 * 24 * 3600
MAX_AUDIT_SECONDS: constant(uint32) = 30 * 24 * 3600
MAX_JOB_SECONDS: constant(uint256) = 366 * 24 * 3600

struct Terms:
    spec_hash: bytes32
    kind: uint8
    task_count: uint32
    max_price_per_unit: uint256
    task_work_limit_uwu: uint64
    device_kind: uint8
    min_tier: uint8
    min_memory_bytes: uint64
    retries: uint8
    task_timeout: uint32
    lease_seconds: uint32
    audit_window: uint32
    deadline: uint64

struct Job:
    customer: address
    state: uint8
    available: uint256
    next_task: uint32
    lease_count: uint32
    open_leases: uint32

struct Lease:
    job_id: uint64
    provider: address
    operator: address
    device_id: uint32
    state: uint8
    attempt: uint8
    first_task: uint32
    mask: uint256
    done: uint256
    paid: uint256
    disputed: uint256
    redo: uint256
    price_per_unit: uint256
    task_work_limit_uwu: uint64
    escrow: uint256
    owed: uint256
    held: uint256
    expires_at: uint64
    ends_at: uint64
    taken_over: bool
    power_and_time: uint256

# A lease as it is stored. Every word that is looked up, read or changed costs gas: what a receipt needs of its lease is
# packed into four words that stay and two that change.
struct Deal:
    # operator << 96 | device_id << 64 | first_task << 32 | lease_seconds << 8 | attempt
    operator: uint256
    # provider << 96 | the most milliwatts that the device can draw << 40 | when the lease was taken
    provider: uint256
    # price_per_unit << 104 | task_work_limit_uwu << 40 | ends_at
    price: uint256
    mask: uint256

struct Progress:
    # owed << 128 | expires_at << 8 | state
    pulse: uint256
    done: uint256

struct StoredLease:
    deal: Deal
    progress: Progress
    paid: uint256
    disputed: uint256
    redo: uint256
    escrow: uint256
    held: uint256
    taken_over: bool
    # Two tasks in each word, the first of them in the lower half: work_uwu << 64 | when it was settled or disputed
    works: uint256[128]
    receipts: bytes32[256]

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

event JobOpened:
    job_id: indexed(uint64)
    customer: indexed(address)
    spec_hash: bytes32
    task_count: uint32
    escrow: uint256

event JobToppedUp:
    job_id: indexed(uint64)
    amount: uint256

event JobStateChanged:
    job_id: indexed(uint64)
    state: uint8

event JobRefunded:
    job_id: indexed(uint64)
    customer: indexed(address)
    amount: uint256

event LeaseTaken:
    job_id: indexed(uint64)
    provider: indexed(address)
    lease_id: indexed(uint256)
    device_id: uint32
    first_task: uint32
    mask: uint256
    attempt: uint8
    price_per_unit: uint256
    escrow: uint256

event LeaseClosed:
    job_id: indexed(uint64)
    lease_id: indexed(uint256)
    state: uint8
    undone: uint256
    returned: uint256

event TaskSettled:
    job_id: indexed(uint64)
    lease_id: indexed(uint256)
    provider: indexed(address)
    task: uint32
    attempt: uint8
    device_id: uint32
    outcome: uint8
    code_hash: bytes32
    input_hash: bytes32
    output_hash: bytes32
    started: uint64
    work_uwu: uint64
    energy_mj: uint64
    energy_method: uint8
    price: uint256

event TasksPaid:
    lease_id: indexed(uint256)
    provider: indexed(address)
    bitmap: uint256
    amount: uint256

event FeeBurned:
    lease_id: indexed(uint256)
    provider: indexed(address)
    amount: uint256
    to_auditors: uint256

event TaskDisputed:
    lease_id: indexed(uint256)
    task: uint32
    price: uint256
    reason_hash: bytes32

event DisputeWithdrawn:
    lease_id: indexed(uint256)
    task: uint32
    price: uint256

event AuditBegun:
    lease_id: indexed(uint256)
    task: uint32

event TaskUpheld:
    lease_id: indexed(uint256)
    provider: indexed(address)
    task: uint32
    price: uint256

event TaskRefuted:
    lease_id: indexed(uint256)
    job_id: indexed(uint64)
    provider: indexed(address)
    task: uint32
    refunded: uint256

event TaskRepeated:
    lease_id: indexed(uint256)
    task: uint32

event DisputeBurned:
    lease_id: indexed(uint256)
    task: uint32
    price: uint256

event Credited:
    account: indexed(address)
    amount: uint256

event Withdrawn:
    account: indexed(address)
    amount: uint256

REGISTRY: public(immutable(address))

job_count: public(uint64)
jobs: public(HashMap[uint64, Job])
terms: public(HashMap[uint64, Terms])
stored: HashMap[uint256, StoredLease]
withdrawable: public(HashMap[address, uint256])


@deploy
def __init__(registry: address):
    """
    @param registry The provider registry.
    """
    REGISTRY = registry


@external
@payable
def open_job(terms: Terms) -> uint64:
    """
    @notice Open a job; the value is its escrow, the most that it can cost.
    @param terms What is to be done and on which conditions.
    @return The job's id.
    """
    self._check_terms(terms)
    job_id: uint64 = self.job_count + 1
    self.job_count = job_id
    self.terms[job_id] = terms
    self.jobs[job_id].customer = msg.sender
    self.jobs[job_id].available = msg.value
    self.jobs[job_id].state = OPEN
    log JobOpened(
        job_id=job_id,
        customer=msg.sender,
        spec_hash=terms.spec_hash,
        task_count=terms.task_count,
        escrow=msg.value,
    )
    return job_id


@external
@payable
def top_up(job_id: uint64):
    """
    @notice Add the value to a job's escrow; a job that was out of funds goes on.
    @param job_id The job.
    """
    self._assert_running(job_id)
    log JobToppedUp(job_id=job_id, amount=msg.value)
    self._give_back(job_id, msg.value)


@external
def pause(job_id: uint64):
    """
    @notice Let no new leases be taken; running ones go on.
    @param job_id The job.
    """
    self._assert_customer(job_id)
    self._assert_running(job_id)
    self._set_job_state(job_id, PAUSED_USER)


@external
def resume(job_id: uint64):
    """
    @notice Let leases be taken again.
    @param job_id The job.
    """
    self._assert_customer(job_id)
    assert self.jobs[job_id].state == PAUSED_USER, "market: job is not paused"
    self._set_job_state(job_id, OPEN)


@external
@nonreentrant
def cancel(job_id: uint64):
    """
    @notice End a job: what is not in a lease is refunded now, the rest as its leases end. Finished work is paid.
    @param job_id The job.
    """
    self._assert_customer(job_id)
    self._assert_running(job_id)
    self._end(job_id, CANCELLED)


@external
@nonreentrant
def close_job(job_id: uint64):
    """
    @notice End a job without running leases and refund what is left.
    @param job_id The job.
    """
    self._assert_customer(job_id)
    self._assert_running(job_id)
    assert self.jobs[job_id].open_leases == 0, "market: leases are running"
    self._end(job_id, SETTLED)


@external
@nonreentrant
def expire_job(job_id: uint64):
    """
    @notice End a job after its deadline, on behalf of its customer.
    @param job_id The job.
    """
    self._assert_running(job_id)
    assert block.timestamp > convert(self.terms[job_id].deadline, uint256), "market: deadline is not over"
    self._end(job_id, EXPIRED)


@external
def take_lease(job_id: uint64, device_id: uint32, price_per_unit: uint256, count: uint32) -> uint256:
    """
    @notice Commit a device to a job's next tasks at a price.
    @param job_id The job.
    @param device_id One of the caller's devices.
    @param price_per_unit Nit per work unit.
    @param count Most tasks to take, at most 256; fewer are given when fewer are left or funded.
    @return The lease's id, or 0 when the job has no funds for one task (it is then paused).
    """
    terms: Terms = self.terms[job_id]
    self._assert_open(job_id)
    self._check_offer(terms, device_id)
    left: uint32 = terms.task_count - self.jobs[job_id].next_task
    assert left > 0, "market: no tasks left"
    assert count > 0 and count <= MAX_LEASE_TASKS, "market: count out of range"
    granted: uint256 = self._affordable(job_id, terms, price_per_unit, convert(min(count, left), uint256))
    if granted == 0:
        self._set_job_state(job_id, PAUSED_FUNDS)
        return 0
    first: uint32 = self.jobs[job_id].next_task
    self.jobs[job_id].next_task = first + convert(granted, uint32)
    mask: uint256 = max_value(uint256) >> (256 - granted)
    return self._lease(job_id, terms, device_id, price_per_unit, first, mask, granted, 0)


@external
@nonreentrant
def take_over(lease_id: uint256, device_id: uint32, price_per_unit: uint256) -> uint256:
    """
    @notice Commit a device to what an ended lease left undone, or is to be done again; an expired lease is ended first.
    @param lease_id The ended lease.
    @param device_id One of the caller's devices.
    @param price_per_unit Nit per work unit.
    @return The new lease's id, or 0 when the job has no funds for it (it is then paused).
    """
    old: Lease = self._lease_of(lease_id)
    if old.state == ACTIVE:
        self._lapse(lease_id, old)
    assert old.state != 0, "market: no such lease"
    assert not old.taken_over or old.redo != 0, "market: taken over already"
    # What is to be done again may come up after the rest was taken over.
    mask: uint256 = old.redo
    if not old.taken_over:
        mask |= old.mask & ~old.done
    assert mask != 0, "market: nothing is undone"
    terms: Terms = self.terms[old.job_id]
    assert old.attempt < terms.retries, "market: no retries left"
    self._assert_open(old.job_id)
    self._check_offer(terms, device_id)
    count: uint256 = self._count(mask)
    if self._affordable(old.job_id, terms, price_per_unit, count) < count:
        self._set_job_state(old.job_id, PAUSED_FUNDS)
        return 0
    self.stored[lease_id].taken_over = True
    self.stored[lease_id].redo = 0
    return self._lease(old.job_id, terms, device_id, price_per_unit, old.first_task, mask, count, old.attempt + 1)


@external
def renew(lease_id: uint256):
    """
    @notice Show that a lease's provider is alive; settling does the same.
    @param lease_id The lease.
    """
    deal: Deal = self.stored[lease_id].deal
    pulse: uint256 = self.stored[lease_id].progress.pulse
    self._assert_operator(deal)
    self._assert_alive(pulse)
    assert self.jobs[self._job(lease_id)].state <= PAUSED_FUNDS, "market: job has ended"
    self.stored[lease_id].progress.pulse = self._renewed(deal, pulse)


@external
@nonreentrant
def release(lease_id: uint256):
    """
    @notice Give back what a lease has not done.
    @param lease_id The lease.
    """
    lease: Lease = self._lease_of(lease_id)
    assert msg.sender == lease.operator, "market: not the operator of the lease"
    assert lease.state == ACTIVE, "market: lease is not active"
    self._close(lease_id, lease, RELEASED)


@external
@nonreentrant
def expire_lease(lease_id: uint256):
    """
    @notice End a lease whose provider has gone silent.
    @param lease_id The lease.
    """
    self._lapse(lease_id, self._lease_of(lease_id))


@external
@nonreentrant
def settle(
    lease_id: uint256,
    task: uint32,
    outcome: uint8,
    code_hash: bytes32,
    input_hash: bytes32,
    output_hash: bytes32,
    started: uint64,
    work_uwu: uint64,
    energy_mj: uint64,
    energy_method: uint8,
    price: uint256,
):
    """
    @notice The receipt of one task: this transaction, signed by the lease's operator, is payment claim and proof.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @param outcome 0 returned, 1 raised, 2 ran out of time, 3 ran into another limit of the job.
    @param code_hash SHA-256 of the code that ran.
    @param input_hash SHA-256 of its input.
    @param output_hash SHA-256 of its output.
    @param started Unix time at which it started, in seconds.
    @param work_uwu Work in micro work units.
    @param energy_mj Energy in millijoules: no more than a device of its kind can draw since the lease was taken.
    @param energy_method 0 unknown, 1 NVML counter, 2 RAPL, 3 estimate.
    @param price Nit for the work: work_uwu * price_per_unit / 10^6, rounded down.
    """
    deal: Deal = self.stored[lease_id].deal
    progress: Progress = self.stored[lease_id].progress
    self._assert_operator(deal)
    self._assert_alive(progress.pulse)
    first: uint32 = convert((deal.operator >> 32) & (2**32 - 1), uint32)
    assert task >= first and task - first < MAX_LEASE_TASKS, "market: task is not in the lease"
    index: uint256 = convert(task - first, uint256)
    bit: uint256 = 1 << index
    assert deal.mask & bit != 0, "market: task is not in the lease"
    assert progress.done & bit == 0, "market: task is settled"
    assert outcome <= LIMIT, "market: unknown outcome"
    assert output_hash != empty(bytes32), "market: output hash is empty"
    work: uint256 = convert(work_uwu, uint256)
    assert work <= (deal.price >> 40) & (2**64 - 1), "market: work exceeds the limit"
    assert price == work * (deal.price >> 104) // WORK_SCALE, "market: wrong price"
    self._assert_drawable(deal, convert(energy_mj, uint256))

    job_id: uint64 = self._job(lease_id)
    progress.done |= bit
    progress.pulse += price << 128
    completed: bool = progress.done == deal.mask
    if not completed and self.jobs[job_id].state <= PAUSED_FUNDS:
        progress.pulse = self._renewed(deal, progress.pulse)
    self.stored[lease_id].progress = progress
    self.stored[lease_id].works[index // 2] |= ((work << 64) | block.timestamp) << (128 * (index % 2))
    self.stored[lease_id].receipts[index] = keccak256(
        abi_encode(outcome, code_hash, input_hash, output_hash, work_uwu)
    )
    log TaskSettled(
        job_id=job_id,
        lease_id=lease_id,
        provider=self._address(deal.provider),
        task=task,
        attempt=convert(deal.operator & 255, uint8),
        device_id=convert((deal.operator >> 64) & (2**32 - 1), uint32),
        outcome=outcome,
        code_hash=code_hash,
        input_hash=input_hash,
        output_hash=output_hash,
        started=started,
        work_uwu=work_uwu,
        energy_mj=energy_mj,
        energy_method=energy_method,
        price=price,
    )
    if completed:
        self._close(lease_id, self._lease_of(lease_id), COMPLETED)


@external
@nonreentrant
def accept(lease_id: uint256, bitmap: uint256):
    """
    @notice Pay for settled tasks now.
    @param lease_id The lease.
    @param bitmap Tasks to pay: settled, not paid, not disputed.
    """
    self._assert_customer(self._job(lease_id))
    self._pay(lease_id, bitmap, False)


@external
@nonreentrant
def claim(lease_id: uint256, bitmap: uint256):
    """
    @notice Pay for settled tasks whose audit window has passed; anyone may call.
    @param lease_id The lease.
    @param bitmap Tasks to pay: settled, not paid, not disputed.
    """
    self._pay(lease_id, bitmap, True)


@external
def dispute(lease_id: uint256, task: uint32, reason_hash: bytes32):
    """
    @notice Hold a payment back inside the audit window. An audit decides on it. Without one it is burned, unless the
            dispute is withdrawn: neither side gains by lying.
    @dev The task can be done again by whoever takes the lease over once it has ended.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @param reason_hash SHA-256 of the reason, kept off chain.
    """
    lease: Lease = self._lease_of(lease_id)
    self._assert_customer(lease.job_id)
    bit: uint256 = self._settled_bit(lease, task)
    assert (lease.paid | lease.disputed) & bit == 0, "market: task is paid or disputed"
    price: uint256 = 0
    at: uint64 = 0
    price, at = self._record(lease_id, lease, task)
    assert not self._window_over(lease.job_id, at), "market: audit window is over"
    self.stored[lease_id].disputed = lease.disputed | bit
    self.stored[lease_id].redo = lease.redo | bit
    self._set_owed(lease_id, lease.owed - price)
    self.stored[lease_id].held = lease.held + price
    self._set_time(lease_id, lease, task, convert(block.timestamp, uint64))
    log TaskDisputed(lease_id=lease_id, task=task, price=price, reason_hash=reason_hash)


@external
@nonreentrant
def withdraw_dispute(lease_id: uint256, task: uint32):
    """
    @notice Pay a disputed task after all.
    @param lease_id The lease.
    @param task Number of the task in the job.
    """
    lease: Lease = self._lease_of(lease_id)
    self._assert_customer(lease.job_id)
    self._assert_not_under_audit(lease_id, lease, task)
    price: uint256 = self._pay_disputed(lease_id, lease, task)
    log DisputeWithdrawn(lease_id=lease_id, task=task, price=price)


@external
@nonreentrant
def burn_disputed(lease_id: uint256, task: uint32):
    """
    @notice Burn a disputed payment that was not withdrawn within RESOLUTION_SECONDS; anyone may call.
    @param lease_id The lease.
    @param task Number of the task in the job.
    """
    lease: Lease = self._lease_of(lease_id)
    bit: uint256 = self._settled_bit(lease, task)
    self._assert_not_under_audit(lease_id, lease, task)
    price: uint256 = 0
    at: uint64 = 0
    price, at = self._record(lease_id, lease, task)
    assert block.timestamp >= convert(at, uint256) + RESOLUTION_SECONDS, "market: dispute may still be withdrawn"
    self._undispute(lease_id, lease, bit, price)
    log DisputeBurned(lease_id=lease_id, task=task, price=price)
    raw_call(empty(address), b"", value=price)


@external
def begin_audit(lease_id: uint256, task: uint32):
    """
    @notice Leave a disputed payment to an audit: nobody withdraws or burns it until the verdict.
    @param lease_id The lease.
    @param task Number of the task in the job.
    """
    self._assert_audits()
    lease: Lease = self._lease_of(lease_id)
    bit: uint256 = self._settled_bit(lease, task)
    assert lease.disputed & bit != 0 and lease.paid & bit == 0, "market: task is not disputed"
    self._set_time(lease_id, lease, task, UNDER_AUDIT)
    log AuditBegun(lease_id=lease_id, task=task)


@external
def end_audit(lease_id: uint256, task: uint32):
    """
    @notice Give a disputed payment back to its sides, since an audit came to no verdict: RESOLUTION_SECONDS begin anew.
    @param lease_id The lease.
    @param task Number of the task in the job.
    """
    self._assert_audits()
    lease: Lease = self._lease_of(lease_id)
    if self._is_held(lease, task):
        self._set_time(lease_id, lease, task, convert(block.timestamp, uint64))


@external
@nonreentrant
def uphold(lease_id: uint256, task: uint32):
    """
    @notice Pay a disputed task, since an audit found its result right; one that is not disputed is paid in its own time.
    @param lease_id The lease.
    @param task Number of the task in the job.
    """
    self._assert_audits()
    lease: Lease = self._lease_of(lease_id)
    if self._is_held(lease, task):
        price: uint256 = self._pay_disputed(lease_id, lease, task)
        log TaskUpheld(lease_id=lease_id, provider=lease.provider, task=task, price=price)


@external
@nonreentrant
def refute(lease_id: uint256, task: uint32) -> uint256:
    """
    @notice Give an unpaid task's price back to the job, since an audit found its result false, and let it be done again.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @return The refund in nit: 0 where the customer had accepted the task.
    """
    self._assert_audits()
    lease: Lease = self._lease_of(lease_id)
    bit: uint256 = self._settled_bit(lease, task)
    price: uint256 = 0
    at: uint64 = 0
    price, at = self._record(lease_id, lease, task)
    if lease.paid & bit != 0:
        price = 0
    else:
        if lease.disputed & bit == 0:
            self.stored[lease_id].redo = lease.redo | bit
        self._free(lease_id, lease, bit, price)
    log TaskRefuted(lease_id=lease_id, job_id=lease.job_id, provider=lease.provider, task=task, refunded=price)
    self._give_back(lease.job_id, price)
    return price


@external
@nonreentrant
def repeat(lease_id: uint256, task: uint32):
    """
    @notice Pay a settled task, unless that has happened, and let it be done again, since its result was a ringer.
    @param lease_id The lease.
    @param task Number of the task in the job.
    """
    self._assert_audits()
    lease: Lease = self._lease_of(lease_id)
    bit: uint256 = self._settled_bit(lease, task)
    if lease.disputed & bit == 0:
        # What is disputed is offered again already.
        self.stored[lease_id].redo = lease.redo | bit
    log TaskRepeated(lease_id=lease_id, task=task)
    if lease.paid & bit == 0:
        price: uint256 = 0
        at: uint64 = 0
        price, at = self._record(lease_id, lease, task)
        self._free(lease_id, lease, bit, price)
        log TasksPaid(lease_id=lease_id, provider=lease.provider, bitmap=bit, amount=price)
        self._reward(lease_id, lease.provider, price)


@external
@nonreentrant
def withdraw():
    """
    @notice Fetch what could not be sent before.
    """
    amount: uint256 = self.withdrawable[msg.sender]
    assert amount > 0, "market: nothing to withdraw"
    self.withdrawable[msg.sender] = 0
    log Withdrawn(account=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)


@external
@view
def leases(lease_id: uint256) -> Lease:
    """
    @notice A lease.
    @param lease_id The lease.
    @return All of it; empty where there is none.
    """
    return self._lease_of(lease_id)


@external
@view
def planter(lease_id: uint256) -> address:
    """
    @notice Who may still plant a ringer in a lease.
    @param lease_id The lease.
    @return Its operator; nobody once one of its tasks is settled.
    """
    operator: address = self._address(self.stored[lease_id].deal.operator)
    return operator if self.stored[lease_id].progress.done == 0 else empty(address)


@external
@view
def standing(lease_id: uint256, task: uint32) -> Standing:
    """
    @notice What an audit must know about a settled task.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @return Its sides, its price, when it was settled or disputed, and the hash of its receipt:
            keccak256(abi_encode(outcome, code_hash, input_hash, output_hash, work_uwu)).
    """
    lease: Lease = self._lease_of(lease_id)
    bit: uint256 = self._settled_bit(lease, task)
    price: uint256 = 0
    at: uint64 = 0
    price, at = self._record(lease_id, lease, task)
    return Standing(
        job_id=lease.job_id,
        customer=self.jobs[lease.job_id].customer,
        provider=lease.provider,
        price=price,
        settled_at=at,
        receipt=self.stored[lease_id].receipts[task - lease.first_task],
        paid=lease.paid & bit != 0,
        disputed=lease.disputed & bit != 0,
        task_timeout=self.terms[lease.job_id].task_timeout,
        audit_window=self.terms[lease.job_id].audit_window,
    )


@internal
@view
def _check_terms(terms: Terms):
    assert terms.spec_hash != empty(bytes32), "market: spec hash is empty"
    assert terms.task_count > 0 and terms.task_count <= MAX_TASKS, "market: task count out of range"
    assert terms.task_work_limit_uwu > 0, "market: work limit is zero"
    # Keeps a task's price within the 128 bits of its record.
    assert terms.max_price_per_unit < 2**80, "market: price out of range"
    assert terms.task_timeout > 0 and terms.task_timeout <= MAX_TASK_SECONDS, "market: task timeout out of range"
    assert terms.lease_seconds >= MIN_LEASE_SECONDS, "market: lease seconds out of range"
    assert terms.lease_seconds <= MAX_LEASE_SECONDS, "market: lease seconds out of range"
    assert terms.audit_window <= MAX_AUDIT_SECONDS, "market: audit window out of range"
    deadline: uint256 = convert(terms.deadline, uint256)
    assert deadline > block.timestamp, "market: deadline is over"
    assert deadline <= block.timestamp + MAX_JOB_SECONDS, "market: deadline out of range"


@internal
@view
def _assert_customer(job_id: uint64):
    assert msg.sender == self.jobs[job_id].customer, "market: not the customer"


@internal
@view
def _assert_running(job_id: uint64):
    state: uint8 = self.jobs[job_id].state
    assert state != 0, "market: no such job"
    assert state <= PAUSED_FUNDS, "market: job has ended"


@internal
@view
def _assert_open(job_id: uint64):
    self._assert_running(job_id)
    assert self.jobs[job_id].state == OPEN, "market: job is paused"
    assert block.timestamp <= convert(self.terms[job_id].deadline, uint256), "market: deadline is over"


@internal
@view
def _assert_operator(deal: Deal):
    assert msg.sender == self._address(deal.operator), "market: not the operator of the lease"


@internal
@view
def _assert_alive(pulse: uint256):
    assert pulse & 255 == convert(ACTIVE, uint256), "market: lease is not active"
    assert block.timestamp <= (pulse >> 8) & (2**40 - 1), "market: lease has expired"


@internal
@pure
def _address(word: uint256) -> address:
    # The address in the upper bits of a word of a lease.
    return convert(convert(word >> 96, uint160), address)


@internal
@pure
def _job(lease_id: uint256) -> uint64:
    return convert((lease_id >> 32) & (2**64 - 1), uint64)


@internal
@view
def _lease_of(lease_id: uint256) -> Lease:
    deal: Deal = self.stored[lease_id].deal
    progress: Progress = self.stored[lease_id].progress
    return Lease(
        job_id=self._job(lease_id) if progress.pulse != 0 else 0,
        provider=self._address(deal.provider),
        operator=self._address(deal.operator),
        device_id=convert((deal.operator >> 64) & (2**32 - 1), uint32),
        state=convert(progress.pulse & 255, uint8),
        attempt=convert(deal.operator & 255, uint8),
        first_task=convert((deal.operator >> 32) & (2**32 - 1), uint32),
        mask=deal.mask,
        done=progress.done,
        paid=self.stored[lease_id].paid,
        disputed=self.stored[lease_id].disputed,
        redo=self.stored[lease_id].redo,
        price_per_unit=deal.price >> 104,
        task_work_limit_uwu=convert((deal.price >> 40) & (2**64 - 1), uint64),
        escrow=self.stored[lease_id].escrow,
        owed=progress.pulse >> 128,
        held=self.stored[lease_id].held,
        expires_at=convert((progress.pulse >> 8) & (2**40 - 1), uint64),
        ends_at=convert(deal.price & (2**40 - 1), uint64),
        taken_over=self.stored[lease_id].taken_over,
        power_and_time=(((deal.provider >> 40) & (2**56 - 1)) << 128) | (deal.provider & (2**40 - 1)),
    )


@internal
def _set_owed(lease_id: uint256, owed: uint256):
    rest: uint256 = self.stored[lease_id].progress.pulse & (2**128 - 1)
    self.stored[lease_id].progress.pulse = (owed << 128) | rest


@internal
@view
def _settled_bit(lease: Lease, task: uint32) -> uint256:
    assert task >= lease.first_task and task - lease.first_task < MAX_LEASE_TASKS, "market: task is not in the lease"
    bit: uint256 = 1 << convert(task - lease.first_task, uint256)
    assert lease.done & bit != 0, "market: task is not settled"
    return bit


@internal
@view
def _window_over(job_id: uint64, settled_at: uint64) -> bool:
    window: uint256 = convert(self.terms[job_id].audit_window, uint256)
    return block.timestamp > convert(settled_at, uint256) + window


@internal
@pure
def _task_escrow(terms: Terms, price_per_unit: uint256) -> uint256:
    return convert(terms.task_work_limit_uwu, uint256) * price_per_unit // WORK_SCALE


@internal
@view
def _affordable(job_id: uint64, terms: Terms, price_per_unit: uint256, wanted: uint256) -> uint256:
    assert price_per_unit <= terms.max_price_per_unit, "market: price is too high"
    each: uint256 = self._task_escrow(terms, price_per_unit)
    if each == 0:
        return wanted
    return min(wanted, self.jobs[job_id].available // each)


@internal
@view
def _renewed(deal: Deal, pulse: uint256) -> uint256:
    expires_at: uint256 = min(block.timestamp + ((deal.operator >> 8) & (2**24 - 1)), deal.price & (2**40 - 1))
    return ((pulse >> 128) << 128) | (expires_at << 8) | (pulse & 255)


@internal
@pure
def _count(bitmap: uint256) -> uint256:
    count: uint256 = 0
    for i: uint256 in range(256):
        count += (bitmap >> i) & 1
    return count


@internal
@view
def _check_offer(terms: Terms, device_id: uint32) -> (address, uint8):
    provider: address = empty(address)
    listed: bool = False
    device: Device = empty(Device)
    provider, listed, device = staticcall Registry(REGISTRY).offer(msg.sender, device_id)
    assert listed, "market: device is not listed"
    assert terms.device_kind == ANY_DEVICE or terms.device_kind == device.kind, "market: wrong device kind"
    assert device.sandbox_tier >= terms.min_tier, "market: sandbox tier is too low"
    assert device.memory_bytes >= terms.min_memory_bytes, "market: device has too little memory"
    return provider, device.kind


@internal
@view
def _assert_drawable(deal: Deal, energy_mj: uint256):
    # By the block's time alone: the clock of a provider must not make its true energy look false.
    seconds: uint256 = block.timestamp + 1 - (deal.provider & (2**40 - 1))
    power: uint256 = (deal.provider >> 40) & (2**56 - 1)
    assert energy_mj <= power * seconds, "market: more energy than the device can draw"


@internal
def _lease(
    job_id: uint64,
    terms: Terms,
    device_id: uint32,
    price_per_unit: uint256,
    first: uint32,
    mask: uint256,
    count: uint256,
    attempt: uint8,
) -> uint256:
    provider: address = empty(address)
    device_kind: uint8 = 0
    provider, device_kind = self._check_offer(terms, device_id)
    power: uint256 = CORE_MILLIWATTS if device_kind == CPU else GPU_MILLIWATTS
    escrow: uint256 = count * self._task_escrow(terms, price_per_unit)
    number: uint32 = self.jobs[job_id].lease_count + 1
    lease_id: uint256 = (convert(job_id, uint256) << 32) | convert(number, uint256)
    self.jobs[job_id].lease_count = number
    self.jobs[job_id].open_leases += 1
    self.jobs[job_id].available -= escrow
    # However often it is renewed, a lease ends when its tasks could all have timed out one after the other.
    longest: uint256 = count * convert(terms.task_timeout, uint256) + convert(terms.lease_seconds, uint256)
    ends_at: uint256 = convert(convert(block.timestamp + longest, uint40), uint256)
    deal: Deal = Deal(
        operator=(convert(convert(msg.sender, uint160), uint256) << 96)
        | (convert(device_id, uint256) << 64)
        | (convert(first, uint256) << 32)
        | (convert(terms.lease_seconds, uint256) << 8)
        | convert(attempt, uint256),
        provider=(convert(convert(provider, uint160), uint256) << 96) | (power << 40) | block.timestamp,
        price=(price_per_unit << 104) | (convert(terms.task_work_limit_uwu, uint256) << 40) | ends_at,
        mask=mask,
    )
    self.stored[lease_id].deal = deal
    self.stored[lease_id].progress.pulse = self._renewed(deal, convert(ACTIVE, uint256))
    self.stored[lease_id].escrow = escrow
    log LeaseTaken(
        job_id=job_id,
        provider=provider,
        lease_id=lease_id,
        device_id=device_id,
        first_task=first,
        mask=mask,
        attempt=attempt,
        price_per_unit=price_per_unit,
        escrow=escrow,
    )
    return lease_id


@internal
def _lapse(lease_id: uint256, lease: Lease):
    assert lease.state == ACTIVE, "market: lease is not active"
    assert block.timestamp > convert(lease.expires_at, uint256), "market: lease has not expired"
    self._close(lease_id, lease, LAPSED)


@internal
def _close(lease_id: uint256, lease: Lease, state: uint8):
    kept: uint256 = lease.owed + lease.held
    returned: uint256 = lease.escrow - kept
    pulse: uint256 = self.stored[lease_id].progress.pulse
    self.stored[lease_id].progress.pulse = ((pulse >> 8) << 8) | convert(state, uint256)
    self.stored[lease_id].escrow = kept
    self.jobs[lease.job_id].open_leases -= 1
    log LeaseClosed(
        job_id=lease.job_id,
        lease_id=lease_id,
        state=state,
        undone=lease.mask & ~lease.done,
        returned=returned,
    )
    self._give_back(lease.job_id, returned)


@internal
def _give_back(job_id: uint64, amount: uint256):
    if self.jobs[job_id].state > PAUSED_FUNDS:
        self._refund(job_id, amount)
        return
    self.jobs[job_id].available += amount
    if self.jobs[job_id].state == PAUSED_FUNDS and amount > 0:
        self._set_job_state(job_id, OPEN)


@internal
def _end(job_id: uint64, state: uint8):
    amount: uint256 = self.jobs[job_id].available
    self.jobs[job_id].available = 0
    self._set_job_state(job_id, state)
    self._refund(job_id, amount)


@internal
def _refund(job_id: uint64, amount: uint256):
    if amount == 0:
        return
    customer: address = self.jobs[job_id].customer
    log JobRefunded(job_id=job_id, customer=customer, amount=amount)
    self._send(customer, amount)


@internal
def _set_job_state(job_id: uint64, state: uint8):
    self.jobs[job_id].state = state
    log JobStateChanged(job_id=job_id, state=state)


@internal
def _pay(lease_id: uint256, bitmap: uint256, after_window: bool):
    lease: Lease = self._lease_of(lease_id)
    assert bitmap != 0 and bitmap & lease.done == bitmap, "market: task is not settled"
    assert (lease.paid | lease.disputed) & bitmap == 0, "market: task is paid or disputed"
    amount: uint256 = 0
    for i: uint256 in range(256):
        if (bitmap >> i) & 1 == 0:
            continue
        price: uint256 = 0
        at: uint64 = 0
        price, at = self._record(lease_id, lease, lease.first_task + convert(i, uint32))
        if after_window:
            assert self._window_over(lease.job_id, at), "market: audit window is not over"
        amount += price
    self.stored[lease_id].paid = lease.paid | bitmap
    self._set_owed(lease_id, lease.owed - amount)
    self.stored[lease_id].escrow = lease.escrow - amount
    log TasksPaid(lease_id=lease_id, provider=lease.provider, bitmap=bitmap, amount=amount)
    self._reward(lease_id, lease.provider, amount)


@internal
def _reward(lease_id: uint256, provider: address, amount: uint256):
    fee: uint256 = amount * FEE_BASIS_POINTS // 10_000
    share: uint256 = amount * AUDITORS_BASIS_POINTS // 10_000
    if fee > 0:
        log FeeBurned(lease_id=lease_id, provider=provider, amount=fee, to_auditors=share)
        job_id: uint64 = self._job(lease_id)
        told: Bytes[132] = abi_encode(
            provider,
            self.jobs[job_id].customer,
            job_id,
            fee,
            method_id=method_id("charge(address,address,uint64,uint256)"),
        )
        raw_call(REWARDS, told, value=fee + share)
    self._send(provider, amount - fee - share)


@internal
def _pay_disputed(lease_id: uint256, lease: Lease, task: uint32) -> uint256:
    bit: uint256 = self._settled_bit(lease, task)
    price: uint256 = 0
    at: uint64 = 0
    price, at = self._record(lease_id, lease, task)
    self._undispute(lease_id, lease, bit, price)
    # Paid after all, so it is not to be done again; where somebody has taken it over, it may be in work already.
    self.stored[lease_id].redo = lease.redo & ~bit
    log TasksPaid(lease_id=lease_id, provider=lease.provider, bitmap=bit, amount=price)
    self._reward(lease_id, lease.provider, price)
    return price


@internal
def _undispute(lease_id: uint256, lease: Lease, bit: uint256, price: uint256):
    assert lease.disputed & bit != 0 and lease.paid & bit == 0, "market: task is not disputed"
    self.stored[lease_id].paid = lease.paid | bit
    self.stored[lease_id].held = lease.held - price
    self.stored[lease_id].escrow = lease.escrow - price


@internal
def _free(lease_id: uint256, lease: Lease, bit: uint256, price: uint256):
    # Take a price out of the lease, wherever it is.
    if lease.disputed & bit != 0:
        self._undispute(lease_id, lease, bit, price)
    else:
        self.stored[lease_id].paid = lease.paid | bit
        self._set_owed(lease_id, lease.owed - price)
        self.stored[lease_id].escrow = lease.escrow - price


@internal
@view
def _assert_audits():
    assert msg.sender == AUDITS, "market: not the contract of audits"


@internal
@view
def _assert_not_under_audit(lease_id: uint256, lease: Lease, task: uint32):
    bit: uint256 = self._settled_bit(lease, task)
    price: uint256 = 0
    at: uint64 = 0
    price, at = self._record(lease_id, lease, task)
    assert at != UNDER_AUDIT, "market: an audit decides on the task"


@internal
@view
def _is_held(lease: Lease, task: uint32) -> bool:
    bit: uint256 = self._settled_bit(lease, task)
    return lease.disputed & bit != 0 and lease.paid & bit == 0


@internal
@view
def _record(lease_id: uint256, lease: Lease, task: uint32) -> (uint256, uint64):
    # A task's price, and when it was settled or disputed.
    index: uint256 = convert(task - lease.first_task, uint256)
    half: uint256 = self.stored[lease_id].works[index // 2] >> (128 * (index % 2))
    work: uint256 = (half >> 64) & (2**64 - 1)
    return work * lease.price_per_unit // WORK_SCALE, convert(half & (2**64 - 1), uint64)


@internal
def _set_time(lease_id: uint256, lease: Lease, task: uint32, at: uint64):
    index: uint256 = convert(task - lease.first_task, uint256)
    offset: uint256 = 128 * (index % 2)
    others: uint256 = self.stored[lease_id].works[index // 2] & ~((2**64 - 1) << offset)
    self.stored[lease_id].works[index // 2] = others | (convert(at, uint256) << offset)


@internal
def _send(account: address, amount: uint256):
    if amount == 0:
        return
    # A recipient that refuses must not hold up anybody else: it can fetch the amount itself.
    success: bool = raw_call(account, b"", value=amount, gas=SEND_GAS, revert_on_failure=False)
    if not success:
        self.withdrawable[account] += amount
        log Credited(account=account, amount=amount)
