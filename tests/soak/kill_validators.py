"""Kill one of four loaded validators over and over: no fork, nothing final is lost, and the chain goes on."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from candela.errors import Error
from candela.network.devnet import Devnet, Settings
from tests.soak.command import command
from tests.soak.watch import DEADLINE_SECONDS, Watch

VALIDATORS = 4
RECENT_BLOCKS = 50
RECENT_RECEIPTS = 100


class Soak:
    """A running network, those who watch it, and the dice."""

    def __init__(self, network: Devnet, seed: int) -> None:
        assert network.ready is not None
        self.network, self.random = network, random.Random(seed)
        keys = [bytes.fromhex(each["private_key"].removeprefix("0x")) for each in network.ready.accounts]
        urls = [each["http"] for each in network.ready.validators]
        self.watch = Watch(urls, keys[1 : VALIDATORS + 1], [node.log for node in network.nodes])
        self.slowest_return_s = 0.0

    def kill(self) -> None:
        """Ends a random validator at a random moment under load, and starts it again once the others have gone on."""
        watch, victim = self.watch, self.random.randrange(VALIDATORS)
        live = [index for index in watch.everyone if index != victim]
        sent = watch.submit(watch.everyone)
        time.sleep(self.random.uniform(0, 0.3))
        process = self.network.nodes[victim].process
        process.kill()
        process.wait(DEADLINE_SECONDS)
        # What the victim alone knew has died with it, unless it was final.
        watch.await_final(live, [digest for at in live for digest in sent[at]])
        head, began = watch.height(live[0]), time.monotonic()
        self.network.restart_node(victim)
        watch.await_height(victim, head)
        self.slowest_return_s = max(self.slowest_return_s, time.monotonic() - began)
        watch.continue_nonces(victim)
        watch.compare(victim, max(1, head - RECENT_BLOCKS))
        watch.check_receipts(victim, RECENT_RECEIPTS)

    def finish(self) -> None:
        """Everyone takes part again, and everything is where it was."""
        sent = self.watch.submit(self.watch.everyone)
        self.watch.await_final(self.watch.everyone, [digest for each in sent for digest in each])
        self.watch.check_everything()


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
        soak = Soak(network, seed)
        for number in range(kills):
            soak.kill()
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {kills}", end="", file=sys.stderr)
        soak.finish()
        return {
            "seed": seed,
            "kills": kills,
            "seconds": round(time.monotonic() - began),
            "height": soak.watch.height(0),
            "receipts": len(soak.watch.receipts),
            "slowest_return_s": round(soak.slowest_return_s, 2),
            "longest_wait_s": round(soak.watch.longest_wait_s, 2),
        }


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(command(__doc__, ("kills", 200), run, (Error,)))
