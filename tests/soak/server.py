"""One node in a process of its own, with accounts that can pay."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from candela import _ledger
from candela.network.genesis import CHAIN_ID

FUNDS = 10**24
FEE_RECIPIENT = "0x" + "fe" * 20
_PROGRAM = """
import json, sys, threading
from candela import _ledger
node = _ledger.Node(sys.argv[1])
print(json.dumps(node.start()), flush=True)
threading.Event().wait()
"""


class BrokenPromiseError(Exception):
    """A promise of the node was broken."""


def configuration(directory: Path, keys: Iterable[bytes], block_gas_limit: int = 30_000_000) -> str:
    """The configuration of a node in ``directory`` whose genesis gives each of ``keys`` money."""
    genesis = {
        "chainId": CHAIN_ID,
        "timestampMs": 1_700_000_000_000,
        "blockGasLimit": block_gas_limit,
        "accounts": {_ledger.address_of(key): {"balance": hex(FUNDS)} for key in keys},
        "deployments": [],
    }
    rpc = {"host": "127.0.0.1", "port": 0}
    return json.dumps({"data_dir": str(directory), "genesis": genesis, "fee_recipient": FEE_RECIPIENT, "rpc": rpc})


def start(configuration: str, seconds: float) -> tuple[subprocess.Popen[str], str]:
    """Start a node; its process and URL.

    Raises:
        BrokenPromiseError: it ends, or does not serve within ``seconds``.
    """
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, configuration], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], seconds)[0]:
        process.kill()
        raise BrokenPromiseError(f"the node does not serve after {seconds} s")
    line = process.stdout.readline()
    if not line:
        raise BrokenPromiseError(f"the node ended with status {process.wait()}")
    return process, json.loads(line)["http"]


def transfer(nonce: int, to: str, value: int, tip: int = 10**6) -> dict[str, Any]:
    """A plain transfer."""
    fees = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": tip}
    return {"type": 2, "chainId": CHAIN_ID, "nonce": nonce, "gas": 21_000, "to": to, "value": value, **fees}


def item(raw: bytes) -> bytes:
    """A typed transaction as block bodies hold it: an RLP string of at most 255 bytes."""
    return bytes([0x80 + len(raw)]) + raw if len(raw) < 56 else bytes([0xB8, len(raw)]) + raw
