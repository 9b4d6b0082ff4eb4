# pragma version 0.4.3
# pragma evm-version prague
"""
@title Disputes about one step
@license MIT OR Apache-2.0
@author The Candela developers
@notice A provider that commits to every state of a task, and a customer who did the task again and found another trace,
        halve it until they stand at the first step where they differ. A committee of Audits does that step alone.
@dev Protocol: docs/audits.md; format of traces: candela/trace.py. A side that is silent for longer than its clock loses.
     Audits takes this contract's word, so it stands at a fixed address. At any time:
     balance = sum of `deposit` over games + sum of `withdrawable`.
"""

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

interface Registry:
    def provider_of(operator: address) -> address: view

interface Market:
    def standing(lease_id: uint256, task: uint32) -> Standing: view

interface Audits:
    def fee(lease_id: uint256, task: uint32) -> uint256: view
    def state_of(audit_id: uint256) -> uint8: view
    def narrow(
        customer: address,
        lease_id: uint256,
        task: uint32,
        outcome: uint8,
        code_hash: bytes32,
        input_hash: bytes32,
        output_hash: bytes32,
        work_uwu: uint64,
    ) -> uint256: payable
    def judge_step(audit_id: uint256, claimed: bytes32): nonpayable
    def decide(audit_id: uint256, refuted: bool): nonpayable

# @notice Whose turn it is: the provider shows that its trace ends with its result; the provider, then the customer, open
#         their node; the provider shows the state before the step; the committee decides; all is decided.
ANCHORING: public(constant(uint8)) = 1
ANSWERING: public(constant(uint8)) = 2
COUNTERING: public(constant(uint8)) = 3
SHOWING: public(constant(uint8)) = 4
JUDGING: public(constant(uint8)) = 5
ENDED: public(constant(uint8)) = 6

# @notice What a customer risks beyond the price of the task, in nit. Both are the provider's if its result is upheld: it
#         has done the task again to answer.
DEPOSIT: public(constant(uint256)) = 10**16
# @notice Seconds that each side has for all of its moves, beyond three times the task's timeout.
CLOCK_SECONDS: public(constant(uint256)) = 3600
# @notice A trace has at most 2^MAX_DEPTH leaves.
MAX_DEPTH: public(constant(uint8)) = 20
MAX_STEPS: constant(uint64) = 2**20

# A leaf beyond the last state, and that of a step that raised: after either of them comes the first.
END: constant(bytes32) = empty(bytes32)
RAISED: constant(bytes32) = 0x0000000000000000000000000000000000000000000000000000000000000001
# How a traced output begins: a msgpack map from "trace" to the 72 bytes that follow.
OUTPUT_START: constant(Bytes[9]) = x"81a57472616365c448"
NODE: constant(Bytes[1]) = x"01"
# States of Audits.
UPHELD: constant(uint8) = 3
RINGER: constant(uint8) = 8
# Enough for a contract wallet to take a payment, too little to hold up whoever pays.
SEND_GAS: constant(uint256) = 50_000

struct Receipt:
    outcome: uint8
    code_hash: bytes32
    input_hash: bytes32
    output_hash: bytes32
    work_uwu: uint64

struct Game:
    provider: address
    customer: address
    output_hash: bytes32
    phase: uint8
    level: uint8
    index: uint32
    theirs: bytes32
    ours: bytes32
    left: bytes32
    right: bytes32
    agreed: bytes32
    agreed_level: uint8
    before: bytes32
    provider_seconds: uint256
    customer_seconds: uint256
    moved_at: uint256
    deposit: uint256

event Challenged:
    audit_id: indexed(uint256)
    job_id: indexed(uint64)
    provider: indexed(address)
    customer: address
    lease_id: uint256
    task: uint32
    depth: uint8

event Moved:
    audit_id: indexed(uint256)
    phase: uint8
    level: uint8
    index: uint32

event StepFound:
    audit_id: indexed(uint256)
    index: uint32
    before: bytes32
    claimed: bytes32
    countered: bytes32

event Decided:
    audit_id: indexed(uint256)
    refuted: bool
    silent: bool

event DepositPaid:
    audit_id: indexed(uint256)
    account: indexed(address)
    amount: uint256

event Credited:
    account: indexed(address)
    amount: uint256

event Withdrawn:
    account: indexed(address)
    amount: uint256

registry: public(immutable(address))
market: public(immutable(address))
audits: public(immutable(address))

games: public(HashMap[uint256, Game])
withdrawable: public(HashMap[address, uint256])


@deploy
def __init__(_registry: address, _market: address, _audits: address):
    """
    @param _registry The registry of providers.
    @param _market The market.
    @param _audits The contract of audits.
    """
    registry = _registry
    market = _market
    audits = _audits


@external
@payable
@nonreentrant
def challenge(
    lease_id: uint256,
    task: uint32,
    receipt: Receipt,
    steps: uint64,
    root: bytes32,
    last: bytes32,
    depth: uint8,
    own: bytes32,
) -> uint256:
    """
    @notice Say that a task of the caller's has another trace; the value is the fee of Audits,
            the task's price and DEPOSIT.
    @dev A result without a trace, or with one that nobody can have, is disputed as a whole: Audits.dispute.
    @param lease_id The lease.
    @param task Number of the task in the job.
    @param receipt As the provider stated it; its output hash binds the three that follow.
    @param steps Number of states.
    @param root Root of the trace.
    @param last Hash of the last state, the result.
    @param depth Depth of the caller's own trace.
    @param own Its root.
    @return The audit's number.
    """
    assert receipt.outcome == 0, "bisection: the receipt states no result"
    assert steps > 0 and steps <= MAX_STEPS, "bisection: number of states out of range"
    assert last != END and last != RAISED, "bisection: the result is no state"
    assert self._output_hash(steps, root, last) == receipt.output_hash, "bisection: not the trace of this output"
    assert depth <= MAX_DEPTH, "bisection: depth out of range"
    fee: uint256 = staticcall Audits(audits).fee(lease_id, task)
    about: Standing = staticcall Market(market).standing(lease_id, task)
    deposit: uint256 = about.price + DEPOSIT
    assert msg.value == fee + deposit, "bisection: value is not the fee and the deposit"
    audit_id: uint256 = extcall Audits(audits).narrow(
        msg.sender,
        lease_id,
        task,
        receipt.outcome,
        receipt.code_hash,
        receipt.input_hash,
        receipt.output_hash,
        receipt.work_uwu,
        value=fee,
    )
    common: uint8 = max(depth, self._depth(steps))
    seconds: uint256 = CLOCK_SECONDS + 3 * convert(about.task_timeout, uint256)
    self.games[audit_id] = Game(
        provider=about.provider,
        customer=msg.sender,
        output_hash=receipt.output_hash,
        phase=ANCHORING,
        level=common,
        index=0,
        theirs=self._lifted(root, self._depth(steps), common),
        ours=self._lifted(own, depth, common),
        left=END,
        right=END,
        agreed=END,
        agreed_level=0,
        before=END,
        provider_seconds=seconds,
        customer_seconds=seconds,
        moved_at=block.timestamp,
        deposit=deposit,
    )
    log Challenged(
        audit_id=audit_id,
        job_id=about.job_id,
        provider=about.provider,
        customer=msg.sender,
        lease_id=lease_id,
        task=task,
        depth=common,
    )
    return audit_id


@external
@nonreentrant
def anchor(audit_id: uint256, steps: uint64, root: bytes32, last: bytes32, nodes: DynArray[bytes32, 20]):
    """
    @notice As the provider: show that the trace ends with the result, and that nothing follows it.
    @param audit_id The audit.
    @param steps Number of states, as in the output.
    @param root Root of the trace, as in the output.
    @param last Hash of the last state, as in the output.
    @param nodes Those to the left of the way from the last leaf to the root, lowest first.
    """
    assert self.games[audit_id].phase == ANCHORING, "bisection: not the time to anchor"
    self._move_of_provider(audit_id)
    stated: bytes32 = self._output_hash(steps, root, last)
    assert stated == self.games[audit_id].output_hash, "bisection: not the trace of this output"
    depth: uint8 = self._depth(steps)
    node: bytes32 = last
    end: bytes32 = END
    used: uint256 = 0
    for level: uint8 in range(20):
        if level == depth:
            break
        if (convert(steps - 1, uint256) >> convert(level, uint256)) & 1 == 1:
            assert used < len(nodes), "bisection: nodes are missing"
            node = self._join(nodes[used], node)
            used += 1
        else:
            node = self._join(node, end)
        end = self._join(end, end)
    assert used == len(nodes) and node == root, "bisection: the trace does not end with the result"
    if self.games[audit_id].theirs == self.games[audit_id].ours:
        # The customer's own trace is the provider's.
        self._decide(audit_id, False, False)
    else:
        self._descend(audit_id)


@external
@nonreentrant
def open(audit_id: uint256, left: bytes32, right: bytes32):
    """
    @notice As the side whose turn it is: show the two nodes below one's own.
    @param audit_id The audit.
    @param left The left one.
    @param right The right one.
    """
    game: Game = self.games[audit_id]
    if game.phase == ANSWERING:
        self._move_of_provider(audit_id)
        assert self._join(left, right) == game.theirs, "bisection: not the nodes below"
        self.games[audit_id].left = left
        self.games[audit_id].right = right
        self._enter(audit_id, COUNTERING)
        return
    assert game.phase == COUNTERING, "bisection: not the time to open"
    self._move_of_customer(audit_id)
    assert self._join(left, right) == game.ours, "bisection: not the nodes below"
    self.games[audit_id].level = game.level - 1
    if left != game.left:
        self.games[audit_id].theirs = game.left
        self.games[audit_id].ours = left
    else:
        self.games[audit_id].theirs = game.right
        self.games[audit_id].ours = right
        self.games[audit_id].agreed = left
        self.games[audit_id].agreed_level = game.level - 1
        self.games[audit_id].index = game.index + convert(1 << convert(game.level - 1, uint256), uint32)
    self._descend(audit_id)


@external
@nonreentrant
def show(audit_id: uint256, before: bytes32, nodes: DynArray[bytes32, 20]):
    """
    @notice As either side: show the leaf before the step, on which both agree.
    @param audit_id The audit.
    @param before The leaf.
    @param nodes Those to the left of the way from it to the node that both agree on, lowest first.
    """
    game: Game = self.games[audit_id]
    assert game.phase == SHOWING, "bisection: not the time to show"
    if msg.sender != game.customer:
        self._assert_provider(game.provider)
    # Both know it, but it is the provider whose work is in question.
    self._charge_provider(audit_id)
    assert len(nodes) == convert(game.agreed_level, uint256), "bisection: wrong number of nodes"
    node: bytes32 = before
    for each: bytes32 in nodes:
        node = self._join(each, node)
    assert node == game.agreed, "bisection: not the leaf before the step"
    self.games[audit_id].before = before
    if before == END or before == RAISED:
        # Nothing follows the end, and of two that differ only one says so.
        self._decide(audit_id, game.theirs != END, False)
    else:
        self._judge(audit_id)


@external
@nonreentrant
def time_out(audit_id: uint256):
    """
    @notice End a game whose next move is overdue; anybody may.
    @param audit_id The audit.
    """
    game: Game = self.games[audit_id]
    assert game.phase >= ANCHORING and game.phase <= SHOWING, "bisection: nobody is to move"
    of_customer: bool = game.phase == COUNTERING
    left: uint256 = game.provider_seconds
    if of_customer:
        left = game.customer_seconds
    assert block.timestamp > game.moved_at + left, "bisection: the clock has not run out"
    self._decide(audit_id, not of_customer, True)


@external
@nonreentrant
def pay_deposit(audit_id: uint256):
    """
    @notice Send the deposit where it belongs once the committee has ended the audit; anybody may.
    @param audit_id The audit.
    """
    assert self.games[audit_id].phase == JUDGING, "bisection: no committee judges"
    state: uint8 = staticcall Audits(audits).state_of(audit_id)
    assert state >= UPHELD and state <= RINGER, "bisection: the audit has not ended"
    self._enter(audit_id, ENDED)
    self._pay_deposit(audit_id, state == UPHELD)


@external
@nonreentrant
def withdraw():
    """
    @notice Fetch what could not be sent before.
    """
    amount: uint256 = self.withdrawable[msg.sender]
    assert amount > 0, "bisection: nothing to withdraw"
    self.withdrawable[msg.sender] = 0
    log Withdrawn(account=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)


@internal
def _move_of_provider(audit_id: uint256):
    self._assert_provider(self.games[audit_id].provider)
    self._charge_provider(audit_id)


@internal
def _move_of_customer(audit_id: uint256):
    assert msg.sender == self.games[audit_id].customer, "bisection: not the customer's account"
    used: uint256 = block.timestamp - self.games[audit_id].moved_at
    assert used <= self.games[audit_id].customer_seconds, "bisection: the clock has run out"
    self.games[audit_id].customer_seconds -= used
    self.games[audit_id].moved_at = block.timestamp


@internal
@view
def _assert_provider(provider: address):
    if msg.sender != provider:
        owner: address = staticcall Registry(registry).provider_of(msg.sender)
        assert owner == provider, "bisection: not the provider or its operator"


@internal
def _charge_provider(audit_id: uint256):
    used: uint256 = block.timestamp - self.games[audit_id].moved_at
    assert used <= self.games[audit_id].provider_seconds, "bisection: the clock has run out"
    self.games[audit_id].provider_seconds -= used
    self.games[audit_id].moved_at = block.timestamp


@internal
def _enter(audit_id: uint256, phase: uint8):
    self.games[audit_id].phase = phase
    log Moved(audit_id=audit_id, phase=phase, level=self.games[audit_id].level, index=self.games[audit_id].index)


@internal
def _descend(audit_id: uint256):
    if self.games[audit_id].level > 0:
        self._enter(audit_id, ANSWERING)
    elif self.games[audit_id].index > 0:
        self._enter(audit_id, SHOWING)
    else:
        # The first step begins from the task's input.
        self._judge(audit_id)


@internal
def _judge(audit_id: uint256):
    game: Game = self.games[audit_id]
    log StepFound(
        audit_id=audit_id, index=game.index, before=game.before, claimed=game.theirs, countered=game.ours
    )
    self._enter(audit_id, JUDGING)
    extcall Audits(audits).judge_step(audit_id, game.theirs)


@internal
def _decide(audit_id: uint256, refuted: bool, silent: bool):
    self._enter(audit_id, ENDED)
    log Decided(audit_id=audit_id, refuted=refuted, silent=silent)
    extcall Audits(audits).decide(audit_id, refuted)
    self._pay_deposit(audit_id, not refuted)


@internal
def _pay_deposit(audit_id: uint256, upheld: bool):
    account: address = self.games[audit_id].customer
    if upheld:
        account = self.games[audit_id].provider
    amount: uint256 = self.games[audit_id].deposit
    self.games[audit_id].deposit = 0
    log DepositPaid(audit_id=audit_id, account=account, amount=amount)
    # A recipient that refuses must not hold up anybody else: it can fetch the amount itself.
    success: bool = raw_call(account, b"", value=amount, gas=SEND_GAS, revert_on_failure=False)
    if not success:
        self.withdrawable[account] += amount
        log Credited(account=account, amount=amount)


@internal
@pure
def _output_hash(steps: uint64, root: bytes32, last: bytes32) -> bytes32:
    return sha256(concat(OUTPUT_START, convert(steps, bytes8), root, last))


@internal
@pure
def _join(left: bytes32, right: bytes32) -> bytes32:
    return sha256(concat(NODE, left, right))


@internal
@pure
def _depth(steps: uint64) -> uint8:
    depth: uint8 = 0
    for _: uint256 in range(20):
        if convert(steps, uint256) <= 1 << convert(depth, uint256):
            break
        depth += 1
    return depth


@internal
@pure
def _lifted(root: bytes32, own: uint8, common: uint8) -> bytes32:
    # The root of the deeper tree, whose further leaves are all END.
    node: bytes32 = root
    end: bytes32 = END
    for level: uint8 in range(20):
        if level == common:
            break
        if level >= own:
            node = self._join(node, end)
        end = self._join(end, end)
    return node
