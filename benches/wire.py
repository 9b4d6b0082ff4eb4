"""The thinnest JSON-RPC client that can load a node: request bodies are built before the clock starts."""

from __future__ import annotations

import http.client
import json
from typing import Any


def quantity(value: str) -> int:
    """A JSON-RPC hex quantity as an int."""
    return int(value, 16)


class Connection:
    """One keep-alive HTTP connection to a node on this machine."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def post(self, body: bytes) -> bytes:
        """Send one prepared body and return the answer's body."""
        self._http.request("POST", "/", body, {"Content-Type": "application/json"})
        response = self._http.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {answer[:200]!r}")
        return answer

    def call(self, method: str, *params: Any) -> Any:
        """Call one method and return its result; raises ``RuntimeError`` with the node's error."""
        answer = json.loads(self.post(request(method, *params)))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


def request(method: str, *params: Any, id: int = 1) -> bytes:
    """The body of one request."""
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode()


def raw_bodies(transactions: list[bytes], batch: int) -> list[bytes]:
    """Bodies that submit ``transactions`` with ``batch`` of them in each."""
    single = [request("eth_sendRawTransaction", "0x" + raw.hex(), id=i) for i, raw in enumerate(transactions)]
    if batch == 1:
        return single
    return [b"[" + b",".join(single[i : i + batch]) + b"]" for i in range(0, len(single), batch)]
