"""Receipts reach the chain in order, whatever the node does in between."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from candela.chain.client import Receipt
from candela.chain.message import Message
from candela.errors import DirectoryHeldError, NetworkError, RpcError
from candela.provider import control, settlement
from candela.provider.config import Config
from candela.provider.settlement import Settlement, Statement


class Node:
    """Stands in for client, sender and heads: it includes everything at once unless told to misbehave."""

    def __init__(self) -> None:
        self.client = self
        self.failures: list[Exception] = []
        self.forget = 0
        self.sent: list[bytes] = []
        self.resyncs = 0

    def submit(self, messages: list[Message]) -> list[str]:
        if self.failures:
            raise self.failures.pop(0)
        self.sent += [each.data for each in messages]
        return [f"0x{len(self.sent) - len(messages) + index}" for index in range(len(messages))]

    def resync(self) -> None:
        self.resyncs += 1

    def receipts(self, hashes: list[str]) -> list[Receipt | None]:
        if self.forget:
            self.forget -= 1
            return [None] * len(hashes)
        return [Receipt(each, "0x0", "0x1", "0x0", "0x1", "0x0", []) for each in hashes]

    def check(self, receipt: Receipt, _what: str) -> Receipt:
        return receipt

    def wait(self, seen: int, _timeout: float) -> int:
        return seen + 1

    def wake(self) -> None:
        return


class Outcomes:
    """Collects what became final."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, str | None]] = []
        self._changed = threading.Condition()

    def __call__(self, statement: Statement, reason: str | None) -> None:
        with self._changed:
            self.found.append((statement.message.data, reason))
            self._changed.notify_all()

    def wait(self, count: int) -> list[tuple[bytes, str | None]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.found) >= count, 20), self.found
            return self.found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(settlement, "_LOST_SECONDS", 0.0)


def statement(number: int) -> Statement:
    return Statement("settling", Message(None, bytes([number])), 1)


def run(node: Node, count: int) -> list[tuple[bytes, str | None]]:
    outcomes = Outcomes()
    queue = Settlement(node, node, outcomes)  # type: ignore[arg-type]
    for number in range(count):
        queue.put(statement(number))
    found = outcomes.wait(count)
    assert queue.close(5)
    return found


def test_everything_becomes_final_in_order() -> None:
    assert run(Node(), 200) == [(bytes([number]), None) for number in range(200)]


def test_outages_are_waited_out() -> None:
    node = Node()
    node.failures = [NetworkError("down")] * 5
    assert run(node, 3) == [(bytes([number]), None) for number in range(3)]
    assert node.resyncs == 5


def test_lost_transactions_are_sent_again() -> None:
    node = Node()
    node.forget = 1
    assert sorted(run(node, 3)) == [(bytes([number]), None) for number in range(3)]
    assert len(node.sent) > 3


def test_what_is_always_refused_does_not_hold_up_the_rest() -> None:
    node = Node()
    node.failures = [RpcError("intrinsic gas too low")] * settlement._MAX_REFUSALS
    first, second = run(node, 2)
    assert first == (b"\0", "intrinsic gas too low")
    assert second == (b"\1", None)


def test_an_empty_purse_is_waited_for() -> None:
    node = Node()
    node.failures = [RpcError("insufficient funds for gas * price + value")] * (3 * settlement._MAX_REFUSALS)
    assert run(node, 1) == [(b"\0", None)]


def test_one_agent_uses_a_data_folder(tmp_path: Path) -> None:
    lock = control.Lock(tmp_path)
    assert control.holder(tmp_path) is not None
    with pytest.raises(DirectoryHeldError, match="another provider"):
        control.Lock(tmp_path)
    lock.release()
    assert control.holder(tmp_path) is None
    control.Lock(tmp_path).release()


def test_wishes_of_a_past_agent_are_forgotten(tmp_path: Path) -> None:
    control.ask(tmp_path, "stop")
    assert control.wish(tmp_path) == "stop"
    control.Lock(tmp_path).release()
    assert control.wish(tmp_path) == ""


def test_settings_and_state_survive_the_way_through_files(tmp_path: Path) -> None:
    config = Config(rpc="r", ws="w", store="s", data=str(tmp_path), keyfile="k")
    config.save()
    assert Config.load(tmp_path) == config
    snapshot = control.Snapshot(
        pid=1, address="0x1", provider="0x1", tier="none", tier_detail="", phase="running", unsuitable={"1": "x"}
    )
    started = time.time()
    control.save_snapshot(tmp_path, snapshot)
    found = control.load_snapshot(tmp_path)
    assert found is not None
    assert found.unsuitable == {"1": "x"}
    assert found.updated_at >= started


def test_key_files_of_others_are_refused(tmp_path: Path) -> None:
    from candela.errors import KeyFileError

    key = tmp_path / "key"
    key.write_text("0x" + "11" * 32)
    key.chmod(0o644)
    config = Config(rpc="r", ws="w", store="s", data=str(tmp_path), keyfile=str(key))
    with pytest.raises(KeyFileError, match="read by others"):
        config.account()
    key.chmod(0o600)
    assert config.account().address.startswith("0x")
    key.write_text("secret words")
    with pytest.raises(KeyFileError) as refused:
        config.account()
    assert "secret" not in str(refused.value)
