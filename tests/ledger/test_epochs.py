"""Validators in processes of their own hand over to others, elected by stake that transactions move under load."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candela.chain.light import LightClient
from tests.elected import EPOCH_BLOCKS, EVERYONE, A, B, C, D, E, Payments, World, until

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
    assert all(world.earned(index) > 0 for index in (B, C, D, E)), "whoever signed has earned fees"
    assert world.earned(A) == 0, "A has no stake that could earn"


def test_blocks_show_who_signed_and_a_node_that_dies_between_two_epochs_counts_the_same(world: World) -> None:
    with Payments(world.clients[B], world.accounts[5]) as payments:
        for _ in range(3):
            last = (world.epoch() + 1) * EPOCH_BLOCKS - 1
            until(lambda last=last: world.height(C) >= last, f"block {last}")
            world.nodes.kill(C)
            world.start(C)
        head = world.height(B) + EPOCH_BLOCKS
        until(lambda: min(world.height(index) for index in EVERYONE) >= head, "C has caught up")
        assert payments.failure is None
    hashes = {client.call("eth_getBlockByNumber", hex(head), False)["hash"] for client in world.clients.values()}
    assert len(hashes) == 1, "a node counted something else"

    shown = {number: world.shown(number) for number in range(1, head)}
    heights = [each[0] for each in shown.values() if each]
    assert heights == sorted(set(heights)), "a certificate was shown twice"
    for number, each in shown.items():
        if number % EPOCH_BLOCKS in (0, EPOCH_BLOCKS - 1):
            assert each is None, "neither the first nor the last block of an epoch shows a certificate"
        elif each:
            assert each[0] // EPOCH_BLOCKS == number // EPOCH_BLOCKS and each[1].bit_count() in (3, 4)
    assert len(heights) > head // 2, "most blocks show a certificate"
    assert world.earned(-1) > 0, "the owner of the seats of genesis earns their fees"
