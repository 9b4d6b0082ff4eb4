"""Validators in processes of their own hand over to others, elected by stake that transactions move under load."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candela.chain.light import LightClient
from tests.elected import A, B, C, D, E, Payments, World, until

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    running = World(tmp_path)
    try:
        yield running
    finally:
        running.nodes.stop()


def test_a_seat_goes_from_one_validator_to_another_under_load(world: World) -> None:
    keys = [key.public for key in world.keys]
    light = LightClient(world.clients[E], world.checkpoint)
    with Payments(world.clients[B], world.accounts[5]) as payments:
        assert world.seated() == {keys[index] for index in (A, B, C, D)}
        for index in (B, C, D, E):
            world.stand(index)
        until(lambda: world.seated() == {keys[index] for index in (B, C, D, E)}, "B, C, D and E have the seats")
        light.advance()

        # With D away every certificate needs the vote of E, which had no seat at first; A follows without one.
        world.nodes.kill(D)
        world.wait_epochs(2)
        head = world.height(B)
        until(lambda: world.height(A) >= head, "A follows without a seat")
        light.advance()
        assert light.committee.epoch >= 2
        assert {seat.public_key for seat in light.committee.seats} == {keys[index] for index in (B, C, D, E)}

        # D slept through two epochs; with E away every certificate needs its vote.
        world.nodes.start(D)
        until(lambda: world.height(D) >= head, "D has caught up")
        world.nodes.kill(E)
        world.wait_epochs(1)
        assert payments.failure is None
    hashes = {world.clients[index].call("eth_getBlockByNumber", hex(head), False)["hash"] for index in (A, B, C, D)}
    assert len(hashes) == 1
