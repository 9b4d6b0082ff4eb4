"""The contract of Proof of Intensity."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec

from candela.chain.client import Client, successful
from candela.chain.contract import Contract, Event
from candela.chain.message import Message
from candela.intensity.opening import Opening
from candela.intensity.profile import Profile
from candela.intensity.window import Commitment
from candela.network.genesis import INTENSITY

_BATCH = 480


class Times(msgspec.Struct, frozen=True):
    """When the steps of windows are, in seconds."""

    period: int
    open_seconds: int
    draw_delay: int
    demand_seconds: int
    show_seconds: int

    def window(self, now: float) -> int:
        """The number of the last window that has opened."""
        return int(now) // self.period

    def opens(self, window: int) -> int:
        """When it opens, in Unix time like all that follow."""
        return window * self.period

    def closes(self, window: int) -> int:
        """From when on it takes no commitment."""
        return self.opens(window) + self.open_seconds

    def draws(self, window: int) -> int:
        """The moment whose randomness draws its tiles."""
        return self.closes(window) + self.draw_delay

    def final(self, window: int) -> int:
        """From when on nothing can refute it."""
        return self.closes(window) + self.demand_seconds + 2 * self.show_seconds


class Intensity(Contract):
    """Reads windows and makes transactions for them.

    Args:
        client: the node.
        address: where it lives.
    """

    def __init__(self, client: Client, address: str = INTENSITY) -> None:
        super().__init__(client, "Intensity", address)

    @cached_property
    def times(self) -> Times:
        """When the steps of windows are."""
        constants = ("period", "open_seconds", "DRAW_DELAY", "DEMAND_SECONDS", "SHOW_SECONDS")
        return Times(*(self.read(name) for name in constants))

    def measured(self, provider: str, devices: Sequence[int], windows: Sequence[int]) -> dict[int, list[int]]:
        """Operations that each device has computed in each window; 0 where a window does not count, or not yet."""
        views = [self.view("measured", provider, device, window) for device in devices for window in windows]
        found: list[int] = []
        for start in range(0, len(views), _BATCH):
            calls = [("eth_call", (view, "latest")) for view in views[start : start + _BATCH]]
            found += [self.decode_result("measured", successful(each)) for each in self.client.batch(calls)]
        count = len(windows)
        return {device: found[at * count : (at + 1) * count] for at, device in enumerate(devices)}

    def missing_bond(self, provider: str, window: int) -> int:
        """Nit to deposit before one more device of a provider can commit in a window."""
        needed = self.read("PROOF_BOND") * (self.read("commitments", window, provider) + 1)
        return max(needed - self.read("bonds", provider), 0)

    def committing(self, window: int, device: int, profile: Profile, commitment: Commitment) -> Message:
        """The transaction that commits."""
        return self.message("commit", window, device, profile.code, commitment.root, commitment.units)

    def showing(self, window: int, provider: str, device: int, draw: int, opening: Opening) -> Message:
        """The transaction that shows a demanded tile."""
        path = [*opening.tile_path, *opening.unit_path]
        return self.message("show", window, provider, device, draw, opening.tile, path)

    def demanded(self, window: int, provider: str, device: int, first_block: int) -> list[int]:
        """Draws of a device's window that somebody has demanded and nobody has shown yet."""
        topics = ["0x" + window.to_bytes(32, "big").hex(), "0x" + provider.lower().removeprefix("0x").rjust(64, "0")]
        topics.append("0x" + device.to_bytes(32, "big").hex())
        wanted = [self.topic("Demanded"), self.topic("Shown")]
        return _open_draws(self.events(first_block, self.client.block_number(), wanted, *topics))


def _open_draws(events: list[Event]) -> list[int]:
    draws = {name: {each.fields["draw"] for each in events if each.name == name} for name in ("Demanded", "Shown")}
    return sorted(draws["Demanded"] - draws["Shown"])
