"""Follow a chain from a checkpoint, trusting certificates and proofs and no node."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec

from candela import _ledger
from candela.chain import certificate, proof
from candela.chain.checkpoint import Checkpoint, check_age
from candela.chain.client import Client
from candela.chain.committee import MAX_SEATS, Committee
from candela.chain.proof import Proved
from candela.errors import CertificateError, CheckpointError, NetworkError
from candela.network.elections import STAKING

MAX_DESCENDANTS = 1024
"""Most headers between a block and the descendant whose certificate covers it."""
MAX_EPOCHS = 20_000
"""Most epochs in one call of :meth:`LightClient.advance`."""
MAX_DRIFT_MS = 60_000
"""How far a block may be ahead of this machine's clock."""
_PAUSE_SECONDS = 0.02
_HEADER_VERSION = 1
_HEX = r"^0x([0-9a-f]{2})*\Z"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A block's header, whose hash is that of its bytes."""

    number: int
    hash: str
    parent_hash: str
    timestamp_ms: int
    state_root: str
    encoded: bytes
    """The bytes that the hash is of."""
    certificate: bytes
    """What the node says makes it final; empty for genesis."""


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    header_bytes: Annotated[str, msgspec.Meta(pattern=_HEX, max_length=2 + (1 << 17))]
    certificate: Annotated[str, msgspec.Meta(pattern=_HEX, max_length=2 + 2 * certificate.MAX_BYTES)]


class LightClient:
    """Knows one final block and the validators who may finalise the next ones.

    Args:
        node: any node; it can withhold the truth and can't change it, as long as less than a third of the seats lie.
        checkpoint: what is trusted.
        now_ms: the time, Unix milliseconds.
        patience_seconds: how long to wait for a final block that the node is about to store.

    Raises:
        CheckpointError: it is too old, or its validators are of another epoch.
        CertificateError: its validators did not finalise its block, or that of another chain.
        NetworkError: the node can't be reached, or does not have the block.
    """

    def __init__(
        self,
        node: Client,
        checkpoint: Checkpoint,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        patience_seconds: float = 5,
    ) -> None:
        self._node, self._now_ms, self._patience_seconds = node, now_ms, patience_seconds
        self.chain_id, self.committee = checkpoint.chain_id, checkpoint.committee
        self.head = self._fetch(checkpoint.block_hash)
        if self.head.hash != checkpoint.block_hash:
            raise CheckpointError(f"the node answers with block {self.head.hash}", why="the checkpoint names another")
        check_age(self.head.timestamp_ms, now_ms())
        self._check_committee()

    @property
    def checkpoint(self) -> Checkpoint:
        """Where another light client can go on."""
        return Checkpoint(chain_id=self.chain_id, block_hash=self.head.hash, committee=self.committee)

    def advance(self, to: str = "latest") -> Header:
        """Go to the node's newest block or an earlier one, through the elections before it, and return it.

        Args:
            to: the block's height in hex, not below :attr:`head`; the newest one by default.

        Raises:
            CertificateError: a block is not final, or contradicts a final one.
            CheckpointError: too much time has passed since the last call, or the validators of the next epoch are not
                those that the ledger committed to.
            ProofError: the node's proof of that commitment does not hold.
            RpcError: the node can't prove it any more, for example.
            NetworkError: the node can't be reached, lags behind, or breaks off.
        """
        check_age(self.head.timestamp_ms, self._now_ms())
        newest = self._fetch(to)
        for _ in range(MAX_EPOCHS):
            if newest.number < self.head.number:
                raise NetworkError(
                    f"the node is at block {newest.number}", why=f"block {self.head.number} is known to be final"
                )
            if newest.number == self.head.number or _epoch(newest) <= self.committee.epoch:
                self._accept(newest)
                return self.head
            self._follow_election(newest)
        raise NetworkError(f"the node is more than {MAX_EPOCHS} epochs ahead", why="it is not believed to be honest")

    def finalized(self, block: str) -> list[Header]:
        """A final block of :attr:`committee`'s epoch, and its descendants up to the one that its certificate names.

        Args:
            block: its height in hex.

        Raises:
            CertificateError: it is not final, or of another epoch.
            NetworkError: the node can't be reached, or does not have it.
        """
        return self._check_final(self._fetch(block))

    def prove(self, address: str, slots: Sequence[int] = ()) -> Proved:
        """An account and some of its slots after :attr:`head`.

        Raises:
            ProofError: the node's proof does not hold.
            RpcError: it can't prove that block any more; advance first.
        """
        document = proof.fetch(self._node, address, slots, self.head.hash)
        return proof.verify(document, block_hash=self.head.hash, address=address, slots=slots)

    def _check_committee(self) -> None:
        """The block of a checkpoint is trusted: this finds mistakes. Genesis has no certificate, and the last block of
        an epoch may come with the validators of the next one."""
        epoch = _epoch(self.head) if self.head.number > 0 else self.committee.epoch
        if epoch == self.committee.epoch and self.head.number > 0:
            self._check_final(self.head)
        elif epoch not in (self.committee.epoch, self.committee.epoch - 1):
            raise CheckpointError(
                f"the checkpoint has the validators of epoch {self.committee.epoch}",
                why=f"its block was finalised in epoch {epoch}",
            )

    def _accept(self, header: Header) -> None:
        if header.number == self.head.number:
            if header.hash != self.head.hash:
                raise CertificateError(
                    f"the node has another block {header.number}",
                    why=f"{header.hash} and {self.head.hash} can't both be final",
                    fix="ask another node; if both are certified, keep the certificates: a third of the seats has lied",
                )
            return
        self._check_final(header)
        if header.timestamp_ms <= self.head.timestamp_ms:
            raise CertificateError(f"block {header.number} is older than block {self.head.number} before it")
        if header.timestamp_ms > self._now_ms() + MAX_DRIFT_MS:
            raise CertificateError(
                f"block {header.number} is from the future", why="this machine's clock is wrong, or validators lie"
            )
        self.head = header

    def _check_final(self, header: Header) -> list[Header]:
        """A certificate makes its block and all ancestors of it final: the way to its block."""
        finalization = certificate.decode(header.certificate)
        certificate.verify(finalization, self.committee, self.chain_id)
        certified, way = "0x" + finalization.block_hash.hex(), [header]
        for _ in range(MAX_DESCENDANTS):
            if way[-1].hash == certified:
                return way
            child = self._fetch_soon(hex(way[-1].number + 1))
            if child.parent_hash != way[-1].hash:
                break
            way.append(child)
        raise CertificateError(
            "the certificate does not make the block final", why=f"no descendant of it is block {certified}"
        )

    def _follow_election(self, newest: Header) -> None:
        """Go to the last block of this epoch, and take the next epoch's validators from its state."""
        last = self._last_of_epoch(newest)
        self._accept(last)
        epoch = self.committee.epoch + 1
        slot = set_root_slot(epoch)
        committed = self.prove(STAKING, [slot]).slots[slot].to_bytes(32, "big")
        named = seats(self._node, epoch)
        if named.root != committed:
            raise CheckpointError(
                f"the validators of epoch {epoch} are not those that block {last.number} commits to",
                why=f"their root is 0x{named.root.hex()}, and the ledger has 0x{committed.hex()}",
                fix="ask another node",
            )
        self.committee = named

    def _last_of_epoch(self, newest: Header) -> Header:
        """The last block that the node says was finalised in this epoch; whether it was is checked later."""
        low, high, found = self.head.number, newest.number, self.head
        while high - low > 1:
            middle = (low + high) // 2
            header = self._fetch(hex(middle))
            if _epoch(header) <= self.committee.epoch:
                low, found = middle, header
            else:
                high = middle
        return found

    def _fetch(self, block: str) -> Header:
        header = self._fetched(block)
        if header is None:
            raise NetworkError(f"the node does not have block {block}", fix="ask another node, or wait until it has it")
        return header

    def _fetch_soon(self, block: str) -> Header:
        """A block that is final already and that the node is about to store."""
        deadline = time.monotonic() + self._patience_seconds
        while (header := self._fetched(block)) is None and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        return header or self._fetch(block)

    def _fetched(self, block: str) -> Header | None:
        answer = self._node.call("candela_getHeader", block)
        if answer is None:
            return None
        try:
            parsed = msgspec.convert(answer, _Answer)
            encoded = bytes.fromhex(parsed.header_bytes[2:])
            fields = _ledger.decode_header(encoded)
        except (msgspec.ValidationError, UnicodeError, RecursionError, _ledger.InvalidHeaderError) as error:
            raise NetworkError("the node did not answer with a header", why=str(error)) from error
        if fields["version"] != _HEADER_VERSION or len(fields["shards"]) != 1:
            raise NetworkError(
                "the node answers with a header that this version does not understand",
                why=f"version {fields['version']} with {len(fields['shards'])} shards",
            )
        if block.startswith("0x") and not proof.is_hash(block) and fields["number"] != int(block, 16):
            raise NetworkError(f"the node answers with block {fields['number']}", why=f"it was asked for {block}")
        return Header(
            number=fields["number"],
            hash=fields["hash"],
            parent_hash=fields["parent_hash"],
            timestamp_ms=fields["timestamp_ms"],
            state_root=fields["shards"][0]["state_root"],
            encoded=encoded,
            certificate=bytes.fromhex(parsed.certificate[2:]),
        )


def set_root_slot(epoch: int) -> int:
    """Where the staking contract keeps the commitment to an epoch's seats: `set_roots` is at slot 0, so this is
    keccak256(0 . epoch), 32 bytes each."""
    return int.from_bytes(_ledger.keccak256(bytes(32) + epoch.to_bytes(32, "big")), "big")


def seats(node: Client, epoch: int) -> Committee:
    """Who has a seat in an epoch, as a node tells it.

    Raises:
        CheckpointError: the node names no committee.
        RpcError: the epoch is not elected yet, or forgotten.
        NetworkError: the node can't be reached.
    """
    data = _ledger.keccak256(b"seats(uint256)")[:4] + epoch.to_bytes(32, "big")
    returned = node.call("eth_call", {"to": STAKING, "data": "0x" + data.hex()}, "latest")
    return Committee.decode(epoch, _bytes(returned, (2 + 3 * MAX_SEATS) * 32))


def _epoch(header: Header) -> int:
    return certificate.decode(header.certificate).epoch


def _bytes(text: Any, most: int) -> bytes:
    try:
        if not isinstance(text, str) or not text.startswith("0x") or len(text) > 2 + 2 * most:
            raise ValueError(f"it is not hex of at most {most} bytes")
        return bytes.fromhex(text[2:])
    except ValueError as error:
        raise NetworkError("the node did not answer with seats", why=str(error)) from error
