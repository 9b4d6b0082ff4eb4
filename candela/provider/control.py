"""One agent per data folder, how others stop it, and what it tells them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

import msgspec

from candela.amounts import format_cnd
from candela.errors import DirectoryHeldError
from candela.provider.config import write_atomically
from candela.provider.hours import Clock


class RunningLease(msgspec.Struct):
    """A lease that the agent works on."""

    lease_id: int
    job_id: int
    device_id: int
    tasks: int
    done: int
    running: int | None


class Floor(msgspec.Struct, frozen=True):
    """The least price of a device's work in nit per work unit, and what made it."""

    stated: int
    energy: int
    """What the energy of a work unit costs; 0 where the owner has not said what a kWh costs."""
    kwh_price: int
    """Nit."""
    joules_per_unit: float
    basis: str

    @property
    def price(self) -> int:
        """The larger of both."""
        return max(self.stated, self.energy)

    def describe(self) -> str:
        """The floor with the numbers that made it."""
        text = f"asks {format_cnd(self.price)} per work unit"
        if not self.kwh_price:
            return text
        other = "more than" if self.energy > self.stated else "less than" if self.energy < self.stated else "equal to"
        return (
            f"{text}: its energy costs {format_cnd(self.energy)} with the fee, "
            f"{other} the stated {format_cnd(self.stated)}; "
            f"{self.joules_per_unit:,.4g} J at {format_cnd(self.kwh_price)} per kWh, {self.basis}"
        )


class Cap(msgspec.Struct):
    """What became of the owner's cap on one device."""

    name: str
    watts: int
    enforced: bool
    detail: str


class Snapshot(msgspec.Struct, kw_only=True):
    """What an agent last said about itself."""

    pid: int
    address: str
    provider: str
    tier: str
    tier_detail: str
    phase: str
    """starting, running, draining, stopping or stopped."""
    devices: list[dict[str, int | str]] = []
    leases: list[RunningLease] = []
    unsuitable: dict[str, str] = {}
    """Jobs that failed here for a reason of this machine, with the reason."""
    settled: int = 0
    waiting: int = 0
    """Receipts that are not final yet."""
    error: str = ""
    reporting: str = ""
    """Why a day of proved compute that is due is not reported."""
    hours: Clock | None = None
    """When work is taken; ``None`` for always."""
    floors: dict[int, Floor] = {}
    """Least prices by device."""
    caps: list[Cap] = []
    """What became of the owner's cap of watts, device by device."""
    updated_at: float = 0


class Lock:
    """Held by the agent of a data folder as long as it lives.

    Args:
        data: the folder.

    Raises:
        DirectoryHeldError: another agent holds it.
    """

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = (data / "agent.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise DirectoryHeldError(
                f"another provider uses the data folder {data}",
                why=f"process {holder(data) or 'unknown'} holds its lock",
                fix=f"candela provider stop --data {data}, or choose another folder with --data",
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        (data / "control").unlink(missing_ok=True)

    def release(self) -> None:
        """Let another agent take the folder."""
        self._file.close()


def holder(data: Path) -> int | None:
    """Process id of the agent that holds a data folder, or ``None`` when none does."""
    try:
        with (data / "agent.lock").open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read())
    except (OSError, ValueError):
        pass
    return None


def ask(data: Path, wish: str) -> None:
    """Leave an agent a wish: ``drain`` or ``stop``."""
    write_atomically(data / "control", wish.encode())


def wish(data: Path) -> str:
    """The wish that was left, if any."""
    with contextlib.suppress(OSError):
        return (data / "control").read_text().strip()
    return ""


def save_snapshot(data: Path, snapshot: Snapshot) -> None:
    """Tell the commands what the agent does."""
    snapshot.updated_at = time.time()
    write_atomically(data / "state.json", msgspec.json.encode(snapshot))


def load_snapshot(data: Path) -> Snapshot | None:
    """What the agent last said, if one ever ran."""
    try:
        return msgspec.json.decode((data / "state.json").read_bytes(), type=Snapshot)
    except (OSError, msgspec.MsgspecError):
        return None
