"""Send transactions of one account, many at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import msgspec

from candela.chain.account import Account
from candela.chain.client import Client, Receipt
from candela.errors import RpcError

_TIP = 10**6
_FEE_SECONDS = 2.0
_NONCE_ERRORS = ("nonce too low", "already known", "replacement transaction underpriced")


class Message(msgspec.Struct):
    """What a transaction says, without the parts that the sender fills in."""

    to: str | None
    data: bytes = b""
    value: int = 0
    gas: int | None = None
    """Gas limit; estimated when absent."""


class Sender:
    """Signs and submits in order of nonce; safe to share between threads.

    Args:
        client: the node.
        account: who signs and pays.
    """

    def __init__(self, client: Client, account: Account) -> None:
        self.client, self.account = client, account
        self._lock = threading.Lock()
        self._nonce: int | None = None
        self._chain_id: int | None = None
        self._fee = (0.0, 0)

    def submit(self, messages: Sequence[Message]) -> list[str]:
        """Sign and submit; returns the hashes without waiting for them to be included.

        Raises:
            RpcError: the node refused one; those before it are submitted.
        """
        gas = [self._gas(message) for message in messages]
        with self._lock:
            return self._submit_in_order(messages, gas)

    def send(self, message: Message, what: str = "the transaction", timeout: float = 60) -> Receipt:
        """Sign, submit and wait until the transaction is final.

        Raises:
            RpcError: the node refused it.
            TransactionFailed: it was included and reverted.
        """
        (submitted,) = self.submit([message])
        (receipt,) = self.client.wait([submitted], timeout)
        return self.client.check(receipt, what)

    def resync(self) -> None:
        """Learn the nonce anew with the next transaction, after some may have been lost."""
        with self._lock:
            self._nonce = None

    def _gas(self, message: Message) -> int:
        if message.gas is not None:
            return message.gas
        fields = {"from": self.account.address, "value": hex(message.value), "data": "0x" + message.data.hex()}
        if message.to is not None:
            fields["to"] = message.to
        return int(self.client.call("eth_estimateGas", fields), 16) * 5 // 4

    def _submit_in_order(self, messages: Sequence[Message], gas: list[int]) -> list[str]:
        hashes: list[str] = []
        retried = False
        while len(hashes) < len(messages):
            start = len(hashes)
            raw = self._sign(messages[start:], gas[start:])
            outcomes = self.client.batch([("eth_sendRawTransaction", ("0x" + each.hex(),)) for each, _ in raw])
            failure = None
            for (_, hash_), outcome in zip(raw, outcomes, strict=True):
                if isinstance(outcome, RpcError):
                    failure = outcome
                    break
                hashes.append(hash_)
            if failure is None:
                return hashes
            # Another process may use the same key: learn the nonce anew, once.
            self._nonce = None
            if retried or not any(text in failure.what for text in _NONCE_ERRORS):
                raise failure
            retried = True
        return hashes

    def _sign(self, messages: Sequence[Message], gas: list[int]) -> list[tuple[bytes, str]]:
        if self._chain_id is None:
            self._chain_id = self.client.chain_id()
        if self._nonce is None:
            self._nonce = int(self.client.call("eth_getTransactionCount", self.account.address, "pending"), 16)
        fee = self._max_fee()
        signed = []
        for message, limit in zip(messages, gas, strict=True):
            fields = {"type": 2, "chainId": self._chain_id, "nonce": self._nonce, "gas": limit, "value": message.value}
            fields |= {"maxFeePerGas": fee, "maxPriorityFeePerGas": _TIP, "data": "0x" + message.data.hex()}
            if message.to is not None:
                fields["to"] = message.to
            signed.append(self.account.sign_transaction(fields))
            self._nonce += 1
        return signed

    def _max_fee(self) -> int:
        at, fee = self._fee
        if time.monotonic() - at > _FEE_SECONDS:
            block = self.client.call("eth_getBlockByNumber", "latest", False)
            fee = 4 * int(block["baseFeePerGas"], 16) + _TIP
            self._fee = (time.monotonic(), fee)
        return fee
