"""viem, ethers and Uniswap V2, unmodified, each in its own Node.js process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent / "js").glob("*.test.js"))


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name.removesuffix(".test.js"))
def test_program(program: Path, chain_file: Path, modules: Path) -> None:
    environment = os.environ | {"CANDELA_CHAIN": str(chain_file), "NO_COLOR": "1"}
    command = ["node", "--test", "--test-reporter=spec", program.name]
    done = subprocess.run(
        command, cwd=modules.parent, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass 0" not in done.stdout
