"""Check the certificate that makes a block final: commonware's ``Finalization`` with Ed25519 signatures."""

from __future__ import annotations

import msgspec

from candela.chain import ed25519
from candela.chain.committee import MAX_SEATS, Committee
from candela.errors import CertificateError

_HASH_BYTES = 32
_SIGNATURE_BYTES = 64
_MAX_NUMBER_BYTES = 10
MAX_BYTES = 3 * _MAX_NUMBER_BYTES + _HASH_BYTES + 8 + MAX_SEATS // 8 + 2 + MAX_SEATS * _SIGNATURE_BYTES
"""Longest certificate."""


class Finalization(msgspec.Struct, frozen=True):
    """What a certificate says; :func:`verify` shows that it is true."""

    epoch: int
    view: int
    parent_view: int
    block_hash: bytes
    """The block that it makes final, with all its ancestors."""
    seats: int
    """How many seats the committee of the signers has."""
    signatures: dict[int, bytes]
    """By place of the seat in the committee."""
    signed: bytes
    """The encoded proposal: epoch, view, view of the parent, block hash."""


def decode(certificate: bytes) -> Finalization:
    """Read a certificate's bytes, which may be anybody's.

    The encoding is commonware 2026.10.0's. Numbers are LEB128 without needless bytes. A proposal is epoch | view | view
    of the parent | block hash; then follow the number of seats (8 bytes, big-endian), a bitmap of the signers (lowest
    bit first), the number of signatures, and 64 bytes for each signer.

    Raises:
        CertificateError: they are no certificate.
    """
    if len(certificate) > MAX_BYTES:
        raise _malformed(f"{len(certificate)} bytes are more than {MAX_BYTES}")
    reader = _Reader(certificate)
    epoch, view, parent_view = reader.number(64), reader.number(64), reader.number(64)
    block_hash = reader.take(_HASH_BYTES)
    signed = certificate[: reader.at]
    seats = int.from_bytes(reader.take(8))
    if not 1 <= seats <= MAX_SEATS:
        raise _malformed(f"it is of {seats} seats")
    bitmap = int.from_bytes(reader.take((seats + 7) // 8), "little")
    if bitmap >> seats:
        raise _malformed("a seat signs that does not exist")
    signers = [seat for seat in range(seats) if bitmap >> seat & 1]
    if not signers or reader.number(32) != len(signers):
        raise _malformed("signers and signatures differ in number")
    signatures = {seat: reader.take(_SIGNATURE_BYTES) for seat in signers}
    if reader.at != len(certificate):
        raise _malformed("bytes follow it")
    return Finalization(epoch, view, parent_view, block_hash, seats, signatures, signed)


def verify(finalization: Finalization, committee: Committee, chain_id: int) -> None:
    """Check that a committee has made a block final.

    Args:
        finalization: a decoded certificate.
        committee: who may sign; trusted.
        chain_id: of the chain that the block has to be of.

    Raises:
        CertificateError: it has not: another epoch, too few signers, or a signature that is not its seat's.
    """
    if finalization.epoch != committee.epoch:
        raise _refusal(f"it is of epoch {finalization.epoch}, not of {committee.epoch}")
    if finalization.seats != len(committee.seats):
        raise _refusal(f"it is of {finalization.seats} seats, and the committee has {len(committee.seats)}")
    if len(finalization.signatures) < committee.quorum:
        raise _refusal(f"{len(finalization.signatures)} have signed it, and {committee.quorum} have to")
    message = signed_bytes(chain_id, finalization.signed)
    for seat, signature in finalization.signatures.items():
        if not ed25519.verify(committee.keys[seat], signature, message):
            raise _refusal(f"the signature of seat {seat} is not by its key")


def signed_bytes(chain_id: int, proposal: bytes) -> bytes:
    """What a seat signs to make a proposal final: length of the namespace | namespace | proposal.

    Args:
        chain_id: decimal in the namespace, so that no vote counts on another chain (crates/consensus, stack.rs).
        proposal: its encoding.
    """
    namespace = f"_CANDELA_{chain_id}_FINALIZE".encode()
    return bytes([len(namespace)]) + namespace + proposal


class _Reader:
    """Takes bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, count: int) -> bytes:
        taken = self._data[self.at : self.at + count]
        if len(taken) != count:
            raise _malformed("it is cut off")
        self.at += count
        return taken

    def number(self, bits: int) -> int:
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if (byte == 0 and shift > 0) or value >> bits:
                raise _malformed("a number is not in its shortest form, or too large")
            if byte < 128:
                return value
            shift += 7
            if shift >= bits:
                raise _malformed("a number is too large")


def _malformed(why: str) -> CertificateError:
    return CertificateError("the certificate is malformed", why=why)


def _refusal(why: str) -> CertificateError:
    return CertificateError("the certificate does not make the block final", why=why)
