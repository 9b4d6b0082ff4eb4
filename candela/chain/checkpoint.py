"""A block that is trusted, with the validators of its epoch: where a light client starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec

from candela.chain.committee import Committee
from candela.errors import CheckpointError

UNBONDING_SECONDS = 21 * 24 * 3600
"""How long stake pays for faults after the last election that it took part in (the staking contract)."""
MAX_AGE_SECONDS = UNBONDING_SECONDS // 2
"""Oldest block to start from: who could lie about what followed it has its stake locked still, and as much time
again remains to punish them."""
MAX_BYTES = 1 << 16


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a light client believes to begin with. It has to come from somebody who is trusted."""

    chain_id: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
    block_hash: Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
    committee: Committee

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """The checkpoint in a JSON file.

        Raises:
            CheckpointError: missing or malformed.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise CheckpointError(
                f"there is no checkpoint at {path}",
                why=error.strerror or str(error),
                fix="get one from somebody whom you trust; for a network of your own: candela light checkpoint",
            ) from error
        if len(content) > MAX_BYTES:
            raise CheckpointError(f"{path} is no checkpoint", why=f"it has more than {MAX_BYTES} bytes")
        try:
            return msgspec.json.decode(content, type=cls)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise CheckpointError(f"{path} is no checkpoint", why=str(error)) from error

    def write(self, path: Path) -> None:
        """Replace the file that :meth:`read` reads, all of it or nothing."""
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        part.replace(path)


def check_age(timestamp_ms: int, now_ms: int) -> None:
    """Refuse a block that is too old to start from.

    Args:
        timestamp_ms: the block's time, Unix milliseconds.
        now_ms: the time now, by a clock that is right.

    Raises:
        CheckpointError: stake that voted then may be free again, so that its votes cost nothing.
    """
    age = (now_ms - timestamp_ms) // 1000
    if age > MAX_AGE_SECONDS:
        raise CheckpointError(
            f"the checkpoint is {age // 3600} hours old",
            why=f"past {MAX_AGE_SECONDS // 3600} hours, those who voted then may have taken back their stake, and lie"
            " without a penalty",
            fix="get a newer one from somebody whom you trust",
        )
