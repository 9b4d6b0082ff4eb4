"""A node tells its operator how it is, under the names that docs/metrics.md promises."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from candela import _ledger
from tests.soak import kill_node, server

from .test_node import KEY, configuration, receipt_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


class Running:
    """A lone node whose head is young."""

    def __init__(self, directory: Path) -> None:
        config = json.loads(configuration(directory))
        config["genesis"]["timestampMs"] = int(time.time() * 1000)
        self.node = _ledger.Node(json.dumps(config))
        self.url = self.node.start()["http"].rstrip("/")

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.url + path, trust_env=False)

    def metrics(self) -> dict[str, int]:
        lines = [line.split(" ") for line in self.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: int(value) for name, value in lines}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path / "node")
    yield started
    started.node.stop()


def test_metrics_are_those_of_the_document_with_their_types(running: Running) -> None:
    answer = running.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    served = re.findall(r"^# TYPE (\w+) (\w+)$", answer.text, re.MULTILINE)
    promised = re.findall(r"^\| `(candela_\w+)` \| (\w+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(served) == sorted(promised)
    assert len(promised) > 10
    assert set(running.metrics()) == {name for name, _ in promised}
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in served)


def test_metrics_count_what_happens(running: Running) -> None:
    before = running.metrics()
    alone = {"running": 1, "votes": 1, "seats": 1, "epoch": 0, "double_votes": 0}
    assert {name: before[f"candela_consensus_{name}"] for name in alone} == alone
    raw, digest = _ledger.sign_transaction(server.transfer(0, "0x" + "ab" * 20, 1), KEY)
    kill_node.rpc(running.url, [("eth_sendRawTransaction", ["0x" + raw.hex()])])
    receipt = receipt_of(running.url, digest)
    with pytest.raises(server.BrokenPromiseError, match="too short"):
        kill_node.rpc(running.url, [("eth_sendRawTransaction", ["0x00"]), ("eth_chainId", [])])
    after = running.metrics()
    assert after["candela_block_height"] >= int(receipt["blockNumber"], 16) > before["candela_block_height"]
    assert after["candela_transactions_total"] == 1
    assert after["candela_gas_total"] == 21_000
    assert after["candela_blocks_total"] == after["candela_block_height"]
    assert after["candela_pool_pending"] == after["candela_pool_queued"] == 0
    assert after["candela_consensus_view"] > 0
    assert abs(after["candela_block_timestamp_seconds"] - time.time()) < 60
    assert after["candela_rpc_errors_total"] - before["candela_rpc_errors_total"] == 1
    assert after["candela_rpc_requests_total"] - before["candela_rpc_requests_total"] >= 4
    assert after["candela_rpc_connections"] >= 1
    deadline = time.monotonic() + 20
    while (
        running.metrics()["candela_consensus_nullified_views_total"] == after["candela_consensus_nullified_views_total"]
    ):
        assert time.monotonic() < deadline, "an idle node ends no view"
        time.sleep(0.1)


def test_a_node_says_that_it_is_well_and_whether_it_is_behind(running: Running, tmp_path: Path) -> None:
    for path in ("/health", "/ready"):
        answer = running.get(path)
        assert (answer.status_code, answer.json()) == (200, {"block": 0})
    # Genesis of 1970: a node that has yet to catch up, as far as its own head tells.
    behind = _ledger.Node(configuration(tmp_path / "behind"))
    url = behind.start()["http"].rstrip("/")
    try:
        assert httpx2.get(url + "/health", trust_env=False).status_code == 200
        answer = httpx2.get(url + "/ready", trust_env=False)
        assert answer.status_code == 503
        assert answer.json()["block"] == 0
        assert "catching up" in answer.json()["error"]
    finally:
        behind.stop()
