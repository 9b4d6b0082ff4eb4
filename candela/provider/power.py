"""Hold GPUs to the watts that their owner allows, by the limit in their driver, and give the former limit back."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from candela.errors import Error, ProviderError
from candela.provider.config import write_atomically
from candela.provider.control import Cap
from candela.provider.devices import GPU, LocalDevice
from candela.provider.logs import logger

FOLDER = Path("/run/candela-power")
"""What limits were before. It is forgotten when the machine restarts, and so are the limits."""


class Gpus(Protocol):
    """The power of this machine's GPUs, in milliwatts; ``ProviderError`` where the driver refuses."""

    def uuid(self, index: int) -> str:
        """The name of a GPU that no restart changes."""
        ...

    def enforced_mw(self, uuid: str) -> int:
        """The most that the driver lets it draw, for whatever reason."""
        ...

    def limit_mw(self, uuid: str) -> int:
        """The limit that was set."""
        ...

    def range_mw(self, uuid: str) -> tuple[int, int]:
        """The least and the largest limit that can be set."""
        ...

    def set_limit_mw(self, uuid: str, milliwatts: int) -> None:
        """Set the limit; takes root's rights."""
        ...


class Nvml:
    """NVIDIA's driver.

    Raises:
        ProviderError: there is none.
    """

    def __init__(self) -> None:
        import pynvml

        self._library: Any = pynvml
        self._ask(pynvml.nvmlInit)

    def uuid(self, index: int) -> str:
        """The name of a GPU that no restart changes."""
        library = self._library
        return str(self._ask(lambda: library.nvmlDeviceGetUUID(library.nvmlDeviceGetHandleByIndex(index))))

    def enforced_mw(self, uuid: str) -> int:
        """The most that the driver lets it draw, for whatever reason."""
        return int(self._ask(lambda: self._library.nvmlDeviceGetEnforcedPowerLimit(self._gpu(uuid))))

    def limit_mw(self, uuid: str) -> int:
        """The limit that was set."""
        return int(self._ask(lambda: self._library.nvmlDeviceGetPowerManagementLimit(self._gpu(uuid))))

    def range_mw(self, uuid: str) -> tuple[int, int]:
        """The least and the largest limit that can be set."""
        least, most = self._ask(lambda: self._library.nvmlDeviceGetPowerManagementLimitConstraints(self._gpu(uuid)))
        return int(least), int(most)

    def set_limit_mw(self, uuid: str, milliwatts: int) -> None:
        """Set the limit; takes root's rights."""
        self._ask(lambda: self._library.nvmlDeviceSetPowerManagementLimit(self._gpu(uuid), milliwatts))

    def _gpu(self, uuid: str) -> Any:
        return self._library.nvmlDeviceGetHandleByUUID(uuid)

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._library.NVMLError as error:
            raise ProviderError(
                "the GPU's driver refused", why=f"NVML: {error}", fix="look at: nvidia-smi -q -d POWER"
            ) from error


class _Record(msgspec.Struct):
    former_mw: int
    ours_mw: list[int]
    """What an agent has set, or was about to when it died."""


class _Card:
    """The limit of one GPU while this agent answers for it.

    Raises:
        ProviderError: another agent does, or this user may not.
    """

    def __init__(self, gpus: Gpus, uuid: str, folder: Path) -> None:
        self._gpus, self.uuid, self._path = gpus, uuid, folder / f"{uuid}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / f"{uuid}.lock").open("a")
        except OSError as error:
            raise ProviderError("this user may not limit the GPU", why=str(error), fix="start as root") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ProviderError("another agent limits the GPU", fix="one agent a GPU") from None

    def set(self, milliwatts: int) -> None:
        """Set a limit below the one that stands."""
        if self._record() is not None:
            raise ProviderError("the limit of an agent that died could not be given back", fix="start as root")
        former = self._gpus.limit_mw(self.uuid)
        # Written first: whoever comes after a crash knows both what was and what may be set.
        self._save(former, [milliwatts])
        self._gpus.set_limit_mw(self.uuid, milliwatts)
        found = self._gpus.limit_mw(self.uuid)
        self._save(former, [found])
        if found > milliwatts:
            raise ProviderError("the GPU's driver set another limit", why=f"{found / 1000:g} W")

    def restore(self) -> None:
        """Set the former limit again, unless somebody else has changed it since."""
        record = self._record()
        if record is None:
            return
        now = self._gpus.limit_mw(self.uuid)
        if now in record.ours_mw and now != record.former_mw:
            self._gpus.set_limit_mw(self.uuid, record.former_mw)
            logger().info("power limit given back", gpu=self.uuid, watts=record.former_mw / 1000)
        elif now not in (*record.ours_mw, record.former_mw):
            logger().warning("power limit was changed meanwhile; it stays", gpu=self.uuid, watts=now / 1000)
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another agent answer for it."""
        self._lock.close()

    def _save(self, former_mw: int, ours_mw: list[int]) -> None:
        try:
            write_atomically(self._path, msgspec.json.encode(_Record(former_mw, ours_mw)))
        except OSError as error:
            raise ProviderError("the former power limit can't be kept", why=str(error)) from error

    def _record(self) -> _Record | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise ProviderError(
                f"the former power limit in {self._path} can't be read",
                why=str(error),
                fix="set the limit with: nvidia-smi -pl WATTS, and delete the file",
            ) from error


class PowerCap:
    """The owner's cap on the devices of an agent.

    Args:
        watts: the most that each device may draw.
        gpus: opens the driver.
        folder: keeps what limits were before, for all agents of the machine.
    """

    def __init__(self, watts: int, gpus: Callable[[], Gpus] = Nvml, folder: Path = FOLDER) -> None:
        self._watts, self._gpus, self._folder = watts, gpus, folder
        self._driver: Gpus | None = None
        self._limited: dict[int, str] = {}
        self._cards: list[_Card] = []
        self.caps: list[Cap] = []
        """What became of it, device by device."""

    @property
    def held(self) -> bool:
        """Whether every limit that was found or set at the start still stands."""
        return all(self.caps[at].enforced for at in self._limited)

    def apply(self, found: list[LocalDevice], unenforced_ok: bool) -> None:
        """Set the limits.

        Args:
            found: the devices.
            unenforced_ok: whether the owner accepts that some are not held to it.

        Raises:
            ProviderError: some can't be, and that was not accepted; limits that were set are given back.
        """
        self.caps = [self._apply(at, device) for at, device in enumerate(found)]
        free = [f"{each.name}: {each.detail}" for each in self.caps if not each.enforced]
        if free and not unenforced_ok:
            self.release()
            raise ProviderError(
                f"{len(free)} of {len(found)} devices can't be held to {self._watts} W",
                why="; ".join(free),
                fix="leave --watts out, or accept it for these devices with --watts-unenforced-ok",
            )

    def check(self) -> None:
        """Look whether the limits still stand; whether they do, :attr:`held` and :attr:`caps` tell."""
        for at, uuid in self._limited.items():
            cap = self.caps[at]
            try:
                now = self._gpus_now().limit_mw(uuid)
                enforced = now <= cap.watts * 1000
                detail = f"the driver's limit is {now / 1000:g} W" + ("" if enforced else ": somebody has raised it")
            except ProviderError as error:
                enforced, detail = False, f"{error.what}: {error.why}"
            if enforced != cap.enforced:
                logger().warning("a watt cap is held again" if enforced else "a watt cap is not held", reason=detail)
                self.caps[at] = Cap(cap.name, cap.watts, enforced, detail)

    def release(self) -> None:
        """Give the former limits back; what can't be given back is kept for the next agent, and said."""
        for card in self._cards:
            _give_back(card)
        self._cards, self._limited = [], {}

    def _apply(self, at: int, device: LocalDevice) -> Cap:
        if device.kind != GPU:
            return Cap(
                device.name,
                self._watts,
                False,
                "a CPU's watts are only estimated, and a limit on the processor would bind the owner's programs too",
            )
        try:
            return Cap(device.name, self._watts, True, self._limit(at, device))
        except ProviderError as error:
            return Cap(device.name, self._watts, False, f"{error.what}: {error.why}" if error.why else error.what)

    def _limit(self, at: int, device: LocalDevice) -> str:
        gpus, wanted = self._gpus_now(), self._watts * 1000
        uuid = gpus.uuid(device.index)
        least, most = gpus.range_mw(uuid)
        if wanted < least:
            raise ProviderError(f"its driver takes limits from {least / 1000:g} to {most / 1000:g} W")
        former = gpus.limit_mw(uuid)
        if former > wanted:
            card = _Card(gpus, uuid, self._folder)
            try:
                card.set(wanted)
            except ProviderError:
                _give_back(card)
                raise
            self._cards.append(card)
        self._limited[at] = uuid
        return f"the driver's limit is {gpus.limit_mw(uuid) / 1000:g} W" + (
            f", and {former / 1000:g} W without the agent" if former > wanted else " already"
        )

    def _gpus_now(self) -> Gpus:
        self._driver = self._driver or self._gpus()
        return self._driver


def recover(gpus: Callable[[], Gpus] = Nvml, folder: Path = FOLDER) -> None:
    """Give back the limits of agents that died; those of agents that live are left alone.

    Args:
        gpus: opens the driver.
        folder: keeps what limits were before.
    """
    records = sorted(folder.glob("*.json")) if folder.is_dir() else []
    for path in records:
        try:
            card = _Card(gpus(), path.stem, folder)
        except ProviderError as error:
            logger().info("a power limit is left alone", gpu=path.stem, reason=error.what)
        else:
            _give_back(card)


def _give_back(card: _Card) -> None:
    try:
        card.restore()
    except Error as error:
        logger().error("a power limit could not be given back", gpu=card.uuid, reason=error.what, why=error.why)
    finally:
        card.close()
