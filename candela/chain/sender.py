"""Send transactions of one account, many at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from candela.chain.account import Account
from candela.chain.client import Client, Receipt
from candela.chain.message import Message
from candela.chain.session import Session, SessionTerms
from candela.errors import RpcError

_TIP = 10**6
_FEE_SECONDS = 2.0
_SESSION_TERMS = SessionTerms()
_NONCE_ERRORS = ("nonce too low", "already known", "replacement transaction underpriced")


class Sender:
    """Signs and submits in order of nonce; safe to share between threads.

    With the first message to a contract in the session's scope it authorizes a session key, which signs the later ones.

    Args:
        client: the node.
        account: who acts and pays.
        session: what its session keys may do; ``None`` to sign everything with the account's own key.
    """

    def __init__(self, client: Client, account: Account, session: SessionTerms | None = _SESSION_TERMS) -> None:
        self.client, self.account = client, account
        self._session = Session(client, account, session) if session else None
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
            authorization = self._session.authorization(messages) if self._session else None
            if self._session is None or authorization is None:
                return self._submit_in_order(messages, gas)
            try:
                first, *hashes = self._submit_in_order([authorization, *messages], [self._gas(authorization), *gas])
                self._session.submitted(first)
            finally:
                self._session.not_submitted()
            return hashes

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
        renumbered = False
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
            self._nonce = None
            if self._session and self._session.refused(failure):
                continue
            # Another process may use the same key: learn the nonce anew, once.
            if renumbered or not any(text in failure.what for text in _NONCE_ERRORS):
                raise failure
            renumbered = True
        return hashes

    def _sign(self, messages: Sequence[Message], gas: list[int]) -> list[tuple[bytes, str]]:
        if self._chain_id is None:
            self._chain_id = self.client.chain_id()
        if self._nonce is None:
            self._nonce = int(self.client.call("eth_getTransactionCount", self.account.address, "pending"), 16)
        fee = self._max_fee()
        signed = []
        for message, limit in zip(messages, gas, strict=True):
            fields = {"chainId": self._chain_id, "nonce": self._nonce, "gas": limit, "value": message.value}
            fields |= {"maxFeePerGas": fee, "maxPriorityFeePerGas": _TIP, "data": "0x" + message.data.hex()}
            fields["from"] = self.account.address
            if message.to is not None:
                fields["to"] = message.to
            cost = message.value + limit * fee
            key = self._session.key_for(message, cost) if self._session else None
            signed.append((key or self.account).sign_transaction(fields))
            self._nonce += 1
        return signed

    def _max_fee(self) -> int:
        at, fee = self._fee
        if time.monotonic() - at > _FEE_SECONDS:
            block = self.client.call("eth_getBlockByNumber", "latest", False)
            fee = 4 * int(block["baseFeePerGas"], 16) + _TIP
            self._fee = (time.monotonic(), fee)
        return fee
