"""Kill a loaded node over and over, and check that what it acknowledged is still there after each restart."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from candela import _ledger
from tests.soak.command import command
from tests.soak.server import FEE_RECIPIENT, FUNDS, BrokenPromiseError, configuration, start, transfer

SENDERS = 8
RESTART_SECONDS = 5.0
RECENT = 2_000
OLD_SAMPLE = 500


def rpc(url: str, calls: list[tuple[str, list[Any]]]) -> list[Any]:
    """Sends one batch and returns the results in order; an error of the node is an exception."""
    body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        answers = sorted(json.load(response), key=lambda answer: answer["id"])
    for answer in answers:
        if "error" in answer:
            raise BrokenPromiseError(f"{calls[answer['id']][0]}: {answer['error']}")
    return [answer["result"] for answer in answers]


@dataclass
class Soak:
    """Accounts, what they sent, and what was seen to be final."""

    directory: Path
    random: random.Random
    keys: list[bytes] = field(default_factory=lambda: [bytes([i + 1]) * 32 for i in range(SENDERS)])
    receipts: dict[str, str] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    slowest_restart: float = 0.0
    burned: int = 0
    counted: int = 0

    def start(self) -> tuple[subprocess.Popen[str], str]:
        """Starts a node and returns it with its URL; it must serve in time."""
        began = time.monotonic()
        started = start(configuration(self.directory, self.keys), RESTART_SECONDS)
        self.slowest_restart = max(self.slowest_restart, time.monotonic() - began)
        return started

    def load(self, url: str, seconds: float) -> None:
        """Sends transfers and records receipts until the time is over."""
        deadline = time.monotonic() + seconds
        # What was in the pool only died with the node: what is final by now is all that will be.
        self.collect(url)
        self.pending.clear()
        nonces = [int(nonce, 16) for nonce in rpc(url, [self.nonce(key) for key in self.keys])]
        while time.monotonic() < deadline:
            for index, key in enumerate(self.keys):
                to = _ledger.address_of(self.random.choice(self.keys))
                raw, digest = _ledger.sign_transaction(transfer(nonces[index], to, self.random.randrange(10**18)), key)
                try:
                    rpc(url, [("eth_sendRawTransaction", ["0x" + raw.hex()])])
                except BrokenPromiseError as error:
                    # Blocks that were agreed on before the kill may become final just after the restart.
                    if "nonce too low" not in str(error) and "already known" not in str(error):
                        raise
                    nonces[index] = int(rpc(url, [self.nonce(key)])[0], 16)
                    continue
                nonces[index] += 1
                self.pending.add(digest)
            self.collect(url)

    def collect(self, url: str) -> None:
        """Records what has become final."""
        if not self.pending:
            return
        for receipt in rpc(url, [("eth_getTransactionReceipt", [digest]) for digest in list(self.pending)[:500]]):
            if receipt is not None:
                self.receipts[receipt["transactionHash"]] = receipt["blockHash"]
                self.pending.discard(receipt["transactionHash"])

    def nonce(self, key: bytes) -> tuple[str, list[Any]]:
        """The call for an account's next nonce."""
        return "eth_getTransactionCount", [_ledger.address_of(key), "pending"]

    def check(self, url: str, *, whole: bool = False) -> None:
        """Receipts once seen are there in the same block, and no coin appeared or vanished but for burned fees.

        The newest are at risk and all looked at; of the older ones a sample, or every one when `whole` is asked for.
        """
        known = list(self.receipts)
        if not whole and len(known) > RECENT:
            known = self.random.sample(known[:-RECENT], min(OLD_SAMPLE, len(known) - RECENT)) + known[-RECENT:]
        for first in range(0, len(known), 500):
            part = known[first : first + 500]
            for digest, receipt in zip(
                part, rpc(url, [("eth_getTransactionReceipt", [digest]) for digest in part]), strict=True
            ):
                if receipt is None:
                    raise BrokenPromiseError(f"transaction {digest} was final and is lost")
                if receipt["blockHash"] != self.receipts[digest]:
                    raise BrokenPromiseError(
                        f"transaction {digest} moved from {self.receipts[digest]} to {receipt['blockHash']}"
                    )
        self.check_supply(url)

    def check_supply(self, url: str) -> None:
        """Balances and burned fees sum to what genesis gave."""
        head = rpc(url, [("eth_blockNumber", [])])[0]
        owners = [*(_ledger.address_of(key) for key in self.keys), FEE_RECIPIENT]
        held = sum(int(balance, 16) for balance in rpc(url, [("eth_getBalance", [owner, head]) for owner in owners]))
        while self.counted < int(head, 16):
            numbers = range(self.counted + 1, min(self.counted + 500, int(head, 16)) + 1)
            for block in rpc(url, [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]):
                self.burned += int(block["gasUsed"], 16) * int(block["baseFeePerGas"], 16)
            self.counted = numbers[-1]
        if held + self.burned != FUNDS * len(self.keys):
            raise BrokenPromiseError(
                f"balances {held} and burned fees {self.burned} are not the {FUNDS * len(self.keys)} of genesis"
            )


def run(seed: int, kills: int, directory: Path) -> dict[str, Any]:
    """Kills a loaded node `kills` times at moments drawn from `seed`; raises BrokenPromiseError on a broken promise."""
    soak = Soak(directory, random.Random(seed))
    for _ in range(kills):
        process, url = soak.start()
        try:
            soak.check(url)
            killer = soak.random.uniform(0.05, 1.5)
            stopper = subprocess.Popen(["sh", "-c", f"sleep {killer:.3f}; kill -9 {process.pid}"])
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError, json.JSONDecodeError):
                soak.load(url, killer + 5)
            stopper.wait()
        finally:
            process.kill()
            process.wait()
    process, url = soak.start()
    try:
        soak.check(url, whole=True)
        height = int(rpc(url, [("eth_blockNumber", [])])[0], 16)
    finally:
        process.kill()
        process.wait()
    return {
        "seed": seed,
        "kills": kills,
        "receipts": len(soak.receipts),
        "height": height,
        "slowest_restart_s": round(soak.slowest_restart, 3),
    }


if __name__ == "__main__":
    sys.exit(command(__doc__, ("kills", 200), run))
