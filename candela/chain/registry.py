"""The registry of providers."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from candela.chain.client import Client, successful
from candela.chain.contract import Contract
from candela.network.genesis import REGISTRY


class ProviderState(IntEnum):
    """Where a provider stands; see DESIGN section 6."""

    UNKNOWN = 0
    REGISTERED = 1
    LISTED = 2
    DRAINING = 3
    EXITING = 4
    EXITED = 5
    JAILED = 6


class Provider(msgspec.Struct):
    """A provider as the registry knows it."""

    operator: str
    bond: int
    state: int
    device_count: int
    next_device: int
    unbonding_until: int


class Device(msgspec.Struct):
    """A device on offer; memory in bytes, intensity in micro-candela."""

    active: bool
    kind: int
    sandbox_tier: int
    memory_bytes: int
    intensity_ucd: int
    name: str


class Offer(msgspec.Struct):
    """A provider's device that takes leases."""

    provider: str
    device_id: int
    device: Device


class Registry(Contract):
    """Reads the registry and makes transactions for it.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = REGISTRY) -> None:
        super().__init__(client, "Registry", address)

    def provider(self, owner: str) -> Provider:
        """The provider of an owner; its state is ``UNKNOWN`` when there is none."""
        return msgspec.convert(self.read("providers", owner), Provider)

    def jailed_until(self, owner: str) -> int:
        """Until when a slashed provider stays in jail, in Unix time; 0 when it never was slashed."""
        return self.read("jailed_until", owner)

    def device(self, owner: str, device_id: int) -> Device:
        """One device."""
        return msgspec.convert(self.read("devices", owner, device_id), Device)

    def offers(self) -> list[Offer]:
        """Every device of every provider that takes leases now."""
        logs = self.client.call(
            "eth_getLogs", {"address": self.address, "fromBlock": "0x0", "topics": [self.topic("DeviceSet")]}
        )
        decoded = [entry for log in logs if (entry := self.decode_log(log))]
        known = dict.fromkeys((fields["provider"], fields["device_id"]) for _, fields in decoded)
        calls = [("eth_call", (self.view("devices", *key), "latest")) for key in known]
        calls += [("eth_call", (self.view("providers", owner), "latest")) for owner, _ in known]
        answers = self.client.batch(calls)
        offers = []
        for (owner, device_id), device, provider in zip(known, answers, answers[len(known) :], strict=False):
            entry = msgspec.convert(self.decode_result("devices", successful(device)), Device)
            state = self.decode_result("providers", successful(provider))["state"]
            if entry.active and state == ProviderState.LISTED:
                offers.append(Offer(owner, device_id, entry))
        return offers
