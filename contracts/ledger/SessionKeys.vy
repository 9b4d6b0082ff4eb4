# pragma version 0.4.3
# pragma evm-version prague
"""
@title Session keys of accounts
@license MIT OR Apache-2.0
@author The Candela developers
@notice Which Ed25519 keys may sign transactions (type 0x50, scheme 16) in an account's place, until when, for how much,
        and to whom.
@dev The ledger reads and writes this contract's storage without calling it (crates/evm/src/session.rs), so the order of
     the two variables and the layout of a word are part of the protocol:
       slot 0, `words`: owner -> key -> word, at keccak256(keccak256(0 . owner) . key)
       slot 1, `scopes`: owner -> key -> callee -> bool, at keccak256(keccak256(keccak256(1 . owner) . key) . callee)
       word = expiry (40 bits) | flags (8 bits) | limit (104 bits) | spent (104 bits), the expiry highest
       flags: 1 scoped, 2 revoked
     The ledger refuses what a key may not do, and adds to `spent` what its transactions cost: value that was moved, and
     gas that was paid. A key can't call this contract or its owner's own address, whatever its scope.
"""

# @notice Most contracts in a key's scope.
MAX_SCOPE: public(constant(uint256)) = 8

SCOPED: constant(uint256) = 1
REVOKED: constant(uint256) = 2
EXPIRY_SHIFT: constant(uint256) = 216
FLAGS_SHIFT: constant(uint256) = 208
LIMIT_SHIFT: constant(uint256) = 104
FLAGS_MASK: constant(uint256) = 2**8 - 1
AMOUNT_MASK: constant(uint256) = 2**104 - 1
LAST_EXPIRY: constant(uint256) = 2**40 - 1

struct Session:
    expiry: uint256
    limit: uint256
    spent: uint256
    scoped: bool
    revoked: bool

event SessionAuthorized:
    owner: indexed(address)
    key: indexed(bytes32)
    expiry: uint256
    limit: uint256
    scope: DynArray[address, MAX_SCOPE]

event SessionRevoked:
    owner: indexed(address)
    key: indexed(bytes32)

words: HashMap[address, HashMap[bytes32, uint256]]
scopes: HashMap[address, HashMap[bytes32, HashMap[address, bool]]]


@external
def authorize(key: bytes32, expiry: uint256, limit: uint256, scope: DynArray[address, MAX_SCOPE]):
    """
    @notice Let a key sign for the caller. A key is authorized once; other terms need another key.
    @param key Ed25519 public key.
    @param expiry Unix time in seconds from which on the key is worth nothing.
    @param limit Most nit that its transactions may move and pay for gas, all together.
    @param scope The addresses that it may call; none means any, and creations too.
    """
    assert key != empty(bytes32), "session: key is zero"
    assert self.words[msg.sender][key] == 0, "session: key is known"
    assert expiry > block.timestamp, "session: expiry has passed"
    assert expiry <= LAST_EXPIRY, "session: expiry is too late"
    assert limit > 0, "session: limit is zero"
    assert limit <= AMOUNT_MASK, "session: limit is too high"
    flags: uint256 = 0
    if len(scope) > 0:
        flags = SCOPED
    for callee: address in scope:
        assert callee != self and callee != msg.sender, "session: callee is reserved"
        self.scopes[msg.sender][key][callee] = True
    self.words[msg.sender][key] = (expiry << EXPIRY_SHIFT) | (flags << FLAGS_SHIFT) | (limit << LIMIT_SHIFT)
    log SessionAuthorized(owner=msg.sender, key=key, expiry=expiry, limit=limit, scope=scope)


@external
def revoke(key: bytes32):
    """
    @notice End a key of the caller at once and for good.
    @param key Ed25519 public key.
    """
    word: uint256 = self.words[msg.sender][key]
    assert word != 0, "session: key is unknown"
    assert not self._has(word, REVOKED), "session: key is revoked"
    self.words[msg.sender][key] = word | (REVOKED << FLAGS_SHIFT)
    log SessionRevoked(owner=msg.sender, key=key)


@external
@view
def session(owner: address, key: bytes32) -> Session:
    """
    @notice The terms of a key and what it has spent; all zero when it was never authorized.
    @param owner In whose place the key signs.
    @param key Ed25519 public key.
    @return The session.
    """
    word: uint256 = self.words[owner][key]
    return Session(
        expiry=word >> EXPIRY_SHIFT,
        limit=(word >> LIMIT_SHIFT) & AMOUNT_MASK,
        spent=word & AMOUNT_MASK,
        scoped=self._has(word, SCOPED),
        revoked=self._has(word, REVOKED),
    )


@external
@view
def allows(owner: address, key: bytes32, callee: address) -> bool:
    """
    @notice Whether a key may call an address now, its limit aside.
    @param owner In whose place the key signs.
    @param key Ed25519 public key.
    @param callee The address.
    @return True when it may.
    """
    word: uint256 = self.words[owner][key]
    if word == 0 or self._has(word, REVOKED) or block.timestamp >= word >> EXPIRY_SHIFT:
        return False
    if callee == self or callee == owner:
        return False
    return self.scopes[owner][key][callee] or not self._has(word, SCOPED)


@internal
@pure
def _has(word: uint256, flag: uint256) -> bool:
    return (word >> FLAGS_SHIFT) & FLAGS_MASK & flag != 0
