"""``candela up`` starts once, ends with all of its processes, and keeps its blocks."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from candela.chain.client import Client

from .conftest import COMMAND, DEADLINE, Up


def family(up: Up) -> list[psutil.Process]:
    return psutil.Process(up.process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE)
    alive = [each for each in alive if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert alive == []


def test_ready_is_one_line_with_what_a_client_needs(network: tuple[Up, dict[str, Any]]) -> None:
    _, ready = network
    assert {"rpc", "ws", "chain_id", "accounts", "providers", "validators"} <= ready.keys()
    assert all({"address", "private_key"} <= each.keys() for each in ready["accounts"])
    assert len(ready["providers"]) == 1
    assert Client(ready["rpc"]).balance(ready["accounts"][1]["address"]) > 0


def test_taken_port_is_named_even_with_the_same_folder(network: tuple[Up, dict[str, Any]]) -> None:
    up, ready = network
    port = ready["rpc"].rpartition(":")[2].strip("/")
    command = [*COMMAND, "up", "--port", port, "--data", str(up.data)]
    done = subprocess.run(command, capture_output=True, text=True, env=up.environment, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert "CND-203" in done.stderr
    assert port in done.stderr
    assert "--port" in done.stderr


def test_same_folder_on_another_port_is_refused(network: tuple[Up, dict[str, Any]]) -> None:
    up, _ = network
    command = [*COMMAND, "up", "--port", "0", "--data", str(up.data)]
    done = subprocess.run(command, capture_output=True, text=True, env=up.environment, timeout=DEADLINE, check=False)
    assert (done.returncode, "CND-204" in done.stderr) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_restart_after_a_signal_goes_on_from_the_same_head(tmp_path: Path, number: int) -> None:
    first = Up(tmp_path, "--port", "0", "--providers", "1")
    try:
        client = Client(first.ready()["rpc"])
        children = family(first)
        assert children
    finally:
        head = client.call("eth_getBlockByNumber", "latest", False)
        os.kill(first.process.pid, number)
        first.stop(number)
    assert_gone(children)
    second = Up(tmp_path, "--port", "0", "--providers", "0")
    try:
        client = Client(second.ready()["rpc"])
        assert int(head["number"], 16) > 0
        assert client.call("eth_getBlockByNumber", head["number"], False) == head
    finally:
        second.stop()


def providers(up: Up) -> list[psutil.Process]:
    alive = [each for each in family(up) if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in alive if "provider" in each.cmdline() and "start" in each.cmdline()]


def test_a_dead_provider_is_reported_and_started_again(tmp_path: Path) -> None:
    up = Up(tmp_path, "--port", "0", "--providers", "1")
    try:
        up.ready()
        (provider,) = providers(up)
        provider.kill()
        deadline = time.monotonic() + DEADLINE
        while "provider 0 ended with status -9" not in up.errors.read_text() or not providers(up):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "starting it again" in up.errors.read_text()
    finally:
        up.stop()


def test_a_signal_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    up = Up(tmp_path, "--port", "0", "--providers", "2")
    deadline = time.monotonic() + DEADLINE
    while not (children := family(up)):
        assert time.monotonic() < deadline
    up.stop(signal.SIGTERM)
    assert up.process.returncode != 0
    assert_gone(children)
    assert "Traceback" not in up.errors.read_text()


def test_kill_leaves_nothing_running(tmp_path: Path) -> None:
    up = Up(tmp_path, "--port", "0", "--providers", "1")
    try:
        up.ready()
        children = family(up)
        assert children
    finally:
        up.process.kill()
        up.stop()
    assert_gone(children)


def test_default_network_of_another_running_network_is_kept(network: tuple[Up, dict[str, Any]], tmp_path: Path) -> None:
    up, ready = network
    environment = {**up.environment}
    default = Path(environment["XDG_CONFIG_HOME"]) / "candela" / "network.json"
    before = default.read_text()
    assert ready["rpc"] in before
    other = Up.__new__(Up)
    other.data, other.environment, other.errors = tmp_path / "data", environment, tmp_path / "up.err"
    with other.errors.open("ab") as errors:
        other.process = subprocess.Popen(
            [*COMMAND, "up", "--json", "--port", "0", "--providers", "0", "--data", str(other.data)],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
    try:
        other.ready()
    finally:
        other.stop()
    assert default.read_text() == before
    assert "another running network" in other.errors.read_text()


def test_four_validators_start_and_end_with_it(tmp_path: Path) -> None:
    up = Up(tmp_path, "--port", "0", "--providers", "0", "--validators", "4")
    try:
        ready = up.ready()
        assert len({each["http"] for each in ready["validators"]}) == 4
        assert ready["validators"][0]["http"] == ready["rpc"]
        children = family(up)
        assert len(children) >= 4
    finally:
        up.stop()
    assert_gone(children)
