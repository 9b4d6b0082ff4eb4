"""What a check of a machine has found, and what to do about it."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct):
    """One thing that is needed or good to have."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True
