"""The compiled system contracts; ``make contracts`` writes them from ``contracts/``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec


class Artefact(msgspec.Struct):
    """One compiled contract."""

    name: str
    compiler: str
    evm_version: str
    source_sha256: str
    abi: list[dict[str, Any]]
    bytecode: str


@cache
def artefact(name: str) -> Artefact:
    """The compiled contract called ``name``, for instance ``"Market"``."""
    return msgspec.json.decode((files(__name__) / f"{name}.json").read_bytes(), type=Artefact)
