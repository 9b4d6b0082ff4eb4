"""Divide four loaded validators over and over: no fork, no finality without a majority, and all of it once united."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from candela.chain.account import Account
from candela.errors import Error
from candela.network.genesis import genesis
from candela.network.validators import committee
from tests.nodes import Nodes
from tests.soak.command import command
from tests.soak.namespaces import NamespaceError, Namespaces, enter
from tests.soak.server import BrokenPromiseError
from tests.soak.watch import Watch

VALIDATORS = 4
QUORUM = 3
PEER_PORT, RPC_PORT = 30_303, 8_545
LONGEST_SECONDS = 8.0
GRACE_SECONDS = 0.5
"""What had been on its way when the network was divided has arrived by then."""
RECENT_BLOCKS = 200


@contextmanager
def running(spaces: Namespaces, directory: Path, accounts: list[Account]) -> Iterator[Watch]:
    """Four validators, each in a namespace of its own, and who watches them."""
    everyone = range(VALIDATORS)
    members = [
        {**member, "address": f"{spaces.peer_host(index)}:{PEER_PORT}"}
        for index, member in zip(everyone, committee(directory, VALIDATORS), strict=True)
    ]
    nodes = Nodes(
        directory,
        genesis({each.address: 10**24 for each in accounts}, int(time.time() * 1000)),
        members,
        [(spaces.client_host(index), RPC_PORT) for index in everyone],
        accounts[-1].address,
        spaces.command,
    )
    keys = [bytes.fromhex(each.export().removeprefix("0x")) for each in accounts[:VALIDATORS]]
    try:
        yield Watch(nodes.start(*everyone), keys, [nodes.log(index) for index in everyone])
    finally:
        nodes.stop()


def division(dice: random.Random) -> list[list[int]]:
    """At least two groups that everyone is in one of."""
    while True:
        switches = [dice.randrange(VALIDATORS) for _ in range(VALIDATORS)]
        groups = [[index for index in range(VALIDATORS) if switches[index] == at] for at in range(VALIDATORS)]
        if len(whole := [group for group in groups if group]) > 1:
            return whole


class Soak:
    """A running network, those who watch it, and the dice."""

    def __init__(self, spaces: Namespaces, watch: Watch, seed: int) -> None:
        self.spaces, self.watch, self.random = spaces, watch, random.Random(seed)
        self.longest_healing_s, self.with_majority = 0.0, 0

    def divide(self) -> None:
        """Divides the network at a random moment under load for a random time, and unites it."""
        watch, groups = self.watch, division(self.random)
        sent = watch.submit(watch.everyone)
        time.sleep(self.random.uniform(0, 0.3))
        self.spaces.divide(groups)
        time.sleep(GRACE_SECONDS)
        cut_off = [index for group in groups if len(group) < QUORUM for index in group]
        heights = {index: watch.height(index) for index in cut_off}
        meanwhile = watch.submit(watch.everyone)
        if majority := next((group for group in groups if len(group) >= QUORUM), []):
            self.with_majority += 1
            watch.await_final(majority, [digest for at in majority for digest in meanwhile[at]])
        time.sleep(self.random.uniform(0, LONGEST_SECONDS))
        for index, height in heights.items():
            if (now := watch.height(index)) != height:
                raise BrokenPromiseError(f"validator {index} of {groups} went from {height} to {now} on its own")
        self.spaces.unite()
        began = time.monotonic()
        watch.await_final(watch.everyone, [digest for each in (*sent, *meanwhile) for digest in each])
        self.longest_healing_s = max(self.longest_healing_s, time.monotonic() - began)
        for at in watch.everyone:
            watch.compare(at, max(1, watch.height(at) - RECENT_BLOCKS))
        watch.check_votes()


def run(seed: int, divisions: int, directory: Path) -> dict[str, Any]:
    """Divides validators under load; raises BrokenPromiseError on a broken promise."""
    began = time.monotonic()
    accounts = [Account.create() for _ in range(VALIDATORS + 1)]
    with Namespaces(VALIDATORS) as spaces, running(spaces, directory, accounts) as watch:
        soak = Soak(spaces, watch, seed)
        for number in range(divisions):
            soak.divide()
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {divisions}", end="", file=sys.stderr)
        soak.watch.check_everything()
        return {
            "seed": seed,
            "divisions": divisions,
            "with_majority": soak.with_majority,
            "seconds": round(time.monotonic() - began),
            "height": soak.watch.height(0),
            "receipts": len(soak.watch.receipts),
            "longest_healing_s": round(soak.longest_healing_s, 2),
        }


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(command(__doc__, ("divisions", 50), run, (NamespaceError, Error), enter))
