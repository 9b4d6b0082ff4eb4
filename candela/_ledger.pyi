"""Types of the ledger engine, a compiled extension (crates/python)."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

class InvalidKeyError(ValueError):
    """The bytes are not a secret key."""

class InvalidSignatureError(ValueError):
    """The bytes are not a signature, or it is nobody's."""

class InvalidTransactionError(ValueError):
    """The fields or bytes are not a transaction."""

class InvalidHeaderError(ValueError):
    """The bytes are not a block header."""

class NodeError(Exception):
    """A node could not start or had to stop."""

    code: str
    """node-config, node-directory-locked, node-file, node-port-taken, node-rpc, node-wrong-genesis, node-ledger,
    node-state, node-archive or node-consensus."""

class Endpoints(TypedDict):
    """Where a running node listens."""

    http: str
    ws: str

class Node:
    """A node with a validator, on threads of its own.

    `config_json` is an object with `data_dir` (path), `genesis` (`chainId`, `timestampMs`, `blockGasLimit`,
    `accounts: {address: {balance}}`, `deployments: [{name, address, initCode}]`), `fee_recipient` (address) and
    `rpc` (`host`, `port` with 0 for any, `cors_origins`); optional are `block_interval_ms`, `threads` (2) and `logging`
    (`filter`, `format`: plain or json; missing: nothing is logged).

    With several validators, equal on every node: `validators` (`public_key` of 32 bytes in hex, `weight` (1), `address`
    as host:port); `listen` (host:port); and `distance` (local or internet), which sets the time limits.

    `key` is the Ed25519 secret to vote with, 32 bytes, which stays in memory; without, the node reads the plain key in
    `validator.key`, and makes it when it is missing. Raises NodeError for a configuration that makes no sense, and
    InvalidKeyError.
    """

    def __new__(cls, config_json: str, key: bytes | None = None, /) -> Node: ...
    def start(self) -> Endpoints:
        """Opens or creates the data directory, recovers from a crash, and serves. Raises NodeError."""

    def stop(self) -> None:
        """Stops; does nothing when not running. Raises NodeError with what had ended the node before."""

    def submit(self, transactions: bytes, /) -> tuple[int, list[tuple[int, str]]]:
        """Puts concatenated RLP transactions, as in block bodies, into the pool, releasing the interpreter meanwhile.

        Returns how many were taken, and (place in the batch, reason) of the others. Raises InvalidTransactionError when
        the bytes are not RLP items, and NodeError when the node is not running.
        """

    def failure(self) -> str | None:
        """Why the node ended by itself, or None."""

def genesis_hash(genesis_json: str, /) -> bytes:
    """The hash of block 0, 32 bytes, of a genesis as in the configuration of a `Node`; its deployments are executed.

    Raises NodeError when it is no genesis or a deployment fails.
    """

def keccak256(data: bytes, /) -> bytes:
    """Keccak-256: 32 bytes."""

def address_of(secret: bytes, /) -> str:
    """The checksummed address of a secret key of 32 bytes. Raises InvalidKeyError."""

def sign_transaction(fields: Mapping[str, Any], secret: bytes, /) -> tuple[bytes, str]:
    """Signs a transaction of type 0, 1, 2 or 4: (raw bytes, 0x hash).

    `fields` must be a dict with JSON-RPC's names; quantities are ints or 0x strings, bytes are bytes or 0x strings.
    Without `type` the oldest type that has every given field is used. Raises InvalidTransactionError
    or InvalidKeyError.
    """

def session_key_of(seed: bytes, /) -> bytes:
    """The Ed25519 public key, 32 bytes, of a session key's seed of 32 bytes. Raises InvalidKeyError."""

def sign_session_transaction(fields: Mapping[str, Any], seed: bytes, /) -> tuple[bytes, str]:
    """Signs a transaction of type 0x50 with a session key of `from`: (raw bytes, 0x hash).

    `fields` are those of a transaction of type 2, and `from`. Raises InvalidTransactionError or InvalidKeyError.
    """

def decode_transaction(raw: bytes, /) -> dict[str, Any]:
    """Decodes a transaction and checks its signature; `from` is its sender. Raises InvalidTransactionError.

    Quantities are ints, hashes and addresses 0x strings, `data` is bytes. Type 0x50 has `scheme`, and as bytes
    `sessionKey` and `sessionSignature`, in the place of `yParity`, `r` and `s`.
    """

def sign_message(digest: bytes, secret: bytes, /) -> bytes:
    """Signs a digest of 32 bytes: r, s and v (27 or 28), 65 bytes. Raises ValueError or InvalidKeyError."""

def recover(digest: bytes, signature: bytes, /) -> str:
    """The address that made a signature of 65 bytes with a low s. Raises InvalidSignatureError."""

def merkle_root(leaves: Sequence[bytes], /) -> bytes:
    """Root over encoded transactions or receipts (crates/primitives, merkle): 32 bytes."""

def merkle_proof(leaves: Sequence[bytes], index: int, /) -> list[bytes]:
    """The siblings of a leaf from the bottom up. Raises IndexError."""

def merkle_verify(root: bytes, leaf: bytes, index: int, count: int, siblings: Sequence[bytes], /) -> bool:
    """Whether `siblings` lead from the encoded `leaf` at `index` of `count` leaves to `root`."""

def header_hash(header: bytes, /) -> bytes:
    """The block hash of an encoded header: 32 bytes. Raises InvalidHeaderError."""

def decode_header(header: bytes, /) -> dict[str, Any]:
    """The fields of an encoded header. Raises InvalidHeaderError."""
