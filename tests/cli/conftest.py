"""One network for all tests of the command line, and the command as a customer runs it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "candela"]
DEADLINE = 90


class Up:
    """A running ``candela up --json``."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.data = folder / "data"
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "config"), "COLUMNS": "80"}
        self.environment["CANDELA_NETWORK"] = str(self.data / "network.json")
        self.errors = folder / "up.err"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--json", "--data", str(self.data), *flags],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.environment,
                start_new_session=True,
            )

    def ready(self) -> dict[str, Any]:
        """The line that it prints when it is ready."""
        watchdog = threading.Timer(DEADLINE, self.process.kill)
        watchdog.start()
        try:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
        finally:
            watchdog.cancel()
        assert line, self.errors.read_text()
        return json.loads(line)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Signal its process group as a terminal does, and wait for its end."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        try:
            self.process.wait(DEADLINE)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()


Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, dict[str, Any]]]:
    up = Up(tmp_path_factory.mktemp("network"), "--port", "0", "--providers", "1")
    try:
        yield up, up.ready()
    finally:
        up.stop()


@pytest.fixture(scope="session")
def cli(network: tuple[Up, dict[str, Any]]) -> Cli:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=network[0].environment, timeout=DEADLINE, check=False
        )

    return run
