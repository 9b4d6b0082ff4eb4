"""A prover in another process does what one in this process does, and its end loses nothing that was done."""

from __future__ import annotations

import os
import signal
import time
from threading import Event, Timer

import pytest

from candela.errors import DeviceBusyError, IntensityError
from candela.intensity import C1, Context, Prover, drawn, verify
from candela.intensity.remote import RemoteProver

LATER = b"\x55" * 32


@pytest.fixture
def remote():
    prover = RemoteProver("cpu", C1)
    yield prover
    prover.release()


def test_its_windows_are_those_of_a_prover_here(context: Context, remote: RemoteProver) -> None:
    assert remote.start().rate > 0
    window = remote.prove(context, 9)
    assert window.roots == Prover().prove(context, 9).roots
    verify(context, window.commitment(), LATER, window.open(drawn(context, window.commitment(), LATER)))


def test_a_stop_ends_it_soon_and_finished_units_count(context: Context, remote: RemoteProver) -> None:
    whole, stop = Context(1, context.contract, C1, context.beacon, context.provider, 0), Event()
    remote.start()
    Timer(1.0, stop.set).start()
    began = time.monotonic()
    window = remote.prove(whole, 1 << 16, stop)
    assert time.monotonic() - began < 4
    assert 0 < window.units < 1 << 16
    assert remote.prove(context, 2).units == 2, "it goes on with other work"


def test_a_window_outlives_the_process_that_did_it(context: Context, remote: RemoteProver) -> None:
    roots = list(remote.prove(context, 5).roots)
    remote.release()
    window = RemoteProver("cpu", C1).window(context, roots)
    verify(context, window.commitment(), LATER, window.open(drawn(context, window.commitment(), LATER)))


def test_a_killed_process_is_an_error_and_the_next_proof_starts_another(context: Context, remote: RemoteProver) -> None:
    remote.start()
    assert remote._process is not None
    os.kill(remote._process.pid, signal.SIGKILL)
    remote._process.wait()
    assert remote.prove(context, 1).units == 1
    Timer(0.5, lambda: os.kill(remote._process.pid, signal.SIGKILL)).start()  # pyright: ignore
    whole = Context(1, context.contract, C1, context.beacon, context.provider, 0)
    with pytest.raises(DeviceBusyError, match="has ended"):
        remote.prove(whole, 1 << 16)


def test_a_device_that_is_not_there_is_refused_with_a_reason() -> None:
    prover = RemoteProver("cuda:77", C1)
    with pytest.raises(IntensityError) as caught:
        prover.start()
    assert caught.value.fix


def test_units_of_other_results_are_not_shown(context: Context) -> None:
    window = Prover().window(context, [b"\x01" * 32])
    with pytest.raises(IntensityError, match="can't be shown"):
        window.open([0])
    with pytest.raises(IndexError, match="not a tile"):
        window.open([context.profile.tiles])
