"""W1 and W3 of DESIGN section 10 end to end: signed transfers over JSON-RPC until they are mined."""

from __future__ import annotations

import json
import secrets
import threading
import time
from pathlib import Path

import msgspec

from benches.report import Row, row
from benches.targets import Target
from benches.wire import Connection, quantity, raw_bodies
from candela import _ledger

_GAS_PRICE = 20 * 10**9
_TRANSFER_GAS = 21_000
_FUNDS = 20 * 10**18
_DEADLINE_SECONDS = 120
TOKEN_SOURCE = Path(__file__).with_name("contracts") / "Token.vy"


class TargetError(Exception):
    """A node did not do its part of a workload."""


class Mix(msgspec.Struct):
    """How a workload is sent: accounts that sign, transactions in all, transactions per request, connections."""

    senders: int
    transactions: int
    batch: int
    connections: int


class Sender:
    """A fresh account that signs legacy-fee EIP-1559 transactions with consecutive nonces."""

    def __init__(self, chain_id: int) -> None:
        self.secret = secrets.token_bytes(32)
        self.address = _ledger.address_of(self.secret)
        self._chain_id = chain_id
        self._nonce = 0

    def sign(self, to: str | None, *, value: int = 0, data: bytes = b"", gas: int = _TRANSFER_GAS) -> bytes:
        """The raw bytes of the next transaction."""
        raw, _ = _sign(self.secret, self._chain_id, self._nonce, to, value, data, gas)
        self._nonce += 1
        return raw


def _sign(
    secret: bytes, chain_id: int, nonce: int, to: str | None, value: int, data: bytes, gas: int
) -> tuple[bytes, str]:
    fields = {"type": 2, "chainId": chain_id, "nonce": nonce, "gas": gas, "value": value, "data": "0x" + data.hex()}
    fields |= {"maxFeePerGas": _GAS_PRICE, "maxPriorityFeePerGas": 10**9}
    if to is not None:
        fields["to"] = to
    return _ledger.sign_transaction(fields, secret)


class Funder:
    """Pays senders, with its own key or the node's unlocked account."""

    def __init__(self, target: Target) -> None:
        self._connection = Connection(target.port)
        self._target = target
        self._address = _ledger.address_of(target.funder) if target.funder else self._connection.call("eth_accounts")[0]
        self._nonce = quantity(self._connection.call("eth_getTransactionCount", self._address, "pending"))

    def send(self, to: str | None, *, value: int = 0, data: bytes = b"", gas: int = _TRANSFER_GAS) -> str:
        """Submit one transaction and return its hash."""
        if self._target.funder:
            raw, _ = _sign(self._target.funder, self._target.chain_id, self._nonce, to, value, data, gas)
            self._nonce += 1
            return self._connection.call("eth_sendRawTransaction", "0x" + raw.hex())
        fields = {"from": self._address, "value": hex(value), "data": "0x" + data.hex(), "gas": hex(gas)}
        fields["nonce"] = hex(self._nonce)
        self._nonce += 1
        if to is not None:
            fields["to"] = to
        return self._connection.call("eth_sendTransaction", fields)

    def estimate(self, to: str, data: bytes) -> int:
        """Gas that suffices for a call, with a quarter to spare."""
        fields = {"from": self._address, "to": to, "data": "0x" + data.hex()}
        return quantity(self._connection.call("eth_estimateGas", fields)) * 5 // 4

    def receipt(self, transaction: str) -> dict:
        """Wait until ``transaction`` is mined; fails when it reverted."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found = self._connection.call("eth_getTransactionReceipt", transaction)
            if found is not None:
                if quantity(found["status"]) != 1:
                    raise TargetError(f"set-up transaction {transaction} failed on {self._target.name}")
                return found
            time.sleep(0.02)
        raise TargetError(f"set-up transaction {transaction} was not mined on {self._target.name}")


def _mined_since(connection: Connection, start: int, count: int) -> float:
    """The moment at which ``count`` transactions have been mined in the blocks after ``start``."""
    number, seen, deadline = start, 0, time.monotonic() + _DEADLINE_SECONDS
    while seen < count:
        head = quantity(connection.call("eth_blockNumber"))
        while number < head:
            number += 1
            seen += quantity(connection.call("eth_getBlockTransactionCountByNumber", hex(number)))
        if time.monotonic() > deadline:
            raise TargetError(f"only {seen} of {count} transactions were mined in {_DEADLINE_SECONDS} s")
        time.sleep(0.005)
    return time.monotonic()


def _submit(port: int, bodies: list[bytes], errors: list[str]) -> None:
    connection = Connection(port)
    for body in bodies:
        try:
            answer = connection.post(body)
        except OSError as error:
            errors.append(f"no answer: {error}")
            return
        if b'"error"' in answer:
            first = next(each["error"] for each in json.loads(answer) if "error" in each)
            errors.append(first["message"])
            return


def _round(target: Target, bodies: list[bytes], mix: Mix) -> tuple[float, float]:
    """Submit everything; returns accepted and mined transactions per second."""
    observer = Connection(target.port)
    start_block = quantity(observer.call("eth_blockNumber"))
    errors: list[str] = []
    threads = [
        threading.Thread(target=_submit, args=(target.port, bodies[i :: mix.connections], errors))
        for i in range(mix.connections)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = time.monotonic()
    if errors:
        raise TargetError(f"{target.name} did not take a transaction: {errors[0]}")
    mined = _mined_since(observer, start_block, mix.transactions)
    return mix.transactions / (accepted - started), mix.transactions / (mined - started)


def fund_senders(target: Target, funder: Funder, count: int) -> list[Sender]:
    """Fresh accounts that can pay for many transactions."""
    senders = [Sender(target.chain_id) for _ in range(count)]
    last = [funder.send(sender.address, value=_FUNDS) for sender in senders][-1]
    funder.receipt(last)
    return senders


def _by_connection(senders: list[Sender], mix: Mix, signed: dict[str, list[bytes]]) -> list[bytes]:
    """Bodies such that one sender's transactions travel in order over one connection."""
    queues: list[list[bytes]] = []
    for lane in range(mix.connections):
        own = [signed[sender.address] for sender in senders[lane :: mix.connections]]
        queues.append(raw_bodies([raw for group in zip(*own, strict=True) for raw in group], mix.batch))
    longest = max(len(queue) for queue in queues)
    return [queue[i] for i in range(longest) for queue in queues if i < len(queue)]


def transfers(target: Target, mix: Mix, runs: int) -> list[Row]:
    """W1: native transfers between distinct pairs."""
    funder = Funder(target)
    senders = fund_senders(target, funder, mix.senders)
    payees = {sender.address: Sender(target.chain_id).address for sender in senders}

    def signed(sender: Sender) -> list[bytes]:
        return [sender.sign(payees[sender.address], value=1) for _ in range(mix.transactions // mix.senders)]

    return _measure("W1", "native transfers, distinct pairs", target, mix, runs, senders, signed)


def erc20(target: Target, mix: Mix, runs: int) -> list[Row]:
    """W3: ERC-20 transfers between distinct pairs."""
    import vyper
    from vyper.compiler.settings import Settings

    funder = Funder(target)
    # Shanghai code runs alike on every target.
    code = vyper.compile_code(
        TOKEN_SOURCE.read_text(),
        output_formats=["bytecode"],
        settings=Settings(evm_version="shanghai"),
    )["bytecode"]
    created = funder.receipt(funder.send(None, data=bytes.fromhex(code.removeprefix("0x")), gas=2_000_000))
    token = created["contractAddress"]
    senders = fund_senders(target, funder, mix.senders)
    mint = _selector("mint(address,uint256)")
    # What storage costs differs between the targets' forks.
    gas = funder.estimate(token, mint + _word(Sender(target.chain_id).address) + _word(1))
    last = [funder.send(token, data=mint + _word(s.address) + _word(10**18), gas=gas) for s in senders][-1]
    funder.receipt(last)
    transfer = _selector("transfer(address,uint256)")
    payees = {sender.address: Sender(target.chain_id).address for sender in senders}

    def signed(sender: Sender) -> list[bytes]:
        data = transfer + _word(payees[sender.address]) + _word(1)
        return [sender.sign(token, data=data, gas=gas) for _ in range(mix.transactions // mix.senders)]

    return _measure("W3", "ERC-20 transfers, distinct pairs", target, mix, runs, senders, signed)


def _measure(workload, title, target, mix, runs, senders, signed) -> list[Row]:
    accepted, mined = [], []
    for _ in range(runs):
        bodies = _by_connection(senders, mix, {sender.address: signed(sender) for sender in senders})
        a, m = _round(target, bodies, mix)
        accepted.append(a)
        mined.append(m)
    text = f"{workload} {title}; ECDSA; {mix.senders} senders; {mix.transactions} a run; {mix.batch} a request"
    return [
        row(workload, target.name, "accepted", "tx/s", accepted, text),
        row(workload, target.name, "mined", "tx/s", mined, text),
    ]


def _selector(signature: str) -> bytes:
    return _ledger.keccak256(signature.encode())[:4]


def _word(value: str | int) -> bytes:
    number = int(value, 16) if isinstance(value, str) else value
    return number.to_bytes(32, "big")
