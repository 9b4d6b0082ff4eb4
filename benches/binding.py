"""What the Python binding adds to taking a batch of transactions in: ``make bench-binding``."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.report import Row, compare, row, save, table
from candela import _ledger
from candela.network.genesis import CHAIN_ID, genesis

_KEYS = [_ledger.keccak256(bytes([number])) for number in range(100)]
_SENDERS = [_ledger.address_of(key) for key in _KEYS]
_FEES = {"maxFeePerGas": 10**12, "maxPriorityFeePerGas": 1}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.binding", description=__doc__)
    parser.add_argument("--short", action="store_true", help="small sizes; figures are only indicative")
    parser.add_argument("--json", type=Path, default=Path("out/bench-binding.json"), help="where the JSON goes")
    return parser.parse_args()


def _item(raw: bytes) -> bytes:
    """A signed transfer of 56 to 255 bytes as block bodies hold it: an RLP string."""
    return bytes([0xB8, len(raw)]) + raw


def _batches(count: int, size: int) -> list[bytes]:
    """``count`` batches of ``size`` plain transfers, signed with ECDSA by 100 senders in turn."""
    signed = []
    for number in range(count * size):
        nonce, sender = divmod(number, len(_KEYS))
        to = _SENDERS[(sender + 1) % len(_SENDERS)]
        fields = {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "gas": 21_000, "to": to, "value": 1} | _FEES
        signed.append(_item(_ledger.sign_transaction(fields, _KEYS[sender])[0]))
    return [b"".join(signed[start : start + size]) for start in range(0, len(signed), size)]


def _config(directory: Path) -> str:
    document = genesis(dict.fromkeys(_SENDERS, 10**24), int(time.time() * 1000))
    node = {"data_dir": str(directory), "genesis": document, "fee_recipient": "0x" + "fe" * 20}
    return json.dumps(node | {"rpc": {"host": "127.0.0.1", "port": 0, "cors_origins": []}})


def _python(config: str, batches: list[bytes]) -> list[float]:
    """Seconds of each call of the binding."""
    node = _ledger.Node(config)
    node.start()
    seconds = []
    for batch in batches:
        started = time.perf_counter()
        _, refused = node.submit(batch)
        seconds.append(time.perf_counter() - started)
        if refused:
            raise RuntimeError(f"transaction {refused[0][0]} was refused: {refused[0][1]}")
    node.stop()
    return seconds


def _rust(config: str, batches: list[bytes], directory: Path) -> list[float]:
    """Seconds of each call of the same function from a Rust program."""
    files = [directory / "config.json", *(directory / f"{number}.rlp" for number in range(len(batches)))]
    for file, content in zip(files, [config.encode(), *batches], strict=True):
        file.write_bytes(content)
    program = ["cargo", "run", "--release", "--quiet", "-p", "candela-bench", "--bin", "candela-bench-ingress", "--"]
    return json.loads(subprocess.run([*program, *map(str, files)], check=True, stdout=subprocess.PIPE).stdout)


def _in_a_fresh_directory(measure: Callable[[Path], list[float]]) -> list[float]:
    with tempfile.TemporaryDirectory() as directory:
        return measure(Path(directory))


def _longest_pause(work: Callable[[], Any]) -> float:
    """The longest time, in seconds, for which another Python thread stood still during ``work``."""
    done, pauses = threading.Event(), [0.0]

    def watch() -> None:
        last = time.perf_counter()
        while not done.wait(0.0005):
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return max(pauses)


def _rows(size: int, count: int, rounds: int) -> list[Row]:
    batches = _batches(count, size)
    python: list[float] = []
    rust: list[float] = []
    for _ in range(rounds):
        rust += _in_a_fresh_directory(lambda path: _rust(_config(path / "data"), batches, path))
        python += _in_a_fresh_directory(lambda path: _python(_config(path), batches))
    pauses = [
        _in_a_fresh_directory(lambda path: [_longest_pause(lambda: _python(_config(path), batches))])[0]
        for _ in range(rounds)
    ]
    mix = f"{size} ECDSA transfers a batch, {count * rounds} batches, blocks are made meanwhile"
    rows = [
        row("binding", "Rust", "one batch", "ms", [each * 1e3 for each in rust], mix),
        row("binding", "Python", "one batch", "ms", [each * 1e3 for each in python], mix),
        row("binding", "Python", "other thread, pause", "ms", [each * 1e3 for each in pauses], mix),
    ]
    compare(rows, "Rust")
    return rows


def main() -> None:
    """Run and print the comparison."""
    arguments = _arguments()
    rows = _rows(1_000, 2, 1) if arguments.short else _rows(10_000, 8, 5)
    print(table(rows))
    save(rows, arguments.json)
    print(f"\nJSON: {arguments.json}")


if __name__ == "__main__":
    main()
