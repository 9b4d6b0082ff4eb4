"""A small profile, so that whole windows can be checked against plain integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from candela.intensity import Context, Profile

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "intensity.json").read_text())
SMALL = Profile("small", 255, 64, 96, 160)


def context_of(fields: dict[str, Any], profile: Profile) -> Context:
    """The context that a vector describes."""
    contract, beacon, provider = (bytes.fromhex(fields[name][2:]) for name in ("contract", "beacon", "provider"))
    return Context(fields["chain_id"], contract, profile, beacon, provider, fields["device"])


@pytest.fixture
def context() -> Context:
    """The vectors' context with the small profile."""
    return context_of(VECTORS["context"], SMALL)
