# pragma version 0.4.3
"""
@title Messages on a board
@notice What the clients deploy, call, revert and listen to.
"""

event Posted:
    author: indexed(address)
    number: indexed(uint256)
    text: String[64]

owner: public(address)
count: public(uint256)
last: public(String[64])


@deploy
def __init__(first: String[64]):
    self.owner = msg.sender
    self.last = first


@external
@payable
def post(text: String[64]) -> uint256:
    assert len(text) > 0, "board: the text is empty"
    self.count += 1
    self.last = text
    log Posted(author=msg.sender, number=self.count, text=text)
    return self.count


@external
def clear():
    if msg.sender != self.owner:
        raw_revert(abi_encode(msg.sender, method_id=method_id("NotOwner(address)")))
    self.last = ""


@external
@view
def divide(number: uint256) -> uint256:
    """
    @notice Fails without a reason when `number` is zero.
    """
    return 100 // number


@external
@view
def endless():
    for i: uint256 in range(max_value(uint256)):
        pass
