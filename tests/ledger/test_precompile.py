"""A running ledger verifies Ed25519 in contracts, and so judges the evidence that its own engine encodes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.contract import Contract
from candela.chain.sender import Message, Sender
from candela.network.contracts import artefact
from candela.network.genesis import genesis
from tests.nodes import client_of

ED25519 = "0x0000000000000000000000000000000000000ced"
VECTORS = Path(__file__).parents[2] / "vectors"
SIMPLEX: dict[str, Any] = json.loads((VECTORS / "simplex.json").read_text())
SIGNATURES: list[dict[str, Any]] = json.loads((VECTORS / "ed25519.json").read_text())["cases"]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Account]]:
    account = Account(b"\x09" * 32)
    document = genesis({account.address: 10**24}, int(time.time() * 1000))
    with client_of(tmp_path_factory.mktemp("node"), document, block_interval_ms=1) as client:
        yield client, account


def test_signatures_are_judged_as_the_vectors_say(ledger: tuple[Client, Account]) -> None:
    client, _ = ledger
    data = ["0x" + "".join(each[field][2:] for field in ("key", "signature", "message")) for each in SIGNATURES]
    answers = client.batch([("eth_call", ({"to": ED25519, "data": each}, "latest")) for each in data])
    one = "0x" + "1".rjust(64, "0")
    assert answers == [one if each["valid"] else "0x" for each in SIGNATURES]


def test_verification_in_a_transaction_costs_what_the_rule_says(ledger: tuple[Client, Account]) -> None:
    client, account = ledger
    # Mostly zeros: calldata below the floor of EIP-7623.
    case = next(each for each in SIGNATURES if each["name"] == "ZIP 215, 0 2")
    data = bytes.fromhex("".join(case[field][2:] for field in ("key", "signature", "message")))
    tokens = sum(1 if byte == 0 else 4 for byte in data)
    receipt = Sender(client, account).send(Message(to=ED25519, data=data))
    assert int(receipt.gas_used, 16) == 21_000 + 4 * tokens + 2_000 + 12 * ((len(data) + 31) // 32)


def test_contract_convicts_by_the_evidence_of_the_engine(ledger: tuple[Client, Account]) -> None:
    client, account = ledger
    compiled = artefact("ConsensusKeys")
    deployed = Sender(client, account).send(Message(to=None, data=bytes.fromhex(compiled.bytecode.removeprefix("0x"))))
    contract = Contract(client, "ConsensusKeys", deployed.contract_address or "")
    assert client.chain_id() == SIMPLEX["chainId"]
    for each in SIMPLEX["evidence"]:
        activity = bytes.fromhex(each["activity"][2:])
        for seat, key in enumerate(SIMPLEX["keys"]):
            assert contract.read("proves", activity, bytes.fromhex(key[2:])) == (seat == each["seat"])
