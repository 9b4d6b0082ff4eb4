"""Kill one of four loaded validators over and over: no fork, nothing final is lost, and the chain goes on."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from candela import _ledger
from candela.chain.client import Client
from candela.errors import Error
from candela.network.devnet import Devnet, Settings

VALIDATORS = 4
DEADLINE_SECONDS = 60
BURST = 5


class BrokenPromiseError(Exception):
    """A promise of the network was broken."""


@dataclass
class Soak:
    """A running network, what was sent to it, and what was seen to be final."""

    network: Devnet
    random: random.Random
    clients: list[Client] = field(default_factory=list)
    receipts: dict[str, str] = field(default_factory=dict)
    blocks: dict[int, str] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    slowest_return_s: float = 0.0
    longest_gap_s: float = 0.0

    def __post_init__(self) -> None:
        assert self.network.ready is not None
        self.clients = [Client(each["http"], timeout=10) for each in self.network.ready.validators]
        accounts = self.network.ready.accounts[1:5]
        self.keys = [bytes.fromhex(each["private_key"].removeprefix("0x")) for each in accounts]
        self.nonces = [itertools.count() for _ in self.keys]

    def submit(self, live: list[int]) -> None:
        """Sends a few transfers; each account always to the same validator, or the next one while that one is away."""
        for account, key in enumerate(self.keys):
            at = account if account in live else live[0]
            for _ in range(BURST):
                raw, digest = _ledger.sign_transaction(transfer(next(self.nonces[account])), key)
                self.clients[at].call("eth_sendRawTransaction", "0x" + raw.hex())
                self.sent.append(digest)

    def await_final(self, live: list[int], digests: list[str]) -> None:
        """Waits until ``digests`` are final at every one of ``live``, in the same blocks."""
        began = time.monotonic()
        for digest, at in itertools.product(digests, live):
            while (receipt := self.clients[at].call("eth_getTransactionReceipt", digest)) is None:
                if time.monotonic() - began > DEADLINE_SECONDS:
                    raise BrokenPromiseError(f"{digest} is not final at validator {at} after {DEADLINE_SECONDS} s")
                time.sleep(0.01)
            self.note(digest, receipt["blockHash"], at)
        self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - began)

    def note(self, digest: str, block: str, at: int) -> None:
        """Remembers where a transaction is final; it never moves."""
        if self.receipts.setdefault(digest, block) != block:
            raise BrokenPromiseError(f"{digest} is in {self.receipts[digest]}, and in {block} at validator {at}")

    def compare(self, at: int, first: int) -> None:
        """Compares the blocks of validator ``at`` from ``first`` on with everyone's."""
        for number in range(first, self.clients[at].block_number() + 1):
            block = self.clients[at].call("eth_getBlockByNumber", hex(number), False)["hash"]
            if self.blocks.setdefault(number, block) != block:
                raise BrokenPromiseError(
                    f"fork: block {number} of validator {at} is {block}, not {self.blocks[number]}"
                )

    def kill(self) -> None:
        """Ends a random validator at a random moment under load, and starts it again after a while."""
        victim, everyone = self.random.randrange(VALIDATORS), list(range(VALIDATORS))
        live = [index for index in everyone if index != victim]
        self.submit(everyone)
        burst = self.sent[-BURST * len(self.keys) :]
        time.sleep(self.random.uniform(0, 0.3))
        process = self.network.nodes[victim].process
        process.kill()
        process.wait(DEADLINE_SECONDS)
        # What the victim alone knew has died with it, unless it was final.
        known = [digest for at, digest in enumerate(burst) if at // BURST != victim]
        self.await_final(live, known)
        head = self.clients[live[0]].block_number()
        began = time.monotonic()
        self.network.restart_node(victim)
        while self.clients[victim].block_number() < head:
            if time.monotonic() - began > DEADLINE_SECONDS:
                raise BrokenPromiseError(f"validator {victim} has not caught up after {DEADLINE_SECONDS} s")
            time.sleep(0.02)
        self.slowest_return_s = max(self.slowest_return_s, time.monotonic() - began)
        self.refill(victim)
        self.compare(victim, max(1, head - 50))
        self.check_recent(victim)

    def refill(self, victim: int) -> None:
        """Goes on at the nonce that the chain has: what the victim alone knew is sent again under the same one."""
        address = _ledger.address_of(self.keys[victim])
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            nonces = [int(each.call("eth_getTransactionCount", address, "latest"), 16) for each in self.clients]
            pending = [int(each.call("eth_getTransactionCount", address, "pending"), 16) for each in self.clients]
            if len({*nonces, *pending}) == 1:
                self.nonces[victim] = itertools.count(nonces[0])
                return
            if time.monotonic() > deadline:
                raise BrokenPromiseError(f"validators disagree on the nonce of {address}: {nonces}, {pending}")
            time.sleep(0.05)

    def check_recent(self, at: int) -> None:
        """What was final is where it was, at the validator that came back."""
        for digest, block in list(self.receipts.items())[-100:]:
            receipt = self.clients[at].call("eth_getTransactionReceipt", digest)
            if receipt is None:
                raise BrokenPromiseError(f"{digest} was final and is lost at validator {at}")
            self.note(digest, receipt["blockHash"], at)
            self.receipts[digest] = block

    def check_everything(self) -> None:
        """Every block and every receipt, at every validator."""
        for at, client in enumerate(self.clients):
            self.compare(at, 1)
            for digest, block in self.receipts.items():
                receipt = client.call("eth_getTransactionReceipt", digest)
                if receipt is None or receipt["blockHash"] != block:
                    raise BrokenPromiseError(f"{digest} was final in {block} and is not at validator {at}")


def transfer(nonce: int) -> dict[str, Any]:
    """A plain transfer."""
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**6}
    to = {"to": "0x" + "09" * 20, "value": 1, "gas": 21_000}
    return {"type": 2, "chainId": 4410948, "nonce": nonce, **to, **fees}


@contextmanager
def running(directory: Path) -> Iterator[Devnet]:
    """Four validators on fresh folders."""
    os.environ["XDG_CONFIG_HOME"] = str(directory / "config")
    with Devnet(Settings(data=directory / "data", port=0, providers=0, validators=VALIDATORS)) as network:
        yield network


def run(seed: int, kills: int, directory: Path) -> dict[str, Any]:
    """Kills validators under load; raises BrokenPromiseError on a broken promise."""
    began = time.monotonic()
    with running(directory) as network:
        soak = Soak(network, random.Random(seed))
        for number in range(kills):
            soak.kill()
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {kills}", end="", file=sys.stderr)
        soak.submit(list(range(VALIDATORS)))
        soak.await_final(list(range(VALIDATORS)), soak.sent[-BURST * len(soak.keys) :])
        soak.check_everything()
        height = soak.clients[0].block_number()
    return {
        "seed": seed,
        "kills": kills,
        "seconds": round(time.monotonic() - began),
        "height": height,
        "receipts": len(soak.receipts),
        "slowest_return_s": round(soak.slowest_return_s, 2),
        "longest_wait_s": round(soak.longest_gap_s, 2),
    }


def main() -> int:
    """Runs the soak from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        try:
            result = run(options.seed, options.kills, Path(directory))
        except (BrokenPromiseError, Error) as failure:
            print(f"seed {options.seed}: {failure}", file=sys.stderr)
            return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
