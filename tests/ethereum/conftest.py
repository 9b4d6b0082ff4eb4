"""A ledger without providers, and the contracts that the clients use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vyper

HERE = Path(__file__).parent
MODULES = HERE / "js" / "node_modules"


def compiled(name: str) -> dict[str, Any]:
    """ABI and creation code of a contract of this folder."""
    path = HERE / "contracts" / f"{name}.vy"
    output = vyper.compile_code(path.read_text(), output_formats=["abi", "bytecode"])
    abi = output["abi"]
    if name == "Board":
        inputs = [{"name": "account", "type": "address"}]
        # Vyper 0.4.3 has no declaration for a custom error, so its ABI can't name one.
        abi = [*abi, {"type": "error", "name": "NotOwner", "inputs": inputs}]
    return {"abi": abi, "bytecode": output["bytecode"]}


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What ``candela up --json`` prints, and ``contracts`` by name."""
    folder = tmp_path_factory.mktemp("ethereum")
    command = [sys.executable, "-m", "candela.cli", "up", "--json", "--port", "0", "--providers", "0"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    process = subprocess.Popen(
        [*command, "--data", str(folder / "data")], stdout=subprocess.PIPE, env=environment, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"candela up ended with status {process.wait()}"
        yield json.loads(line) | {"contracts": {name: compiled(name) for name in ("Board", "Token")}}
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def chain_file(chain: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file, for programs in other languages."""
    path = tmp_path_factory.mktemp("chain") / "chain.json"
    path.write_text(json.dumps(chain))
    return path


@pytest.fixture(scope="session")
def modules() -> Path:
    """The installed JavaScript packages."""
    if not MODULES.is_dir():
        pytest.fail("the JavaScript clients are not installed: run `make clients`")
    return MODULES
