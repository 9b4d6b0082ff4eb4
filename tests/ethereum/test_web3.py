"""web3.py, unmodified. Its answers are loosely typed, so they are `Any` here."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError

from candela import _ledger
from candela.network.contracts import artefact
from candela.network.genesis import SESSION_KEYS

STRANGER = Web3.to_checksum_address("0x" + "abcde".zfill(40))
GWEI = 10**9


@pytest.fixture(scope="module")
def w3(chain: dict[str, Any]) -> Any:
    return Web3(Web3.HTTPProvider(chain["rpc"]))


@pytest.fixture(scope="module")
def account(chain: dict[str, Any]) -> Any:
    return Account.from_key(chain["accounts"][3]["private_key"])


def send(w3: Any, account: Any, **fields: Any) -> Any:
    """Sign and send; the receipt."""
    transaction = {
        "from": account.address,
        "nonce": w3.eth.get_transaction_count(account.address, "pending"),
        "chainId": w3.eth.chain_id,
        **fields,
    }
    if not {"gasPrice", "maxFeePerGas"} & transaction.keys():
        transaction |= {"maxFeePerGas": GWEI, "maxPriorityFeePerGas": 10**6}
    if "gas" not in transaction:
        transaction["gas"] = w3.eth.estimate_gas(transaction)
    del transaction["from"]
    raw = account.sign_transaction(transaction).raw_transaction
    return w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(raw), timeout=20, poll_latency=0.02)


@pytest.fixture(scope="module")
def board(w3: Any, account: Any, chain: dict[str, Any]) -> Any:
    artefact = chain["contracts"]["Board"]
    factory = w3.eth.contract(abi=artefact["abi"], bytecode=artefact["bytecode"])
    receipt = send(w3, account, data=factory.constructor("hello").data_in_transaction)
    return w3.eth.contract(receipt["contractAddress"], abi=artefact["abi"])


def post(board: Any, text: str) -> dict[str, Any]:
    return {"to": board.address, "data": board.encode_abi("post", args=[text])}


def test_blocks_and_fees(w3: Any, board: Any) -> None:
    latest, finalized = w3.eth.get_block("latest"), w3.eth.get_block("finalized", full_transactions=True)
    assert latest["hash"] == finalized["hash"]
    assert finalized["transactions"][0]["blockHash"] == finalized["hash"]
    assert len(latest["extraData"]) <= 32
    assert w3.eth.get_block("safe")["number"] == w3.eth.block_number
    assert w3.eth.syncing is False
    assert w3.net.version == str(w3.eth.chain_id)
    assert w3.client_version.startswith("candela/")
    history = w3.eth.fee_history(4, "latest", [10, 50])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1
    assert w3.eth.gas_price > 0
    assert board.functions.last().call() == "hello"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (0, {"gasPrice": GWEI}),
        (1, {"gasPrice": GWEI, "accessList": [{"address": STRANGER, "storageKeys": ["0x" + "00" * 32]}]}),
        (2, {}),
    ],
)
def test_each_type(w3: Any, account: Any, kind: int, fields: dict[str, Any]) -> None:
    receipt = send(w3, account, to=STRANGER, value=3, **fields)
    assert (receipt["status"], receipt["type"]) == (1, kind)
    assert w3.eth.get_transaction(receipt["transactionHash"])["value"] == 3


def test_type_4_gives_an_account_code(w3: Any, account: Any, board: Any) -> None:
    owner = Account.create()
    authorization = {"chainId": w3.eth.chain_id, "address": board.address, "nonce": 0}
    signed = owner.sign_authorization(authorization)
    receipt = send(w3, account, to=owner.address, data=post(board, "delegated")["data"], authorizationList=[signed])
    assert (receipt["status"], receipt["type"]) == (1, 4)
    assert w3.eth.get_code(owner.address) == bytes.fromhex("ef0100" + board.address[2:])
    assert w3.eth.contract(owner.address, abi=board.abi).functions.last().call() == "delegated"


def test_type_3_is_refused_in_words(w3: Any, account: Any) -> None:
    fields = {
        "type": 3,
        "chainId": w3.eth.chain_id,
        "nonce": 0,
        "gas": 21_000,
        "to": STRANGER,
        "value": 0,
        "data": "0x",
        "maxFeePerGas": GWEI,
        "maxPriorityFeePerGas": 1,
        "maxFeePerBlobGas": 1,
        "blobVersionedHashes": ["0x01" + "00" * 31],
        "accessList": [],
    }
    raw = account.sign_transaction(fields).raw_transaction
    with pytest.raises(Web3RPCError, match=r"blob transactions \(type 3\)"):
        w3.eth.send_raw_transaction(raw)


def test_a_reason_and_a_custom_error_are_read(board: Any) -> None:
    with pytest.raises(ContractLogicError, match="board: the text is empty"):
        board.functions.post("").call()
    with pytest.raises(ContractLogicError, match="board: the text is empty"):
        board.functions.post("").estimate_gas()
    with pytest.raises(ContractCustomError) as refused:
        board.functions.clear().call({"from": STRANGER})
    assert str(refused.value.data).endswith(STRANGER[2:].lower())


def test_a_failed_transaction_says_so(w3: Any, account: Any, board: Any) -> None:
    assert send(w3, account, **post(board, ""), gas=200_000)["status"] == 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"nonce": 0}, r"nonce too low: next nonce \d+, tx nonce 0"),
        ({"gas": 20_999}, r"intrinsic gas too low: gas 20999, minimum needed 21000"),
        ({"gas": 2**40}, r"transaction gas limit too high \(cap: 16777216, tx: 1099511627776\)"),
        ({"value": 10**30}, r"insufficient funds for gas \* price \+ value: balance \d+, tx cost \d+, overshot \d+"),
        ({"chainId": 1}, r"invalid sender: invalid chain id for signer: have 1 want \d+"),
        (
            {"maxFeePerGas": 1, "maxPriorityFeePerGas": 2},
            r"max priority fee per gas higher than max fee per gas",
        ),
        (
            {"to": None, "data": "0x" + "00" * 49_153, "gas": 10**7},
            r"max initcode size exceeded: code size 49153 limit 49152",
        ),
    ],
)
def test_mistakes_are_named_as_geth_names_them(w3: Any, account: Any, fields: dict[str, Any], text: str) -> None:
    basis = {"to": STRANGER, "gas": 21_000, "maxFeePerGas": GWEI, "maxPriorityFeePerGas": 10**6}
    sent = {key: value for key, value in (basis | fields).items() if value is not None}
    with pytest.raises(Web3RPCError, match=text):
        send(w3, account, **sent)


def test_events_by_range_and_filter(w3: Any, account: Any, board: Any) -> None:
    blocks, posts = w3.eth.filter("latest"), board.events.Posted.create_filter(from_block="latest")
    pending = w3.eth.filter("pending")
    receipt = send(w3, account, **post(board, "filtered"))
    assert receipt["blockHash"] in blocks.get_new_entries()
    assert [entry["args"]["text"] for entry in posts.get_new_entries()] == ["filtered"]
    assert receipt["transactionHash"] in pending.get_new_entries()
    assert posts.get_new_entries() == []
    found = board.events.Posted.get_logs(from_block=0, argument_filters={"author": account.address})
    assert found[-1]["transactionHash"] == receipt["transactionHash"]
    assert w3.eth.uninstall_filter(posts.filter_id)
    with pytest.raises(Web3RPCError, match="filter not found"):
        posts.get_new_entries()


def test_requests_in_one_batch(w3: Any, chain: dict[str, Any]) -> None:
    with w3.batch_requests() as batch:
        for each in chain["accounts"]:
            batch.add(w3.eth.get_balance(each["address"]))
        assert all(balance > 0 for balance in batch.execute())


def test_subscriptions(w3: Any, account: Any, board: Any, chain: dict[str, Any]) -> None:
    async def listen() -> tuple[set[Any], Any]:
        async with AsyncWeb3(WebSocketProvider(chain["ws"])) as socket:
            heads = await socket.eth.subscribe("newHeads")
            logs = await socket.eth.subscribe("logs", {"address": board.address})
            receipt = await asyncio.to_thread(send, w3, account, **post(board, "subscribed"))
            seen: set[Any] = set()
            async with asyncio.timeout(20):
                async for message in socket.socket.process_subscriptions():
                    result = message["result"]
                    seen.add(
                        ("log", result["blockHash"]) if message["subscription"] == logs else ("head", result["hash"])
                    )
                    if {("log", receipt["blockHash"]), ("head", receipt["blockHash"])} <= seen:
                        break
            assert await socket.eth.unsubscribe(heads)
            return seen, receipt

    seen, receipt = asyncio.run(listen())
    assert ("log", receipt["blockHash"]) in seen


def test_a_session_transaction_is_read_like_any_other(w3: Any, account: Any) -> None:
    seed = secrets.token_bytes(32)
    keys = w3.eth.contract(Web3.to_checksum_address(SESSION_KEYS), abi=artefact("SessionKeys").abi)
    terms = (_ledger.session_key_of(seed), 2**40 - 1, 10**18, [])
    authorized = send(w3, account, to=keys.address, data=keys.encode_abi("authorize", args=terms))
    assert authorized["status"] == 1
    fields = {"chainId": w3.eth.chain_id, "nonce": w3.eth.get_transaction_count(account.address), "gas": 21_000}
    fields |= {"maxFeePerGas": GWEI, "maxPriorityFeePerGas": 10**6, "to": STRANGER, "value": 7}
    raw, digest = _ledger.sign_session_transaction(fields | {"from": account.address}, seed)
    assert w3.eth.send_raw_transaction(raw).to_0x_hex() == digest
    receipt = w3.eth.wait_for_transaction_receipt(digest, timeout=20, poll_latency=0.02)
    assert (receipt["type"], receipt["status"], receipt["from"]) == (0x50, 1, account.address)
    block = w3.eth.get_block(receipt["blockHash"], full_transactions=True)
    (found,) = [each for each in block["transactions"] if each["hash"].to_0x_hex() == digest]
    assert found == w3.eth.get_transaction(digest)
    assert (found["type"], found["from"], found["value"], found["scheme"]) == (0x50, account.address, 7, "0x10")
    assert found["sessionKey"] == "0x" + terms[0].hex()
    spent = keys.functions.session(account.address, terms[0]).call()[2]
    assert spent == receipt["gasUsed"] * receipt["effectiveGasPrice"] + 7
