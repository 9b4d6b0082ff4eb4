"""Compile the system contracts into the package, and those of the benchmarks beside them: ``make contracts``."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import vyper
from vyper.compiler.input_bundle import FilesystemInputBundle
from vyper.compiler.settings import Settings

ROOT = Path(__file__).parents[1]
CONTRACTS = {
    "contracts/compute/Registry.vy": "candela/network/contracts",
    "contracts/compute/Market.vy": "candela/network/contracts",
    "contracts/compute/Intensity.vy": "candela/network/contracts",
    "contracts/compute/Audits.vy": "candela/network/contracts",
    "contracts/compute/Bisection.vy": "candela/network/contracts",
    "contracts/compute/Shares.vy": "candela/network/contracts",
    "contracts/compute/SharesFactory.vy": "candela/network/contracts",
    "contracts/compute/Rewards.vy": "candela/network/contracts",
    "contracts/ledger/SessionKeys.vy": "candela/network/contracts",
    "contracts/ledger/Beacon.vy": "candela/network/contracts",
    "contracts/stake/ConsensusKeys.vy": "candela/network/contracts",
    "contracts/stake/Staking.vy": "candela/network/contracts",
    "benches/contracts/Token.vy": "benches/contracts",
    "benches/contracts/Pool.vy": "benches/contracts",
    "benches/contracts/Heap.vy": "benches/contracts",
}
"""Sources, and the folders that their artefacts go to."""
EVM_VERSION = "prague"


def sources(source: Path) -> list[Path]:
    """A contract and the modules beside it that it imports, the contract first."""
    names = re.findall(r"^import (\w+)", source.read_text(), re.MULTILINE)
    return [source, *(source.with_name(f"{name}.vy") for name in names)]


def artefact(source: Path) -> bytes:
    """The artefact of one contract: ABI, creation code, compiler, and the SHA-256 of its source with its modules."""
    text = source.read_text()
    compiled = vyper.compile_code(
        text,
        contract_path=source.name,
        resolved_path=source,
        input_bundle=FilesystemInputBundle([source.parent]),
        output_formats=["abi", "bytecode"],
        settings=Settings(evm_version=EVM_VERSION),
    )
    document = {
        "name": source.stem,
        "compiler": f"vyper {vyper.__version__.split('+', maxsplit=1)[0]}",
        "evm_version": EVM_VERSION,
        "source_sha256": hashlib.sha256(b"".join(path.read_bytes() for path in sources(source))).hexdigest(),
        "abi": compiled["abi"],
        "bytecode": compiled["bytecode"],
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def main() -> None:
    """Write the artefact of every contract."""
    for name, folder in CONTRACTS.items():
        source = ROOT / name
        target = ROOT / folder / f"{source.stem}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(artefact(source))
        sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
