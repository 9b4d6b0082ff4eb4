"""What a transaction says, before anybody signs it."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct):
    """What a transaction says, without the parts that the sender fills in."""

    to: str | None
    data: bytes = b""
    value: int = 0
    gas: int | None = None
    """Gas limit; estimated when absent."""
