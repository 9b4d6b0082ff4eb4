"""Export a task's receipt with everything that shows offline that it is final, and check such a document."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from candela import _ledger, _rlp
from candela.amounts import WORK_SCALE
from candela.chain.client import Client
from candela.chain.contract import Contract
from candela.chain.market import Market, TaskReceipt, receipt_of
from candela.errors import ReceiptError
from candela.network.genesis import MARKET, SESSION_KEYS

VERSION = 1
MAX_BYTES = 16 << 20
_STATED = ("lease_id", "task", "outcome", "started", "work_uwu", "energy_mj", "energy_method", "price")
_HASHES = ("code_hash", "input_hash", "output_hash")


class Stated(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The receipt in words; hashes in hex."""

    job_id: int
    lease_id: str
    task: int
    attempt: int
    provider: str
    operator: str
    device_id: int
    outcome: int
    code_hash: str
    input_hash: str
    output_hash: str
    started: int
    work_uwu: int
    energy_mj: int
    energy_method: int
    price_per_unit: str
    price: str
    """Nit; amounts are text because JSON's readers round large numbers."""


class Proof(msgspec.Struct, kw_only=True, rename="camel"):
    """The settling transaction, its result, and where both stand in a block; bytes as 0x hex."""

    block_hash: str
    block_number: str
    header_bytes: str
    certificate: str
    transaction: str
    index: str
    count: str
    siblings: list[str]
    receipt: str
    receipt_siblings: list[str]
    session_authorization: str = ""
    """The transaction in which the operator authorized the session key; empty when its own key signed."""


class Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A receipt that can be checked without a network."""

    version: int
    chain_id: int
    market: str
    receipt: Stated
    proof: Proof


class Check(msgspec.Struct):
    """One thing that was looked at; ``holds`` is ``None`` for what can't be checked with the document alone."""

    name: str
    holds: bool | None
    detail: str


def export(client: Client, job_id: int, task: int) -> dict[str, Any]:
    """The document of a task's last receipt.

    Raises:
        ReceiptError: the task has none, or the node has no proof of it.
    """
    market = Market(client)
    settled = [receipt_of(event) for event in _settled(market, job_id, task)]
    if not settled:
        raise ReceiptError(f"task {task} of job {job_id} has no receipt", fix="see which tasks are settled: candela ps")
    receipt = settled[-1]
    found = client.call("candela_getInclusionProof", receipt.transaction)
    if found is None:
        raise ReceiptError(f"the node has no inclusion proof of {receipt.transaction}")
    proof = msgspec.convert(found, Proof)
    proof.session_authorization = _session_authorization(client, proof)
    lease = market.lease(receipt.lease_id)
    stated = {name: getattr(receipt, name) for name in ("job_id", "task", "attempt", "provider", "device_id")}
    stated |= {name: getattr(receipt, name) for name in _STATED}
    stated |= {name: getattr(receipt, name).hex() for name in _HASHES}
    stated |= {"operator": lease.operator, "price_per_unit": str(lease.price_per_unit)}
    stated |= {"price": str(receipt.price), "lease_id": str(receipt.lease_id)}
    document = Document(
        version=VERSION,
        chain_id=client.chain_id(),
        market=MARKET,
        receipt=msgspec.convert(stated, Stated),
        proof=proof,
    )
    return msgspec.to_builtins(document)


def _session_authorization(client: Client, proof: Proof) -> str:
    transaction = _ledger.decode_transaction(_bytes(proof.transaction))
    if "sessionKey" not in transaction:
        return ""
    keys = Contract(client, "SessionKeys", SESSION_KEYS)
    owner, key = transaction["from"].removeprefix("0x").rjust(64, "0"), transaction["sessionKey"].hex()
    topics = (keys.topic("SessionAuthorized"), f"0x{owner}", f"0x{key}")
    # A key is authorized once, and before it is used.
    (event,) = keys.events(0, int(proof.block_number, 16), *topics)
    return client.call("candela_getInclusionProof", event.transaction)["transaction"]


def _settled(market: Market, job_id: int, task: int) -> list[Any]:
    topics = (market.topic("TaskSettled"), f"0x{job_id:064x}")
    events = market.events(0, market.client.block_number(), *topics)
    return [event for event in events if event.fields["task"] == task]


def load(data: bytes) -> Document:
    """Read a document that may come from anybody.

    Raises:
        ReceiptError: malformed.
    """
    if len(data) > MAX_BYTES:
        raise ReceiptError(f"a receipt of {len(data)} bytes was refused", why=f"at most {MAX_BYTES} are taken")
    try:
        return msgspec.json.decode(data, type=Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ReceiptError("the receipt can't be read", why=str(error)) from error


def verify(document: dict[str, Any] | Document, output: Path | None = None) -> list[Check]:
    """Check a receipt offline.

    Args:
        document: as :func:`export` gives it, from anybody.
        output: a file that holds the task's encoded output.

    Returns:
        What was checked, in order; the receipt holds when no check is ``False``.

    Raises:
        ReceiptError: it is no receipt document at all.
    """
    try:
        parsed = document if isinstance(document, Document) else msgspec.convert(document, Document)
    except msgspec.ValidationError as error:
        raise ReceiptError("the receipt can't be read", why=str(error)) from error
    checks = [
        _attempt("document version", _version, parsed),
        _attempt("transaction signature", _signature, parsed),
        _attempt("transaction states the receipt", _calldata, parsed),
        _attempt("price", _price, parsed),
        _attempt("block header", _header, parsed),
        _attempt("transaction is in the block", _included, parsed),
        _attempt("transaction succeeded", _succeeded, parsed),
    ]
    if output is not None:
        checks.append(_attempt("output", lambda each: _output(each, output), parsed))
    checks.append(
        Check(
            "block is final",
            None,
            f"not checked: the certificate of {len(_bytes(parsed.proof.certificate, b''))} bytes must be compared with "
            f"a trusted validator set, or block {parsed.proof.block_hash} with a node that you trust",
        )
    )
    return checks


def holds(checks: list[Check]) -> bool:
    """Whether nothing that could be checked failed."""
    return all(each.holds is not False for each in checks)


def _attempt(name: str, check: Callable[[Document], str], document: Document) -> Check:
    try:
        return Check(name, True, check(document))
    except Exception as error:  # noqa: BLE001 - the document may hold anything; whatever breaks a check fails it
        return Check(name, False, str(error) or type(error).__name__)


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise ValueError(reason)


def _bytes(text: str, default: bytes | None = None) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        if default is None:
            raise
        return default


def _version(document: Document) -> str:
    _require(document.version == VERSION, f"version {document.version} is unknown")
    return f"version {VERSION}"


def _signature(document: Document) -> str:
    transaction = _ledger.decode_transaction(_bytes(document.proof.transaction))
    operator = document.receipt.operator
    _require(transaction["from"].lower() == operator.lower(), f"it is signed by {transaction['from']}, not {operator}")
    to = str(transaction.get("to") or "nobody")
    _require(document.market.lower() == MARKET, f"{document.market} is not the market")
    _require(to.lower() == MARKET, f"it is sent to {to}, not to the market")
    chain_id = transaction.get("chainId")
    _require(chain_id == document.chain_id, f"it is for chain {chain_id}, not {document.chain_id}")
    if "sessionKey" in transaction:
        return f"{_authorized(document, transaction['sessionKey'])} for chain {chain_id}"
    return f"signed by operator {operator} for chain {chain_id}"


def _authorized(document: Document, key: bytes) -> str:
    """Check that the operator itself authorized the session key; that the key was still good, the block says."""
    _require(document.proof.session_authorization != "", f"nothing shows that the operator authorized {key.hex()}")
    granted = _ledger.decode_transaction(_bytes(document.proof.session_authorization))
    operator = document.receipt.operator
    _require("sessionKey" not in granted, "it was authorized by a session key")
    _require(granted["from"].lower() == operator.lower(), f"{granted['from']} authorized it, not {operator}")
    _require(str(granted["to"]).lower() == SESSION_KEYS, f"{granted['to']} is not the contract of session keys")
    _require(granted["chainId"] == document.chain_id, f"it was authorized for chain {granted['chainId']}")
    terms = _contract("SessionKeys", SESSION_KEYS).decode_call("authorize", granted["data"])
    _require(terms["key"] == key, f"the operator authorized {terms['key'].hex()}, not {key.hex()}")
    _require(not terms["scope"] or MARKET in [each.lower() for each in terms["scope"]], "it may not call the market")
    return f"signed by session key {key.hex()}, which operator {operator} authorized"


def _contract(name: str = "Market", address: str = MARKET) -> Contract:
    # Encodes and decodes only; nothing is sent.
    return Contract(Client("http://offline.invalid"), name, address)


def _calldata(document: Document) -> str:
    transaction = _ledger.decode_transaction(_bytes(document.proof.transaction))
    data = transaction["data"]
    arguments = _contract().decode_call("settle", data)
    _same({name: arguments[name] for name in (*_STATED, *_HASHES)}, document.receipt)
    return f"task {document.receipt.task} of job {document.receipt.job_id}, outcome {document.receipt.outcome}"


def _same(found: dict[str, Any], stated: Stated) -> None:
    for name, value in found.items():
        text = value.hex() if isinstance(value, bytes) else str(value)
        claimed = str(getattr(stated, name))
        _require(text.lower() == claimed.lower(), f"its {name} is {text}, the document says {claimed}")


def _price(document: Document) -> str:
    receipt = document.receipt
    price = receipt.work_uwu * int(receipt.price_per_unit) // WORK_SCALE
    _require(price == int(receipt.price), f"{receipt.work_uwu} uwu cost {price} nit, the document says {receipt.price}")
    _require(int(receipt.lease_id) >> 32 == receipt.job_id, "the lease belongs to another job")
    return f"{receipt.work_uwu} uwu x {receipt.price_per_unit} nit / {WORK_SCALE} = {price} nit"


def _header(document: Document) -> str:
    header = _bytes(document.proof.header_bytes)
    found = "0x" + _ledger.header_hash(header).hex()
    _require(found == document.proof.block_hash.lower(), f"its hash is {found}, not {document.proof.block_hash}")
    number = _ledger.decode_header(header)["number"]
    stated = int(document.proof.block_number, 16)
    _require(number == stated, f"it is of block {number}, the document says {stated}")
    return f"block {number}, hash {found}"


def _root(document: Document, name: str) -> bytes:
    (shard,) = _ledger.decode_header(_bytes(document.proof.header_bytes))["shards"]
    return _bytes(shard[name])


def _in_tree(document: Document, root: str, leaf: str, siblings: list[str]) -> None:
    proof = document.proof
    path = [_bytes(each) for each in siblings]
    index, count = int(proof.index, 16), int(proof.count, 16)
    verified = _ledger.merkle_verify(_root(document, root), _bytes(leaf), index, count, path)
    _require(verified, f"the proof does not lead to the header's {root}")


def _included(document: Document) -> str:
    _in_tree(document, "transactions_root", document.proof.transaction, document.proof.siblings)
    return f"transaction {int(document.proof.index, 16)} of {int(document.proof.count, 16)}"


def _succeeded(document: Document) -> str:
    _in_tree(document, "receipts_root", document.proof.receipt, document.proof.receipt_siblings)
    fields = _rlp.decode(_bytes(document.proof.receipt))
    if not isinstance(fields, list) or fields[1] != b"\x01":
        raise ValueError("it reverted")
    event = _event(fields[5])
    names = set(TaskReceipt.__struct_fields__) - {"transaction", "block"}
    _same({name: value for name, value in event.items() if name in names}, document.receipt)
    return f"provider {document.receipt.provider}, device {document.receipt.device_id}, attempt {event['attempt']}"


def _event(logs: Any) -> dict[str, Any]:
    contract = _contract()
    for address, topics, data in logs:
        log = {
            "address": "0x" + address.hex(),
            "topics": ["0x" + each.hex() for each in topics],
            "data": "0x" + data.hex(),
        }
        decoded = contract.decode_log(log)
        if decoded is not None and decoded[0] == "TaskSettled":
            return decoded[1]
    raise ValueError("it settled no task")


def _output(document: Document, path: Path) -> str:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    _require(found == document.receipt.output_hash.lower(), f"the SHA-256 of {path} is {found}")
    return f"{path} has the receipt's hash"
