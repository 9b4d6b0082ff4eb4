"""Be listed: registered, bonded, and with the devices that this machine has now."""

from __future__ import annotations

import time

from candela.amounts import NIT_PER_CND, format_cnd
from candela.chain.client import Receipt
from candela.chain.registry import Device, ProviderState, Registry
from candela.chain.sender import Sender
from candela.errors import ProviderError
from candela.provider.devices import LocalDevice
from candela.provider.logs import logger
from candela.provider.sandbox import Tier

BOND_PER_DEVICE = NIT_PER_CND
_NOBODY = "0x" + "00" * 20
_TOLERANCE = 10
"""A device is described anew when its measured speed is off by more than one part in so many."""


class Listing:
    """The provider's entry in the registry.

    Args:
        registry: the contract.
        sender: the operator's; where nobody has named the operator yet it becomes its own owner.
    """

    def __init__(self, registry: Registry, sender: Sender) -> None:
        self._registry, self._sender = registry, sender
        self.provider = sender.account.address

    def ensure(self, devices: list[LocalDevice], tier: Tier) -> dict[int, LocalDevice]:
        """Register, bond and describe ``devices``; returns them by their ids on chain.

        Raises:
            ProviderError: the provider is leaving, or can't pay its bond.
            TransactionFailed: the registry refused.
        """
        owner = self._registry.read("provider_of", self._sender.account.address)
        self.provider = self._sender.account.address if owner == _NOBODY else owner
        jailed = self._registry.provider(self.provider).state == ProviderState.JAILED
        if jailed:
            self._check_jail()
        self._register(len(devices))
        if jailed:
            self._send("leave_jail", what="returning from jail")
        listed = self._describe(devices, tier)
        state = self._registry.provider(self.provider).state
        if state == ProviderState.DRAINING:
            self._send("resume", what="taking leases again")
        state = self._registry.provider(self.provider).state
        if state != ProviderState.LISTED:
            name = ProviderState(state).name.lower()
            raise ProviderError("the provider is not listed", why=f"the registry says {name}")
        return listed

    def _check_jail(self) -> None:
        until = self._registry.jailed_until(self.provider)
        if time.time() <= until:
            raise ProviderError(
                f"provider {self.provider} is in jail for {until - time.time():,.0f} s more",
                why="a committee found a result of its false or missing; see: candela audits",
                fix="mend what was wrong, then start again; the bond that it lost is then filled up",
            )

    def drain(self) -> None:
        """Tell the chain that no more leases are taken."""
        if self._registry.provider(self.provider).state <= ProviderState.LISTED:
            self._send("drain", what="draining")

    def _register(self, count: int) -> None:
        entry = self._registry.provider(self.provider)
        needed = count * BOND_PER_DEVICE
        if entry.state == ProviderState.EXITING:
            raise ProviderError(
                f"provider {self.provider} is leaving the network",
                why=f"its bond is locked until {entry.unbonding_until}",
                fix="use another key, or wait and withdraw the bond",
            )
        if entry.state in (ProviderState.UNKNOWN, ProviderState.EXITED):
            self._check_balance(needed)
            self._send("register", self._sender.account.address, value=needed, what="registering")
        elif entry.bond < needed:
            self._check_balance(needed - entry.bond)
            self._send("top_up_bond", self.provider, value=needed - entry.bond, what="adding to the bond")

    def _check_balance(self, bond: int) -> None:
        balance = self._sender.client.balance(self._sender.account.address)
        if balance <= bond:
            raise ProviderError(
                "the bond can't be paid",
                why=f"{self._sender.account.address} has {format_cnd(balance)}, the bond is {format_cnd(bond)} and gas",
                fix=f"send {format_cnd(bond + NIT_PER_CND // 10)} to {self._sender.account.address}",
            )

    def _describe(self, devices: list[LocalDevice], tier: Tier) -> dict[int, LocalDevice]:
        entry = self._registry.provider(self.provider)
        known = {number: self._registry.device(self.provider, number) for number in range(entry.next_device)}
        known = {number: device for number, device in known.items() if device.active}
        listed: dict[int, LocalDevice] = {}
        for device in devices:
            number = next((n for n, old in known.items() if n not in listed and old.kind == device.kind), None)
            facts = (device.kind, int(tier), device.memory_bytes, device.intensity_ucd, device.name)
            if number is None:
                number = self._add(facts)
            elif _differs(known[number], device, tier):
                self._send("update_device", number, *facts, what="describing a device")
            else:
                # Work is counted at the speed that customers can look up.
                device.intensity_ucd = known[number].intensity_ucd
            listed[number] = device
        for number in known.keys() - listed.keys():
            self._send("remove_device", number, what="removing a device")
        return listed

    def _add(self, facts: tuple[int, int, int, int, str]) -> int:
        receipt = self._send("add_device", *facts, what="adding a device")
        events = [self._registry.decode_log(log) for log in receipt.logs]
        return next(fields["device_id"] for name, fields in filter(None, events) if name == "DeviceSet")

    def _send(self, function: str, *arguments: object, value: int = 0, what: str) -> Receipt:
        logger().info(what)
        return self._sender.send(self._registry.message(function, *arguments, value=value), what)


def _differs(old: Device, new: LocalDevice, tier: Tier) -> bool:
    drift = abs(old.intensity_ucd - new.intensity_ucd) * _TOLERANCE
    facts = (tier, new.memory_bytes, new.name)
    return (old.sandbox_tier, old.memory_bytes, old.name) != facts or drift > new.intensity_ucd
