"""Types of the ledger engine, a compiled extension (crates/python)."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

class InvalidKeyError(ValueError):
    """The bytes are not a secret key."""

class InvalidSignatureError(ValueError):
    """The bytes are not a signature, or it is nobody's."""

class InvalidTransactionError(ValueError):
    """The fields or bytes are not a transaction."""

class FalseStateError(ValueError):
    """What another node tells of the state is not so."""

class InvalidHeaderError(ValueError):
    """The bytes are not a block header."""

class NodeError(Exception):
    """A node could not start or had to stop."""

    code: str
    """node-config, node-directory-locked, node-file, node-port-taken, node-rpc, node-wrong-genesis, node-ledger,
    node-state, node-archive, node-unsynced or node-consensus."""

class Endpoints(TypedDict):
    """Where a running node listens."""

    http: str
    ws: str

class StateSync:
    """A node's folder on its way to the state after a block, which others give and nobody has to be believed.

    `header` is the RLP of the block's header, final as the caller knows, on the chain of `genesis_json` (as in the
    configuration of a Node). What is in the folder already of the same state is kept. `threads` check signatures.
    Raises NodeError where a node has run in the folder, or it can't be used.
    """

    def __new__(cls, directory: str, genesis_json: str, header: bytes, threads: int, /) -> StateSync: ...
    def after(self) -> bytes:
        """The last key that is here, 20 or 52 bytes; none at the beginning. The next chunk begins after it."""

    def add(self, chunk: bytes, /) -> int:
        """Checks the chunk that a node gives after `after` and writes it: how many rows it has, none at the end.

        Raises FalseStateError, and writes nothing, when the state root does not commit to it; and NodeError.
        """

    def missing_codes(self) -> list[tuple[bytes, str]]:
        """Code that is missing: its hash, and the address of an account that has it. Raises NodeError."""

    def add_codes(self, codes: Sequence[tuple[bytes, bytes]], /) -> None:
        """Writes code with its hashes. Raises FalseStateError when one is another's, and NodeError."""

    def finish(
        self,
        blocks: Sequence[tuple[bytes, Sequence[bytes], Sequence[bytes], bytes]],
        ancestors: Sequence[bytes],
        /,
    ) -> None:
        """Makes the folder one that a Node starts from, and ends the sync either way.

        `blocks` are (header, transactions, receipts, certificate) of the block and of its descendants up to the one
        that its certificate names, which the caller has checked; `ancestors` are the headers of the 256 blocks before
        it, the newest first, or of all but genesis. Raises FalseStateError when something is missing or not so, and
        NodeError.
        """

    def close(self) -> None:
        """Ends the sync; what the folder has is kept for the next one."""

class Node:
    """A node with a validator, on threads of its own.

    `config_json` is an object with `data_dir` (path), `genesis` (`chainId`, `timestampMs`, `blockGasLimit`,
    `accounts: {address: {balance}}`, `deployments: [{name, address, initCode}]`), `fee_recipient` (address) and
    `rpc` (`host`, `port` with 0 for any, `cors_origins`); optional are `block_interval_ms`, `threads` (2) and `logging`
    (`filter`, `format`: plain or json; missing: nothing is logged).

    With several validators, equal on every node: `validators` (`public_key` of 32 bytes in hex, `weight` (1), `address`
    as host:port); `listen` (host:port); `distance` (local or internet), which sets the time limits; and `votes`, the
    directory of the record of votes (`data_dir` with `.votes` added), which no backup may bring back.

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
