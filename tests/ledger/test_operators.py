"""Four operators found a network by the command line alone, run it, and find out what is wrong when one fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.keyfile import PASSPHRASE_VARIABLE
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.network.devnet import Child
from candela.network.genesis import CHAIN_ID as DEVELOPMENT_CHAIN_ID
from candela.network.parent import PARENT_VARIABLE
from candela.network.validators import free_ports
from tests.waiting import until

COMMAND = [sys.executable, "-m", "candela"]
CHAIN_ID = 77_002
EPOCH_BLOCKS = 1_000
DEADLINE = 90
EVERYONE = range(4)

pytestmark = pytest.mark.slow


def examined(done: subprocess.CompletedProcess[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    """The status of a doctor and what it has found, by name."""
    assert done.stdout, done.stderr
    return done.returncode, {each["name"]: each for each in json.loads(done.stdout)}


class Operators:
    """Their folders, their accounts, and the nodes that run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.owners = [Account(bytes([number]) * 32) for number in range(1, 5)]
        self.peer_ports, self.rpc_ports = free_ports(4), free_ports(4)
        self.passphrase = directory / "passphrase"
        self.passphrase.write_text("correct horse battery staple\n")
        self.passphrase.chmod(0o600)
        self.running: dict[int, Child] = {}
        self.hash = ""

    def folder(self, index: int) -> Path:
        return self.directory / f"validator-{index}"

    def client(self, index: int) -> Client:
        return Client(f"http://127.0.0.1:{self.rpc_ports[index]}", timeout=10)

    def candela(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, PASSPHRASE_VARIABLE: str(self.passphrase), "COLUMNS": "80"}
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False, env=environment)

    def answer(self, *arguments: object) -> Any:
        done = self.candela(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def found(self) -> None:
        """Make keys, a genesis of them, and everybody's configuration."""
        for index in EVERYONE:
            address = f"127.0.0.1:{self.peer_ports[index]}"
            self.answer(
                "validator", "init", self.folder(index), "--owner", self.owners[index].address, "--address", address
            )
        cards = [part for index in EVERYONE for part in ("--validator", self.folder(index) / "validator.json")]
        money = [part for owner in self.owners for part in ("--fund", f"{owner.address}=5000")]
        settings = ["--chain-id", CHAIN_ID, "--epoch-blocks", EPOCH_BLOCKS]
        made = self.answer("genesis", "new", self.directory / "chain", *cards, *money, *settings)
        for index in EVERYONE:
            genesis = self.directory / "chain" / "genesis.json"
            port = ["--rpc-port", self.rpc_ports[index], "--distance", "local"]
            configured = self.answer("validator", "init", self.folder(index), "--genesis", genesis, *port)
            assert (configured["genesis_hash"], configured["seat"]) == (made["hash"], True)
        self.hash = made["hash"]

    def run(self, *indexes: int) -> None:
        for index in indexes:
            command = [*COMMAND, "validator", "run", str(self.folder(index)), "--passphrase-file", str(self.passphrase)]
            self.running[index] = Child(f"validator {index}", command, self.directory / f"{index}.log")
        for index in indexes:
            answer = self.running[index].ready(time.monotonic() + DEADLINE)
            assert answer["http"] == f"http://127.0.0.1:{self.rpc_ports[index]}"

    def kill(self, index: int) -> None:
        process = self.running.pop(index).process
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE)

    def pay(self, index: int, times: int) -> None:
        """Transfers by one node, each final before the next."""
        sender = Sender(self.client(index), self.owners[index], session=None)
        for _ in range(times):
            sender.send(Message(to="0x" + "09" * 20, value=1, gas=21_000), timeout=DEADLINE)

    def join(self, index: int) -> None:
        """Stake on a node with the owner's key, for which ``network.json`` has to name its file."""
        keyfile = self.directory / f"owner-{index}"
        keyfile.write_text(self.owners[index].export())
        keyfile.chmod(0o600)
        path = self.folder(index) / "network.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "keyfile": str(keyfile)}))
        self.answer("validator", "join", self.folder(index), "--network", path)

    def doctor(self, index: int) -> tuple[int, dict[str, dict[str, Any]]]:
        return examined(self.candela("validator", "doctor", self.folder(index), "--watch-seconds", "0.5", "--json"))

    def stop(self) -> None:
        for each in self.running.values():
            each.stop()
        for each in self.running.values():
            each.join()


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operators]:
    """A founded network; nobody runs yet."""
    made = Operators(tmp_path_factory.mktemp("operators"))
    made.found()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def alone(operators: Operators, tmp_path: Path) -> Path:
    """A folder like the first operator's, which has never run."""
    for name in ("validator.key", "validator.json", "genesis.json", "node.json"):
        shutil.copy(operators.folder(0) / name, tmp_path / name)
    return tmp_path


def failing(findings: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, each in findings.items() if not each["ok"]}


def test_four_operators_found_a_network_and_find_out_what_is_wrong(operators: Operators) -> None:
    status, findings = operators.doctor(0)
    assert status == 1
    assert failing(findings) == {"listening", "others", "node", "chain"}

    operators.run(*EVERYONE)
    operators.pay(0, 12)
    heights = [operators.client(index).block_number() for index in EVERYONE]
    until(lambda: all(operators.client(index).block_number() >= max(heights) for index in EVERYONE), "all agree")
    firsts = {operators.client(index).call("eth_getBlockByNumber", "0x0", False)["hash"] for index in EVERYONE}
    assert firsts == {operators.hash}
    for index in EVERYONE:
        status, findings = operators.doctor(index)
        assert (status, failing(findings)) == (0, set()), findings
        assert "encrypted" in findings["key"]["detail"]
        assert findings["seat"]["detail"] == "one of 4 in epoch 0"
        assert not findings["votes"]["detail"].startswith("in 0 of")

    assert findings["stake"]["detail"] == "a seat of genesis without a bond"
    operators.join(0)
    status, findings = operators.doctor(0)
    assert status == 0
    assert findings["stake"]["detail"] == "validator 1 stands for election with 1000 CND, and 0 CND delegated"

    operators.kill(3)
    status, findings = operators.doctor(3)
    assert status == 1
    assert failing(findings) == {"listening", "node", "chain"}
    assert str(operators.folder(3)) in findings["node"]["fix"]
    status, findings = operators.doctor(0)
    assert (status, failing(findings)) == (0, {"others"})
    assert f"127.0.0.1:{operators.peer_ports[3]}" in findings["others"]["detail"]
    assert "2 of 3" in findings["others"]["detail"]

    operators.pay(1, 1)
    operators.run(3)
    head = operators.client(0).block_number()
    until(lambda: operators.client(3).block_number() >= head, "the killed validator has caught up")
    process = operators.running.pop(3).process
    process.terminate()
    assert process.wait(DEADLINE) == 0


def test_a_plain_key_runs_on_development_networks_only(operators: Operators, alone: Path) -> None:
    (alone / "validator.key").write_text("11" * 32)
    done = operators.candela("validator", "run", alone)
    assert done.returncode == 1
    assert "is not encrypted" in done.stderr
    assert not (alone / "archive.redb").exists()

    chain = json.loads((alone / "genesis.json").read_text())
    (alone / "genesis.json").write_text(json.dumps({**chain, "chainId": DEVELOPMENT_CHAIN_ID}))
    config, (peers, rpc) = json.loads((alone / "node.json").read_text()), free_ports(2)
    config |= {"listen": f"127.0.0.1:{peers}", "rpc": {"host": "127.0.0.1", "port": rpc}}
    (alone / "node.json").write_text(json.dumps(config))
    node = Child("plain node", [*COMMAND, "validator", "run", str(alone)], alone / "log")
    try:
        assert "error" not in node.ready(time.monotonic() + DEADLINE)
        assert Client(f"http://127.0.0.1:{rpc}").chain_id() == DEVELOPMENT_CHAIN_ID
        assert "the voting key is not encrypted" in node.log.read_text()
    finally:
        node.stop()
        node.join()


def test_a_node_without_its_passphrase_does_not_start(operators: Operators, alone: Path) -> None:
    wrong = alone / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    done = operators.candela("validator", "run", alone, "--passphrase-file", wrong)
    assert (done.returncode, "wrong passphrase" in done.stderr) == (1, True)


def test_the_engine_neither_reads_nor_replaces_an_encrypted_key(operators: Operators, alone: Path) -> None:
    before = (alone / "validator.key").read_bytes()
    config = {"data_dir": str(alone), "fee_recipient": "0x" + "11" * 20, "rpc": {"host": "127.0.0.1", "port": 0}}
    config["genesis"] = json.loads((alone / "genesis.json").read_text())
    for chain_id, words in ((CHAIN_ID, "no development network"), (DEVELOPMENT_CHAIN_ID, "it is encrypted")):
        config["genesis"]["chainId"] = chain_id
        path = alone / "engine.json"
        path.write_text(json.dumps(config))
        environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
        command = [sys.executable, "-m", "candela.network.process", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False, env=environment)
        assert (done.returncode, words in json.loads(done.stdout)["error"]) == (1, True), done.stdout
    assert (alone / "validator.key").read_bytes() == before


def test_a_folder_keeps_its_key_and_its_chain(operators: Operators, alone: Path) -> None:
    chain = operators.directory / "chain"
    text = (chain / "genesis.json").read_text()
    before = (alone / "validator.key").read_bytes()
    again = operators.answer(
        "validator", "init", alone, "--genesis", chain / "genesis.json", "--listen", "0.0.0.0:9000"
    )
    assert (again["genesis_hash"], (alone / "validator.key").read_bytes()) == (operators.hash, before)
    assert json.loads((alone / "node.json").read_text())["listen"] == "0.0.0.0:9000"

    other = alone / "other.json"
    other.write_text(text.replace(f'"chainId": {CHAIN_ID}', f'"chainId": {CHAIN_ID + 1}'))
    refused = operators.candela("validator", "init", alone, "--genesis", other, "--peers", chain / "validators.json")
    assert (refused.returncode, "belongs to another chain" in refused.stderr) == (2, True)
    assert (alone / "genesis.json").read_text() == text

    (alone / "validator.key").chmod(0o644)
    status, findings = examined(operators.candela("validator", "doctor", alone, "--json"))
    assert (status, findings["key"]["ok"], findings["key"]["fix"]) == (1, False, f"chmod 600 {alone / 'validator.key'}")


def test_init_says_what_is_missing(operators: Operators, tmp_path: Path) -> None:
    done = operators.candela("validator", "init", tmp_path / "new", "--owner", "0x" + "11" * 20)
    assert (done.returncode, "--address is missing" in done.stderr) == (2, True)
    done = operators.candela("validator", "run", tmp_path / "new")
    assert (done.returncode, "candela validator init" in done.stderr) == (2, True)
    done = operators.candela("validator", "doctor", tmp_path / "none")
    assert (done.returncode, "candela validator init" in done.stderr) == (2, True)
