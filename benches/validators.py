"""``python -m benches.validators [--short]``: four validators on this machine; see ``make bench-validators``."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

from benches import load, targets
from benches.committee import NAME, VALIDATORS, Committee, committee, until
from benches.report import Row, compare, row, save, table
from benches.stages import FILTER, Stages
from benches.wire import Connection, raw_bodies

_ONE = "1 node"
_QUIET_SECONDS = 5.0
_SKIPPED_SECONDS = 6.0
"""After so long a silence nobody waits for a leader any more."""
_RATES = (500, 2_000)
_BATCH = 20


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.validators", description=__doc__)
    parser.add_argument("--short", action="store_true", help="small sizes; figures are only indicative")
    parser.add_argument("--kill", action="store_true", help="measure nothing but the time between blocks around a kill")
    parser.add_argument("--json", type=Path, default=Path("out/bench-validators.json"), help="where the JSON goes")
    return parser.parse_args()


def _milliseconds(stage: str, seconds: list[float], mix: str, workload: str = "finality") -> list[Row]:
    """The median and the 95th percentile."""
    runs = [1_000 * each for each in seconds]
    high = quantiles(runs, n=20)[-1] if len(runs) > 1 else runs[0]
    return [
        row(workload, NAME, stage, "ms", runs, mix),
        row(workload, NAME, f"{stage}, p95", "ms", [high], mix),
    ]


class Load:
    """A steady stream of transfers to one validator, on a thread of its own."""

    def __init__(self, network: Committee, rate: int, seconds: float) -> None:
        funder = load.Funder(network.target())
        senders = load.fund_senders(network.target(), funder, _BATCH)
        self.mix = f"{rate} transfers/s at another validator"
        self._rate, self._port, self._over = rate, network.ports[0], threading.Event()
        count = int(rate * seconds / len(senders))
        signed = [[sender.sign(senders[0].address, value=1) for _ in range(count)] for sender in senders]
        self._bodies = raw_bodies([raw for turn in zip(*signed, strict=True) for raw in turn], _BATCH)
        self._accepted, self._began, self._refusal = 0, 0.0, b""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        connection = Connection(self._port)
        for number, body in enumerate(self._bodies):
            due = self._began + number * _BATCH / self._rate
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
            answer = connection.post(body)
            if b'"error"' in answer:
                self._refusal = answer
                return
            self._accepted += _BATCH

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def rate(self) -> Row:
        """The load there really was, to be called within it."""
        if self._refusal or not self._thread.is_alive():
            raise SystemExit(f"the load ended before the measurement did: {self._refusal[:300]!r}")
        accepted = self._accepted / (time.monotonic() - self._began)
        return row("finality", NAME, "load", "tx/s", [accepted], self.mix)


def _idle(network: Committee, seconds: float) -> list[Row]:
    time.sleep(2)  # what the start caused is over
    before, began = network.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    share = 100 * (network.cpu_seconds() - before) / (time.monotonic() - began)
    return [row("idle", NAME, "CPU of one core", "%", [share], f"idle, all processes together, {seconds:.0f} s")]


def _finality(network: Committee, probes: int) -> list[Row]:
    """Probes go to one validator after the other, 50 ms apart, while another one takes the load."""
    rows = _milliseconds("finality", [network.finality(i % VALIDATORS) for i in range(probes)], "no other load")
    for rate in _RATES:
        with Load(network, rate, probes * 1.5) as stream:
            seconds = []
            for number in range(probes):
                seconds.append(network.finality(1 + number % (VALIDATORS - 1)))
                time.sleep(0.05)
            rows += [*_milliseconds("finality", seconds, stream.mix), stream.rate()]
    return rows


def _throughput(network: Committee, transactions: int, runs: int) -> list[Row]:
    mix = load.Mix(senders=100, transactions=transactions, batch=100, connections=4)
    cpu, sent, stages = network.cpu_seconds(), network.sent_bytes(), Stages(NAME, network.logs())
    rows = load.transfers(network.target(), mix, runs)
    count = runs * transactions * VALIDATORS
    text = rows[0].mix
    rows.append(row("W1", NAME, "CPU a validator", "us/tx", [1e6 * (network.cpu_seconds() - cpu) / count], text))
    rows += stages.rows(text)
    after = network.sent_bytes()
    if sent is not None and after is not None:
        rows.append(row("W1", NAME, "sent a validator", "B/tx", [(after - sent) / count], text))
    with targets.candela() as (target, _):
        target.name = _ONE
        rows += load.transfers(target, mix, runs)
    return rows


def _kills(network: Committee, rounds: int, probes: int) -> list[Row]:
    """One after the other is killed and comes back; then two are killed, and one comes back."""
    mix = f"kill -9 of one, transfers one after the other, {rounds} times"
    first, later, back = [], [], []
    for number in range(rounds):
        victim = 1 + number % 3
        network.kill(victim)
        # Until it is skipped, five seconds long, it is waited for whenever it would lead.
        first.append(max(_finalities(network, 6)))
        later += [network.finality(0) for _ in range(probes)]
        began, head = time.monotonic(), network.height(0)
        network.network.restart_node(victim)
        until(lambda: network.height(victim) >= head, "the restarted validator has caught up")  # noqa: B023
        back.append(1_000 * (time.monotonic() - began))
        network.finality(victim)
    rows = _milliseconds("longest at first", first, mix)[:1] + _milliseconds("later", later, mix)
    return [*rows, row("kill", NAME, "caught up", "ms", back, mix), *_stop_and_go(network)]


def _intervals(network: Committee, seconds: float) -> list[Row]:
    """Time between blocks while transfers wait for each: with everybody, while a dead one is waited for, and later."""
    rows, victim = [], VALIDATORS - 1
    with Load(network, _RATES[0], 3 * seconds + _SKIPPED_SECONDS + 30) as stream:
        mix = f"one of {VALIDATORS} killed under {stream.mix}"
        for stage, duration in (("before", seconds), ("at first", _SKIPPED_SECONDS), ("later", seconds)):
            if stage == "at first":
                network.kill(victim)
            first = network.height(0) + 1
            time.sleep(duration)
            blocks = network.intervals(0, range(first, network.height(0) + 1))
            rows += _milliseconds(f"blocks {stage}", blocks, mix, "kill")
            rows.append(row("kill", NAME, f"blocks {stage}, longest", "ms", [1_000 * max(blocks)], mix))
        stream.rate()
    network.network.restart_node(victim)
    head = network.height(0)
    until(lambda: network.height(victim) >= head, "the restarted validator has caught up")
    return rows


def _finalities(network: Committee, seconds: float) -> Iterator[float]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield network.finality(0)


def _stop_and_go(network: Committee) -> list[Row]:
    network.kill(3)
    network.kill(2)
    waiting, connection = network.submit(0), Connection(network.ports[0])
    deadline = time.monotonic() + _QUIET_SECONDS
    while time.monotonic() < deadline:
        if network.is_final(connection, waiting):
            raise SystemExit("two of four validators finalised a block: agreement is broken")
        time.sleep(0.05)
    began = time.monotonic()
    network.network.restart_node(2)
    until(lambda: network.is_final(connection, waiting), "the chain goes on")
    mix = f"two of four killed; nothing final for {_QUIET_SECONDS:.0f} s; one started again"
    return [row("kill", NAME, "goes on", "ms", [1_000 * (time.monotonic() - began)], mix)]


def main() -> None:
    """Run everything."""
    arguments = _arguments()
    short = arguments.short
    with committee(log_filter=FILTER, log_format="json") as network:
        if arguments.kill:
            print(table(_intervals(network, 5 if short else 30)))
            return
        rows = _idle(network, 5 if short else 30)
        rows += _finality(network, 20 if short else 200)
        rows += _throughput(network, 2_000 if short else 20_000, 1 if short else 3)
        rows += _intervals(network, 5 if short else 30)
        rows += _kills(network, 1 if short else 6, 10 if short else 30)
    compare(rows, _ONE)
    print(table(rows))
    save(rows, arguments.json)
    print(f"\nJSON: {arguments.json}")


if __name__ == "__main__":
    main()
