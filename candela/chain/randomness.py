"""Have the randomness of moments recorded by whoever needs it first."""

from __future__ import annotations

from candela.chain.beacon import Beacon
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.errors import RpcError, TransactionFailed


def recorded(sender: Sender, beacon: Beacon, moment: int) -> bytes | None:
    """A moment's randomness, recorded if nobody has; where the chain is quiet a block is made, and ``None`` returned.

    Raises:
        IntensityError: the moment is too many blocks ago.
        NetworkError: the node can't be reached.
        RpcError: it refused a transaction.
        TransactionFailed: the contract did.
    """
    value = beacon.value(moment)
    if value is not None:
        return value
    found = beacon.find(moment)
    if found is None:
        sender.send(Message(to=sender.account.address, gas=21_000), "making a block")
        return None
    try:
        sender.send(beacon.message("record", moment, found.before, found.at), "recording randomness")
    except (TransactionFailed, RpcError):
        # Most often another one was quicker.
        if (value := beacon.value(moment)) is None:
            raise
        return value
    return beacon.value(moment)
