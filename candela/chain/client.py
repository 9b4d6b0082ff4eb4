"""A JSON-RPC client for a Candela node, or any Ethereum node."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec

from candela.chain.message import Message
from candela.errors import NetworkError, RpcError, TransactionFailed

Call = tuple[str, Sequence[Any]]


class Receipt(msgspec.Struct, rename="camel"):
    """What an included transaction did, as ``eth_getTransactionReceipt`` tells it."""

    transaction_hash: str
    block_hash: str
    block_number: str
    transaction_index: str
    status: str
    gas_used: str
    logs: list[dict[str, Any]]
    contract_address: str | None = None
    effective_gas_price: str = "0x0"

    @property
    def fee_nit(self) -> int:
        """What its sender paid for it, in nit, beside the value that it moved."""
        return int(self.gas_used, 16) * int(self.effective_gas_price, 16)

    @property
    def succeeded(self) -> bool:
        """Whether it did not revert."""
        return int(self.status, 16) == 1


class Client:
    """Sends requests to one node over a pool of connections; safe to share between threads.

    Args:
        url: the node's HTTP endpoint.
        timeout: seconds to wait for an answer.
        most_bytes: of an answer, where the node is not trusted to keep within bounds.
    """

    def __init__(self, url: str, timeout: float = 30, most_bytes: int | None = None) -> None:
        self.url, self._most_bytes = url, most_bytes
        self._http = httpx2.Client(timeout=timeout, headers={"Content-Type": "application/json"}, trust_env=False)
        self._ids = itertools.count(1)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, method: str, *params: Any) -> Any:
        """The result of one method.

        Raises:
            NetworkError: the node can't be reached.
            RpcError: the node refused; the message is the node's.
        """
        return _result(
            method, self._post({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})
        )

    def batch(self, calls: Sequence[Call]) -> list[Any | RpcError]:
        """The results of many methods in one request, in order; a refused one is its error, not raised.

        Raises:
            NetworkError: the node can't be reached.
        """
        if not calls:
            return []
        requests = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
            for index, (method, params) in enumerate(calls)
        ]
        answers = self._post(requests)
        if not isinstance(answers, list):
            _result("batch", answers)
            raise NetworkError(f"{self.url} did not answer a batch with a list")
        by_id = {str(answer.get("id")): answer for answer in answers if isinstance(answer, dict)}
        return [_outcome(method, by_id.get(str(index))) for index, (method, _) in enumerate(calls)]

    def _post(self, body: Any) -> Any:
        try:
            return msgspec.json.decode(self._answer(msgspec.json.encode(body)))
        except httpx2.HTTPError as error:
            raise NetworkError(
                f"the node at {self.url} can't be reached",
                why=str(error) or type(error).__name__,
                fix="start a network with: candela up",
            ) from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise NetworkError(f"{self.url} did not answer with JSON", why=str(error)) from error

    def _answer(self, body: bytes) -> bytes:
        if self._most_bytes is None:
            return self._http.post(self.url, content=body).content
        answer = bytearray()
        with self._http.stream("POST", self.url, content=body) as response:
            for part in response.iter_bytes():
                answer += part
                if len(answer) > self._most_bytes:
                    raise NetworkError(f"{self.url} answers with more than {self._most_bytes} bytes")
        return bytes(answer)

    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return int(self.call("eth_chainId"), 16)

    def block_number(self) -> int:
        """Height of the last final block."""
        return int(self.call("eth_blockNumber"), 16)

    def balance(self, address: str) -> int:
        """Balance in nit."""
        return int(self.call("eth_getBalance", address, "latest"), 16)

    def timestamp(self) -> int:
        """Unix time of the last final block in seconds."""
        return int(self.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def receipts(self, hashes: Sequence[str]) -> list[Receipt | None]:
        """Receipts of transactions, ``None`` for those not included."""
        found = self.batch([("eth_getTransactionReceipt", (each,)) for each in hashes])
        return [
            None if each is None or isinstance(each, RpcError) else msgspec.convert(each, Receipt) for each in found
        ]

    def wait(self, hashes: Sequence[str], timeout: float = 60) -> list[Receipt]:
        """Receipts of transactions as soon as all of them are final.

        Raises:
            NetworkError: they are not within ``timeout`` seconds.
        """
        deadline, pause = time.monotonic() + timeout, 0.005
        done: dict[str, Receipt] = {}
        missing = list(hashes)
        while True:
            done |= {each: receipt for each, receipt in zip(missing, self.receipts(missing), strict=True) if receipt}
            missing = [each for each in missing if each not in done]
            if not missing:
                return [done[each] for each in hashes]
            if time.monotonic() > deadline:
                raise NetworkError(f"transaction {missing[0]} was not included within {timeout:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def estimate(self, sender: str, message: Message) -> tuple[int, int]:
        """The gas that a transaction would need, and what it would cost now, in nit.

        Raises:
            RpcError: it would fail.
        """
        fields = {"from": sender, "to": message.to, "data": "0x" + message.data.hex(), "value": hex(message.value)}
        gas = int(self.call("eth_estimateGas", fields), 16)
        return gas, gas * int(self.call("eth_gasPrice"), 16)

    def check(self, receipt: Receipt, what: str) -> Receipt:
        """The receipt, if its transaction succeeded.

        Raises:
            TransactionFailed: it reverted; the reason is found by running it again.
        """
        if receipt.succeeded:
            return receipt
        raise TransactionFailed(f"{what} failed", why=self._reason(receipt), fix=f"see {receipt.transaction_hash}")

    def _reason(self, receipt: Receipt) -> str:
        transaction = self.call("eth_getTransactionByHash", receipt.transaction_hash)
        fields = {name: transaction[name] for name in ("from", "to", "value", "input", "gas")}
        before = hex(max(int(receipt.block_number, 16) - 1, 0))
        try:
            self.call("eth_call", fields, before)
        except RpcError as error:
            return error.what
        return "it ran out of gas, or the state changed under it"


def successful(outcome: Any) -> Any:
    """A member of a batch's results, unless the node refused it.

    Raises:
        RpcError: it did.
    """
    if isinstance(outcome, RpcError):
        raise outcome
    return outcome


def _result(method: str, answer: Any) -> Any:
    return successful(_outcome(method, answer))


def _outcome(method: str, answer: Any) -> Any:
    if not isinstance(answer, dict):
        return RpcError(f"{method}: the node did not answer")
    if "error" not in answer:
        return answer.get("result")
    error = answer["error"]
    if not isinstance(error, dict):
        return RpcError(f"{method}: {error}")
    message = str(error.get("message", "no reason given"))
    return RpcError(f"{method}: {message}", rpc_code=error.get("code", 0), data=error.get("data"))
