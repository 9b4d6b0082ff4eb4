"""The contract agrees with the package on every element, keeps the times of a window, and punishes what is false."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import boa
import msgspec
import numpy as np
import pytest
import rlp
from boa.util.abi import Address
from eth_utils import keccak

from candela.intensity import C1, G1, SAMPLES, Context, Opening, Profile, Prover, Window, drawn
from candela.intensity.product import product
from candela.intensity.tiles import Tiles
from candela.intensity.tree import Tree
from candela.intensity.window import leaf, place

from .conftest import CND, deploy

PERIOD, OPEN, DELAY, DEMAND, SHOW = 3_600, 60, 10, 3_600, 600
FEE, BOND = 10**16, CND
ELEMENTS = int(os.environ.get("ELEMENTS", "100"))
SEED = int(os.environ.get("SEED", "20261126"))


def header(number: int, timestamp_ms: int, parent: bytes, randomness: bytes) -> bytes:
    """RLP of a header as the ledger makes it, up to the fields that the beacon does not read."""
    shard = [b"\x01" * 32] * 4 + [[], 21_000, 10**9, 0, 10**27, 0, b"\x02" * 32]
    fields = [1, 1, parent, number, timestamp_ms, b"\xfe" * 20, randomness, 10**9, b"\0" * 256, b"", [shard]]
    return rlp.encode(fields)


class Chain:
    """Blocks whose hashes the EVM knows, so that their headers can be shown."""

    def __init__(self, beacon: Any) -> None:
        self.beacon = beacon

    def record(self, moment: int, randomness: bytes) -> None:
        """Put two blocks around a moment, pass it, and record its randomness."""
        boa.env.timestamp = max(boa.env.timestamp, moment + 1)
        boa.env.evm.patch.block_number += 2
        number = boa.env.evm.patch.block_number - 1
        before = header(number - 1, moment * 1000 - 7, b"\x11" * 32, b"\x33" * 32)
        at = header(number, moment * 1000, keccak(before), randomness)
        boa.env.evm.patch.prev_hashes = [keccak(at), keccak(before)]
        self.beacon.record(moment, before, at)


@dataclass
class World:
    """The contracts, a prover and a challenger."""

    registry: Any
    intensity: Any
    chain: Chain
    prover: str
    challenger: str
    window: int

    @property
    def opens(self) -> int:
        """When the window opens."""
        return self.window * PERIOD

    @property
    def closes(self) -> int:
        """When it closes."""
        return self.opens + OPEN

    @property
    def final(self) -> int:
        """When nothing can refute it any more."""
        return self.closes + DEMAND + 2 * SHOW

    def context(self, profile: Profile = C1) -> Context:
        """What the contract binds a proof to."""
        number = boa.env.evm.patch.chain_id
        contract, provider = (bytes.fromhex(str(each)[2:]) for each in (self.intensity.address, self.prover))
        return Context(number, contract, profile, OPENING, provider, 0)

    def commit(self, window: Window, **changed: Any) -> None:
        """Commit as the prover."""
        commitment = window.commitment()
        fields = {"window": self.window, "device": 0, "profile": window.context.profile.code}
        fields |= {"root": commitment.root, "units": commitment.units, "sender": self.prover} | changed
        sender = fields.pop("sender")
        self.intensity.commit(*fields.values(), sender=sender)

    def draw(self) -> None:
        """Let the window close and draw from it."""
        self.chain.record(self.closes + DELAY, LATER)

    def show(self, draw: int, opening: Opening, sender: str | None = None) -> None:
        """Show a tile."""
        path = [*opening.tile_path, *opening.unit_path]
        self.intensity.show(self.window, self.prover, 0, draw, opening.tile, path, sender=sender or self.prover)

    def refute(self, opening: Opening, row: int, column: int) -> None:
        """Try to refute a tile."""
        path = [*opening.tile_path, *opening.unit_path]
        self.intensity.prove_fraud(
            self.window, self.prover, 0, opening.index, opening.tile, path, row, column, sender=self.challenger
        )


OPENING, LATER = b"\x44" * 32, b"\x55" * 32


@pytest.fixture
def world() -> Any:
    with boa.env.anchor():
        registry = deploy("Registry")
        beacon = deploy("Beacon", folder="ledger")
        intensity = deploy("Intensity", registry.address, beacon.address, PERIOD, OPEN)
        prover, challenger = boa.env.generate_address("prover"), boa.env.generate_address("challenger")
        for account in (prover, challenger):
            boa.env.set_balance(account, 1_000 * CND)
        registry.register(prover, value=CND, sender=prover)
        registry.add_device(0, 1, 1 << 30, 100_000, "cpu", sender=prover)
        intensity.deposit(prover, value=BOND, sender=prover)
        window = boa.env.timestamp // PERIOD + 1
        world = World(registry, intensity, Chain(beacon), prover, challenger, window)
        world.chain.record(world.opens, OPENING)
        yield world


class Claimed(Window):
    """A window of C1 whose tiles are computed when they are looked at, but for those that are false.

    The leaves of a unit that nobody looks at are of no tile; what the tests open is hashed as it is shown.
    """

    def __init__(self, context: Context, units: int, opened: list[int], false: dict[int, bytes] | None = None) -> None:
        trees: list[Tree] = []
        super().__init__(context, trees.__getitem__)
        self._known = Tiles(context)
        self._false = false or {}
        tiles = context.profile.tiles
        for unit in range(units):
            leaves = [bytes(32)] * tiles
            for index in opened:
                if index // tiles == unit:
                    at = place(context.profile, index)
                    leaves[index % tiles] = leaf(at.row, at.column, self.tile(index))
            trees.append(Tree(b"".join(leaves)))
            self.add(trees[-1].root)

    def tile(self, index: int) -> bytes:
        """The tile as it is committed to."""
        return self._false.get(index) or self._known.tile(index)

    def show(self, index: int) -> Opening:
        """Show one tile as it is committed to."""
        (opening,) = self.open([index])
        return msgspec.structs.replace(opening, tile=self.tile(index))


def changed(tile: bytes, row: int, column: int, by: int = 1) -> bytes:
    """A tile with one element off."""
    entries = np.frombuffer(tile, dtype="<i4").reshape(32, 32).copy()
    entries[row, column] += by
    return entries.tobytes()


def transaction_gas(world: World, opening: Opening, row: int, column: int) -> int:
    """Gas of a transaction that has just refuted a tile, calldata included (EIP-2028, EIP-7623)."""
    path = [*opening.tile_path, *opening.unit_path]
    data = world.intensity.prove_fraud.prepare_calldata(
        world.window, world.prover, 0, opening.index, opening.tile, path, row, column
    )
    tokens = data.count(0) + 4 * (len(data) - data.count(0))
    return 21_000 + max(4 * tokens + world.intensity._computation.get_gas_used(), 10 * tokens)


@pytest.mark.parametrize(("profile", "count"), [(C1, ELEMENTS), (G1, 1)], ids=["C1", "G1"])
def test_every_element_is_what_the_package_computes(world: World, profile: Profile, count: int) -> None:
    source, tiles = np.random.default_rng(SEED), Tiles(world.context(profile))
    for _ in range(-(-count // 10)):
        index = int(source.integers(0, 130 * profile.tiles))
        entries = np.frombuffer(tiles.tile(index), dtype="<i4").reshape(32, 32)
        for _ in range(min(10, count)):
            row, column = (int(each) for each in source.integers(0, 32, 2))
            found = world.intensity.element(world.window, world.prover, 0, profile.code, index, row, column)
            assert found == entries[row, column], f"seed {SEED}: element {row}, {column} of tile {index}"


def test_the_contract_draws_what_the_package_draws(world: World) -> None:
    window = Claimed(world.context(), 12, [])
    world.commit(window)
    world.draw()
    expected = drawn(window.context, window.commitment(), LATER)
    found = [world.intensity.drawn(world.window, world.prover, 0, draw) for draw in range(SAMPLES)]
    assert found == expected


def test_one_false_element_costs_the_bond_in_one_transaction(world: World) -> None:
    index, row, column = 11 * C1.tiles + 777, 13, 30
    true = Tiles(world.context()).tile(index)
    window = Claimed(world.context(), 12, [index], {index: changed(true, row, column)})
    world.commit(window)
    opening = window.show(index)
    with boa.reverts("intensity: element is right"):
        world.refute(opening, row, column - 1)
    before = boa.env.get_balance(world.challenger)
    world.refute(opening, row, column)
    assert transaction_gas(world, opening, row, column) <= 250_000
    assert boa.env.get_balance(world.challenger) - before == BOND * 30 // 100
    assert world.intensity.bonds(world.prover) == 0
    assert boa.env.get_balance(world.intensity.address) == BOND - BOND * 30 // 100, "the rest is burned"
    with boa.reverts("intensity: window is refuted"):
        world.refute(opening, row, column)
    world.chain.record(world.final, b"\1" * 32)
    assert world.intensity.measured(world.prover, 0, world.window) == 0


def test_no_challenge_of_a_true_tile_succeeds(world: World) -> None:
    source = np.random.default_rng(SEED)
    indices = [int(each) for each in source.integers(0, 12 * C1.tiles, 5)]
    window = Claimed(world.context(), 12, indices)
    world.commit(window)
    for _ in range(ELEMENTS):
        opening = window.show(indices[int(source.integers(0, 5))])
        row, column = (int(each) for each in source.integers(0, 32, 2))
        with boa.reverts("intensity: element is right"):
            world.refute(opening, row, column)
    assert world.intensity.bonds(world.prover) == BOND


@pytest.mark.parametrize("units", [1, 2, 3, 11, 12])
def test_only_committed_tiles_count(world: World, units: int) -> None:
    index = (units - 1) * C1.tiles + 4_095
    window = Claimed(world.context(), units, [index])
    world.commit(window)
    opening = window.show(index)
    path = [*opening.tile_path, *opening.unit_path]
    fields = {"index": index, "tile": opening.tile, "path": path, "row": 1, "column": 1}

    def refute(**other: Any) -> None:
        values = fields | other
        world.intensity.prove_fraud(world.window, world.prover, 0, *values.values(), sender=world.challenger)

    for reason, other in [
        ("tile was not committed to", {"tile": changed(opening.tile, 1, 1)}),
        ("tile was not committed to", {"tile": bytes(4096)}),
        ("tile was not committed to", {"index": index - 1}),
        ("tile was not committed to", {"path": [b"\xff" * 32, *path[1:]]}),
        ("path is too short", {"path": path[:-1]}),
        ("path is too short", {"path": []}),
        ("path is too long", {"path": [*path, b"\0" * 32]}),
        ("no such tile", {"index": units * C1.tiles}),
        ("no such element", {"row": 32}),
        ("a tile has 4096 bytes", {"tile": opening.tile[:-1]}),
        ("element is right", {}),
    ]:
        with boa.reverts(f"intensity: {reason}"):
            refute(**other)


def test_a_commitment_one_second_late_is_refused(world: World) -> None:
    window = Claimed(world.context(), 1, [])
    for moment, reason in ((world.closes, "closed"), (world.opens - 1, "not open yet")):
        with boa.env.anchor():
            boa.env.timestamp = moment
            with boa.reverts(f"intensity: window is {reason}"):
                world.commit(window)
    boa.env.timestamp = world.closes - 1
    world.commit(window)
    with boa.reverts("intensity: already committed"):
        world.commit(window)


def test_who_may_not_commit(world: World) -> None:
    window = Claimed(world.context(), 1, [])
    with boa.reverts("intensity: not a listed device of the caller's provider"):
        world.commit(window, sender=world.challenger)
    with boa.reverts("intensity: too many or no units"):
        world.commit(window, units=0)
    with boa.reverts("intensity: too many or no units"):
        world.commit(window, units=65_537)
    with boa.reverts("intensity: root is empty"):
        world.commit(window, root=b"\0" * 32)
    world.intensity.withdraw(1, sender=world.prover)
    with boa.reverts("intensity: bond is too small"):
        world.commit(window)


def test_a_demanded_tile_must_be_shown_in_time(world: World) -> None:
    window = Claimed(world.context(), 12, [])
    world.commit(window)
    demand = (world.window, world.prover, 0, 5)
    with boa.reverts("intensity: nothing is drawn yet"):
        world.intensity.demand(*demand, value=FEE, sender=world.challenger)
    world.draw()
    with boa.reverts("intensity: value is not the fee"):
        world.intensity.demand(*demand, value=FEE - 1, sender=world.challenger)
    with boa.reverts("intensity: no such draw"):
        world.intensity.demand(*demand[:3], SAMPLES, value=FEE, sender=world.challenger)
    world.intensity.demand(*demand, value=FEE, sender=world.challenger)
    with boa.reverts("intensity: already demanded"):
        world.intensity.demand(*demand, value=FEE, sender=world.challenger)
    with boa.reverts("intensity: still time to show"):
        world.intensity.expire(*demand)
    boa.env.timestamp += SHOW + 1
    balance = boa.env.get_balance(world.challenger)
    world.intensity.expire(*demand)
    assert boa.env.get_balance(world.challenger) == balance + FEE
    boa.env.timestamp = world.final
    assert world.intensity.measured(world.prover, 0, world.window) == 0
    world.intensity.withdraw(BOND, sender=world.prover)
    assert boa.env.get_balance(world.intensity.address) == 0


def test_a_shown_tile_pays_its_prover_and_the_window_counts(world: World) -> None:
    context = world.context()
    window = Prover().prove(context, 1)
    world.commit(window)
    world.draw()
    for draw in (0, 63):
        world.intensity.demand(world.window, world.prover, 0, draw, value=FEE, sender=world.challenger)
    indices = drawn(context, window.commitment(), LATER)
    with boa.reverts("intensity: tile was not committed to"):
        world.show(0, window.open([indices[63]])[0])
    world.show(0, window.open([indices[0]])[0])
    with boa.reverts("intensity: not demanded"):
        world.show(0, window.open([indices[0]])[0])
    with boa.reverts("intensity: already shown"):
        world.intensity.demand(world.window, world.prover, 0, 0, value=FEE, sender=world.challenger)
    final = world.final
    with boa.env.anchor():
        boa.env.timestamp = final
        assert world.intensity.measured(world.prover, 0, world.window) == 0, "a demand is pending"
    # Anybody may carry the tile to the chain.
    world.show(63, window.open([indices[63]])[0], sender=world.challenger)
    assert world.intensity.bonds(world.prover) == BOND + 2 * FEE
    boa.env.timestamp = final - 1
    assert world.intensity.measured(world.prover, 0, world.window) == 0
    with boa.reverts("intensity: a window is not final yet"):
        world.intensity.withdraw(1, sender=world.prover)
    boa.env.timestamp = final
    assert world.intensity.measured(world.prover, 0, world.window) == C1.operations
    with boa.reverts("intensity: window is final"):
        world.refute(window.open([0])[0], 0, 0)
    world.intensity.withdraw(BOND + 2 * FEE, sender=world.prover)


def test_another_device_or_window_has_nothing_to_refute(world: World) -> None:
    window = Claimed(world.context(), 1, [7])
    world.commit(window)
    opening = window.show(7)
    path = [*opening.tile_path, *opening.unit_path]
    for where in (
        (world.window + 1, world.prover, 0),
        (world.window, world.challenger, 0),
        (world.window, world.prover, 1),
    ):
        with boa.reverts("intensity: nothing was committed"):
            world.intensity.prove_fraud(*where, 7, opening.tile, path, 0, 0, sender=world.challenger)


def test_a_product_of_low_precision_is_refuted(world: World) -> None:
    def low(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return product(rows, columns) // 8 * 8

    true, false = Tiles(world.context()).tile(0), Tiles(world.context(), low).tile(0)
    entries = [np.frombuffer(each, dtype="<i4") for each in (true, false)]
    row, column = divmod(int(np.flatnonzero(entries[0] != entries[1])[0]), 32)
    window = Claimed(world.context(), 1, [0], {0: false})
    world.commit(window)
    world.refute(window.show(0), row, column)
    assert world.intensity.bonds(world.prover) == 0


def test_windows_longer_than_two_per_cent_are_refused(world: World) -> None:
    zero = Address("0x" + "00" * 20)
    with boa.reverts("intensity: windows take more than 2 % of the time"):
        deploy("Intensity", zero, zero, 2_999, 60)
    deploy("Intensity", zero, zero, 3_000, 60)


def test_a_window_whose_opening_nobody_recorded_takes_no_commitment(world: World) -> None:
    world.window += 1
    boa.env.timestamp = world.opens
    window = Claimed(world.context(), 1, [])
    with boa.reverts("intensity: the window's opening is not recorded"):
        world.commit(window)


def test_a_window_from_which_nothing_was_drawn_does_not_count(world: World) -> None:
    world.commit(Claimed(world.context(), 1, []))
    with boa.env.anchor():
        boa.env.timestamp = world.final
        assert world.intensity.measured(world.prover, 0, world.window) == 0
    world.draw()
    boa.env.timestamp = world.final
    assert world.intensity.measured(world.prover, 0, world.window) == C1.operations


def test_each_device_of_a_window_needs_a_bond_of_its_own(world: World) -> None:
    world.registry.top_up_bond(world.prover, value=CND, sender=world.prover)
    world.registry.add_device(0, 1, 1 << 30, 100_000, "second", sender=world.prover)
    world.commit(Claimed(world.context(), 1, []))
    second = Claimed(world.context(), 2, [])
    with boa.reverts("intensity: bond is too small"):
        world.commit(second, device=1)
    world.intensity.deposit(world.prover, value=BOND, sender=world.prover)
    world.commit(second, device=1)
    world.draw()
    boa.env.timestamp = world.final
    found = [world.intensity.measured(world.prover, device, world.window) for device in (0, 1, 2, 2**32, 2**256 - 1)]
    assert found == [C1.operations, 2 * C1.operations, 0, 0, 0]
