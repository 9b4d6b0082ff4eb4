"""Two votes of one view convict a key, and nothing else does."""

from __future__ import annotations

from typing import Any

import boa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import deploy
from .staking import (
    FINALIZE,
    NOTARIZE,
    NULLIFY_FINALIZE,
    Voter,
    chain_id,
    double_vote,
    number,
    proposal,
    round_of,
)

OWNER, STAKING = "0x" + "11" * 20, "0x" + "22" * 20
VOTER = Voter(7)
KINDS = [NOTARIZE, FINALIZE, NULLIFY_FINALIZE]
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]


@pytest.fixture(scope="module")
def keys() -> Any:
    with boa.env.anchor():
        yield deploy("ConsensusKeys", folder="stake")


@pytest.mark.parametrize("tag", KINDS)
@pytest.mark.parametrize("epoch", [0, 127, 128, 2**64 - 1])
def test_each_kind_of_double_vote_convicts_its_signer(keys: Any, tag: int, epoch: int) -> None:
    evidence = double_vote(VOTER, 127, epoch, tag, view=2**64 - 1)
    assert keys.subject(evidence) == (epoch, 127)
    assert keys.proves(evidence, VOTER.key)
    assert not keys.proves(evidence, Voter(8).key)


def test_the_longest_activity_fits(keys: Any) -> None:
    most = 2**64 - 1
    votes = [VOTER.vote("NOTARIZE", proposal(most, most, payload, most), 2**32 - 1) for payload in (1, 2)]
    evidence = bytes([NOTARIZE]) + b"".join(votes)
    assert len(evidence) == keys.MAX_ACTIVITY()
    assert keys.subject(evidence) == (most, 2**32 - 1)
    assert keys.proves(evidence, VOTER.key)


def test_another_parent_is_another_proposal(keys: Any) -> None:
    votes = [VOTER.vote("FINALIZE", proposal(1, 9, 1, parent), 0) for parent in (7, 8)]
    assert keys.proves(bytes([FINALIZE]) + b"".join(votes), VOTER.key)


def test_what_an_honest_validator_signs_convicts_nobody(keys: Any) -> None:
    def evidence(tag: int, *votes: tuple[str, bytes, int]) -> bytes:
        return bytes([tag]) + b"".join(VOTER.vote(*vote) for vote in votes)

    one, other = proposal(1, 5, 1), proposal(1, 6, 2)
    same = evidence(NOTARIZE, ("NOTARIZE", one, 0), ("NOTARIZE", one, 0))
    with boa.reverts("consensus keys: votes agree"):
        keys.proves(same, VOTER.key)
    views = evidence(NOTARIZE, ("NOTARIZE", one, 0), ("NOTARIZE", other, 0))
    with boa.reverts("consensus keys: votes are of two views"):
        keys.proves(views, VOTER.key)
    epochs = evidence(NOTARIZE, ("NOTARIZE", one, 0), ("NOTARIZE", proposal(2, 5, 2), 0))
    with boa.reverts("consensus keys: votes are of two views"):
        keys.proves(epochs, VOTER.key)
    signers = evidence(NOTARIZE, ("NOTARIZE", one, 0), ("NOTARIZE", proposal(1, 5, 2), 1))
    with boa.reverts("consensus keys: votes are of two signers"):
        keys.proves(signers, VOTER.key)
    # Notarize and nullify in one view is what a validator does whose leader is slow.
    slow = evidence(NULLIFY_FINALIZE, ("NULLIFY", round_of(1, 5), 0), ("NOTARIZE", one, 0))
    assert not keys.proves(slow, VOTER.key)
    # Notarize and finalize of two proposals: the second signature is of another kind than the tag says.
    mixed = evidence(NOTARIZE, ("NOTARIZE", one, 0), ("FINALIZE", proposal(1, 5, 2), 0))
    assert not keys.proves(mixed, VOTER.key)


def test_votes_of_another_chain_convict_nobody(keys: Any) -> None:
    votes = [VOTER.vote("NOTARIZE", proposal(1, 5, payload), 0, chain_id() + 1) for payload in (1, 2)]
    assert not keys.proves(bytes([NOTARIZE]) + b"".join(votes), VOTER.key)


@pytest.mark.parametrize("tag", [*range(7), 10, 255])
def test_other_activities_are_no_fault(keys: Any, tag: int) -> None:
    with boa.reverts("consensus keys: activity is no fault"):
        keys.subject(bytes([tag]) + double_vote(VOTER, 0, 1)[1:])


def test_numbers_have_one_encoding(keys: Any) -> None:
    rest = double_vote(VOTER, 0, 1)[2:]
    with boa.reverts("consensus keys: number has needless bytes"):
        keys.subject(bytes([NOTARIZE, 0x81, 0x00]) + rest[:200])
    with boa.reverts("consensus keys: number is too large"):
        keys.subject(bytes([NOTARIZE]) + b"\xff" * 9 + b"\x02" + rest[:100])
    with boa.reverts("consensus keys: number is too large"):
        keys.subject(bytes([NOTARIZE]) + b"\xff" * 10 + rest[:100])
    signer = bytes([NOTARIZE]) + proposal(1, 5) + number(2**32)
    with boa.reverts("consensus keys: number is too large"):
        keys.subject(signer + rest[:100])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 500), flip=st.integers(1, 255), tag=st.sampled_from(KINDS), cut=st.booleans())
def test_changed_and_cut_evidence_convicts_nobody(keys: Any, place: int, flip: int, tag: int, cut: bool) -> None:
    good = bytearray(double_vote(VOTER, 3, 1, tag))
    place %= len(good)
    if cut:
        evidence = bytes(good[:place])
    else:
        good[place] ^= flip
        evidence = bytes(good)
    try:
        accused = keys.subject(evidence)
        convicted = keys.proves(evidence, VOTER.key)
    except boa.BoaError:
        return
    # Who signed is not signed; the contract looks the key up by it, so another place names another key.
    assert not convicted or accused != (1, 3), "changed bytes still convict"


def test_bytes_behind_the_votes_are_refused(keys: Any) -> None:
    with boa.reverts("consensus keys: bytes after the votes"):
        keys.subject(double_vote(VOTER, 0, 1) + b"\0")


def test_possession_is_of_one_owner_contract_and_chain(keys: Any) -> None:
    proof = VOTER.possession(OWNER, STAKING)
    assert keys.possesses(OWNER, STAKING, VOTER.key, proof)
    assert not keys.possesses(STAKING, STAKING, VOTER.key, proof)
    assert not keys.possesses(OWNER, OWNER, VOTER.key, proof)
    assert not keys.possesses(OWNER, STAKING, Voter(8).key, proof)
    assert not keys.possesses(OWNER, STAKING, VOTER.key, proof[:63])
    assert not keys.possesses(OWNER, STAKING, VOTER.key, b"")
    boa.env.evm.patch.chain_id += 1
    try:
        assert not keys.possesses(OWNER, STAKING, VOTER.key, proof)
    finally:
        boa.env.evm.patch.chain_id -= 1


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_keys_that_anybody_can_sign_with_are_refused(keys: Any, key: str) -> None:
    forged = bytes([1]) + bytes(63)
    assert not keys.possesses(OWNER, STAKING, bytes.fromhex(key), forged)


def test_a_chain_without_the_precompile_convicts_nobody() -> None:
    from boa.vm.py_evm import deregister_raw_precompile, register_raw_precompile

    from . import staking

    with boa.env.anchor():
        keys = deploy("ConsensusKeys", folder="stake")
        deregister_raw_precompile(staking.ED25519)
        try:
            assert not keys.proves(double_vote(VOTER, 0, 1), VOTER.key)
        finally:
            register_raw_precompile(staking.ED25519, staking._verify_signature)
