"""The least price of work: what the owner states, or what the work's energy costs, whichever is more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import msgspec

from candela.amounts import WORK_SCALE
from candela.chain.market import Market, TaskReceipt, receipt_of
from candela.economics.rewards import AUDITORS_BASIS_POINTS, BASIS_POINTS, FEE_BASIS_POINTS
from candela.market.energy import METHODS
from candela.provider.control import Floor
from candela.provider.devices import CPU, LocalDevice
from candela.provider.metering import MEASURED, WATTS_PER_BUSY_CORE
from candela.provider.power import Gpus, Nvml

_MILLIJOULES_PER_KWH = 3_600_000_000
_RECENT_BLOCKS = 20_000
_RECEIPTS = 1_000
"""Most receipts of a device that count, the last ones."""


def energy_cost(energy_mj: int, kwh_price: int) -> int:
    """Nit for so many millijoules at ``kwh_price`` nit per kWh, rounded up."""
    return -(-energy_mj * kwh_price // _MILLIJOULES_PER_KWH)


class Use(msgspec.Struct, frozen=True):
    """Energy of work: millijoules for so many micro work units, and how that is known."""

    energy_mj: int
    work_uwu: int
    basis: str

    @property
    def joules_per_unit(self) -> float:
        """Joules for a work unit."""
        return self.energy_mj / 1000 * WORK_SCALE / self.work_uwu

    def cost_per_unit(self, kwh_price: int) -> int:
        """Nit for a work unit that pay for its energy at ``kwh_price`` nit per kWh after the fees, rounded up."""
        kept = BASIS_POINTS - FEE_BASIS_POINTS - AUDITORS_BASIS_POINTS
        cost = self.energy_mj * kwh_price * WORK_SCALE * BASIS_POINTS
        return -(-cost // (_MILLIJOULES_PER_KWH * self.work_uwu * kept))


class Floors:
    """Floors of a provider's devices, which follow what their receipts have measured.

    Args:
        stated: least nit per work unit.
        kwh_price: nit per kWh; 0 to leave energy out.
        gpus: opens the driver, for GPUs that nothing has measured yet.
    """

    def __init__(self, stated: int, kwh_price: int = 0, gpus: Callable[[], Gpus] = Nvml) -> None:
        self._stated, self._kwh_price, self._gpus = stated, kwh_price, gpus
        self._receipts: dict[int, deque[TaskReceipt]] = {}
        self._estimates: dict[tuple[int, int], Use] = {}
        self._lock = threading.Lock()

    def prepare(self, devices: list[LocalDevice]) -> None:
        """Find an estimate for each device, so that none lacks a floor later.

        Raises:
            ProviderError: nothing is known of the energy of a GPU.
        """
        if self._kwh_price:
            self._estimates = {(each.kind, each.index): self._estimate(each) for each in devices}

    def load(self, market: Market, provider: str) -> None:
        """Learn from the recent receipts of a provider on chain."""
        if not self._kwh_price:
            return
        head, word = market.client.block_number(), "0x" + provider.lower().removeprefix("0x").rjust(64, "0")
        topics = [market.topic("TaskSettled"), None, None, word]
        for event in market.events(max(head - _RECENT_BLOCKS, 0), head, *topics):
            self.learn(receipt_of(event))

    def learn(self, receipt: TaskReceipt) -> None:
        """Take a receipt into account, if a counter has measured its energy."""
        if receipt.energy_method in MEASURED and receipt.work_uwu and receipt.energy_mj:
            with self._lock:
                self._receipts.setdefault(receipt.device_id, deque(maxlen=_RECEIPTS)).append(receipt)

    def of(self, device_id: int, device: LocalDevice) -> Floor:
        """The floor of one of the prepared devices now."""
        if not self._kwh_price:
            return Floor(self._stated, 0, 0, 0.0, "")
        use = self._use(device_id, device)
        energy = use.cost_per_unit(self._kwh_price)
        return Floor(self._stated, energy, self._kwh_price, use.joules_per_unit, use.basis)

    def _use(self, device_id: int, device: LocalDevice) -> Use:
        with self._lock:
            receipts = list(self._receipts.get(device_id, ()))
        return median_use(receipts) if receipts else self._estimates[device.kind, device.index]

    def _estimate(self, device: LocalDevice) -> Use:
        if device.kind == CPU:
            basis = f"estimated: {WATTS_PER_BUSY_CORE:g} W for a busy core"
            return Use(int(WATTS_PER_BUSY_CORE * 1000), device.intensity_ucd, basis)
        gpus = self._gpus()
        milliwatts = gpus.enforced_mw(gpus.uuid(device.index))
        return Use(milliwatts, device.intensity_ucd, f"at most: the driver's limit is {milliwatts / 1000:g} W")


def median_use(receipts: list[TaskReceipt]) -> Use:
    """Energy of work in the middle of receipts, by work: half of it took more a unit, and half took less.

    A customer whose task does little for its energy, or is cut off at its limit, can't bend it by many small ones.
    """
    ordered = sorted(receipts, key=lambda each: each.energy_mj / each.work_uwu)
    left = sum(each.work_uwu for each in ordered) / 2
    middle = ordered[-1]
    for middle in ordered:
        left -= middle.work_uwu
        if left <= 0:
            break
    methods = " and ".join(sorted({METHODS[each.energy_method] for each in receipts}))
    return Use(middle.energy_mj, middle.work_uwu, f"measured: median of {len(receipts)} receipts, {methods}")
