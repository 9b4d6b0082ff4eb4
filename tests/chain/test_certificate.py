"""Certificates: what makes a block final, and what does not whatever a node sends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candela.chain import certificate
from candela.chain.committee import MAX_SEATS, Committee, Seat
from candela.errors import CertificateError, CheckpointError
from tests.chain.certified import CHAIN_ID, certify, committee, encode, number, proposal, secret

HASH = bytes(range(32))
FOUR = [1, 2, 3, 4]


def check(encoded: bytes, whole: Committee, chain_id: int = CHAIN_ID) -> None:
    certificate.verify(certificate.decode(encoded), whole, chain_id)


def certified(signers: list[int], seeds: list[int] = FOUR, epoch: int = 7) -> tuple[bytes, Committee]:
    whole = committee(epoch, seeds)
    return certify(signers, whole, proposal(epoch, 300, HASH)), whole


def test_quorum_makes_a_block_final() -> None:
    encoded, whole = certified([4, 1, 2])
    finalization = certificate.decode(encoded)
    assert (finalization.epoch, finalization.view, finalization.parent_view) == (7, 300, 299)
    assert finalization.block_hash == HASH
    certificate.verify(finalization, whole, CHAIN_ID)


@pytest.mark.parametrize(("seats", "quorum"), [(1, 1), (2, 2), (3, 3), (4, 3), (6, 5), (7, 5), (100, 67), (128, 86)])
def test_quorum_is_all_but_the_third_that_may_be_faulty(seats: int, quorum: int) -> None:
    seeds = list(range(1, seats + 1))
    encoded, whole = certified(seeds[:quorum], seeds)
    assert whole.quorum == quorum
    check(encoded, whole)
    if quorum > 1:
        with pytest.raises(CertificateError, match=f"{quorum - 1} have signed it, and {quorum} have to"):
            check(certified(seeds[: quorum - 1], seeds)[0], whole)


def test_largest_certificate_is_within_the_bound() -> None:
    seeds = list(range(1, MAX_SEATS + 1))
    whole = committee(2**62, seeds)
    encoded = certify(seeds, whole, number(2**62) + number(2**64 - 1) * 2 + HASH)
    assert certificate.MAX_BYTES - 3 <= len(encoded) <= certificate.MAX_BYTES
    check(encoded, whole)
    with pytest.raises(CertificateError, match="more than"):
        certificate.decode(bytes(certificate.MAX_BYTES + 1))


def test_votes_of_another_committee_chain_or_epoch_count_nothing() -> None:
    encoded, whole = certified(FOUR)
    with pytest.raises(CertificateError, match="not by its key"):
        check(encoded, committee(7, [5, 6, 7, 8]))
    with pytest.raises(CertificateError, match="not by its key"):
        check(encoded, whole, CHAIN_ID + 1)
    with pytest.raises(CertificateError, match="epoch 7, not of 8"):
        check(encoded, committee(8, FOUR))
    with pytest.raises(CertificateError, match="of 4 seats, and the committee has 5"):
        check(encoded, committee(7, [*FOUR, 5]))


@pytest.mark.parametrize("kind", [b"NOTARIZE", b"NULLIFY"])
def test_votes_of_another_kind_count_nothing(kind: bytes) -> None:
    whole, encoded = committee(7, FOUR), proposal(7, 300, HASH)
    namespace = b"_CANDELA_%d_%s" % (CHAIN_ID, kind)
    seats = {whole.keys.index(secret(seed).public_key().public_bytes_raw()): seed for seed in FOUR}
    message = bytes([len(namespace)]) + namespace + encoded
    signatures = {seat: secret(seed).sign(message) for seat, seed in seats.items()}
    with pytest.raises(CertificateError, match="not by its key"):
        check(encode(encoded, 4, signatures), whole)


def test_one_signature_does_not_count_for_another_seat() -> None:
    encoded, whole = certified([1, 2, 3])
    only = next(iter(certificate.decode(encoded).signatures.values()))
    with pytest.raises(CertificateError, match="not by its key"):
        check(encode(proposal(7, 300, HASH), 4, dict.fromkeys(range(3), only)), whole)


def test_every_bit_counts() -> None:
    encoded, whole = certified([1, 2, 3])
    for bit in range(8 * len(encoded)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CertificateError):
            check(bytes(changed), whole)


def test_cut_and_extended_bytes_are_refused() -> None:
    encoded, _ = certified([1, 2, 3])
    for end in range(len(encoded)):
        with pytest.raises(CertificateError):
            certificate.decode(encoded[:end])
    with pytest.raises(CertificateError, match="bytes follow"):
        certificate.decode(encoded + b"\0")


@pytest.mark.parametrize("written", [b"\x87\x00", b"\x87\x80\x00", b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\x01"])
def test_numbers_have_one_encoding(written: bytes) -> None:
    encoded, _ = certified([1, 2, 3])
    assert encoded[0] == 7
    with pytest.raises(CertificateError, match="number"):
        certificate.decode(written + encoded[1:])


@given(st.binary(max_size=400))
def test_any_bytes_are_a_certificate_or_refused(data: bytes) -> None:
    try:
        finalization = certificate.decode(data)
    except CertificateError:
        return
    assert encode(finalization.signed, finalization.seats, finalization.signatures) == data


def test_committee_is_sorted_and_has_each_key_once() -> None:
    seats = committee(0, [1, 2]).seats
    for wrong in (seats[::-1], (seats[0], seats[0]), ()):
        with pytest.raises(CheckpointError):
            Committee(epoch=0, seats=wrong)
    with pytest.raises(CheckpointError, match="129 seats"):
        Committee(epoch=0, seats=tuple(Seat(key=f"0x{index:064x}", stake="1") for index in range(129)))


def test_certificates_that_simplex_makes_hold() -> None:
    document = json.loads((Path(__file__).parents[2] / "vectors" / "simplex.json").read_text())
    keys = [bytes.fromhex(key[2:]) for key in document["keys"]]
    assert len(document["finalizations"]) == 3
    for each in document["finalizations"]:
        finalization = certificate.decode(bytes.fromhex(each["certificate"][2:]))
        assert (finalization.epoch, finalization.view) == (int(each["epoch"], 16), int(each["view"], 16))
        assert ("0x" + finalization.block_hash.hex(), len(finalization.signatures)) == (
            each["blockHash"],
            each["signers"],
        )
        certificate.verify(finalization, Committee.of_keys(finalization.epoch, keys), document["chainId"])
        with pytest.raises(CertificateError):
            certificate.verify(finalization, Committee.of_keys(finalization.epoch, keys), document["chainId"] + 1)
