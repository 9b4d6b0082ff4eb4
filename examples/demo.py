"""Show the whole of Candela on this machine: `make demo`.

Starts a ledger and four providers from nothing, runs the Ising model over them, kills one provider on the way, prints
the phase transition with what it cost, checks one receipt offline, and leaves nothing running.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from candela import receipt
from candela.amounts import format_cnd
from candela.chain.client import Client
from candela.chain.market import Market, receipt_of
from candela.network.devnet import Devnet, Ready, Settings

EXAMPLE = Path(__file__).with_name("ising.py")
_JOB_SECONDS = 300
_GONE_SECONDS = 10


def say(text: str) -> None:
    """Tell the person what happens."""
    sys.stdout.write(f"\n== {text}\n")
    sys.stdout.flush()


def settled(market: Market, client: Client) -> int:
    """How many receipts there are."""
    events = market.events(0, client.block_number(), market.topic("TaskSettled"))
    return len(events)


def run_job(network: Devnet, ready: Ready, arguments: list[str]) -> list[psutil.Process]:
    """Run the example as a customer would, and kill a provider once the first receipts are there.

    Returns:
        The processes of the killed provider.
    """
    client = Client(ready.rpc)
    market = Market(client)
    environment = {**os.environ, "CANDELA_NETWORK": str(Path(ready.data) / "network.json")}
    job = subprocess.Popen([sys.executable, str(EXAMPLE), *arguments], env=environment)
    deadline = time.monotonic() + _JOB_SECONDS
    killed: list[psutil.Process] = []
    while job.poll() is None:
        if time.monotonic() > deadline:
            job.kill()
            raise SystemExit(f"the job did not finish within {_JOB_SECONDS} s")
        if not killed and settled(market, client) >= 2:
            victim = network.providers[0].process
            killed = _family(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)
            say(f"killed provider 0 (process {victim.pid}) with SIGKILL; its tasks go to the others")
        time.sleep(0.2)
    if job.returncode != 0:
        raise SystemExit(f"the job failed with status {job.returncode}")
    if not killed:
        raise SystemExit("the job ended before a provider could be killed; give it more points")
    return killed


def _family(pid: int) -> list[psutil.Process]:
    provider = psutil.Process(pid)
    return [provider, *provider.children(recursive=True)]


def show_receipts(ready: Ready, folder: Path) -> None:
    """Print what the chain holds, and check one receipt without the network."""
    client = Client(ready.rpc)
    market = Market(client)
    receipts = [receipt_of(event) for event in market.events(0, client.block_number(), market.topic("TaskSettled"))]
    providers = {each.provider for each in receipts}
    cost = format_cnd(sum(each.price for each in receipts))
    joules = sum(each.energy_mj for each in receipts) / 1000
    say(f"{len(receipts)} receipts from {len(providers)} providers on chain: {cost}, {joules:.1f} J")
    first = receipts[0]
    path = folder / "receipt.json"
    path.write_text(json.dumps(receipt.export(client, first.job_id, first.task)))
    checks = receipt.verify(json.loads(path.read_text()))
    for check in checks:
        mark = {True: "ok", False: "FAILED", None: "not checked"}[check.holds]
        sys.stdout.write(f"  {mark:<12}{check.name}: {check.detail[:56]}\n")
    if not receipt.holds(checks):
        raise SystemExit("the receipt does not hold")


def main() -> None:
    """Run the demo; any failure ends it with a status other than zero."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer temperatures and sweeps")
    parser.add_argument("--validators", type=int, default=1, help="nodes that agree on the blocks")
    options = parser.parse_args()
    arguments = ["--points", "17", "--sweeps", "1500"] if options.short else []
    with tempfile.TemporaryDirectory(prefix="candela-demo-") as name:
        folder = Path(name)
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        say(f"starting a ledger of {options.validators} validators and four providers")
        started = time.monotonic()
        settings = Settings(data=folder / "data", port=0, providers=4, validators=options.validators)
        with Devnet(settings, say) as network:
            ready = network.ready
            if ready is None:
                raise SystemExit("the network did not become ready")
            say(f"ready after {time.monotonic() - started:.1f} s at {ready.rpc}")
            killed = run_job(network, ready, [*arguments, "--png", str(folder / "ising.png")])
            show_receipts(ready, folder)
            children = [*psutil.Process().children(recursive=True), *killed]
        _, alive = psutil.wait_procs(children, _GONE_SECONDS)
        if alive:
            raise SystemExit(f"still running: {[process.cmdline() for process in alive]}")
    say("stopped; nothing is left running")


if __name__ == "__main__":
    main()
