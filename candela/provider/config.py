"""What a provider is told: where the chain and the store are, its key, its price."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from candela.chain.account import Account
from candela.chain.keyfile import read_secret
from candela.errors import KeyFileError, ProviderError
from candela.provider.hours import ALWAYS

DEFAULT_PRICE = 10**13
"""Least nit per work unit unless told otherwise."""
DEFAULT_DATA = Path.home() / ".candela" / "provider"


class Config(msgspec.Struct, kw_only=True):
    """Settings of an agent; they name files with secrets and hold none."""

    rpc: str
    ws: str
    store: str
    """URL of the artefact store."""
    data: str
    """Folder of the agent: lock, state, packages."""
    keyfile: str
    passphrase_file: str | None = None
    """Without one the key file holds the secret as hex digits, for development networks."""
    price: int = DEFAULT_PRICE
    """Least nit per work unit."""
    kwh_price: int = 0
    """What a kWh costs the owner, in nit; 0 when it was not stated. Work is not done for less than its energy."""
    allow_unsandboxed: bool = False
    prove: bool = False
    """Whether idle devices fill windows of Proof of Intensity, for which a bond is deposited."""
    audit: bool = False
    """Whether other providers' work is judged, for which a bond is deposited."""
    hours: str = ALWAYS
    """When work is taken: ranges of this machine's clock."""
    watts: int = 0
    """The most that each device may draw; 0 for no cap."""
    watts_unenforced_ok: bool = False
    """Whether devices that can't be held to it are offered all the same."""
    max_lease_tasks: int = 256
    poll_seconds: float = 0.25
    """Longest wait between two looks at signals and leases."""

    def save(self) -> None:
        """Keep the settings in the data folder, for the commands that ask about the agent."""
        write_atomically(Path(self.data) / "config.json", msgspec.json.encode(self))

    @classmethod
    def load(cls, data: Path) -> Config:
        """The settings that an agent was last started with.

        Raises:
            ProviderError: none was started with this folder.
        """
        try:
            return msgspec.json.decode((data / "config.json").read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise ProviderError(
                f"no provider was started with the data folder {data}",
                why=str(error),
                fix="name its folder with --data, or start one with: candela provider start",
            ) from error

    def account(self) -> Account:
        """The operator's key.

        Raises:
            KeyFileError: a file is missing, readable by others, or damaged.
        """
        path = Path(self.keyfile)
        if self.passphrase_file is not None:
            return Account.load(path, read_secret(Path(self.passphrase_file)))
        try:
            return Account(bytes.fromhex(read_secret(path).removeprefix("0x")))
        except ValueError:
            raise KeyFileError(
                f"{path} is no plain key file",
                why="it does not hold 64 hex digits",
                fix="give the passphrase of a keystore file with --passphrase-file",
            ) from None


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole, so that a reader or a crash never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.write_bytes(data)
    draft.replace(path)
