"""The unit in deploy/ runs a command that exists, under systemd's own reading of it."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from candela.cli import app

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "candela-validator@.service"
CONTAINER = DEPLOY / "Containerfile"
HARDENED = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "CapabilityBoundingSet=",
    "LimitCORE=0",
    "UMask=0077",
)


def parsed(arguments: list[str]) -> tuple[str, dict[str, object]]:
    """The function and the values that ``candela`` makes of a command line."""
    command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    return command.__name__, dict(bound.arguments)


def test_the_unit_runs_a_command_that_parses() -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    program, *arguments = shlex.split(line.replace("%i", "main").replace("%d", "/run/credentials/unit"))
    assert Path(program).name == "candela"
    assert parsed(arguments) == (
        "run",
        {"folder": Path("/var/lib/candela/main"), "passphrase_file": Path("/run/credentials/unit/passphrase")},
    )


def test_the_unit_is_hardened() -> None:
    lines = UNIT.read_text().splitlines()
    assert [each for each in HARDENED if each not in lines] == []


def test_the_container_runs_a_command_that_parses() -> None:
    text = CONTAINER.read_text()
    words = [re.search(rf"^{name} \[(.*)\]$", text, re.MULTILINE) for name in ("ENTRYPOINT", "CMD")]
    program, *arguments = [word.strip(' "') for found in words if found for word in found[1].split(",")]
    assert program == "candela"
    assert parsed(arguments)[0] == "run"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_unit_without_complaint(tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("candela")
    program = installed if installed.exists() else Path(sys.executable)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/candela/bin/candela", str(program)))
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
