"""Network namespaces for validators: each has two links, one for its clients and one for the other validators."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

_INSIDE = "CANDELA_SOAK_NAMESPACE"
_DEADLINE_SECONDS = 10


class NamespaceError(Exception):
    """This machine can't make network namespaces."""


def enter() -> None:
    """Starts this program again in a user and network namespace of its own: nothing that it sets up outlives it.

    Raises:
        NamespaceError: there is no such namespace to be had.
    """
    if _INSIDE in os.environ:
        return
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        raise NamespaceError(
            "`unshare --user --net` is refused here; allow user namespaces or run this on another host"
        )
    os.environ[_INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])  # noqa: S606


def _ip(*words: str | int) -> None:
    subprocess.run(["ip", *map(str, words)], check=True)


class Namespaces:
    """``count`` namespaces, joined by switches that can be told who reaches whom.

    Clients reach namespace ``i`` at ``client_host(i)`` from this process, whatever the switches do.
    """

    def __init__(self, count: int) -> None:
        self._everyone = range(count)
        self._stack = ExitStack()
        self._holders: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        _ip("link", "set", "lo", "up")
        for name in ("clients", *(f"switch{group}" for group in self._everyone)):
            _ip("link", "add", "name", name, "type", "bridge")
            _ip("link", "set", "dev", name, "up")
        _ip("addr", "add", "10.77.0.254/24", "dev", "clients")
        for index in self._everyone:
            self._add(index)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _add(self, index: int) -> None:
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._stack.callback(holder.wait)
        self._stack.callback(holder.kill)
        self._holders.append(holder)
        _await_own_namespace(holder.pid)
        for link, host, switch in (
            ("client", self.client_host(index), "clients"),
            ("peer", self.peer_host(index), "switch0"),
        ):
            name = f"{link}{index}"
            _ip("link", "add", "name", name, "type", "veth", "peer", "name", link, "netns", holder.pid)
            _ip("link", "set", "dev", name, "master", switch, "up")
            subprocess.run([*self.command(index), "ip", "addr", "add", f"{host}/24", "dev", link], check=True)
            subprocess.run([*self.command(index), "ip", "link", "set", "dev", link, "up"], check=True)
        subprocess.run([*self.command(index), "ip", "link", "set", "dev", "lo", "up"], check=True)

    def command(self, index: int) -> list[str]:
        """What has to stand before a command that shall run in a namespace."""
        return ["nsenter", "--target", str(self._holders[index].pid), "--net"]

    def client_host(self, index: int) -> str:
        """Where clients reach what runs in a namespace."""
        return f"10.77.0.{index + 1}"

    def peer_host(self, index: int) -> str:
        """Where namespaces reach each other."""
        return f"10.77.1.{index + 1}"

    def divide(self, groups: Iterable[Iterable[int]]) -> None:
        """Leaves only links within a group: what is sent to another one vanishes."""
        for switch, group in enumerate(groups):
            for index in group:
                _ip("link", "set", "dev", f"peer{index}", "master", f"switch{switch}")

    def unite(self) -> None:
        """Lets everyone reach everyone."""
        self.divide([self._everyone])


def _await_own_namespace(pid: int) -> None:
    here = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while Path(f"/proc/{pid}/ns/net").readlink() == here:
        if time.monotonic() > deadline:
            raise NamespaceError(f"`unshare --net` did nothing within {_DEADLINE_SECONDS} s")
        time.sleep(0.01)
