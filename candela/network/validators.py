"""The validators of a network on one machine: their keys, their ports and their configurations."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from candela import _ledger
from candela.errors import NetworkError

MAX_VALIDATORS = 16
HOST = "127.0.0.1"
# Outgoing connections are given ports from 32,768 on, also while a node that listens on one of them is down.
_PORTS = range(20_000, 32_768)


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


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on, and that no outgoing connection is given before they are used.

    Raises:
        NetworkError: there aren't as many.
    """
    free: list[int] = []
    with ExitStack() as stack:
        for port in secrets.SystemRandom().sample(_PORTS, len(_PORTS)):
            listener = socket.socket()
            try:
                listener.bind((HOST, port))
            except OSError:
                listener.close()
                continue
            stack.enter_context(listener)
            free.append(port)
            if len(free) == count:
                return free
    raise NetworkError(
        f"no {count} ports are free",
        why=f"{len(free)} of {_PORTS.start} to {_PORTS.stop - 1} are",
        fix="stop what listens there: ss -ltn",
    )


def committee(data: Path, count: int) -> list[dict[str, Any]]:
    """The ``validators`` of each node's configuration, on ports that are free now; none for one validator."""
    if count == 1:
        return []
    keys = ["0x" + public_key(folder(data, index)).hex() for index in range(count)]
    ports = free_ports(count)
    return [{"public_key": key, "address": f"{HOST}:{port}"} for key, port in zip(keys, ports, strict=True)]


def membership(members: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """What a validator's configuration says about the others; nothing for one alone."""
    return {"validators": members, "listen": members[index]["address"], "distance": "local"} if members else {}
