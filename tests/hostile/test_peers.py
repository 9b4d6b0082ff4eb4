"""Strangers at the door that validators keep for each other: they cost no seat, no block and no memory."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from candela.network.devnet import Devnet, Settings
from tests.ledger.test_validators import Committee

pytestmark = pytest.mark.slow

HOSTILE_SECONDS = 5.0
SOCKETS = 100
SEED = 20261127
GROWTH_BYTES = 96 << 20
"""What a validator may grow by meanwhile; it makes blocks and keeps them."""


class Guarded(Committee):
    """Four validators, and the doors where they listen for each other."""

    def __init__(self, network: Devnet) -> None:
        super().__init__(network)
        assert network.ready is not None
        self.processes = [psutil.Process(node.process.pid) for node in network.nodes]
        self.doors = [self._door(*each) for each in zip(self.processes, network.ready.validators, strict=True)]

    @staticmethod
    def _door(process: psutil.Process, ready: dict[str, Any]) -> int:
        """The port that is not JSON-RPC's."""
        rpc = int(ready["http"].rpartition(":")[2].strip("/"))
        ports = {each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
        (door,) = ports - {rpc}
        return door

    def pay(self) -> float:
        """Seconds until a payment is final at all four."""
        started = time.monotonic()
        self.wait(self.submit(0), [0, 1, 2, 3])
        return time.monotonic() - started

    def memory(self) -> list[int]:
        """Resident bytes of each validator."""
        return [each.memory_info().rss for each in self.processes]


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder: Path = tmp_path_factory.mktemp("peers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        with Devnet(Settings(data=folder / "data", port=0, providers=0, validators=4)) as network:
            yield Guarded(network)


def _silence(stranger: socket.socket, _: random.Random) -> None:
    """Hold a connection and say nothing."""
    stranger.settimeout(HOSTILE_SECONDS)
    stranger.recv(1)


def _noise(stranger: socket.socket, dice: random.Random) -> None:
    """Say anything."""
    while True:
        stranger.sendall(dice.randbytes(dice.randrange(1, 1 << 16)))


def _huge_frame(stranger: socket.socket, dice: random.Random) -> None:
    """Announce a frame of almost 4 GiB, in any way that lengths are written, and begin to send it."""
    prefix = dice.choice([struct.pack(">I", 0xFFFFFFF0), struct.pack("<I", 0xFFFFFFF0), b"\xff\xff\xff\xff\x0f"])
    stranger.sendall(prefix)
    while True:
        stranger.sendall(bytes(1 << 16))


def _greeting(stranger: socket.socket, dice: random.Random) -> None:
    """Frames as long as those of a handshake, with keys and signatures of nobody."""
    for _ in range(50):
        size = dice.choice([32, 64, 96, 128, 136, 168, 200])
        stranger.sendall(
            dice.choice([struct.pack(">I", size), bytes([size & 0x7F | 0x80, size >> 7])]) + dice.randbytes(size)
        )
    _silence(stranger, dice)


def _hang_up(_stranger: socket.socket, _: random.Random) -> None:
    """Connect, and leave."""


def _stranger(door: int, act: Callable[[socket.socket, random.Random], None], seed: int, until: float) -> int:
    """Connect again and again until ``until``; how often it was let in."""
    dice, connected = random.Random(seed), 0
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", door), 5) as stranger:
            connected += 1
            stranger.settimeout(max(until - time.monotonic(), 0.01))
            act(stranger, dice)
        time.sleep(0.005)
    return connected


@pytest.mark.parametrize("act", [_silence, _noise, _huge_frame, _greeting, _hang_up], ids=lambda act: act.__name__[1:])
def test_strangers_hold_up_nobody(committee: Guarded, act: Callable[[socket.socket, random.Random], None]) -> None:
    committee.pay()
    before, until = committee.memory(), time.monotonic() + HOSTILE_SECONDS
    counts: list[int] = []

    def run(number: int) -> None:
        counts.append(_stranger(committee.doors[number % 4], act, SEED + number, until))

    strangers = [threading.Thread(target=run, args=(number,)) for number in range(SOCKETS)]
    for each in strangers:
        each.start()
    waits = []
    while time.monotonic() < until:
        waits.append(committee.pay())
    for each in strangers:
        each.join()
    waits.append(committee.pay())
    grown = [after - then for then, after in zip(before, committee.memory(), strict=True)]
    print(
        f"{sum(counts)} connections; slowest of {len(waits)} payments {max(waits):.2f} s; grown {max(grown) >> 20} MiB"
    )
    assert sum(counts) >= SOCKETS, f"seed {SEED}: the door was never reached"
    assert all(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in committee.processes)
    assert max(grown) < GROWTH_BYTES, f"seed {SEED}: grown by {grown} bytes"
