"""Begin a node from the state after a final block, copied from nodes that need not be trusted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from candela import _ledger
from candela.chain.checkpoint import Checkpoint
from candela.chain.client import Client, successful
from candela.chain.light import Header, LightClient
from candela.errors import CertificateError, CheckpointError, NetworkError, ProofError, RpcError

ANCESTORS = 256
"""How many headers before the block come along: contracts may ask for their hashes (BLOCKHASH)."""
MOST_BYTES = 64 << 20
"""Longest answer that is read: a block with its receipts, in hex."""
_TRIES = 3
_CODES_AT_ONCE = 64
_BUSY = -32005
_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 60
_LEFT = (NetworkError, RpcError, ProofError, CertificateError, CheckpointError)
"""Why a node is left for the next one, besides a false state."""
T = TypeVar("T")


class Synced(msgspec.Struct):
    """A state that was copied.

    Attributes:
        node: who gave it.
        block_number: the block that it is the state after.
        block_hash: its hash.
        rows: accounts and slots that were copied now.
        bytes: of their chunks and of code.
        seconds: that it took.
    """

    node: str
    block_number: int
    block_hash: str
    rows: int = 0
    bytes: int = 0
    seconds: float = 0


class _Offer(msgspec.Struct, rename="camel"):
    block_number: Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{1,16}\Z")]


class _Header(msgspec.Struct, rename="camel"):
    header_bytes: str


class _Block(_Header, rename="camel"):
    certificate: str
    transactions: list[str]
    receipts: list[str]


class _OfferEndedError(Exception):
    """The node does not offer the state any more."""


def synchronise(
    directory: Path,
    genesis: str,
    checkpoint: Checkpoint,
    nodes: Sequence[str],
    threads: int = 2,
    say: Callable[[str], None] = lambda _: None,
) -> Synced:
    """Fill a node's folder with the state after a final block, so that the node starts there instead of at genesis.

    Whatever a node tells is checked: the block by certificates from the checkpoint on, rows by proofs against its state
    root, code and blocks by their hashes. A node that tells what is not so is left, and the next one is asked.

    Args:
        directory: of the node, which must not have run; what an interrupted call has copied is kept.
        genesis: the chain's document, JSON.
        checkpoint: what is trusted, not older than half the unbonding period.
        nodes: URLs of nodes to copy from, in the order of preference.
        threads: that check signatures.
        say: is told why a node was left, and how far the copy is.

    Raises:
        NetworkError: no node gave the state, or the checkpoint is too old; it says why for each.
        NodeError: the folder can't be used.
    """
    failures: list[str] = []
    for url in nodes:
        try:
            return _from(url, directory, genesis, checkpoint, threads, say)
        except (*_LEFT, _ledger.FalseStateError) as error:
            failures.append(f"{url}: {error}")
            say(f"left {failures[-1]}")
    raise NetworkError(
        "no node gave the state", why="; ".join(failures), fix="name other nodes with --from, or get a newer checkpoint"
    )


def _from(
    url: str, directory: Path, genesis: str, checkpoint: Checkpoint, threads: int, say: Callable[[str], None]
) -> Synced:
    client = Client(url, most_bytes=MOST_BYTES)
    try:
        light = LightClient(client, checkpoint)
        _check_genesis(client, genesis)
        for _ in range(_TRIES):
            try:
                return _Copy(client, light, directory, genesis, threads, say).run()
            except _OfferEndedError:
                say(f"{url} does not offer that state any more: beginning again with a newer one")
        raise NetworkError(f"{url} stopped offering the state {_TRIES} times", fix="copy from a faster node")
    finally:
        client.close()


def _check_genesis(client: Client, genesis: str) -> None:
    ours = "0x" + _ledger.genesis_hash(genesis).hex()
    theirs = client.call("eth_getBlockByNumber", "0x0", False)
    if not isinstance(theirs, dict) or theirs.get("hash") != ours:
        raise NetworkError(f"{client.url} has another block 0", why=f"the genesis of this folder makes {ours}")


class _Copy:
    """One state from one node."""

    def __init__(
        self,
        client: Client,
        light: LightClient,
        directory: Path,
        genesis: str,
        threads: int,
        say: Callable[[str], None],
    ) -> None:
        self._client, self._say = client, say
        self._began = time.monotonic()
        self._way = self._target(light)
        self._block = hex(self._way[0].number)
        self._sync = _ledger.StateSync(os.fspath(directory), genesis, self._way[0].encoded, threads)
        self._synced = Synced(client.url, self._way[0].number, self._way[0].hash)

    def _target(self, light: LightClient) -> list[Header]:
        """The block whose state the node offers, and its descendants up to the one that its certificate names."""
        offered = _parsed(self._client.call("candela_exportState"), _Offer)
        number = int(offered.block_number, 16)
        if number == 0:
            raise NetworkError(f"{self._client.url} has nothing but genesis", fix="start the node without state sync")
        if number > light.head.number:
            light.advance(offered.block_number)
        try:
            return light.finalized(offered.block_number)
        except CertificateError as error:
            if number >= light.head.number:
                raise
            raise NetworkError(
                f"{self._client.url} offers block {number}, from before the checkpoint's epoch",
                why=str(error),
                fix="try again in five minutes, when it offers a newer one",
            ) from error

    def run(self) -> Synced:
        try:
            self._say(f"copying the state after block {self._synced.block_number} from {self._client.url}")
            self._copy_rows()
            self._copy_codes()
            blocks, ancestors = [self._told(header) for header in self._way], self._ancestors()
            self._sync.finish(blocks, ancestors)
        finally:
            self._sync.close()
        self._synced.seconds = round(time.monotonic() - self._began, 3)
        return self._synced

    def _copy_rows(self) -> None:
        while True:
            chunk = _bytes(self._patiently("candela_getStateChunk", self._block, "0x" + self._sync.after().hex()))
            rows = self._sync.add(chunk)
            if rows == 0:
                return
            self._synced.rows += rows
            self._synced.bytes += len(chunk)
            self._say(f"{self._synced.rows} accounts and slots")

    def _copy_codes(self) -> None:
        missing = self._sync.missing_codes()
        for start in range(0, len(missing), _CODES_AT_ONCE):
            part = missing[start : start + _CODES_AT_ONCE]
            answers = self._client.batch([("eth_getCode", (holder, self._block)) for _, holder in part])
            codes = [_bytes(successful(answer)) for answer in answers]
            self._sync.add_codes([(hashed, code) for (hashed, _), code in zip(part, codes, strict=True)])
            self._synced.bytes += sum(map(len, codes))

    def _told(self, header: Header) -> tuple[bytes, list[bytes], list[bytes], bytes]:
        block = _parsed(self._client.call("candela_getBlock", hex(header.number)), _Block)
        if _bytes(block.header_bytes) != header.encoded:
            raise NetworkError(f"{self._client.url} has another block {header.number} than a moment ago")
        bodies, receipts = map(_bytes, block.transactions), map(_bytes, block.receipts)
        # It makes all blocks on the way final; what the node says of the later ones was not checked.
        return header.encoded, list(bodies), list(receipts), self._way[0].certificate

    def _ancestors(self) -> list[bytes]:
        last = self._way[0].number - 1
        numbers = range(last, max(0, last - ANCESTORS), -1)
        answers = self._client.batch([("candela_getHeader", (hex(number),)) for number in numbers])
        return [_bytes(_parsed(successful(answer), _Header).header_bytes) for answer in answers]

    def _patiently(self, method: str, *params: str) -> object:
        """The answer, from a node that may serve others first."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._client.call(method, *params)
            except RpcError as error:
                if error.rpc_code != _BUSY:
                    raise _OfferEndedError from error
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)


def _parsed(answer: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(answer, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise NetworkError("the node's answer has another shape", why=str(error)) from error


def _bytes(text: object) -> bytes:
    try:
        return bytes.fromhex(_parsed(text, str).removeprefix("0x"))
    except ValueError as error:
        raise NetworkError("the node's answer has no bytes where they should be", why=str(error)) from error
