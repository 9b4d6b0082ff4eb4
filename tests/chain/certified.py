"""A chain whose validators sign with real keys, with real state trees, and a node that serves it, honestly or not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import rlp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from candela import _ledger
from candela.chain.certificate import signed_bytes
from candela.chain.client import Client
from candela.chain.committee import Committee
from candela.chain.light import STAKING, set_root_slot

CHAIN_ID = 4_410_948
START_MS = 1_700_000_000_000
BLOCK_MS = 1_000


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def number(value: int) -> bytes:
    """LEB128."""
    encoded = b""
    while value > 127:
        encoded, value = encoded + bytes([value & 127 | 128]), value >> 7
    return encoded + bytes([value])


def secret(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))


def committee(epoch: int, seeds: list[int], stake: int = 1) -> Committee:
    """The validators with these secrets."""
    return Committee.of_keys(epoch, [secret(seed).public_key().public_bytes_raw() for seed in seeds], stake)


def proposal(epoch: int, view: int, block_hash: bytes) -> bytes:
    return number(epoch) + number(view) + number(view - 1) + block_hash


def certify(signers: list[int], whole: Committee, encoded: bytes, chain_id: int = CHAIN_ID) -> bytes:
    """The finalisation of a proposal by the validators with these secrets."""
    message, by_seat = signed_bytes(chain_id, encoded), {}
    for seed in signers:
        by_seat[whole.keys.index(secret(seed).public_key().public_bytes_raw())] = secret(seed).sign(message)
    return encode(encoded, len(whole.seats), by_seat)


def encode(encoded: bytes, seats: int, by_seat: dict[int, bytes]) -> bytes:
    bitmap = sum(1 << seat for seat in by_seat).to_bytes((seats + 7) // 8, "little")
    signatures = b"".join(by_seat[seat] for seat in sorted(by_seat))
    return encoded + seats.to_bytes(8, "big") + bitmap + number(len(by_seat)) + signatures


@dataclass
class Block:
    """A block as far as a light client is concerned."""

    number: int
    header: bytes
    certificate: bytes
    state: dict[bytes, bytes]
    """Values by the preimage of their path: an address, or an address and a slot."""

    @property
    def hash(self) -> bytes:
        return _ledger.keccak256(self.header)


class Tree:
    """The radix tree over SHA-256 (docs/proofs.md)."""

    def __init__(self, state: dict[bytes, bytes]) -> None:
        self.leaves = sorted((sha256(key), sha256(value)) for key, value in state.items())

    @property
    def root(self) -> bytes:
        return self._node(self.leaves, 0)

    def _node(self, leaves: list[tuple[bytes, bytes]], depth: int) -> bytes:
        if len(leaves) < 2:
            return sha256(b"\0", *leaves[0]) if leaves else bytes(32)
        left, right = self._split(leaves, depth)
        return sha256(b"\1", self._node(left, depth + 1), self._node(right, depth + 1))

    def _split(self, leaves: list[tuple[bytes, bytes]], depth: int) -> tuple[list, list]:
        bits = [path[depth // 8] >> (7 - depth % 8) & 1 for path, _ in leaves]
        sides: tuple[list, list] = ([], [])
        for bit, leaf in zip(bits, leaves, strict=True):
            sides[bit].append(leaf)
        return sides

    def prove(self, key: bytes) -> dict[str, Any]:
        path, leaves, siblings = sha256(key), self.leaves, []
        while len(leaves) > 1:
            depth = len(siblings)
            sides = self._split(leaves, depth)
            bit = path[depth // 8] >> (7 - depth % 8) & 1
            siblings.append("0x" + self._node(sides[1 - bit], depth + 1).hex())
            leaves = sides[bit]
        leaf = {"path": "0x" + leaves[0][0].hex(), "valueHash": "0x" + leaves[0][1].hex()} if leaves else None
        return {"siblings": siblings, "leaf": leaf}


@dataclass
class Chain:
    """Blocks, and the committees that the staking contract has stored."""

    seeds: list[int]
    start_ms: int = START_MS
    blocks: list[Block] = field(default_factory=list)
    committees: list[Committee] = field(default_factory=list)
    signers: list[list[int]] = field(default_factory=list)
    epoch: int = 0

    def __post_init__(self) -> None:
        self.elect(self.seeds)
        self.blocks.append(self._block(b""))

    def elect(self, seeds: list[int], stake: int = 1) -> None:
        """Store the next epoch's committee; the next block's state commits to it."""
        self.committees.append(committee(len(self.committees), seeds, stake))
        self.signers.append(seeds)

    def enter(self) -> None:
        """Begin the next epoch."""
        self.epoch += 1

    def extend(self, count: int = 1, signers: list[int] | None = None, timestamp_ms: int | None = None) -> None:
        for _ in range(count):
            block = self._block(self.blocks[-1].hash, timestamp_ms)
            block.certificate = self.certificate(block, signers)
            self.blocks.append(block)

    def certificate(self, block: Block, signers: list[int] | None = None) -> bytes:
        encoded = proposal(self.epoch, block.number, block.hash)
        chosen = self.signers[self.epoch] if signers is None else signers
        return certify(chosen, self.committees[self.epoch], encoded)

    def _block(self, parent: bytes, timestamp_ms: int | None = None) -> Block:
        height = len(self.blocks)
        staking = bytes.fromhex(STAKING[2:])
        state = {staking: (1).to_bytes(8, "big") + bytes(32) + sha256(b"code")}
        for stored in self.committees:
            state[staking + set_root_slot(stored.epoch).to_bytes(32, "big")] = stored.root
        for other in range(20):
            state[bytes([other]) * 20] = height.to_bytes(8, "big") + (10**18).to_bytes(32, "big") + bytes(32)
        shard = [Tree(state).root, *[bytes(32)] * 3, [], b"", b"", b"", b"", b"", bytes(32)]
        at = timestamp_ms or self.start_ms + height * BLOCK_MS
        fields = [1, 1, parent or bytes(32), height, at, bytes(20), bytes(32), 30_000_000, bytes(256), b"", [shard]]
        return Block(height, rlp.encode(fields), b"", state)


class Server(Client):
    """Answers as a node does, from a chain in memory; `lie` may change any answer."""

    def __init__(self, chain: Chain, lie: Callable[[str, Any, Any], Any] = lambda _, __, answer: answer) -> None:
        super().__init__("http://127.0.0.1:9")
        self.chain, self.lie, self.asked = chain, lie, 0

    def call(self, method: str, *params: Any) -> Any:
        """The result of one method."""
        self.asked += 1
        return self.lie(method, params, getattr(self, method)(*params))

    def _find(self, block: str) -> Block | None:
        if block == "latest":
            return self.chain.blocks[-1]
        if len(block) == 66:
            return next((each for each in self.chain.blocks if "0x" + each.hash.hex() == block), None)
        height = int(block, 16)
        return self.chain.blocks[height] if height < len(self.chain.blocks) else None

    def candela_getHeader(self, block: str) -> Any:  # noqa: N802 - the method's name
        found = self._find(block)
        return found and _header(found)

    def candela_getProof(self, address: str, slots: list[str], block: str) -> Any:  # noqa: N802 - the method's name
        found = self._find(block)
        assert found is not None
        key, tree = bytes.fromhex(address[2:]), Tree(found.state)
        account = found.state.get(key)
        storage = []
        for slot in slots:
            path = key + bytes.fromhex(slot[2:])
            value = found.state.get(path, bytes(32))
            storage.append({"slot": slot, "value": "0x" + value.hex(), "proof": tree.prove(path)})
        return _header(found) | {
            "address": address.lower(),
            "account": account
            and {
                "nonce": hex(int.from_bytes(account[:8], "big")),
                "balance": hex(int.from_bytes(account[8:40], "big")),
                "codeHash": "0x" + account[40:].hex(),
            },
            "accountProof": tree.prove(key),
            "storageProof": storage,
        }

    def eth_call(self, call: dict[str, str], _: str) -> str:
        """``seats(epoch)`` of the staking contract."""
        assert call["to"] == STAKING
        stored = self.chain.committees[int(call["data"][10:], 16)]
        words = [32, len(stored.seats)]
        for seat in stored.seats:
            words += [0xABCD, int(seat.key, 16), int(seat.stake)]
        return "0x" + b"".join(word.to_bytes(32, "big") for word in words).hex()


def _header(block: Block) -> dict[str, str]:
    return {
        "blockHash": "0x" + block.hash.hex(),
        "blockNumber": hex(block.number),
        "headerBytes": "0x" + block.header.hex(),
        "certificate": "0x" + block.certificate.hex(),
    }
