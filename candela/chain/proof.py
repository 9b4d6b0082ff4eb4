"""Check what a node says about accounts and storage with nothing but a block hash that is trusted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from candela import _ledger
from candela.chain.client import Client
from candela.errors import ProofError, UsageError

MAX_SLOTS = 64
"""Most slots of one request."""
_HEADER_VERSION = 1
_NOTHING = bytes(32)
_PARTS = {
    "document": "it is malformed, or answers another question",
    "header": "the block header does not belong to the trusted block",
    "account": "the account's proof does not lead to the state root",
    "slot": "a slot's proof does not lead to the state root",
}

Part = Literal["document", "header", "account", "slot"]
# \Z, because $ lets a line feed pass.
_Hex = Annotated[str, msgspec.Meta(pattern=r"^0x([0-9a-f]{2})*\Z", max_length=2 + (1 << 17))]
_Address = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{40}\Z")]
_Hash = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
_Uint64 = Annotated[str, msgspec.Meta(pattern=r"^0x(0|[1-9a-f][0-9a-f]{0,15})\Z")]
_Uint256 = Annotated[str, msgspec.Meta(pattern=r"^0x(0|[1-9a-f][0-9a-f]{0,63})\Z")]


class _Leaf(msgspec.Struct, frozen=True, rename="camel"):
    path: _Hash
    value_hash: _Hash


class _Proof(msgspec.Struct, frozen=True):
    """The way from a state root to where a key is, or would be: hashes beside it from the root down, and its end."""

    siblings: Annotated[list[_Hash], msgspec.Meta(max_length=256)]
    leaf: _Leaf | None


class _Account(msgspec.Struct, frozen=True, rename="camel"):
    nonce: _Uint64
    balance: _Uint256
    code_hash: _Hash


class _Slot(msgspec.Struct, frozen=True):
    slot: _Hash
    value: _Hash
    proof: _Proof


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    block_hash: _Hash
    block_number: _Uint64
    header_bytes: _Hex
    address: _Address
    account: _Account | None
    account_proof: _Proof
    storage_proof: Annotated[list[_Slot], msgspec.Meta(max_length=MAX_SLOTS)]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account without its storage."""

    nonce: int
    balance: int
    """In nit."""
    code_hash: bytes


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """What a block's state root commits to."""

    block_hash: str
    block_number: int
    state_root: bytes
    address: str
    account: Account | None
    """``None`` when there is none."""
    slots: dict[int, int]
    """Values by slot; 0 for those that are not set."""


def fetch(client: Client, address: str, slots: Sequence[int] = (), block: str = "latest") -> dict[str, Any]:
    """Ask a node for a proof, which :func:`verify` checks.

    Args:
        client: any node; it need not be trusted.
        address: the account, 0x and 40 hex digits.
        slots: at most :data:`MAX_SLOTS` storage slots of it.
        block: a hash, a height in hex, or a name; nodes can prove the last blocks only.

    Raises:
        UsageError: a slot is no number of 256 bits, or they are too many.
        NetworkError: the node can't be reached.
        RpcError: it refused, because it can't prove that block for example.
    """
    if len(slots) > MAX_SLOTS:
        raise UsageError(f"{len(slots)} slots are too many", why=f"a node proves at most {MAX_SLOTS} at a time")
    return client.call("candela_getProof", address, ["0x" + _word(slot).hex() for slot in slots], block)


def verify(document: Any, *, block_hash: str, address: str, slots: Sequence[int] = ()) -> Proved:
    """Check an answer to ``candela_getProof``.

    Args:
        document: the answer, from anybody.
        block_hash: what is trusted; it has to come from elsewhere.
        address: the account that was asked about.
        slots: the slots that were asked for, in the same order.

    Returns:
        What the answer shows; each value in it is proved.

    Raises:
        ProofError: it does not show what it claims, or not what was asked.
        UsageError: a slot is no number of 256 bits.
    """
    try:
        parsed = msgspec.convert(document, _Document)
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise _refusal("document", str(error)) from None
    asked = (address.lower(), [_word(slot) for slot in slots])
    if (parsed.address, [_bytes(each.slot) for each in parsed.storage_proof]) != asked:
        raise _refusal("document", "it does not answer what was asked")
    root = _state_root(parsed, block_hash.lower())
    account = _account(parsed.account)
    key = _bytes(parsed.address)
    if not _holds(root, key, account and _value(account), parsed.account_proof):
        raise _refusal("account", _PARTS["account"])
    for each in parsed.storage_proof:
        value = _bytes(each.value)
        if not _holds(root, key + _bytes(each.slot), value if any(value) else None, each.proof):
            raise _refusal("slot", f"the proof of slot {int(each.slot, 16)} does not lead to the state root")
    return Proved(
        block_hash=parsed.block_hash,
        block_number=int(parsed.block_number, 16),
        state_root=root,
        address=parsed.address,
        account=account,
        slots={int(each.slot, 16): int(each.value, 16) for each in parsed.storage_proof},
    )


def is_hash(text: str) -> bool:
    """Whether a block is named by its hash."""
    return re.fullmatch(r"0x[0-9a-fA-F]{64}", text) is not None


def _refusal(part: Part, reason: str) -> ProofError:
    return ProofError(f"the proof does not hold: {_PARTS[part]}", why=reason, part=part)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _word(value: int) -> bytes:
    try:
        return value.to_bytes(32, "big")
    except OverflowError as error:
        raise UsageError(f"{value} is no storage slot", why="slots are numbered from 0 to 2^256 - 1") from error


def _account(account: _Account | None) -> Account | None:
    if account is None:
        return None
    nonce, balance = int(account.nonce, 16), int(account.balance, 16)
    return Account(nonce=nonce, balance=balance, code_hash=_bytes(account.code_hash))


def _value(account: Account) -> bytes:
    return account.nonce.to_bytes(8, "big") + _word(account.balance) + account.code_hash


def _state_root(document: _Document, trusted: str) -> bytes:
    header = _bytes(document.header_bytes)
    found = "0x" + _ledger.keccak256(header).hex()
    if not found == document.block_hash == trusted:
        raise _refusal("header", f"it is of block {found}, not of {trusted}")
    try:
        fields = _ledger.decode_header(header)
    except _ledger.InvalidHeaderError as error:
        raise _refusal("header", str(error)) from None
    number, stated = fields["number"], int(document.block_number, 16)
    if fields["version"] != _HEADER_VERSION or number != stated:
        raise _refusal("header", f"it is version {fields['version']} of block {number}, not version 1 of {stated}")
    if len(fields["shards"]) != 1:
        raise _refusal("header", f"it has {len(fields['shards'])} shards, not one")
    return _bytes(fields["shards"][0]["state_root"])


def _bit(path: bytes, depth: int) -> int:
    return path[depth // 8] >> (7 - depth % 8) & 1


def _holds(root: bytes, key: bytes, value: bytes | None, proof: _Proof) -> bool:
    """Whether ``root`` commits to ``value`` under ``key``; ``None`` stands for absence."""
    path, node, found = _sha256(key), _NOTHING, None
    if proof.leaf is not None:
        end, value_hash = _bytes(proof.leaf.path), _bytes(proof.leaf.value_hash)
        if any(_bit(end, depth) != _bit(path, depth) for depth in range(len(proof.siblings))):
            return False
        node, found = _sha256(b"\0", end, value_hash), value_hash if end == path else None
    for depth, text in reversed(list(enumerate(proof.siblings))):
        sibling = _bytes(text)
        node = _sha256(b"\1", sibling, node) if _bit(path, depth) else _sha256(b"\1", node, sibling)
    return node == root and found == (None if value is None else _sha256(value))


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
