"""The randomness of a moment is that of one block, whoever records it."""

from __future__ import annotations

from typing import Any

import boa
import pytest
from eth_utils import keccak

from .conftest import deploy
from .test_intensity import header

MOMENT = 2_000_000_000


@pytest.fixture
def beacon() -> Any:
    with boa.env.anchor():
        yield deploy("Beacon", folder="ledger")


def blocks(before_ms: int, at_ms: int, parent: bytes | None = None) -> tuple[bytes, bytes]:
    """Two headers, of which the second is the newest block that the chain knows."""
    boa.env.evm.patch.block_number += 2
    number = boa.env.evm.patch.block_number - 1
    before = header(number - 1, before_ms, b"\x11" * 32, b"\x22" * 32)
    at = header(number, at_ms, parent or keccak(before), b"\x77" * 32)
    boa.env.evm.patch.prev_hashes = [keccak(at), keccak(before)]
    return before, at


@pytest.mark.parametrize("at_ms", [MOMENT * 1000, MOMENT * 1000 + 9_999])
def test_the_first_block_at_or_after_the_moment_counts(beacon: Any, at_ms: int) -> None:
    before, at = blocks(MOMENT * 1000 - 1, at_ms)
    beacon.record(MOMENT, before, at)
    assert beacon.randomness(MOMENT) == b"\x77" * 32
    with boa.reverts("beacon: already recorded"):
        beacon.record(MOMENT, before, at)


def test_other_blocks_are_refused(beacon: Any) -> None:
    before, at = blocks(MOMENT * 1000, MOMENT * 1000 + 1)
    with boa.reverts("beacon: an earlier block is at the moment"):
        beacon.record(MOMENT, before, at)
    before, at = blocks(MOMENT * 1000 - 2, MOMENT * 1000 - 1)
    with boa.reverts("beacon: block is before the moment"):
        beacon.record(MOMENT, before, at)
    before, at = blocks(MOMENT * 1000 - 1, MOMENT * 1000, b"\x99" * 32)
    with boa.reverts("beacon: headers do not follow"):
        beacon.record(MOMENT, before, at)


def test_headers_that_the_chain_does_not_know_are_refused(beacon: Any) -> None:
    before, at = blocks(MOMENT * 1000 - 1, MOMENT * 1000)
    forged = at.replace(b"\x77" * 32, b"\x78" * 32)
    with boa.reverts("beacon: header is not in this chain"):
        beacon.record(MOMENT, before, forged)
    boa.env.evm.patch.block_number += 256
    with boa.reverts("beacon: block is not among the last 256"):
        beacon.record(MOMENT, before, at)


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_every_start_of_a_header_is_refused(beacon: Any, cut: int) -> None:
    before, at = blocks(MOMENT * 1000 - 1, MOMENT * 1000)
    for headers in ((before[:cut], at), (before, at[:cut]), (b"\xc0" + before, at), (before, b"\x80" * cut)):
        with boa.reverts():
            beacon.record(MOMENT, *headers)
