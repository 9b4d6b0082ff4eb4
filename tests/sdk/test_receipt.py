"""Receipts: a real one (in today's encoding of headers), and what happens when any of it is changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from candela import _ledger, receipt
from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.contract import Contract
from candela.errors import ReceiptError
from candela.network.genesis import MARKET, SESSION_KEYS

VECTOR = Path(__file__).parent / "receipt.json"


@pytest.fixture
def document() -> dict:
    return json.loads(VECTOR.read_text())["document"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "output"
    path.write_bytes(bytes.fromhex(json.loads(VECTOR.read_text())["output"]))
    return path


def failing(document: dict, output: Path | None = None) -> set[str]:
    return {check.name for check in receipt.verify(document, output) if check.holds is False}


def test_untouched_receipt_holds_and_names_what_is_not_checked(document: dict, output: Path) -> None:
    checks = receipt.verify(document, output)
    assert receipt.holds(checks)
    assert [check.name for check in checks if check.holds is None] == ["block is final"]
    assert sum(check.holds is True for check in checks) == 8


@pytest.mark.parametrize(
    ("field", "value", "check"),
    [
        ("price", "999", "price"),
        ("work_uwu", 1, "price"),
        ("energy_mj", 10**9, "transaction states the receipt"),
        ("output_hash", "00" * 32, "transaction states the receipt"),
        ("task", 77, "transaction states the receipt"),
        ("outcome", 1, "transaction states the receipt"),
        ("job_id", 99, "price"),
        ("attempt", 9, "transaction succeeded"),
        ("provider", "0x" + "11" * 20, "transaction succeeded"),
        ("device_id", 40, "transaction succeeded"),
        ("operator", "0x" + "11" * 20, "transaction signature"),
    ],
)
def test_changed_statement_is_found(document: dict, field: str, value: object, check: str) -> None:
    document["receipt"][field] = value
    assert check in failing(document)


def flipped(text: str, position: int) -> str:
    data = bytearray(bytes.fromhex(text.removeprefix("0x")))
    data[position] ^= 1
    return "0x" + data.hex()


@pytest.mark.parametrize("field", ["transaction", "headerBytes", "receipt", "blockHash"])
@pytest.mark.parametrize("position", [0, 20, -1])
def test_any_flipped_bit_of_the_proof_is_found(document: dict, field: str, position: int) -> None:
    document["proof"][field] = flipped(document["proof"][field], position)
    assert failing(document)


@pytest.mark.parametrize(
    ("field", "check"), [("siblings", "transaction is in the block"), ("receiptSiblings", "transaction succeeded")]
)
def test_changed_or_missing_siblings_are_found(document: dict, field: str, check: str) -> None:
    siblings = document["proof"][field]
    assert siblings, "the vector stands in a block with several transactions"
    changed = copy.deepcopy(document)
    changed["proof"][field][0] = flipped(siblings[0], 3)
    assert failing(changed) == {check}
    changed["proof"][field] = siblings[1:]
    assert failing(changed) == {check}


def test_another_position_in_the_block_is_found(document: dict) -> None:
    document["proof"]["index"] = hex(int(document["proof"]["index"], 16) ^ 1)
    assert {"transaction is in the block", "transaction succeeded"} <= failing(document)


def test_receipt_for_another_chain_is_found(document: dict) -> None:
    document["chain_id"] = 1
    assert failing(document) == {"transaction signature"}


def test_another_output_is_found(document: dict, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    assert failing(document, other) == {"output"}
    assert failing(document, tmp_path / "missing") == {"output"}


@pytest.mark.parametrize("document_of_others", [{}, {"version": 1}, [], "x", {"version": "1"}])
def test_what_is_no_receipt_is_refused(document_of_others: object) -> None:
    with pytest.raises(ReceiptError):
        receipt.verify(document_of_others)  # type: ignore[arg-type]
    with pytest.raises(ReceiptError):
        receipt.load(json.dumps(document_of_others).encode())


def test_oversized_or_binary_files_are_refused() -> None:
    with pytest.raises(ReceiptError):
        receipt.load(bytes(receipt.MAX_BYTES + 1))
    with pytest.raises(ReceiptError):
        receipt.load(b"\xff\xfe")


def test_hostile_fields_fail_checks_and_raise_nothing(document: dict) -> None:
    for field in ("transaction", "headerBytes", "receipt", "index", "count", "blockHash", "blockNumber"):
        for value in ("", "0x", "zz", "0x" + "ff" * 40, "-1", "0x" + "f8" * 3):
            changed = copy.deepcopy(document)
            changed["proof"][field] = value
            assert failing(changed), (field, value)


OPERATOR, SEED = Account(b"\x01" * 32), b"\x07" * 32
FEES = {"gas": 300_000, "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1, "nonce": 0}


def authorized(
    document: dict, *, seed: bytes = SEED, by: Account = OPERATOR, scope: Sequence[str] = (MARKET,), **changed: object
) -> str:
    data = Contract(Client("http://offline.invalid"), "SessionKeys", SESSION_KEYS).encode(
        "authorize", _ledger.session_key_of(seed), 2**40 - 1, 10**18, scope
    )
    fields = {**FEES, "chainId": document["chain_id"], "to": SESSION_KEYS, "data": data, **changed}
    return "0x" + by.sign_transaction(fields)[0].hex()


@pytest.fixture
def session_document(document: dict) -> dict:
    """The receipt as it were if a session key of another operator had signed the transaction."""
    settled = _ledger.decode_transaction(bytes.fromhex(document["proof"]["transaction"][2:]))
    fields = {**FEES, "chainId": document["chain_id"], "to": settled["to"], "data": settled["data"]}
    raw, _ = _ledger.sign_session_transaction(fields | {"from": OPERATOR.address}, SEED)
    document["receipt"]["operator"] = OPERATOR.address
    document["proof"] |= {"transaction": "0x" + raw.hex(), "sessionAuthorization": authorized(document)}
    return document


def test_a_session_key_signs_for_the_operator_that_authorized_it(session_document: dict) -> None:
    (check,) = [each for each in receipt.verify(session_document) if each.name == "transaction signature"]
    assert check.holds, check.detail
    assert _ledger.session_key_of(SEED).hex() in check.detail
    assert OPERATOR.address in check.detail


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": b"\x08" * 32}, "the operator authorized"),
        ({"by": Account(b"\x02" * 32)}, "authorized it, not"),
        ({"scope": ("0x" + "11" * 20,)}, "may not call the market"),
        ({"to": MARKET}, "not the contract of session keys"),
        ({"chainId": 1}, "for chain 1"),
    ],
)
def test_a_session_key_that_the_operator_did_not_authorize_is_found(
    session_document: dict, change: dict, reason: str
) -> None:
    session_document["proof"]["sessionAuthorization"] = authorized(session_document, **change)
    (check,) = [each for each in receipt.verify(session_document) if each.name == "transaction signature"]
    assert check.holds is False
    assert reason in check.detail


def test_a_session_key_that_nobody_authorized_or_only_another_key_is_found(session_document: dict) -> None:
    for authorization in ("", session_document["proof"]["transaction"]):
        session_document["proof"]["sessionAuthorization"] = authorization
        assert "transaction signature" in failing(session_document)
