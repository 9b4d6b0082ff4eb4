"""The validators of a network on one machine: their keys, their ports and their configurations."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from candela import _ledger
from candela.errors import NetworkError

MAX_VALIDATORS = 16
HOST = "127.0.0.1"


def folder(data: Path, index: int) -> Path:
    """Where a validator keeps its blocks and its key; the first one where a lone one does."""
    return data / "node" if index == 0 else data / "validators" / str(index)


def check_count(data: Path, count: int) -> None:
    """A chain is agreed on by the validators that it was made with.

    Raises:
        NetworkError: the chain in ``data`` has another number of them.
    """
    if not (folder(data, 0) / "archive.redb").exists():
        return
    made_with = 1 + sum(folder(data, index).exists() for index in range(1, MAX_VALIDATORS))
    if made_with != count:
        raise NetworkError(
            f"the chain in {data} has {made_with} validators, not {count}",
            fix=f"start it with --validators {made_with}, or choose another folder with --data",
        )


def public_key(directory: Path) -> bytes:
    """The Ed25519 key that the node in a folder votes with; made when there is none."""
    path = directory / "validator.key"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return _ledger.session_key_of(bytes.fromhex(path.read_text().strip()))


def _free_ports(count: int) -> Iterator[int]:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((HOST, 0))
        yield from [listener.getsockname()[1] for listener in listeners]


def committee(data: Path, count: int) -> list[dict[str, Any]]:
    """The ``validators`` of each node's configuration, on ports that are free now; none for one validator."""
    if count == 1:
        return []
    keys = ["0x" + public_key(folder(data, index)).hex() for index in range(count)]
    ports = _free_ports(count)
    return [{"public_key": key, "address": f"{HOST}:{port}"} for key, port in zip(keys, ports, strict=True)]


def membership(members: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """What a validator's configuration says about the others; nothing for one alone."""
    return {"validators": members, "listen": members[index]["address"], "distance": "local"} if members else {}
