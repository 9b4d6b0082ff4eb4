"""A watt cap holds or is said not to, and the limit that was there before comes back, whoever dies in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candela.errors import ProviderError
from candela.provider.devices import CPU, GPU, LocalDevice
from candela.provider.power import Nvml, PowerCap, recover

CORE = LocalDevice(CPU, "core", 1 << 30, 100_000)
CARD = LocalDevice(GPU, "card", 1 << 34, 10**9, 0)
OTHER = LocalDevice(GPU, "other", 1 << 34, 10**9, 1)
LEAST, MOST = 100_000, 400_000


class Died(BaseException):
    """The agent was killed."""


class Driver:
    """Two cards, as a driver keeps them: limits outlive whoever set them."""

    def __init__(self, limit_mw: int = 350_000) -> None:
        self.limits = {"GPU-0": limit_mw, "GPU-1": limit_mw}
        self.refuses = False
        self.dies_before_setting = False
        self.step_mw = 1

    def uuid(self, index: int) -> str:
        return f"GPU-{index}"

    def enforced_mw(self, uuid: str) -> int:
        return self.limits[uuid]

    def limit_mw(self, uuid: str) -> int:
        return self.limits[uuid]

    def range_mw(self, uuid: str) -> tuple[int, int]:
        assert uuid in self.limits
        return LEAST, MOST

    def set_limit_mw(self, uuid: str, milliwatts: int) -> None:
        if self.refuses:
            raise ProviderError("the GPU's driver refused", why="NVML: Insufficient Permissions")
        if self.dies_before_setting:
            raise Died
        assert LEAST <= milliwatts <= MOST
        self.limits[uuid] = milliwatts // self.step_mw * self.step_mw


class Machine:
    """A driver and the folder that its agents share."""

    def __init__(self, folder: Path, limit_mw: int = 350_000) -> None:
        self.driver, self.folder = Driver(limit_mw), folder / "power"

    def cap(self, watts: int) -> PowerCap:
        return PowerCap(watts, lambda: self.driver, self.folder)

    def applied(self, watts: int, *found: LocalDevice, ok: bool = False) -> PowerCap:
        recover(lambda: self.driver, self.folder)
        cap = self.cap(watts)
        cap.apply(list(found or [CARD]), ok)
        return cap

    def kill(self, cap: PowerCap) -> None:
        """What the system does for an agent that dies: its locks go, and nothing else."""
        for card in cap._cards:
            card.close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_cards_are_limited_and_given_back(machine: Machine) -> None:
    cap = machine.applied(250, CARD, OTHER)
    assert machine.driver.limits == {"GPU-0": 250_000, "GPU-1": 250_000}
    assert [each.enforced for each in cap.caps] == [True, True]
    assert cap.caps[0].detail == "the driver's limit is 250 W, and 350 W without the agent"
    cap.release()
    assert machine.driver.limits == {"GPU-0": 350_000, "GPU-1": 350_000}
    cap.release()


def test_a_limit_that_is_low_enough_is_left_alone(machine: Machine) -> None:
    machine.driver.limits["GPU-0"] = 200_000
    machine.driver.refuses = True
    cap = machine.applied(250)
    assert cap.caps[0].detail == "the driver's limit is 200 W already"
    cap.release()
    assert machine.driver.limits["GPU-0"] == 200_000
    assert not machine.folder.exists()


def test_a_cap_that_can_t_be_held_ends_the_start_and_gives_back_what_was_set(machine: Machine) -> None:
    with pytest.raises(ProviderError) as raised:
        machine.applied(250, CARD, CORE)
    assert raised.value.what == "1 of 2 devices can't be held to 250 W"
    assert "core: a CPU's watts are only estimated" in raised.value.why
    assert "--watts-unenforced-ok" in raised.value.fix
    assert machine.driver.limits["GPU-0"] == 350_000


def test_what_is_not_enforced_is_said_where_the_owner_accepts_it(machine: Machine) -> None:
    cap = machine.applied(250, CARD, CORE, ok=True)
    assert [(each.name, each.enforced) for each in cap.caps] == [("card", True), ("core", False)]
    assert cap.held, "of what was set"
    cap.release()


@pytest.mark.parametrize(("watts", "why"), [(50, "its driver takes limits from 100 to 400 W"), (250, "Permissions")])
def test_what_the_driver_refuses_is_not_enforced(machine: Machine, watts: int, why: str) -> None:
    machine.driver.refuses = True
    with pytest.raises(ProviderError) as raised:
        machine.applied(watts)
    assert why in raised.value.why
    assert machine.driver.limits["GPU-0"] == 350_000
    machine.driver.refuses = False
    machine.applied(250).release()
    assert machine.driver.limits["GPU-0"] == 350_000


def test_a_driver_that_rounds_is_believed_by_what_it_says(machine: Machine) -> None:
    machine.driver.step_mw = 40_000
    cap = machine.applied(250)
    assert cap.caps[0].detail.startswith("the driver's limit is 240 W")
    machine.driver.step_mw = 1
    cap.release()
    assert machine.driver.limits["GPU-0"] == 350_000


def test_the_limit_of_an_agent_that_died_comes_back_with_the_next(machine: Machine) -> None:
    machine.kill(machine.applied(250))
    assert machine.driver.limits["GPU-0"] == 250_000
    recover(lambda: machine.driver, machine.folder)
    assert machine.driver.limits["GPU-0"] == 350_000


def test_an_agent_that_died_before_it_set_anything_changes_nothing(machine: Machine) -> None:
    machine.driver.dies_before_setting = True
    cap = machine.cap(250)
    with pytest.raises(Died):
        cap.apply([CARD], False)
    machine.driver.dies_before_setting = False
    machine.driver.limits["GPU-0"] = 300_000
    recover(lambda: machine.driver, machine.folder)
    assert machine.driver.limits["GPU-0"] == 300_000


def test_a_limit_that_somebody_else_has_changed_stays(machine: Machine) -> None:
    cap = machine.applied(250)
    machine.driver.limits["GPU-0"] = 300_000
    cap.check()
    assert not cap.held
    assert cap.caps[0].detail == "the driver's limit is 300 W: somebody has raised it"
    cap.release()
    assert machine.driver.limits["GPU-0"] == 300_000


def test_a_cap_that_stands_again_is_held_again(machine: Machine) -> None:
    cap = machine.applied(250)
    machine.driver.limits["GPU-0"] = 300_000
    cap.check()
    machine.driver.limits["GPU-0"] = 250_000
    cap.check()
    assert cap.held
    cap.release()
    assert machine.driver.limits["GPU-0"] == 350_000


def test_a_card_that_another_agent_limits_is_refused_and_left_to_it(machine: Machine) -> None:
    first = machine.applied(250)
    with pytest.raises(ProviderError, match="can't be held to 200 W") as raised:
        machine.applied(200)
    assert "another agent limits the GPU" in raised.value.why
    assert machine.driver.limits["GPU-0"] == 250_000
    first.release()
    assert machine.driver.limits["GPU-0"] == 350_000


def test_what_could_not_be_given_back_is_kept_and_not_taken_for_the_former_limit(machine: Machine) -> None:
    machine.kill(machine.applied(250))
    machine.driver.refuses = True
    with pytest.raises(ProviderError, match="can't be held to 200 W"):
        machine.applied(200)
    machine.driver.refuses = False
    machine.applied(200).release()
    assert machine.driver.limits["GPU-0"] == 350_000


def test_a_damaged_record_is_told_and_stops_the_cap(machine: Machine) -> None:
    machine.kill(machine.applied(250))
    (machine.folder / "GPU-0.json").write_text("{")
    with pytest.raises(ProviderError) as raised:
        machine.applied(200)
    assert "can't be read" in raised.value.why
    assert machine.driver.limits["GPU-0"] == 250_000


def test_without_a_driver_a_card_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    with pytest.raises(ProviderError) as raised:
        PowerCap(250, Nvml, tmp_path).apply([CARD], False)
    assert "NVML: " in raised.value.why
    assert "Not Found" in raised.value.why


@settings(deadline=None)
@given(
    former=st.integers(LEAST, MOST),
    caps=st.lists(st.tuples(st.integers(50, 450), st.sampled_from(["stops", "dies"])), max_size=6),
)
def test_whatever_agents_do_the_former_limit_is_back_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, former: int, caps: list[tuple[int, str]]
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"), former)
    for watts, end in caps:
        cap = machine.applied(watts, ok=True)
        assert cap.caps[0].enforced is (watts * 1000 >= LEAST)
        if cap.caps[0].enforced:
            assert machine.driver.limits["GPU-0"] == min(watts * 1000, former)
        machine.kill(cap) if end == "dies" else cap.release()
    recover(lambda: machine.driver, machine.folder)
    assert machine.driver.limits["GPU-0"] == former
