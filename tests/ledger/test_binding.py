"""The binding signs, decodes and recovers exactly like eth-account."""

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from candela import _ledger

KEY = bytes([7]) * 32
TO = "0x" + "11" * 20
ACCESS = [{"address": TO, "storageKeys": ["0x" + "00" * 31 + "05"]}]
BASE = {"chainId": 4410948, "nonce": 3, "gas": 100_000, "to": TO, "value": 10**18, "data": "0xc0ffee"}
FEES = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 7}

CASES = {
    "legacy": {**BASE, "gasPrice": 10**9},
    "access list": {**BASE, "type": 1, "gasPrice": 10**9, "accessList": ACCESS},
    "dynamic fee": {**BASE, **FEES, "type": 2},
    "dynamic fee with access list": {**BASE, **FEES, "type": 2, "accessList": ACCESS},
}


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES.keys())
def test_signed_bytes_equal_eth_account(fields: dict) -> None:
    raw, digest = _ledger.sign_transaction(fields, KEY)
    expected = Account.sign_transaction(fields, KEY)
    assert raw == bytes(expected.raw_transaction)
    assert digest == "0x" + bytes(expected.hash).hex()


def test_set_code_transaction_equals_eth_account() -> None:
    account = Account.from_key(KEY)
    authorization = account.sign_authorization({"chainId": 4410948, "address": TO, "nonce": 4})
    entry = {
        "chainId": authorization.chain_id,
        "address": "0x" + authorization.address.hex(),
        "nonce": authorization.nonce,
        "yParity": authorization.y_parity,
        "r": authorization.r,
        "s": authorization.s,
    }
    raw, _ = _ledger.sign_transaction({**BASE, **FEES, "type": 4, "authorizationList": [entry]}, KEY)
    expected = account.sign_transaction({**BASE, **FEES, "type": 4, "authorizationList": [authorization]})
    assert raw == bytes(expected.raw_transaction)
    assert _ledger.decode_transaction(raw)["authorizationList"][0]["address"].lower() == TO


def test_hex_and_int_quantities_sign_alike() -> None:
    as_hex = {key: hex(value) if isinstance(value, int) else value for key, value in CASES["dynamic fee"].items()}
    assert _ledger.sign_transaction(as_hex, KEY) == _ledger.sign_transaction(CASES["dynamic fee"], KEY)


@given(secret=st.binary(min_size=32, max_size=32), digest=st.binary(min_size=32, max_size=32))
def test_recover_finds_the_signer(secret: bytes, digest: bytes) -> None:
    try:
        address = _ledger.address_of(secret)
    except _ledger.InvalidKeyError:
        return
    assert address == Account.from_key(secret).address
    assert _ledger.recover(digest, _ledger.sign_message(digest, secret)) == address


@given(value=st.integers(0, 2**256 - 1), nonce=st.integers(0, 2**64 - 2))
def test_decoding_returns_what_was_signed(value: int, nonce: int) -> None:
    raw, digest = _ledger.sign_transaction({**CASES["dynamic fee"], "value": value, "nonce": nonce}, KEY)
    decoded = _ledger.decode_transaction(raw)
    assert (decoded["value"], decoded["nonce"], decoded["hash"]) == (value, nonce, digest)
    assert decoded["from"] == _ledger.address_of(KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"value": -1},
        {"value": 2**256},
        {"value": True},
        {"value": "10"},
        {"nonce": None},
        {"to": "0x11"},
        {"type": 3},
        {"surprise": 1},
        {"gasPrice": 1},
        {"from": "0x" + "22" * 20},
    ],
)
def test_wrong_fields_are_refused(change: dict) -> None:
    with pytest.raises(_ledger.InvalidTransactionError):
        _ledger.sign_transaction({**CASES["dynamic fee"], **change}, KEY)


def test_high_s_signature_is_refused() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signature = _ledger.sign_message(b"\x01" * 32, KEY)
    high = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    flipped = bytes([27 + 28 - signature[64]])
    with pytest.raises(_ledger.InvalidSignatureError):
        _ledger.recover(b"\x01" * 32, signature[:32] + high + flipped)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=33), st.data())
def test_every_leaf_proves_itself(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, siblings = _ledger.merkle_root(leaves), _ledger.merkle_proof(leaves, index)
    assert _ledger.merkle_verify(root, leaves[index], index, len(leaves), siblings)
    assert not _ledger.merkle_verify(root, leaves[index] + b"x", index, len(leaves), siblings)


def test_bytes_that_are_no_header_are_refused() -> None:
    with pytest.raises(_ledger.InvalidHeaderError):
        _ledger.decode_header(b"\xc0")
