"""A chain in this process, providers in processes of their own, and jobs for them."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from candela import values
from candela.artefacts import ArtefactStore
from candela.chain.account import Account
from candela.chain.client import Client
from candela.chain.market import ANY_DEVICE, Market, TaskReceipt, Terms, receipt_of
from candela.chain.sender import Sender
from candela.manifest import JobManifest, encode_bundle, encode_manifest
from candela.network.configuration import Network
from candela.network.genesis import genesis
from candela.verification import Verification
from tests.nodes import alone

RICH = 10**24
CHEATS = Path(__file__).parents[2] / "examples" / "cheats.py"


class Chain:
    """A node with a customer, and room for providers."""

    def __init__(self, folder: Path, genesis: dict[str, Any], accounts: list[Account]) -> None:
        self.folder, self.genesis, self.accounts = folder, genesis, accounts
        self.node = alone(folder / "node", genesis)
        endpoints = self.node.start()
        self.rpc, self.ws = endpoints["http"], endpoints["ws"]
        self.client = Client(self.rpc)
        self.market = Market(self.client)
        self.customer = accounts[0]
        self.sender = Sender(self.client, self.customer)
        self.store = ArtefactStore((folder / "store").as_uri())
        self.processes: list[subprocess.Popen[str]] = []

    def restart_node(self) -> None:
        """Stop the node and start it again at the same port."""
        self.node.stop()
        port = int(self.rpc.rpartition(":")[2].rstrip("/"))
        self.node = alone(self.folder / "node", self.genesis, port=port)
        self.node.start()
        self.sender.resync()

    def provider(
        self,
        number: int,
        path: str | None = None,
        allow_unsandboxed: bool = False,
        options: Sequence[str] = (),
        cheat: str | None = None,
    ) -> subprocess.Popen[str]:
        """Start provider ``number`` (from 1), honest unless told otherwise, and wait until it is ready."""
        data = self.folder / f"provider-{number}"
        data.mkdir(exist_ok=True)
        key = data / "key"
        key.touch(mode=0o600)
        key.write_text(self.accounts[number].export())
        program = ["-m", "candela.cli.provider"] if cheat is None else [str(CHEATS), cheat]
        command = [sys.executable, *program, "start", "--rpc", self.rpc, "--ws", self.ws]
        command += ["--store", self.store.url, "--data", str(data), "--keyfile", str(key), "--json"]
        command += ["--allow-unsandboxed"] if allow_unsandboxed else []
        command += options
        environment = os.environ | {"PATH": path if path is not None else os.environ["PATH"]}
        with (self.folder / f"provider-{number}.log").open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        self.processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (self.folder / f"provider-{number}.log").read_text()
        assert json.loads(line)["address"] == self.accounts[number].address
        return process

    def network(self) -> Network:
        """What the SDK connects to."""
        keyfile = self.folder / "customer.key"
        keyfile.touch(mode=0o600)
        keyfile.write_text(self.customer.export())
        chain_id = self.client.chain_id()
        return Network(rpc=self.rpc, ws=self.ws, store=self.store.url, chain_id=chain_id, keyfile=str(keyfile))

    def open_job(self, source: str, arguments: list[tuple], verify: Verification | None = None, **changes: int) -> int:
        """Open a job that calls ``main`` of ``source`` with each of ``arguments``."""
        timeout = changes.pop("task_timeout", 30)
        memory = changes.pop("memory_bytes", 1 << 30)
        inputs = [self.store.put(values.encode({"args": list(each), "kwargs": {}})) for each in arguments]
        manifest = JobManifest(
            name="test",
            module="job",
            entry="main",
            source=self.store.put(encode_bundle({"job.py": source.encode()})),
            requirements=[],
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            inputs=inputs,
            memory_bytes=memory,
            timeout_seconds=timeout,
            verify=verify,
        )
        facts = {
            "spec_hash": bytes.fromhex(self.store.put(encode_manifest(manifest))),
            "kind": 1,
            "task_count": len(inputs),
            "max_price_per_unit": 10**14,
            "task_work_limit_uwu": 10**13,
            "device_kind": ANY_DEVICE,
            "min_tier": 0,
            "min_memory_bytes": memory,
            "retries": 3,
            "task_timeout": timeout,
            "lease_seconds": 5,
            "audit_window": 3600,
            "deadline": int(time.time()) + 3600,
        }
        terms = Terms(**(facts | changes))  # type: ignore[arg-type]
        fields = tuple(getattr(terms, name) for name in Terms.__struct_fields__)
        escrow = len(inputs) * 10**13 * 10**13 // 10**6 * 2
        receipt = self.sender.send(self.market.message("open_job", fields, value=escrow), "opening a job")
        events = filter(None, (self.market.decode_log(log) for log in receipt.logs))
        return next(found["job_id"] for name, found in events if name == "JobOpened")

    def receipts(self, job_id: int) -> dict[int, TaskReceipt]:
        """The settled tasks of a job."""
        events = self.market.job_events(job_id, 0, self.client.block_number())
        return {each.fields["task"]: receipt_of(each) for each in events if each.name == "TaskSettled"}

    def wait_for_tasks(self, job_id: int, count: int, seconds: float = 60) -> dict[int, TaskReceipt]:
        """The receipts of a job once there are ``count``."""
        return self.wait(lambda: found if len(found := self.receipts(job_id)) >= count else None, seconds)

    def wait(self, condition: Callable[[], object], seconds: float = 30):  # type: ignore[no-untyped-def]
        """What ``condition`` returns once it is true."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "\n".join(
                each.read_text()[-3000:] for each in self.folder.glob("provider-*.log")
            )
            os.sched_yield()
        return found

    def value(self, receipt: TaskReceipt) -> object:
        """What a task returned."""
        return values.decode(self.store.get(receipt.output_hash.hex(), 1 << 26))

    def close(self) -> None:
        """End everything."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        self.client.close()
        self.node.stop()


def started(folder: Path) -> Chain:
    """A chain with a customer and accounts for providers."""
    accounts = [Account(secrets.token_bytes(32)) for _ in range(7)]
    document = genesis({each.address: RICH for each in accounts}, int(time.time() * 1000))
    return Chain(folder, document, accounts)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    running = started(tmp_path)
    yield running
    running.close()
