"""A running node proves what it says, while its head moves too, and clients in two languages agree."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candela import _ledger
from candela.chain import proof
from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.sender import Message, Sender
from candela.errors import ProofError, RpcError
from candela.network.genesis import MARKET, genesis
from tests.nodes import alone

RICH = 10**24
NOBODY = "0x" + "ab" * 20
TYPESCRIPT = Path(__file__).parents[2] / "clients" / "typescript"
# Stores the second word of its input in the slot that the first word names.
STORE = bytes.fromhex("67602035600035550060005260086018f3")
SECONDS = 60


class Ledger:
    """A node in this process, a funded account and a contract that stores what it is told."""

    def __init__(self, folder: Path) -> None:
        self.account = Account(secrets.token_bytes(32))
        document = genesis({self.account.address: RICH}, int(time.time() * 1000))
        self._node = alone(folder, document, block_interval_ms=1)
        self.start()
        self.contract = self.sender.send(Message(to=None, data=STORE)).contract_address or ""

    def start(self) -> None:
        self.client = Client(self._node.start()["http"])
        self.sender = Sender(self.client, self.account)

    def stop(self) -> None:
        self.client.close()
        self._node.stop()

    def store(self, slot: int, value: int) -> None:
        """Write to a slot of the contract and wait until that is final."""
        data = slot.to_bytes(32, "big") + value.to_bytes(32, "big")
        self.sender.send(Message(to=self.contract, data=data, gas=100_000))

    def block_hash(self, number: int | None = None) -> str:
        """Of a block, by another way than the proof."""
        tag = "latest" if number is None else hex(number)
        return self.client.call("eth_getBlockByNumber", tag, False)["hash"]

    def proved(self, address: str, slots: list[int], block_hash: str) -> proof.Proved:
        document = proof.fetch(self.client, address, slots, block_hash)
        return proof.verify(document, block_hash=block_hash, address=address, slots=slots)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path_factory.mktemp("node"))
    for slot in range(8):
        ledger.store(slot, slot * slot + 1)
    yield ledger
    ledger.stop()


def test_proved_values_are_those_that_the_node_tells(ledger: Ledger) -> None:
    trusted, slots = ledger.block_hash(), [0, 7, 8, 2**256 - 1]
    proved = ledger.proved(ledger.contract, slots, trusted)
    assert proved.slots == {0: 1, 7: 50, 8: 0, 2**256 - 1: 0}
    for slot, value in proved.slots.items():
        assert int(ledger.client.call("eth_getStorageAt", ledger.contract, hex(slot), trusted), 16) == value
    sender = ledger.proved(ledger.account.address, [], trusted).account
    assert sender is not None
    assert sender.balance == int(ledger.client.call("eth_getBalance", ledger.account.address, trusted), 16)
    assert sender.nonce == int(ledger.client.call("eth_getTransactionCount", ledger.account.address, trusted), 16)
    code = bytes.fromhex(ledger.client.call("eth_getCode", MARKET, trusted)[2:])
    market = ledger.proved(MARKET, [], trusted).account
    assert market is not None
    assert market.code_hash == _ledger.keccak256(code)


def test_account_that_nobody_has_is_proved_to_be_absent(ledger: Ledger) -> None:
    proved = ledger.proved(NOBODY, [0], ledger.block_hash())
    assert (proved.account, proved.slots) == (None, {0: 0})


def test_earlier_block_is_proved_as_it_was(ledger: Ledger) -> None:
    ledger.store(100, 1)
    before = ledger.block_hash()
    ledger.store(100, 2)
    ledger.store(100, 0)
    assert ledger.proved(ledger.contract, [100], before).slots == {100: 1}
    assert ledger.proved(ledger.contract, [100], ledger.block_hash()).slots == {100: 0}


def test_header_belongs_to_the_proof_while_the_head_moves(ledger: Ledger) -> None:
    first, done = ledger.client.block_number(), threading.Event()

    def write() -> None:
        for value in range(1, 60):
            ledger.store(200, value)
        done.set()

    writer, seen = threading.Thread(target=write), set()
    writer.start()
    values: dict[int, int] = {}
    while not done.is_set() or len(seen) < 2:
        document = proof.fetch(ledger.client, ledger.contract, [200])
        number = int(document["blockNumber"], 16)
        trusted = ledger.block_hash(number)
        proved = proof.verify(document, block_hash=trusted, address=ledger.contract, slots=[200])
        assert values.setdefault(number, proved.slots[200]) == proved.slots[200]
        seen.add(number)
    writer.join(SECONDS)
    last = ledger.client.block_number()
    assert last >= first + 59
    assert len(seen) > 2
    assert [values[number] for number in sorted(values)] == sorted(values.values())
    for number in range(first, last + 1):
        assert ledger.proved(ledger.contract, [200], ledger.block_hash(number)).slots.keys() == {200}


def test_answer_for_another_block_is_refused(ledger: Ledger) -> None:
    before = ledger.block_hash()
    ledger.store(300, 1)
    document = proof.fetch(ledger.client, ledger.contract, [300])
    with pytest.raises(ProofError) as caught:
        proof.verify(document, block_hash=before, address=ledger.contract, slots=[300])
    assert caught.value.part == "header"


@pytest.mark.parametrize(
    ("slots", "block", "message"),
    [
        ([0], "pending", "no header to prove against"),
        ([0], "0xffffff", "header not found"),
        (["0x" + "f" * 65], "latest", "storage key too long"),
        (["0x0"] * 65, "latest", r"too many slots \(max 64\)"),
        ([{"a": 1}], "latest", "cannot unmarshal"),
        ("0x0", "latest", "cannot unmarshal"),
    ],
)
def test_question_that_makes_no_sense_is_refused_in_words(ledger: Ledger, slots: Any, block: str, message: str) -> None:
    asked = ["0x0" if slot == 0 else slot for slot in slots] if isinstance(slots, list) else slots
    with pytest.raises(RpcError, match=message):
        ledger.client.call("candela_getProof", ledger.contract, asked, block)


def test_largest_question_is_answered(ledger: Ledger) -> None:
    slots, trusted = list(range(proof.MAX_SLOTS)), ledger.block_hash()
    assert len(ledger.proved(ledger.contract, slots, trusted).slots) == proof.MAX_SLOTS


def test_restarted_node_proves_its_head_and_names_it_when_asked_for_an_older_block(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "node")
    try:
        ledger.store(1, 5)
        head, before = ledger.client.block_number(), ledger.block_hash(0)
        ledger.stop()
        ledger.start()
        assert ledger.proved(ledger.contract, [1], ledger.block_hash(head)).slots == {1: 5}
        with pytest.raises(RpcError, match=f"proofs are kept for blocks {head} to {head}"):
            proof.fetch(ledger.client, ledger.contract, [1], before)
        ledger.store(1, 6)
        assert ledger.proved(ledger.contract, [1], ledger.block_hash(head)).slots == {1: 5}
    finally:
        ledger.stop()


def question(ledger: Ledger, name: str, address: str, slots: list[int]) -> dict[str, Any]:
    """What the program in TypeScript asks, and what it must find: the node's unproved answers."""
    trusted = ledger.block_hash()
    values = [ledger.client.call("eth_getStorageAt", address, hex(slot), trusted) for slot in slots]
    balance = None if address == NOBODY else str(int(ledger.client.call("eth_getBalance", address, trusted), 16))
    texts = [f"0x{slot:064x}" for slot in slots]
    return {
        "name": name,
        "blockHash": trusted,
        "address": address,
        "slots": texts,
        "balance": balance,
        "values": values,
    }


def test_typescript_finds_the_same(ledger: Ledger, tmp_path: Path) -> None:
    if not (TYPESCRIPT / "node_modules").is_dir():
        pytest.fail("the packages of the TypeScript client are not installed: run `make clients`")
    questions = [
        question(ledger, "an account", ledger.account.address, []),
        question(ledger, "slots", ledger.contract, [0, 1, 7, 8, 2**256 - 1]),
        question(ledger, "a system contract", MARKET, [0]),
        question(ledger, "nobody", NOBODY, [0]),
    ]
    file = tmp_path / "questions.json"
    file.write_text(json.dumps({"rpc": ledger.client.url, "questions": questions}))
    environment = os.environ | {"CANDELA_QUESTIONS": str(file), "NO_COLOR": "1"}
    done = subprocess.run(
        ["npm", "test"], cwd=TYPESCRIPT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for each in questions:
        assert f"- {each['name']}" in done.stdout, done.stdout
    assert "skipped 0" in done.stdout
