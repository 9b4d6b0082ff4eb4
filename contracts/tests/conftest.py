"""Both system contracts on a fresh chain, with a provider and a customer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boa
import pytest
from boa.contracts.vyper.vyper_contract import FrameDetail, StorageModel

ROOT = Path(__file__).parents[2]
CND = 10**18
PRICE = 10**13
WORK = 1_000_000
HASH = b"\x01" * 32

# Boa describes a contract with all its storage whenever a call fails, which takes longer than the call.
StorageModel.dump = lambda _: FrameDetail("storage")


@cache
def compiled(folder: str, name: str) -> Any:
    """A contract's source, compiled once for all tests."""
    return boa.load_partial(str(ROOT / "contracts" / folder / f"{name}.vy"))


def deploy(name: str, *arguments: Any, folder: str = "compute") -> Any:
    """Deploy a contract from its source."""
    return compiled(folder, name).deploy(*arguments)


@dataclass
class World:
    """The contracts and who plays."""

    registry: Any
    market: Any
    customer: str
    provider: str

    def now(self) -> int:
        """The chain's time."""
        return boa.env.timestamp

    def terms(self, **changed: Any) -> tuple:
        """Terms with everything sensible but what is ``changed``."""
        fields = {
            "spec_hash": HASH,
            "kind": 1,
            "task_count": 4,
            "max_price_per_unit": PRICE,
            "task_work_limit_uwu": WORK,
            "device_kind": 255,
            "min_tier": 1,
            "min_memory_bytes": 1 << 20,
            "retries": 1,
            "task_timeout": 60,
            "lease_seconds": 10,
            "audit_window": 100,
            "deadline": self.now() + 10_000,
        } | changed
        return tuple(fields.values())

    def open(self, value: int = CND, **changed: Any) -> int:
        """Open a job."""
        return self.market.open_job(self.terms(**changed), value=value, sender=self.customer)

    def lease(self, job: int, count: int = 4, price: int = PRICE) -> int:
        """Take a lease."""
        return self.market.take_lease(job, 0, price, count, sender=self.provider)

    def settle(self, lease: int, task: int, **changed: Any) -> None:
        """Settle one task."""
        fields = {
            "outcome": 0,
            "code": HASH,
            "input": HASH,
            "output": HASH,
            "started": 1,
            "work": WORK,
            "energy": 5,
            "method": 3,
            "price": PRICE,
            "sender": self.provider,
        } | changed
        sender = fields.pop("sender")
        self.market.settle(lease, task, *fields.values(), sender=sender)

    def balance(self) -> int:
        """What the market holds."""
        return boa.env.get_balance(self.market.address)

    def pass_time(self, seconds: int) -> None:
        """Let time pass."""
        boa.env.time_travel(seconds=seconds)


@pytest.fixture(autouse=True)
def no_traces_of_other_tests() -> None:
    """Storage that contracts of earlier tests wrote at the same addresses would break how boa prints a contract."""
    boa.env.sha3_trace.clear()
    boa.env.sstore_trace.clear()


@pytest.fixture
def world() -> World:
    """A market with one listed provider and one rich customer."""
    with boa.env.anchor():
        registry = deploy("Registry")
        market = deploy("Market", registry.address)
        customer, provider = boa.env.generate_address("customer"), boa.env.generate_address("provider")
        for account in (customer, provider):
            boa.env.set_balance(account, 1_000 * CND)
        registry.register(provider, value=CND, sender=provider)
        registry.add_device(0, 1, 1 << 30, 100_000, "cpu", sender=provider)
        yield World(registry, market, customer, provider)


def artefact(name: str) -> dict[str, Any]:
    """The committed artefact of a contract."""
    return json.loads((ROOT / "candela" / "network" / "contracts" / f"{name}.json").read_text())
