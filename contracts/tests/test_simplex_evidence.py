"""The contract judges the bytes that the engine itself encodes, and the precompile of these tests is ZIP-215's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boa
import pytest

from .conftest import deploy
from .staking import ED25519

VECTORS = Path(__file__).parents[2] / "vectors"
SIMPLEX: dict[str, Any] = json.loads((VECTORS / "simplex.json").read_text())
EVIDENCE: list[dict[str, Any]] = SIMPLEX["evidence"]
SIGNATURES: list[dict[str, Any]] = json.loads((VECTORS / "ed25519.json").read_text())["cases"]
KEYS = [bytes.fromhex(key[2:]) for key in SIMPLEX["keys"]]


@pytest.fixture(scope="module")
def keys() -> Iterator[Any]:
    patch = boa.env.evm.patch
    before, patch.chain_id = patch.chain_id, SIMPLEX["chainId"]
    try:
        with boa.env.anchor():
            yield deploy("ConsensusKeys", folder="stake")
    finally:
        patch.chain_id = before


def test_evidence_of_the_engine_convicts_its_signer_and_nobody_else(keys: Any) -> None:
    assert len(EVIDENCE) == 36
    for each in EVIDENCE:
        activity = bytes.fromhex(each["activity"][2:])
        assert keys.subject(activity) == (int(each["epoch"], 16), each["seat"])
        judged = [keys.proves(activity, key) for key in KEYS]
        assert judged == [seat == each["seat"] for seat in range(len(KEYS))], each["kind"]


def test_evidence_of_another_chain_proves_nothing(keys: Any) -> None:
    boa.env.evm.patch.chain_id = SIMPLEX["chainId"] + 1
    try:
        for each in EVIDENCE[:3]:
            assert not keys.proves(bytes.fromhex(each["activity"][2:]), KEYS[each["seat"]])
    finally:
        boa.env.evm.patch.chain_id = SIMPLEX["chainId"]


def test_evidence_with_a_changed_byte_proves_nothing(keys: Any) -> None:
    for each in EVIDENCE[:3]:
        activity = bytes.fromhex(each["activity"][2:])
        for place in range(0, len(activity), 5):
            changed = activity[:place] + bytes([activity[place] ^ 1]) + activity[place + 1 :]
            try:
                assert not keys.proves(changed, KEYS[each["seat"]]), place
            except boa.BoaError:
                continue


def test_precompile_judges_the_vectors_as_they_say() -> None:
    for each in SIGNATURES:
        data = b"".join(bytes.fromhex(each[field][2:]) for field in ("key", "signature", "message"))
        computation = boa.env.execute_code(ED25519, data=data)
        assert computation.output == ((1).to_bytes(32, "big") if each["valid"] else b""), each["name"]
