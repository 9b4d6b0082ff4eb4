# pragma version 0.4.3
"""
@title A constant-product pool of two tokens, for measuring swaps
@license MIT OR Apache-2.0
"""

interface Token:
    def transfer(to: address, amount: uint256) -> bool: nonpayable
    def transferFrom(sender: address, to: address, amount: uint256) -> bool: nonpayable
    def balanceOf(owner: address) -> uint256: view

event Swap:
    trader: indexed(address)
    first_in: bool
    amount_in: uint256
    amount_out: uint256

FEE_PER_MILLE: constant(uint256) = 3

FIRST: immutable(Token)
SECOND: immutable(Token)
first_reserve: public(uint256)
second_reserve: public(uint256)


@deploy
def __init__(first: address, second: address):
    FIRST = Token(first)
    SECOND = Token(second)


@external
def sync():
    """
    @notice Take the pool's token balances as its reserves.
    """
    self.first_reserve = staticcall FIRST.balanceOf(self)
    self.second_reserve = staticcall SECOND.balanceOf(self)


@external
def swap(first_in: bool, amount_in: uint256, least_out: uint256) -> uint256:
    """
    @notice Sell one token for the other.
    @param first_in Whether the first token is sold.
    @param amount_in How much of it; the pool must be approved for that.
    @param least_out Reverts when less of the other would be bought.
    @return How much of the other was bought.
    """
    reserve_in: uint256 = self.first_reserve if first_in else self.second_reserve
    reserve_out: uint256 = self.second_reserve if first_in else self.first_reserve
    effective: uint256 = amount_in * (1000 - FEE_PER_MILLE)
    amount_out: uint256 = effective * reserve_out // (reserve_in * 1000 + effective)
    assert amount_out >= least_out, "pool: price moved"
    sold: Token = FIRST if first_in else SECOND
    bought: Token = SECOND if first_in else FIRST
    extcall sold.transferFrom(msg.sender, self, amount_in)
    extcall bought.transfer(msg.sender, amount_out)
    if first_in:
        self.first_reserve += amount_in
        self.second_reserve -= amount_out
    else:
        self.second_reserve += amount_in
        self.first_reserve -= amount_out
    log Swap(trader=msg.sender, first_in=first_in, amount_in=amount_in, amount_out=amount_out)
    return amount_out
