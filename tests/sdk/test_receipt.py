"""Receipts: a real one, settled on a real node, and what happens when any of it is changed."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from candela import receipt
from candela.errors import ReceiptError

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
