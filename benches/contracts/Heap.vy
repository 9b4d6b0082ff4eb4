# pragma version 0.4.3
"""
@title Storage for whoever calls, for measuring calls that write a lot
@license MIT OR Apache-2.0
"""

slots: public(HashMap[address, HashMap[uint256, uint256]])


@external
def fill(first: uint256, count: uint256):
    """
    @notice Write `count` slots of the caller, at most 64, from `first` on.
    @param first Number of the first slot.
    @param count How many.
    """
    for index: uint256 in range(count, bound=64):
        self.slots[msg.sender][first + index] = first + index + 1
