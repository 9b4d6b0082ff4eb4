"""What a provider has earned, by job, and how it gets what the audit window held back."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import msgspec

from candela.chain.market import Lease, LeaseState, Market
from candela.errors import RpcError
from candela.provider.config import write_atomically
from candela.provider.floor import energy_cost
from candela.provider.metering import MEASURED
from candela.provider.settlement import Settlement, Statement

CLAIM_GAS = 2_000_000
_BATCH = 100
_BLOCKS = 2_000
_MARGIN_SECONDS = 2.0


class JobEarnings(msgspec.Struct):
    """A provider's account with one job; amounts in nit."""

    job_id: int
    tasks: int = 0
    settled: int = 0
    """Stated in receipts."""
    paid: int = 0
    """What arrived."""
    fees: int = 0
    """What the market burned of payments."""
    to_auditors: int = 0
    """What it set aside for auditors of them."""
    pending: int = 0
    """Waits for the customer or the end of the audit window."""
    held: int = 0
    """Disputed."""
    refused: int = 0
    """Went back to the job: an audit found the result false or missing."""
    burned: int = 0
    work_uwu: int = 0
    energy_mj: int = 0
    estimated: int = 0
    """Tasks whose energy no counter measured."""


class Net(msgspec.Struct):
    """What is left of pay after the energy of all work, also of work that is not paid yet; amounts in nit."""

    paid: int
    energy_mj: int
    energy: int
    kwh_price: int
    net: int
    """Less than nothing where energy cost more than was paid."""

    @classmethod
    def of(cls, accounts: list[JobEarnings], kwh_price: int) -> Net:
        """Of all jobs, at ``kwh_price`` nit per kWh."""
        paid, energy_mj = sum(each.paid for each in accounts), sum(each.energy_mj for each in accounts)
        energy = energy_cost(energy_mj, kwh_price)
        return cls(paid, energy_mj, energy, kwh_price, paid - energy)


def read_earnings(market: Market, provider: str) -> list[JobEarnings]:
    """A provider's earnings of all time, by job, from the chain alone."""
    accounts: dict[int, JobEarnings] = {}
    leases: set[int] = set()
    owner = "0x" + provider.lower().removeprefix("0x").rjust(64, "0")
    head = market.client.block_number()
    for first in range(0, head + 1, _BLOCKS):
        topics = [market.topic("TaskSettled"), None, None, owner]
        for event in market.events(first, min(first + _BLOCKS - 1, head), *topics):
            job_id = event.fields["job_id"]
            account = accounts.setdefault(job_id, JobEarnings(job_id))
            account.tasks += 1
            account.settled += event.fields["price"]
            account.work_uwu += event.fields["work_uwu"]
            account.energy_mj += event.fields["energy_mj"]
            account.estimated += event.fields["energy_method"] not in MEASURED
            leases.add(event.fields["lease_id"])
    for lease_id, lease in read_leases(market, sorted(leases)).items():
        account = accounts[lease_id >> 32]
        account.pending += lease.owed
        account.held += lease.held
    _add_payments(market, owner, head, accounts)
    for account in accounts.values():
        fees = account.fees + account.to_auditors
        known = account.paid + fees + account.pending + account.held + account.refused
        account.burned = account.settled - known
    return sorted(accounts.values(), key=lambda account: account.job_id)


def _add_payments(market: Market, owner: str, head: int, accounts: dict[int, JobEarnings]) -> None:
    for first in range(0, head + 1, _BLOCKS):
        last = min(first + _BLOCKS - 1, head)
        for event in market.events(first, last, [market.topic("TasksPaid"), market.topic("FeeBurned")], None, owner):
            account, amount = accounts.get(event.fields["lease_id"] >> 32), event.fields["amount"]
            if account is not None and event.name == "FeeBurned":
                to_auditors = event.fields["to_auditors"]
                account.paid -= amount + to_auditors
                account.fees += amount
                account.to_auditors += to_auditors
            elif account is not None:
                account.paid += amount
    for event in market.events(0, head, market.topic("TaskRefuted"), None, None, owner):
        account = accounts.get(event.fields["job_id"])
        if account is not None:
            account.refused += event.fields["refunded"]


def read_leases(market: Market, ids: list[int]) -> dict[int, Lease]:
    """Leases by their ids."""
    found = {}
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        answers = market.client.batch([("eth_call", (market.view("leases", each), "latest")) for each in part])
        for lease_id, answer in zip(part, answers, strict=True):
            if isinstance(answer, RpcError):
                raise answer
            found[lease_id] = msgspec.convert(market.decode_result("leases", answer), Lease)
    return found


class Claims:
    """Remembers, across restarts, which leases may still owe money, and claims it when the audit window is over.

    Args:
        market: the contract.
        settlement: sends the claims.
        path: file that remembers.
    """

    def __init__(self, market: Market, settlement: Settlement, path: Path) -> None:
        self._market, self._settlement, self._path = market, settlement, path
        self._lock = threading.Lock()
        self._due: dict[int, float] = {}
        self._windows: dict[int, int] = {}
        if path.exists():
            # When their last task was settled is not known any more: wait for a whole window.
            for lease_id, window in json.loads(path.read_bytes()).items():
                self._windows[int(lease_id)] = window
                self._due[int(lease_id)] = time.time() + window + _MARGIN_SECONDS

    def expect(self, lease_id: int, audit_window: int) -> None:
        """A task of a lease was settled."""
        with self._lock:
            self._due[lease_id] = time.time() + audit_window + _MARGIN_SECONDS
            if lease_id not in self._windows:
                self._windows[lease_id] = audit_window
                self._save()

    def collect(self) -> None:
        """Claim what is due."""
        now = time.time()
        with self._lock:
            due = [lease_id for lease_id, at in self._due.items() if at <= now][:_BATCH]
        for lease_id, lease in read_leases(self._market, due).items():
            bitmap = lease.done & ~lease.paid & ~lease.disputed
            if bitmap:
                message = self._market.message("claim", lease_id, bitmap, gas=CLAIM_GAS)
                self._settlement.put(Statement("claiming a payment", message, lease_id))
            with self._lock:
                if bitmap or lease.held or lease.state == LeaseState.ACTIVE:
                    self._due[lease_id] = now + self._windows[lease_id] + 60
                else:
                    del self._due[lease_id], self._windows[lease_id]
        if due:
            with self._lock:
                self._save()

    def _save(self) -> None:
        write_atomically(self._path, json.dumps({str(key): value for key, value in self._windows.items()}).encode())
