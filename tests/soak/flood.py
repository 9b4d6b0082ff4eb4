"""Flood a node for a long time, and check that its memory stays bounded and that whoever pays is still served."""

from __future__ import annotations

import http.client
import itertools
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from candela import _ledger
from tests.soak.command import command
from tests.soak.server import BrokenPromiseError, configuration, item, start, transfer

PAYERS = 64
HOARDERS = 40
BURST = 512
START_SECONDS = 10.0
SAMPLE_SECONDS = 2.0
STALL_SECONDS = 60.0
"""So long nothing may become final while payers send."""
ROOM_MIB = 64
"""How much more memory the last third of the time may take than the second."""


def keys(count: int, first: int) -> list[bytes]:
    """Secret keys that nobody else has."""
    return [(first + index).to_bytes(32, "big") for index in range(count)]


PAYING, HOARDING = keys(PAYERS, 1), keys(HOARDERS, 1_000)


class Door:
    """A connection that sends batches in binary and notes why transactions are refused."""

    def __init__(self, url: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self.refused: Counter[str] = Counter()

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._http.request(method, path, body)
        response = self._http.getresponse()
        return response.status, response.read()

    def send(self, batch: bytes) -> set[int]:
        """The places of those that were refused."""
        status, text = self.ask("POST", "/transactions", batch)
        answer = json.loads(text)
        if status != 200:
            self.refused[f"{status}: {answer['error']['message']}"[:60]] += 1
            return set()
        self.refused.update(error["message"].split(":")[0] for error in answer["errors"])
        return {error["index"] for error in answer["errors"]}

    def nonce(self, key: bytes) -> int:
        """An account's next nonce, what is in the pool counted."""
        params = [_ledger.address_of(key), "pending"]
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionCount", "params": params}
        return int(json.loads(self.ask("POST", "/", json.dumps(request).encode())[1])["result"], 16)


def pay(door: Door, dice: random.Random) -> Iterator[None]:
    """Pay other payers; who is refused waits twice as long each time, and goes on at its next nonce."""
    nonces, pause = dict.fromkeys(PAYING, 0), 0.25
    while True:
        batch, senders = [], []
        for _ in range(BURST):
            key, to = dice.choice(PAYING), _ledger.address_of(dice.choice(PAYING))
            # Above what a hoarder offers.
            fields = transfer(nonces[key], to, 1, tip=dice.randrange(10**8, 10**9))
            batch.append(item(_ledger.sign_transaction(fields, key)[0]))
            senders.append(key)
            nonces[key] += 1
        refused = door.send(b"".join(batch))
        for key in {senders[place] for place in refused}:
            nonces[key] = door.nonce(key)
        pause = min(pause * 2, 8) if refused else 0.25
        if refused:
            time.sleep(pause)
        yield


def hoard(door: Door, dice: random.Random) -> Iterator[None]:
    """Fill the pool with transactions that can't be executed, as their nonces leave a gap, and replace them."""
    for round_number in itertools.count():
        for key, first in itertools.product(HOARDING, range(1, 10_001, BURST)):
            tip = 10**6 * (round_number + 1) + dice.randrange(10**5)
            fields = [transfer(nonce, "0x" + "09" * 20, 1, tip) for nonce in range(first, first + BURST)]
            door.send(b"".join(item(_ledger.sign_transaction(each, key)[0]) for each in fields))
            yield


def annoy(door: Door, dice: random.Random) -> Iterator[None]:
    """Send what is known, what is damaged, and what is no transaction."""
    known = [item(_ledger.sign_transaction(transfer(0, "0x" + "09" * 20, 1), key)[0]) for key in PAYING]
    while True:
        damaged = bytearray(dice.choice(known))
        damaged[dice.randrange(2, len(damaged))] ^= 1 << dice.randrange(8)
        door.send(b"".join(known) + bytes(damaged) + item(dice.randbytes(200)))
        door.send(dice.randbytes(dice.choice([10, 1_000, 1 << 20])))
        door.ask("POST", "/", dice.randbytes(1_000))
        yield


def flood(act: Callable[[Door, random.Random], Iterator[None]], url: str, seed: int, over: Event, told: Any) -> None:
    """Do one of the above until it is over, then tell why transactions were refused."""
    door, rounds = Door(url), 0
    for _ in act(door, random.Random(seed)):
        rounds += 1
        if over.is_set():
            break
    told.put((act.__name__, rounds, dict(door.refused.most_common(8))))


@dataclass
class Samples:
    """What was seen of the node while it was flooded."""

    moments: list[float] = field(default_factory=list)
    memory_mib: list[int] = field(default_factory=list)
    final: list[int] = field(default_factory=list)
    pooled: list[int] = field(default_factory=list)

    def take(self, moment: float, pid: int, metrics: str) -> None:
        """Adds one.

        Raises:
            BrokenPromiseError: nothing has become final for too long.
        """
        status = Path(f"/proc/{pid}/status").read_text()
        anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
        value = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
        self.moments.append(moment)
        self.memory_mib.append(int(anonymous.split()[1]) >> 10)
        self.final.append(int(value["candela_transactions_total"]))
        self.pooled.append(int(value["candela_pool_pending"]) + int(value["candela_pool_queued"]))
        before = [count for then, count in zip(self.moments, self.final, strict=True) if then < moment - STALL_SECONDS]
        if before and before[-1] == self.final[-1]:
            raise BrokenPromiseError(f"nothing has become final for {STALL_SECONDS} s")

    def thirds(self, values: list[int]) -> list[int]:
        """The highest of ``values`` in each third of the time."""
        size = len(values) // 3
        return [max(values[:size]), max(values[size : 2 * size]), max(values[2 * size :])]


def run(seed: int, seconds: int, directory: Path) -> dict[str, Any]:
    """Flood a node for ``seconds``.

    Raises:
        BrokenPromiseError: memory grows, or nothing becomes final.
    """
    process, url = start(configuration(directory, PAYING + HOARDING, 1_000_000_000), START_SECONDS)
    over, told = multiprocessing.Event(), multiprocessing.Queue()
    acts = [pay, hoard, annoy]
    flooding = [
        multiprocessing.Process(target=flood, args=(act, url, seed + place, over, told))
        for place, act in enumerate(acts)
    ]
    samples, began = Samples(), time.monotonic()
    try:
        for each in flooding:
            each.start()
        door = Door(url)
        while (moment := time.monotonic() - began) < seconds:
            samples.take(moment, process.pid, door.ask("GET", "/metrics")[1].decode())
            if any(not each.is_alive() for each in flooding) or process.poll() is not None:
                raise BrokenPromiseError("the node, or one that floods it, has ended")
            time.sleep(SAMPLE_SECONDS)
        over.set()
        refusals = {name: {"rounds": rounds, "refused": why} for name, rounds, why in (told.get() for _ in acts)}
    finally:
        for each in flooding:
            each.kill()
        process.kill()
        process.wait()
    memory = samples.thirds(samples.memory_mib)
    if memory[2] > memory[1] + ROOM_MIB:
        raise BrokenPromiseError(f"memory grows: {memory} MiB at most in each third of the time")
    return {
        "seed": seed,
        "seconds": seconds,
        "transactions": samples.final[-1],
        "transactions_per_s": round(samples.final[-1] / samples.moments[-1]),
        "pooled": samples.thirds(samples.pooled),
        "memory_mib": memory,
        **refusals,
    }


if __name__ == "__main__":
    sys.exit(command(__doc__, ("seconds", 1800), run))
