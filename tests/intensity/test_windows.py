"""On a running chain: an idle device fills a window, shows what is demanded, and leaves it for a paying task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from candela.chain.beacon import Beacon
from candela.chain.contract import Contract
from candela.chain.intensity import Intensity
from candela.chain.sender import Sender
from candela.errors import IntensityError
from candela.intensity import C1, HostPath, Prover, verify
from candela.intensity.product import product
from candela.provider.windows import Windows
from tests.intensity.test_node import CND, Chain

FEE = 10**16
OPEN_SECONDS = 16
DEADLINE_SECONDS = 60


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path)
    chain.send(chain.prover, chain.registry.message("register", chain.prover.address, value=CND))
    chain.send(chain.prover, chain.registry.message("add_device", 0, 1, 1 << 30, 100_000, "cpu"))
    yield chain
    chain.client.close()
    chain.node.stop()


class Tasks:
    """A paying task that arrives with a certain block of rows; blocks are counted as the prover multiplies them."""

    def __init__(self, arrives_with: int) -> None:
        self.blocks, self._arrives_with = 0, arrives_with

    def idle(self) -> bool:
        """Whether it has not arrived."""
        return self.blocks < self._arrives_with

    def prover(self) -> Prover:
        """A prover whose blocks are counted, once it has passed the rails."""
        prover = Prover()

        def multiply(rows, columns):
            self.blocks += 1
            return product(rows, columns)

        prover._path = HostPath(multiply)
        return prover


def _windows(chain: Chain, contract: Contract, tasks: Tasks, folder: Path) -> Windows:
    sender, prover = Sender(chain.client, chain.prover, session=None), tasks.prover()
    beacon, intensity = Beacon(chain.client), Intensity(chain.client, contract.address)
    return Windows(sender, chain.prover.address, 0, tasks.idle, beacon, intensity, folder, make_prover=lambda: prover)


def _tend_until(windows: Windows, condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        windows.tend()


def _print_gas(chain: Chain, contracts: list[Contract]) -> None:
    for contract in contracts:
        for event in contract.events(0, chain.client.block_number()):
            (receipt,) = chain.client.receipts([event.transaction])
            print(f"{event.name}: {int(receipt.gas_used, 16) if receipt else 0} gas")


def test_an_idle_device_proves_and_shows_what_is_demanded(chain: Chain, tmp_path: Path) -> None:
    opens, tasks = int(time.time()) + 2, Tasks(arrives_with=2 * C1.m // 512)
    contract = chain.intensity(opens, OPEN_SECONDS)
    windows, where = _windows(chain, contract, tasks, tmp_path / "windows"), (1, chain.prover.address, 0)
    try:
        _tend_until(windows, lambda: 1 in windows.held)
        held = windows.held[1]
        assert held.window.units == 2, "what was finished when the task arrived is committed"
        assert contract.read("windows", *where)["root"] == held.window.commitment().root
        with pytest.raises(IntensityError, match="nothing is drawn"):
            windows.openings(1)
        draws = opens + OPEN_SECONDS + 10
        _tend_until(windows, lambda: chain.beacon.read("randomness", draws) != bytes(32))
        later = chain.beacon.read("randomness", draws)
        verify(held.window.context, held.window.commitment(), later, windows.openings(1))
        windows.close()
        # Whoever takes over its folder shows what this one committed to.
        windows = _windows(chain, contract, tasks, tmp_path / "windows")
        demand = contract.message("demand", *where, 7, value=FEE)
        chain.send(chain.challenger, demand)
        bond = contract.read("bonds", chain.prover.address)
        _tend_until(windows, lambda: contract.read("windows", *where)["shown"] == 1 << 7)
        assert contract.read("bonds", chain.prover.address) == bond + FEE
        assert windows._intensity.demanded(*where, 0) == []
        _print_gas(chain, [windows._intensity, windows._beacon])
    finally:
        windows.close()


def test_a_task_that_arrives_ends_proving_within_a_block_of_rows(chain: Chain, tmp_path: Path) -> None:
    tasks = Tasks(arrives_with=3)
    windows = _windows(chain, chain.intensity(int(time.time()) + 2), tasks, tmp_path / "windows")
    try:
        _tend_until(windows, lambda: not tasks.idle())
        _tend_until(windows, lambda: windows._attempt is None)
        assert tasks.blocks == 3, "no block of rows is begun after the task arrived"
        assert not windows.held, "no unit was finished, so nothing is committed"
        tasks.blocks = 0
        windows.tend()
        assert windows._attempt is None, "the window is not begun again"
    finally:
        windows.close()


def test_a_device_that_is_not_exact_proves_nothing(chain: Chain, tmp_path: Path) -> None:
    windows = _windows(chain, chain.intensity(int(time.time()) + 2), Tasks(arrives_with=10**9), tmp_path / "windows")
    windows._make_prover = lambda: Prover(HostPath(lambda rows, columns: product(rows, columns) // 8 * 8))
    _tend_until(windows, lambda: windows.unable)
    assert "not exact" in windows.unable
    assert not windows.held
    windows.tend()
    assert windows._attempt is None
