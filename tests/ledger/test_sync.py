"""A node in a process of its own joins by state sync while blocks go on, and is believed by the others."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from candela import _ledger
from candela.chain.checkpoint import MAX_AGE_SECONDS, Checkpoint
from candela.chain.client import Client
from candela.chain.committee import Committee
from candela.chain.light import LightClient
from candela.errors import NetworkError, RpcError
from candela.network.genesis import CHAIN_ID, genesis
from candela.network.sync import synchronise
from candela.network.validators import folder
from tests.elected import A, B, C, D, E, Payments, World, until
from tests.nodes import Nodes

STRANGERS = 20_000
PRUNED = 4444

pytestmark = pytest.mark.slow


def stranger(index: int) -> str:
    return "0x" + _ledger.keccak256(index.to_bytes(8, "big"))[12:].hex()


@contextmanager
def liar(honest: str, method: str, change: Callable[[Any], Any]) -> Iterator[str]:
    """A node that says what another one says, but for the results of one method."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request, answer = json.loads(body), httpx2.post(honest, content=body, trust_env=False).json()
            if isinstance(request, dict) and request["method"] == method:
                answer["result"] = change(answer["result"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def raised_by_one(chunk: str) -> str:
    """The chunk with the first account's balance one nit higher."""
    changed = bytearray.fromhex(chunk[2:])
    changed[8 + 20 + 8 + 31] ^= 1
    return "0x" + changed.hex()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    funded = {stranger(index): index + 1 for index in range(STRANGERS)}
    running = World(tmp_path, started=(A, B, C, D), funded=funded, epoch_blocks=50)
    try:
        yield running
    finally:
        running.nodes.stop()


def blocks_until(world: World, light: LightClient, height: int) -> None:
    """Wait for a height, with a light client that does not miss an election."""

    def reached() -> bool:
        return light.advance().number >= height

    until(reached, f"block {height}")


def header(client: Client, number: int) -> str:
    return client.call("candela_getHeader", hex(number))["headerBytes"]


def block_hash_as_contracts_see_it(client: Client, number: int, at: int) -> str:
    code = f"0x61{number:04x}405f5260205ff3"
    return client.call("eth_call", {"data": code}, hex(at))


def test_a_node_joins_by_state_sync_while_blocks_go_on_and_is_elected(world: World, tmp_path: Path) -> None:
    light = LightClient(world.clients[B], world.checkpoint)
    directory, said = folder(tmp_path, E), list[str]()
    with Payments(world.clients[B], world.accounts[5]) as payments, Payments(world.clients[C], world.accounts[6]):
        blocks_until(world, light, 280)
        with liar(world.clients[C].url, "candela_getStateChunk", raised_by_one) as false:
            nodes = ["http://127.0.0.1:9", false, world.clients[B].url]
            synced = synchronise(directory, json.dumps(world.genesis), light.checkpoint, nodes, say=said.append)
        assert synced.node == world.clients[B].url
        assert synced.rows > STRANGERS
        assert [line for line in said if "left" in line and "can't be reached" in line]
        assert [line for line in said if f"left {false}: false state: its proof does not lead" in line]

        world.start(E)
        first, head = synced.block_number, world.height(B) + 5
        until(lambda: world.height(E) >= head, "E follows")
        assert header(world.clients[E], head) == header(world.clients[A], head)

        # It answers about what it has, and says what it has not.
        for index in (0, 1, STRANGERS - 1):
            assert world.clients[E].balance(stranger(index)) == index + 1
        known = light.advance().number
        until(lambda: world.height(E) >= known, "E has what the light client has")
        assert LightClient(world.clients[E], light.checkpoint).prove(world.accounts[5].address).account is not None
        for method, parameters in (
            ("eth_getBlockByNumber", (hex(first - 1), False)),
            ("eth_getBalance", (stranger(0), "0x1")),
            ("eth_getLogs", ({"fromBlock": "0x1", "toBlock": hex(first)},)),
        ):
            with pytest.raises(RpcError, match=f"started at block {first} by state sync") as refused:
                world.clients[E].call(method, *parameters)
            assert refused.value.rpc_code == PRUNED
        assert world.clients[E].call("eth_getBlockByNumber", hex(first), True) == world.clients[A].call(
            "eth_getBlockByNumber", hex(first), True
        )
        assert int(world.clients[E].call("eth_feeHistory", "0x400", "latest", [])["oldestBlock"], 16) == first
        old, at = first - 200, first + 3
        answers = [block_hash_as_contracts_see_it(world.clients[index], old, at) for index in (A, E)]
        assert answers[0] == answers[1] != "0x" + "00" * 32

        # With D away every certificate needs the vote of E.
        for index in (B, C, D, E):
            world.stand(index)
        seats = {world.keys[index].public for index in (B, C, D, E)}
        until(lambda: world.seated() == seats, "B, C, D and E have the seats")
        world.nodes.kill(D)
        world.wait_epochs(1)
        world.nodes.kill(E)
        world.start(E)
        world.wait_epochs(1)
        assert payments.failure is None
        head = world.height(B)
        until(lambda: min(world.height(A), world.height(E)) >= head, "A and E have the block")
        assert header(world.clients[E], head) == header(world.clients[A], head), "E has counted something else"
        assert world.earned(E) > 0, "E has signed, and blocks have shown it"


def as_init_leaves_it(directory: Path, started: dict[str, Any]) -> Path:
    """Writes what ``candela validator init`` does, but for the key."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "genesis.json").write_text(json.dumps(started))
    config = {
        "fee_recipient": stranger(1),
        "rpc": {"host": "127.0.0.1", "port": 8545},
        "validators": [],
        "listen": "127.0.0.1:9000",
        "distance": "local",
    }
    (directory / "node.json").write_text(json.dumps(config))
    return directory


def command(directory: Path, checkpoint: Path, url: str) -> list[str]:
    program = [sys.executable, "-m", "candela", "validator", "sync"]
    return [*program, str(directory), str(checkpoint), "--from", url, "--json"]


def test_a_sync_that_is_killed_goes_on_and_no_node_starts_from_half_of_it(world: World, tmp_path: Path) -> None:
    light = LightClient(world.clients[B], world.checkpoint)
    directory, checkpoint = as_init_leaves_it(folder(tmp_path, E), world.genesis), tmp_path / "checkpoint.json"
    with Payments(world.clients[B], world.accounts[5]):
        blocks_until(world, light, 20)
        light.checkpoint.write(checkpoint)
        again = command(directory, checkpoint, world.clients[B].url)
        process = subprocess.Popen(again, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert process.stderr is not None
        chunks = (line for line in process.stderr if line.endswith("accounts and slots\n"))
        next(chunks)
        next(chunks)
        os.kill(process.pid, signal.SIGKILL)
        process.stderr.close()
        assert process.wait() == -signal.SIGKILL
        with pytest.raises((AssertionError, NetworkError), match="interrupted: run candela validator sync again"):
            world.start(E)
        finished = subprocess.run(again, capture_output=True, text=True, check=True, timeout=60)
        rows = json.loads(finished.stdout)["rows"]
        assert 0 < rows < STRANGERS, "what had come before is kept"
        world.start(E)
        head = world.height(B) + 5
        until(lambda: world.height(E) >= head, "E follows")
        assert header(world.clients[E], head) == header(world.clients[A], head)
        world.nodes.kill(E)
        refused = subprocess.run(again, capture_output=True, text=True, check=False, timeout=60)
        assert "a node has run here" in refused.stderr


def test_a_checkpoint_that_is_too_old_is_refused(tmp_path: Path) -> None:
    key = _ledger.session_key_of(bytes([1]) * 32)
    long_ago = int(time.time() * 1000) - (MAX_AGE_SECONDS + 60) * 1000
    started = genesis({stranger(0): 1}, long_ago)
    nodes = Nodes(tmp_path, started, [], [("127.0.0.1", 0)], stranger(1))
    try:
        [url] = nodes.start(0)
        block = Client(url).call("eth_getBlockByNumber", "0x0", False)["hash"]
        checkpoint = Checkpoint(chain_id=CHAIN_ID, block_hash=block, committee=Committee.of_keys(0, [key]))
        made = as_init_leaves_it(tmp_path / "joining", started)
        checkpoint.write(tmp_path / "checkpoint.json")
        old = command(made, tmp_path / "checkpoint.json", url)
        refused = subprocess.run(old, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode != 0
        assert "the checkpoint is 252 hours old" in refused.stderr
        assert "get a newer one from somebody whom you trust" in refused.stderr
        assert not (made / "sync").exists()
    finally:
        nodes.stop()
