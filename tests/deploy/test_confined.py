"""A validator's node runs with no more than the unit in deploy/ gives it."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from candela.chain.client import Client
from candela.chain.voting_key import VotingKey
from candela.network.card import BOOK, write
from candela.network.elections import Elections
from candela.network.genesis import genesis
from candela.network.validator_folder import ValidatorFolder

DEADLINE = 60
OWNER = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN = 65, 1

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]


def made(directory: Path) -> tuple[Path, Path, int]:
    """A configured validator, alone on its chain: its folder, its passphrase file and its RPC port."""
    passphrase = directory / "passphrase"
    passphrase.write_text("correct horse battery staple")
    passphrase.chmod(0o600)
    folder = ValidatorFolder(directory / "validator")
    key: VotingKey = folder.make_key(passphrase)
    card = folder.make_card(key, OWNER, "127.0.0.1:9000")
    elections = Elections(keys=(key.public,), owner=OWNER, safety_fund=OWNER)
    document = genesis({}, time.time_ns() // 1_000_000, elections=elections, chain_id=77_003)
    chain = directory / "genesis.json"
    chain.write_text(json.dumps(document))
    write(directory / BOOK, [card])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    folder.configure(card, chain, directory / BOOK, None, port, "local")
    return folder.path, passphrase, port


def no_new_code() -> None:
    """What ``MemoryDenyWriteExecute`` asks of the kernel."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_MDWE")


def confined(folder: Path, passphrase: Path, told: Path) -> list[str]:
    view = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108
    # The test's own files lie below the folder that is hidden.
    view += ["--ro-bind", str(passphrase), str(passphrase), "--bind", str(folder), str(folder)]
    view += ["--bind", str(told), str(told), "--unshare-user", "--uid", "12345", "--cap-drop", "ALL"]
    command = [sys.executable, "-m", "candela", "validator", "run", str(folder), "--passphrase-file", str(passphrase)]
    return [*view, "--die-with-parent", "--chdir", str(folder), *command]


def test_it_serves_tells_systemd_and_ends_when_told(tmp_path: Path) -> None:
    folder, passphrase, port = made(tmp_path)
    told = tmp_path / "told"
    told.mkdir()
    root = Path(__file__).parents[2]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(told / "notify"))
        channel.settimeout(DEADLINE)
        environment: dict[str, Any] = {**os.environ, "NOTIFY_SOCKET": str(told / "notify"), "PYTHONPATH": str(root)}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                confined(folder, passphrase, told),
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                preexec_fn=no_new_code,
            )
        try:
            assert channel.recv(100) == b"READY=1", (tmp_path / "log").read_text()
            assert Client(f"http://127.0.0.1:{port}").chain_id() == 77_003
            # bubblewrap passes no signal on; the node is its only child.
            (child,) = (
                int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            )
            os.kill(child, signal.SIGTERM)
            assert channel.recv(100) == b"STOPPING=1"
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            process.wait()
