# pragma version 0.4.3
# pragma evm-version prague
"""
@title Token of node shares
@license MIT OR Apache-2.0
@author The Candela developers
@notice ERC-20 with permits (ERC-2612). The contract's own balance is the stake of the node's owner and can't be transferred.
@dev A module of Shares: it mints and burns, the module moves.
"""

PERMIT: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
DOMAIN: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
VERSION: constant(bytes32) = keccak256("1")

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256

name: public(String[64])
symbol: public(String[16])
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])


@external
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Give shares away.
    @param receiver Who gets them.
    @param amount How many.
    @return True.
    """
    self._transfer(msg.sender, receiver, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Move shares that their owner has approved.
    @param sender Whose shares.
    @param receiver Who gets them.
    @param amount How many.
    @return True.
    """
    self._spend_allowance(sender, msg.sender, amount)
    self._transfer(sender, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Let somebody move shares of the caller.
    @param spender Who.
    @param amount How many; 2**256 - 1 for any number.
    @return True.
    """
    self._approve(msg.sender, spender, amount)
    return True


@external
def permit(owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    """
    @notice Approve by a signature (ERC-2612).
    @param owner Whose shares.
    @param spender Who may move them.
    @param amount How many.
    @param deadline Unix time until which the signature is good.
    @param v The signature's parity.
    @param r The signature's first half.
    @param s The signature's second half.
    """
    assert block.timestamp <= deadline, "shares: permit has expired"
    nonce: uint256 = self.nonces[owner]
    self.nonces[owner] = nonce + 1
    content: bytes32 = keccak256(abi_encode(PERMIT, owner, spender, amount, nonce, deadline))
    signer: address = ecrecover(keccak256(concat(b"\x19\x01", self._domain(), content)), v, r, s)
    assert signer != empty(address) and signer == owner, "shares: wrong signature"
    self._approve(owner, spender, amount)


@external
@pure
def decimals() -> uint8:
    """
    @notice Six more than the coin's: a first nit buys VIRTUAL_SHARES shares.
    @return 24.
    """
    return 24


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice What ties a permit to this vault and chain.
    @return The hash of EIP-712.
    """
    return self._domain()


@internal
def _mint(receiver: address, shares: uint256):
    self.totalSupply += shares
    self.balanceOf[receiver] += shares
    log Transfer(sender=empty(address), receiver=receiver, value=shares)


@internal
def _burn(holder: address, shares: uint256):
    assert self.balanceOf[holder] >= shares, "shares: balance is too small"
    self.balanceOf[holder] -= shares
    self.totalSupply -= shares
    log Transfer(sender=holder, receiver=empty(address), value=shares)


@internal
def _transfer(sender: address, receiver: address, amount: uint256):
    # The vault's own balance is the owner's stake and moves by staking only.
    assert sender != self and receiver != self, "shares: stake is the owner's"
    assert receiver != empty(address), "shares: receiver is zero"
    assert self.balanceOf[sender] >= amount, "shares: balance is too small"
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, value=amount)


@internal
def _approve(holder: address, spender: address, amount: uint256):
    self.allowance[holder][spender] = amount
    log Approval(owner=holder, spender=spender, value=amount)


@internal
def _spend_allowance(holder: address, spender: address, amount: uint256):
    allowed: uint256 = self.allowance[holder][spender]
    if allowed == max_value(uint256):
        return
    assert allowed >= amount, "shares: allowance is too small"
    self._approve(holder, spender, allowed - amount)


@internal
@view
def _domain() -> bytes32:
    return keccak256(abi_encode(DOMAIN, keccak256(self.name), VERSION, chain.id, self))
