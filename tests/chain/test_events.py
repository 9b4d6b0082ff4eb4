"""Events of any number of blocks, from a node that answers for few at a time."""

from __future__ import annotations

from typing import Any

import pytest

from candela.chain.market import Market
from candela.errors import RpcError


class Node:
    """Has one log in every block, and gives at most `most` of them in one answer."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, 0

    def call(self, method: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        assert method == "eth_getLogs"
        self.asked += 1
        blocks = range(int(query["fromBlock"], 16), int(query["toBlock"], 16) + 1)
        if len(blocks) > self.most:
            raise RpcError("too many logs", rpc_code=-32005)
        return [{"blockNumber": hex(number), "transactionHash": "0x"} for number in blocks]


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    monkeypatch.setattr(Market, "decode_log", lambda _, log: ("Seen", {"number": int(log["blockNumber"], 16)}))
    return Market(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("first", "last", "most"), [(0, 0, 1), (3, 1_000, 7), (0, 120_000, 10_000)])
def test_every_event_comes_once_and_in_order(
    market: Market, monkeypatch: pytest.MonkeyPatch, first: int, last: int, most: int
) -> None:
    node = Node(most)
    monkeypatch.setattr(market, "client", node)
    found = [event.fields["number"] for event in market.events(first, last)]
    assert found == list(range(first, last + 1))
    assert node.asked > (last - first) // most


def test_another_error_is_not_tried_again(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(1)
    asked = []

    def refuse(*query: object) -> None:
        asked.append(query)
        raise RpcError("no such method", rpc_code=-32601)

    monkeypatch.setattr(node, "call", refuse)
    monkeypatch.setattr(market, "client", node)
    with pytest.raises(RpcError, match="no such method"):
        market.events(0, 100)
    assert len(asked) == 1
