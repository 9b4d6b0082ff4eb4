"""Encode calls to a contract and decode its events, by its ABI."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from candela import _ledger
from candela.chain.client import Client
from candela.chain.message import Message
from candela.errors import RpcError
from candela.network.contracts import artefact

_RANGE_BLOCKS = 50_000
_TOO_MUCH = (-32005, -32003)
"""JSON-RPC codes for more logs, or more bytes, than a node gives in one answer."""


def _signature(kind: dict[str, Any]) -> str:
    if not kind["type"].startswith("tuple"):
        return kind["type"]
    inner = ",".join(_signature(each) for each in kind["components"])
    return f"({inner}){kind['type'].removeprefix('tuple')}"


def _named(kind: dict[str, Any], value: Any) -> Any:
    """Give the fields of a decoded struct their names."""
    if kind["type"] == "tuple":
        return {each["name"]: _named(each, part) for each, part in zip(kind["components"], value, strict=True)}
    return value


class _Function:
    def __init__(self, entry: dict[str, Any]) -> None:
        self.inputs, self.outputs = entry["inputs"], entry["outputs"]
        self.types = [_signature(each) for each in self.inputs]
        self.returns = [_signature(each) for each in self.outputs]
        self.selector = _ledger.keccak256(f"{entry['name']}({','.join(self.types)})".encode())[:4]


class _Event:
    def __init__(self, entry: dict[str, Any]) -> None:
        self.name = entry["name"]
        self.indexed = [each for each in entry["inputs"] if each["indexed"]]
        self.plain = [each for each in entry["inputs"] if not each["indexed"]]
        types = ",".join(_signature(each) for each in entry["inputs"])
        self.topic = "0x" + _ledger.keccak256(f"{self.name}({types})".encode()).hex()


class Event(msgspec.Struct):
    """One decoded event of a contract."""

    name: str
    fields: dict[str, Any]
    block: int
    transaction: str


class Contract:
    """One of the system contracts.

    Args:
        client: the node that answers calls.
        name: the artefact's name, for instance ``"Market"``.
        address: where it lives.
    """

    def __init__(self, client: Client, name: str, address: str) -> None:
        self.client, self.name, self.address = client, name, address
        self._abi = artefact(name).abi

    @cached_property
    def _functions(self) -> dict[str, _Function]:
        return {entry["name"]: _Function(entry) for entry in self._abi if entry["type"] == "function"}

    @cached_property
    def _events(self) -> dict[str, _Event]:
        return {entry["name"]: _Event(entry) for entry in self._abi if entry["type"] == "event"}

    @cached_property
    def _by_topic(self) -> dict[str, _Event]:
        return {event.topic: event for event in self._events.values()}

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Calldata."""
        from eth_abi import abi

        entry = self._functions[function]
        return entry.selector + abi.encode(entry.types, arguments)

    def message(self, function: str, *arguments: Any, value: int = 0, gas: int | None = None) -> Message:
        """A transaction that calls ``function``."""
        return Message(to=self.address, data=self.encode(function, *arguments), value=value, gas=gas)

    def decode_call(self, function: str, data: bytes) -> dict[str, Any]:
        """The named arguments in calldata.

        Raises:
            ValueError: the data calls another function.
        """
        from eth_abi import abi

        entry = self._functions[function]
        if data[:4] != entry.selector:
            raise ValueError(f"this is no call of {function}")
        values = abi.decode(entry.types, data[4:])
        return {each["name"]: _named(each, value) for each, value in zip(entry.inputs, values, strict=True)}

    def read(self, function: str, *arguments: Any, block: str = "latest") -> Any:
        """What a view function returns: one value, or a tuple of several; structs as dicts."""
        return self.decode_result(function, self.client.call("eth_call", self.view(function, *arguments), block))

    def view(self, function: str, *arguments: Any) -> dict[str, str]:
        """The request of an ``eth_call``, to be batched."""
        return {"to": self.address, "data": "0x" + self.encode(function, *arguments).hex()}

    def decode_result(self, function: str, result: str) -> Any:
        """What :meth:`view` gave."""
        from eth_abi import abi

        entry = self._functions[function]
        values = abi.decode(entry.returns, bytes.fromhex(result.removeprefix("0x")))
        named = tuple(_named(kind, value) for kind, value in zip(entry.outputs, values, strict=True))
        return named[0] if len(named) == 1 else named

    def topic(self, event: str) -> str:
        """The first topic of an event's logs."""
        return self._events[event].topic

    def decode_log(self, log: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Name and fields of an event, or ``None`` for a log of something else."""
        from eth_abi import abi

        event = self._by_topic.get(log["topics"][0]) if log["topics"] else None
        if event is None or log["address"].lower() != self.address.lower():
            return None
        fields = {}
        for each, topic in zip(event.indexed, log["topics"][1:], strict=True):
            (fields[each["name"]],) = abi.decode([_signature(each)], bytes.fromhex(topic[2:]))
        values = abi.decode([_signature(each) for each in event.plain], bytes.fromhex(log["data"][2:]))
        fields |= {each["name"]: value for each, value in zip(event.plain, values, strict=True)}
        return event.name, fields

    def events(self, first_block: int, last_block: int, *topics: str | list[str] | None) -> list[Event]:
        """Its events in a range of blocks of any length."""
        events = []
        for first in range(first_block, last_block + 1, _RANGE_BLOCKS):
            for log in self._logs(first, min(first + _RANGE_BLOCKS - 1, last_block), list(topics)):
                decoded = self.decode_log(log)
                if decoded is not None:
                    events.append(Event(*decoded, int(log["blockNumber"], 16), log["transactionHash"]))
        return events

    def _logs(self, first: int, last: int, topics: list[str | list[str] | None]) -> list[dict[str, Any]]:
        query = {"address": self.address, "fromBlock": hex(first), "toBlock": hex(last), "topics": topics}
        try:
            return self.client.call("eth_getLogs", query)
        except RpcError as error:
            if error.rpc_code not in _TOO_MUCH or first == last:
                raise
        middle = (first + last) // 2
        return self._logs(first, middle, topics) + self._logs(middle + 1, last, topics)
