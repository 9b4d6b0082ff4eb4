"""``python -m benches.sync``: how long a node takes to join four validators by replay, and by state sync."""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benches.load import Sender
from benches.report import Row, row, save, table
from benches.wire import Connection, raw_bodies
from candela import _ledger
from candela.chain.client import Client
from candela.chain.light import LightClient
from candela.network.genesis import CHAIN_ID
from candela.network.sync import synchronise
from candela.network.validators import folder
from tests.elected import A, B, C, D, E, World

NAME = "join"
_SENDERS = 100
_WAVE = 10_000
_BATCH = 100
_DEADLINE_SECONDS = 600
_EPOCH_BLOCKS = 100_000


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {_DEADLINE_SECONDS} s: {what}")
        time.sleep(0.01)


def _payee(number: int) -> str:
    return "0x" + _ledger.keccak256(number.to_bytes(8, "big"))[12:].hex()


def _pay(client: Client, senders: list[Sender], transfers: int, accounts: int) -> None:
    """Pay each account in turn, over and over."""
    connection = Connection(int(client.url.rstrip("/").rpartition(":")[2]))
    turns = itertools.cycle(senders)
    for start in range(0, transfers, _WAVE):
        wave = range(start, min(start + _WAVE, transfers))
        for body in raw_bodies([next(turns).sign(_payee(number % accounts), value=1) for number in wave], _BATCH):
            if b'"error"' in (answer := connection.post(body)):
                raise SystemExit(f"a transfer was refused: {answer[:300]!r}")
        _until(lambda: _pending(client) == 0, "the transfers are final")


def _pending(client: Client) -> int:
    return int(client.call("txpool_status")["pending"], 16)


def _joins(world: World, head: int) -> float:
    began = time.monotonic()
    world.start(E)
    _until(lambda: world.height(E) >= head, "the node has joined")
    return time.monotonic() - began


def _measure(directory: Path, accounts: int, transfers: int) -> list[Row]:
    senders = [Sender(CHAIN_ID) for _ in range(_SENDERS)]
    funded = {sender.address: 10**24 for sender in senders}
    world = World(directory, started=(A, B, C, D), funded=funded, epoch_blocks=_EPOCH_BLOCKS)
    try:
        _pay(world.clients[B], senders, transfers, accounts)
        head, mix = world.height(B), f"{transfers} transfers to {accounts} accounts, on an otherwise idle network"
        sizes = [world.clients[B].call("eth_getBlockByNumber", hex(number), False)["size"] for number in range(head)]
        replay = _joins(world, head)
        world.nodes.kill(E)
        place = folder(directory, E)
        for name in ("state.redb", "archive.redb", "archive.index.redb"):
            (place / name).unlink()
        (place / "consensus").rename(directory / "consensus of before")
        checkpoint = LightClient(world.clients[B], world.checkpoint).checkpoint
        began = time.monotonic()
        synced = synchronise(place, json.dumps(world.genesis), checkpoint, [world.clients[B].url])
        copied = time.monotonic() - began
        total = copied + _joins(world, head)
        return [
            row(NAME, "replay", "has caught up after", "s", [replay], mix),
            row(NAME, "replay", "blocks", "MB", [sum(int(size, 16) for size in sizes) / 1e6], mix),
            row(NAME, "sync", "copied after", "s", [copied], mix),
            row(NAME, "sync", "has caught up after", "s", [total], mix),
            row(NAME, "sync", "chunks and code", "MB", [synced.bytes / 1e6], mix),
        ]
    finally:
        world.nodes.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.sync", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--transfers", type=int, default=500_000)
    parser.add_argument("--json", type=Path, default=Path("out/bench-sync.json"), help="where the JSON goes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = _measure(Path(directory), chosen.accounts, chosen.transfers)
    save(rows, chosen.json)
    print(table(rows))


if __name__ == "__main__":
    main()
