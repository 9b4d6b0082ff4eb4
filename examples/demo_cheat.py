"""Show that cheating does not pay on Candela: `make demo-cheat`.

Starts a ledger and five providers, of which four cheat: one makes results up, one proves intensity that it does not
have, one keeps its outputs to itself, and one states more energy than its device can draw. Each is found, and pays or
earns nothing; the customer gets every right result, and nothing is left running.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil

import candela
from candela.amounts import format_cnd
from candela.chain.account import Account
from candela.chain.audits import Audits, AuditState
from candela.chain.beacon import Beacon
from candela.chain.client import Client
from candela.chain.intensity import Intensity
from candela.chain.market import Market, receipt_of
from candela.chain.randomness import recorded
from candela.chain.registry import ProviderState, Registry
from candela.chain.sender import Sender
from candela.intensity.opening import Opening
from candela.intensity.profile import C1, TILE
from candela.intensity.sampling import drawn
from candela.intensity.seed import Context
from candela.intensity.tiles import Tiles
from candela.intensity.window import Commitment
from candela.network import genesis
from candela.network.configuration import Network
from candela.network.devnet import Devnet, Ready, Settings
from candela.verification import deterrence

CHEATS = {1: "results", 2: "intensity", 3: "withhold", 4: "energy"}
_PROGRAM = Path(__file__).with_name("cheats.py")
_OPENS_AFTER_SECONDS, _OPEN_SECONDS = 30, 10
_PATIENCE_SECONDS = 60
_GONE_SECONDS = 10
_TASKS = 16

app = candela.App("roots", budget="50", lease_seconds=5)


@app.function(
    verify=candela.Replay(fraction=1.0, ringers=0),
    timeout=10,
    memory="256MiB",
    retries=20,
    max_price="0.0001",
    sandbox="none",
)
def root(number: float) -> float:
    """The square root, by Newton's method, slowly enough for every provider to take part."""
    time.sleep(0.3)
    guess = number
    for _ in range(60):
        guess = (guess + number / guess) / 2
    return guess


class Cheats(Devnet):
    """Five providers, of which four cheat."""

    def agent(self, index: int) -> list[str]:
        """The command that runs a provider, up to ``start``."""
        return [sys.executable, str(_PROGRAM), CHEATS[index]] if index in CHEATS else super().agent(index)


def say(text: str) -> None:
    """Begin a part of the story."""
    sys.stdout.write(f"\n== {text}\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """One line of the story."""
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


class Warnings(logging.Handler):
    """What the SDK warns of, in lines of 80 columns."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one warning."""
        sys.stdout.write(textwrap.fill(record.getMessage(), 80, initial_indent="  ! ", subsequent_indent="    ") + "\n")
        sys.stdout.flush()


def wait(condition: Any, what: str, seconds: float = _PATIENCE_SECONDS) -> Any:
    """What ``condition`` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds:g} s")
        time.sleep(0.2)
    return found


class Challenger:
    """Watches the window of one device, as anybody may, and refutes it in one transaction.

    Args:
        ready: the network.
        provider: whose device 0 is watched.
    """

    def __init__(self, ready: Ready, provider: str) -> None:
        client = Client(ready.rpc)
        account = Account(bytes.fromhex(ready.accounts[1]["private_key"].removeprefix("0x")))
        self._sender, self.provider = Sender(client, account, session=None), provider
        self._intensity, self._beacon = Intensity(client), Beacon(client)
        self.lost = self.earned = 0
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the refutation."""
        self._thread.join(2 * _PATIENCE_SECONDS)
        if self.failure is not None or not self.lost:
            raise SystemExit(f"the false window was not refuted: {self.failure}")

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException as error:  # noqa: BLE001 - reported by join
            self.failure = error

    def _watch(self) -> None:
        intensity, where = self._intensity, (1, self.provider, 0)
        state = wait(lambda: found if (found := intensity.read("windows", *where))["units"] else None, "a commitment")
        commitment = Commitment(state["root"], state["units"])
        tell(f"provider 2 commits to a window of {commitment.units} units, {commitment.units * C1.tiles:,} tiles")
        draws = intensity.times.draws(1)
        wait(lambda: time.time() > draws, "the drawing moment")
        later = wait(lambda: recorded(self._sender, self._beacon, draws), "its randomness")
        addresses = (bytes.fromhex(each[2:]) for each in (intensity.address, self.provider))
        opening = self._beacon.value(intensity.times.opens(1))
        assert opening is not None  # noqa: S101 - nothing is committed before it is recorded
        context = Context(genesis.CHAIN_ID, next(addresses), C1, opening, next(addresses), 0)
        index = drawn(context, commitment, later)[0]
        fee = intensity.read("DEMAND_FEE")
        self._sender.send(intensity.message("demand", *where, 0, value=fee), "demanding a tile")
        shown = wait(lambda: self._shown(index), "the demanded tile")
        self._refute(context, shown)

    def _shown(self, index: int) -> Opening | None:
        """The tile that the prover has shown, read from the calldata of its transaction."""
        client = self._intensity.client
        events = self._intensity.events(0, client.block_number(), self._intensity.topic("Shown"))
        if not events:
            return None
        sent = client.call("eth_getTransactionByHash", events[0].transaction)
        fields = self._intensity.decode_call("show", bytes.fromhex(sent["input"][2:]))
        return Opening(index, fields["tile"], tuple(fields["path"]), ())

    def _refute(self, context: Context, shown: Opening) -> None:
        true = Tiles(context).tile(shown.index)
        false = next(at for at in range(TILE * TILE) if true[4 * at : 4 * at + 4] != shown.tile[4 * at : 4 * at + 4])
        client, account = self._intensity.client, self._sender.account.address
        bond, before = self._intensity.read("bonds", self.provider), client.balance(account)
        where = (1, self.provider, 0, shown.index, shown.tile, list(shown.tile_path), *divmod(false, TILE))
        message = self._intensity.message("prove_fraud", *where, gas=2_000_000)
        receipt = self._sender.send(message, "refuting a tile")
        self.lost = bond - self._intensity.read("bonds", self.provider)
        self.earned = client.balance(account) - before
        gas = int(receipt.gas_used, 16)
        tell(f"of the demanded tile {shown.index:,} element {false} is false: refuted for {gas:,} gas")


def run_job(ready: Ready) -> int:
    """Run the customer's job; returns its number."""
    price = 10**13
    tell(f"per task: {deterrence(price, 1.0).describe()}")
    numbers = [float(number) for number in range(2, 2 + _TASKS)]
    with app.run(network=Network.read(Path(ready.data) / "network.json")):
        results = list(root.map(numbers))
    if results != [root(number) for number in numbers]:
        raise SystemExit("a false result reached the customer")
    tell(f"{_TASKS} results arrived, each equal to the customer's own run")
    return app.jobs[0].id


def show_findings(ready: Ready, job: int, challenger: Challenger) -> None:
    """Print who was found how and where the money went; any cheat that got away fails the demo."""
    client = Client(ready.rpc)
    audits, registry, market = Audits(client), Registry(client), Market(client)
    providers = [each["address"].lower() for each in ready.providers]
    wanted = {1: AuditState.REFUTED, 3: AuditState.NOT_DELIVERED}

    def concluded() -> list[dict[str, Any]] | None:
        head, topics = client.block_number(), (None, f"0x{job:064x}")
        opened = audits.events(0, head, audits.topic("Opened"), *topics)
        found = [each.fields for each in audits.events(0, head, audits.topic("Concluded"), *topics)]
        return found if len(found) == len(opened) else None

    verdicts = wait(concluded, "all verdicts")
    head = client.block_number()
    receipts = [receipt_of(event) for event in market.events(0, head, market.topic("TaskSettled"))]
    leases = [each.fields["provider"].lower() for each in market.events(0, head, market.topic("LeaseTaken"))]
    say("what came of it")
    for index, address in enumerate(providers):
        own = [each for each in verdicts if each["provider"].lower() == address]
        states = [AuditState(each["state"]) for each in own]
        tasks = sum(each.provider.lower() == address for each in receipts)
        jailed = registry.provider(address).state == ProviderState.JAILED
        lost = sum(each["slashed"] for each in own) + (challenger.lost if index == 2 else 0)
        name = f"provider {index} ({CHEATS.get(index, 'honest')})"
        right = states.count(AuditState.UPHELD)
        found = states.count(wanted[index]) if index in wanted else 0
        verdicts_of = f"{right} right, {found} convicted"
        tell(f"{name:<22}{tasks:>3} tasks: {verdicts_of}; lost {format_cnd(lost)}{', jailed' * jailed}")
        if CHEATS.get(index) == "energy":
            tell(f"{leases.count(address)} leases, and the market refused each receipt: nothing was paid for them")
            if tasks or not leases.count(address):
                raise SystemExit(f"{name}: its receipts were taken, or it made none")
            continue
        caught = (lost > 0) == (index in CHEATS) and jailed == (index in wanted)
        if not caught or (index in wanted and (right or not found)):
            raise SystemExit(f"{name} was judged wrongly: {states}")
    refunded, given = (sum(each[name] for each in verdicts) for name in ("refunded", "to_customer"))
    tell(f"the customer: {format_cnd(refunded)} of escrow back, {format_cnd(given)} from the bonds on top")
    tell(f"the challenger of the window: {format_cnd(challenger.earned)} after gas")
    tell("energy within what a device can draw is stated, not proved: nothing is paid for it")


def main() -> None:
    """Run the demo; any failure ends it with a status other than zero."""
    started = time.monotonic()
    logging.getLogger("candela").addHandler(Warnings())
    genesis.WINDOW_PERIOD_SECONDS = int(time.time()) + _OPENS_AFTER_SECONDS
    genesis.WINDOW_OPEN_SECONDS = _OPEN_SECONDS
    with tempfile.TemporaryDirectory(prefix="candela-demo-") as name:
        folder = Path(name)
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        say("starting a ledger and five providers, of which four cheat")
        with Cheats(Settings(data=folder / "data", port=0, providers=5), say) as network:
            ready = network.ready
            if ready is None:
                raise SystemExit("the network did not become ready")
            auditors = Audits(Client(ready.rpc))
            wait(lambda: auditors.read("auditor_count") == 4, "four auditors")
            tell(f"ready after {time.monotonic() - started:.1f} s")
            say("provider 2 proves intensity it does not have; anybody may look")
            challenger = Challenger(ready, ready.providers[2]["address"])
            wait(lambda: time.time() > genesis.WINDOW_PERIOD_SECONDS + _OPEN_SECONDS, "the window's end")
            say(f"a customer runs {_TASKS} tasks; providers 1, 3 and 4 lie about theirs")
            job = run_job(ready)
            challenger.join()
            show_findings(ready, job, challenger)
            children = psutil.Process().children(recursive=True)
        _, alive = psutil.wait_procs(children, _GONE_SECONDS)
        if alive:
            raise SystemExit(f"still running: {[process.cmdline() for process in alive]}")
    say(f"stopped after {time.monotonic() - started:.0f} s; nothing is left running")


if __name__ == "__main__":
    main()
