"""What the owner of a machine has decided: when it works, for how much, and with how many watts."""

from __future__ import annotations

import time

from candela.provider.config import Config
from candela.provider.devices import LocalDevice
from candela.provider.floor import Floors
from candela.provider.hours import Hours
from candela.provider.power import PowerCap, recover


class Owner:
    """The owner's decisions, as they hold now.

    Args:
        config: the agent's settings.
    """

    def __init__(self, config: Config) -> None:
        self.hours = Hours(config.hours)
        self.floors = Floors(config.price, config.kwh_price)
        self.cap = PowerCap(config.watts) if config.watts else None
        self._unenforced_ok = config.watts_unenforced_ok

    def prepare(self, devices: list[LocalDevice]) -> None:
        """Hold the devices to the cap and find the least prices of their work.

        Raises:
            ProviderError: a device can't be held to it, or nothing is known of a GPU's energy.
        """
        recover()
        if self.cap is not None:
            self.cap.apply(devices, self._unenforced_ok)
        self.floors.prepare(devices)

    @property
    def open(self) -> bool:
        """Whether new work may begin now: within the hours, and while limits that were set still stand."""
        return self.hours.contains(time.time()) and (self.cap is None or self.cap.held)

    def check(self) -> None:
        """Look whether limits that were set still stand."""
        if self.cap is not None:
            self.cap.check()

    def release(self) -> None:
        """Give back what the cap has changed."""
        if self.cap is not None:
            self.cap.release()
