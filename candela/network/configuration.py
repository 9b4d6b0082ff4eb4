"""Which network to use, and with which key."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from candela.chain.account import Account
from candela.chain.keyfile import read_passphrase
from candela.errors import KeyFileError, UsageError

VARIABLE = "CANDELA_NETWORK"
_PROBE_SECONDS = 1.0


def default_path() -> Path:
    """Where ``candela up`` writes the network that is used when none is named."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "candela" / "network.json"


class Network(msgspec.Struct, kw_only=True):
    """Where a network's node and artefact store are, and who signs."""

    rpc: str
    """HTTP endpoint of a node."""
    ws: str
    """WebSocket endpoint of the node."""
    store: str
    """URL of the artefact store."""
    chain_id: int
    keyfile: str | None = None
    """The signer's key: a keystore v3 file, or 32 bytes in hex; relative to the configuration's folder."""
    account_address: str | None = None

    @classmethod
    def read(cls, path: Path) -> Network:
        """The network described by a JSON file.

        Raises:
            UsageError: missing or malformed.
        """
        try:
            network = msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise UsageError(
                f"there is no network configuration at {path}",
                why=error.strerror or str(error),
                fix=f"start a network with: candela up, or set {VARIABLE}",
            ) from error
        except msgspec.MsgspecError as error:
            raise UsageError(f"the network configuration {path} is malformed", why=str(error)) from error
        if network.keyfile is not None:
            network.keyfile = str(path.parent / network.keyfile)
        return network

    def write(self, path: Path) -> None:
        """Write the JSON file that :meth:`read` reads."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        part.replace(path)

    @classmethod
    def find(cls, named: str | Path | Network | None = None) -> Network:
        """The network that was named, else the one in $CANDELA_NETWORK, else the default one.

        Args:
            named: path of a configuration, or the rpc URL of a node that a known configuration describes.

        Raises:
            UsageError: there is none, or no known configuration has that URL.
        """
        if isinstance(named, Network):
            return named
        chosen = str(named or os.environ.get(VARIABLE) or default_path())
        if urlsplit(chosen).scheme in ("http", "https"):
            return cls._of_node(chosen)
        return cls.read(Path(chosen).expanduser())

    @classmethod
    def _of_node(cls, url: str) -> Network:
        variable = os.environ.get(VARIABLE, "")
        places = [Path(variable)] if variable and not urlsplit(variable).scheme else []
        places += [default_path()]
        for path in places:
            if path.is_file() and _same(cls.read(path).rpc, url):
                return cls.read(path)
        raise UsageError(
            f"no known configuration describes the node {url}",
            why=f"a store and a key are needed too; looked in {', '.join(map(str, places))}",
            fix=f"set {VARIABLE} to the network.json in the data folder of that network",
        )

    def account(self) -> Account:
        """The signer's account.

        Raises:
            KeyFileError: none is named, or it can't be opened.
        """
        if self.keyfile is None:
            raise KeyFileError(
                "the network configuration names no key file",
                fix='add "keyfile": "PATH" to it, a keystore v3 file as cast and geth write it',
            )
        account = open_key(Path(self.keyfile))
        if self.account_address and account.address.lower() != self.account_address.lower():
            raise KeyFileError(
                f"the key file {self.keyfile} belongs to {account.address}",
                why=f"the configuration names {self.account_address}",
            )
        return account


def open_key(path: Path) -> Account:
    """The account of a key file: hex of a development network, or keystore v3 with $CANDELA_PASSPHRASE_FILE.

    Raises:
        KeyFileError: unreadable, readable by others, locked or malformed.
    """
    path = path.expanduser()
    try:
        content, mode = path.read_text().strip(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"the key file {path} can't be read", why=type(error).__name__) from None
    if content.startswith("{"):
        return Account.load(path, read_passphrase(None, path))
    if mode & 0o077:
        raise KeyFileError(
            f"the key file {path} can be read by others", why="it is not encrypted", fix=f"chmod 600 {path}"
        )
    try:
        return Account(bytes.fromhex(content.removeprefix("0x")))
    except ValueError:
        raise KeyFileError(f"the key file {path} is neither a keystore nor 32 bytes in hex") from None


def other_running(path: Path, network: Network) -> bool:
    """Whether a configuration describes another network, one that is elsewhere or that answers on this machine."""
    try:
        known = Network.read(path)
    except UsageError:
        return False
    if _same(known.rpc, network.rpc):
        return False
    try:
        host, port = urlsplit(known.rpc).hostname, urlsplit(known.rpc).port
    except ValueError:
        return False
    if host not in ("127.0.0.1", "localhost", "::1"):
        return True
    try:
        socket.create_connection((host, port or 80), _PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def _same(one: str, other: str) -> bool:
    def key(url: str) -> tuple[str, str, int | None, str]:
        parts = urlsplit(url)
        host = (parts.hostname or "").replace("localhost", "127.0.0.1")
        return parts.scheme, host, parts.port, parts.path.rstrip("/")

    return key(one) == key(other)
