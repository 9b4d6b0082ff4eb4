"""Local runs: the same order, values and errors as on a network."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import candela

sys.path.insert(0, str(Path(__file__).parent / "jobs"))
import calls


@pytest.fixture(scope="module", autouse=True)
def run() -> Iterator[Any]:
    with candela.local(workers=2) as run:
        yield run


def test_map_keeps_the_order_of_its_inputs() -> None:
    assert list(calls.square.map(range(6))) == [0, 1, 4, 9, 16, 25]


def test_unordered_map_gives_every_value() -> None:
    assert sorted(calls.square.map(range(6), ordered=False)) == [0, 1, 4, 9, 16, 25]


def test_map_over_nothing_starts_nothing() -> None:
    stream = calls.square.map([])
    assert stream.job is None
    assert list(stream) == []


def test_values_stream_before_all_are_done() -> None:
    stream = calls.sleep.map([0.0, 30.0])
    assert next(stream) == 0.0
    stream.close()


def test_arguments_arrive_with_their_types() -> None:
    arguments = (1, (2, [3]), {4}, b"5", 2**70, 1j, None)
    assert calls.echo.remote(*arguments, name="x") == (arguments, {"name": "x"})
    array = np.arange(6.0).reshape(2, 3)
    assert calls.mean.remote(array).tolist() == [1.5, 2.5, 3.5]
    assert list(calls.echo.starmap([(1, 2), (3,)])) == [((1, 2), {}), ((3,), {})]


def test_of_a_stepwise_function_the_result_is_the_last_state() -> None:
    assert calls.collatz(6) == calls.collatz.remote(6) == {"number": 1, "steps": 8}
    with pytest.raises(ValueError, match="-1 is negative"):
        calls.collatz.remote(-1)
    for call in (calls.collatz, calls.collatz.remote):
        with pytest.raises(ValueError, match="yields at least one state"):
            call(1)


def test_a_trace_is_refused_where_it_could_not_be_disputed() -> None:
    traced = candela.Replay(trace=True)
    with pytest.raises(candela.UsageError, match="no generator"):
        calls.app.function(verify=traced)(lambda state=None: state)

    def forgetful(number: int) -> Iterator[int]:
        yield number

    with pytest.raises(candela.UsageError, match="can't go on from a state"):
        calls.app.function(verify=traced)(forgetful)
    with pytest.raises(candela.UsageError, match="can't ask for a GPU"):
        calls.app.function(verify=traced, device="gpu")
    assert calls.collatz.options.device == "cpu"


def test_plain_call_stays_in_this_process() -> None:
    assert calls.fail("print") == os.getpid()
    assert calls.fail.remote("print") != os.getpid()


def test_spawned_call_is_fetched_later() -> None:
    handles = [calls.square.spawn(number) for number in (5, 6)]
    assert [handle.get(timeout=30) for handle in handles] == [25, 36]
    assert all(handle.done for handle in handles)


def test_waiting_too_briefly_does_not_end_the_call() -> None:
    handle = calls.sleep.spawn(0.5)
    with pytest.raises(TimeoutError):
        handle.get(timeout=0)
    assert handle.get(timeout=30) == 0.5


def test_cancelled_call_tells_so() -> None:
    handle = calls.square.spawn(0)
    handle.cancel()
    with pytest.raises(candela.JobEndedError):
        handle.get(timeout=30)


@pytest.mark.parametrize(("kind", "error"), [("value", ValueError("bad", 7)), ("key", KeyError("missing"))])
def test_builtin_exceptions_come_back_as_themselves(kind: str, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        calls.fail.remote(kind)
    assert caught.value.args == error.args
    assert "in fail" in caught.value.__notes__[0]


@pytest.mark.parametrize("kind", ["own", "exit", "unicode"])
def test_other_exceptions_come_back_in_words(kind: str) -> None:
    expected = UnicodeDecodeError if kind == "unicode" else candela.RemoteError
    with pytest.raises(expected) as caught:
        calls.fail.remote(kind)
    assert "remote traceback" in caught.value.__notes__[0]
    if kind == "own":
        assert "OwnError: mine" in str(caught.value)


def test_result_that_can_not_travel_is_an_error_of_the_task() -> None:
    with pytest.raises(candela.RemoteError, match="can't travel"):
        calls.fail.remote("result")


def test_argument_that_can_not_travel_is_refused_before_anything_starts() -> None:
    with pytest.raises(candela.ValueTypeError, match=r"value\['args'\]\[0\]"):
        calls.echo.remote(object())


def test_timeout_ends_the_task_and_not_the_others() -> None:
    started = time.monotonic()
    stream = calls.sleep.map([0.0, 30.0, 0.1])
    assert next(stream) == 0.0
    with pytest.raises(candela.TaskTimeoutError):
        next(stream)
    assert time.monotonic() - started < 20


def test_process_that_dies_is_a_limit_error_and_the_rest_goes_on() -> None:
    results = calls.die.map(range(5), ordered=False).job.results
    with pytest.raises(candela.TaskLimitError):
        results.get(2, timeout=30)
    assert [results.get(number, timeout=30) for number in (0, 1, 3, 4)] == [0, 1, 3, 4]


def test_task_that_starts_a_job_is_told_why_not() -> None:
    with pytest.raises(candela.RemoteError, match="a task can't start"):
        calls.nested.remote(1)


def test_app_that_runs_inside_of_local_is_local(run: Any) -> None:
    with calls.app.run() as inner:
        assert inner is run
        assert calls.square.remote(3) == 9


def outside(code: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(code))
    root = str(Path(candela.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": root, "XDG_CONFIG_HOME": str(tmp_path)} | environment,
    )


def test_script_without_guard_is_told_to_add_one(tmp_path: Path) -> None:
    done = outside(
        """
        import candela
        app = candela.App("unguarded")
        @app.function()
        def double(x): return 2 * x
        with candela.local():
            print(double.remote(2))
        """,
        tmp_path,
    )
    assert done.returncode != 0
    assert 'if __name__ == "__main__":' in done.stderr


def test_guarded_script_runs_as_main(tmp_path: Path) -> None:
    done = outside(
        """
        import candela
        app = candela.App("guarded")
        @app.function()
        def double(x): return 2 * x
        if __name__ == "__main__":
            with app.run(local=True) as run:
                print(list(double.map(range(3))), run.jobs[0].cost)
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("[0, 2, 4] 0\n", "")


def test_call_outside_of_a_run_says_what_to_do(tmp_path: Path) -> None:
    code = """
        import candela
        app = candela.App("idle")
        @app.function()
        def double(x): return 2 * x
        if __name__ == "__main__":
            {}
        """
    done = outside(code.format("double.remote(1)"), tmp_path)
    assert "CND-103" in done.stderr and "with app.run()" in done.stderr
    done = outside(code.format("app.run().__enter__()"), tmp_path, CANDELA_NETWORK="http://127.0.0.1:1")
    assert "CND-100" in done.stderr and "no known configuration" in done.stderr
    done = outside(code.format("app.run().__enter__()"), tmp_path)
    assert "candela up" in done.stderr


def test_function_inside_a_function_is_refused() -> None:
    @calls.app.function()
    def inner() -> None: ...

    with pytest.raises(candela.BundleError, match="top level"):
        inner.remote()


@pytest.mark.parametrize(
    "options",
    [
        {"device": "tpu"},
        {"timeout": 0},
        {"retries": 256},
        {"memory": "2GB"},
        {"max_price": "0"},
        {"max_price": "-1"},
        {"sandbox": "chroot"},
        {"requirements": "numpy"},
    ],
)
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(candela.UsageError):
        calls.app.function(**options)


def test_importing_candela_is_quick() -> None:
    code = "import sys, candela; print(sorted(m for m in sys.modules if m.startswith('candela')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['candela']"
