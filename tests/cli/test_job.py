"""One small job from `candela run` to its verified receipt."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import COMMAND, DEADLINE, Cli, Up

PROGRAM = """
import candela

app = candela.App("squares", budget="1")


@app.function(device="cpu", memory="256MiB", timeout=20, sandbox="none")
def square(number: int) -> int:
    print(f"squaring {number}")
    return number * number


if __name__ == "__main__":
    with app.run():
        print(list(square.map(range(3))))
"""


@pytest.fixture(scope="module")
def job(network: tuple[Up, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> int:
    """The number of a job that has run."""
    program = tmp_path_factory.mktemp("program") / "squares.py"
    program.write_text(PROGRAM)
    done = cli("run", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[0, 1, 4]"
    (row,) = json.loads(cli("ps", "--json").stdout)
    assert (row["state"], row["tasks"], row["settled"]) == ("settled", 3, 3)
    return row["job_id"]


def test_tables_with_rows_fit_80_columns(cli: Cli, job: int) -> None:
    for command in (
        ("ps",),
        ("spend",),
        ("quote",),
        ("quote", "--verify", "replay:0.1"),
        ("dispute", job, 0, "--dry-run"),
    ):
        done = cli(*map(str, command))
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) > 1
        assert max(map(len, lines)) <= 80


def test_spend_names_the_job(cli: Cli, job: int) -> None:
    spent = json.loads(cli("spend", "--json").stdout)
    own = next(each for each in spent["jobs"] if each["job_id"] == job)
    assert int(own["cost_nit"]) > 0
    assert int(spent["total_nit"]) == sum(int(each["cost_nit"]) for each in spent["jobs"])


def test_spend_ranks_providers_by_joules_per_result(cli: Cli, job: int) -> None:
    ranked = json.loads(cli("spend", "--energy", "--json").stdout)
    (provider,) = next(each for each in ranked if each["job_id"] == job)["providers"]
    assert provider["results"] == 3
    assert sum(provider["methods"].values()) == 3
    assert set(provider["methods"]) <= {"rapl", "estimate"}, "a CPU has no other counter"


def test_audits_tell_whether_a_lie_would_have_paid(cli: Cli, job: int) -> None:
    done = cli("audits", str(job))
    assert (done.returncode, done.stdout.strip()) == (0, "no audits")
    assert "no task is drawn" in done.stderr
    assert json.loads(cli("audits", "--json").stdout) == []
    unknown = cli("audits", "999999")
    assert (unknown.returncode, "CND-100" in unknown.stderr) == (2, True)


def test_a_dispute_that_makes_no_sense_is_refused(cli: Cli, job: int) -> None:
    for number, task in ((999999, 0), (job, 3)):
        done = cli("dispute", str(number), str(task))
        assert (done.returncode, "CND-100" in done.stderr) == (2, True), done.stderr
    planned = json.loads(cli("dispute", str(job), "0", "--dry-run", "--json").stdout)
    assert int(planned["fee_nit"]) > 3 * 10**14
    assert "lying does not pay" in planned["deterrence"]
    assert "transaction" not in planned


def test_logs_are_what_the_tasks_printed(cli: Cli, job: int) -> None:
    assert sorted(cli("logs", str(job)).stdout.split("\n")[:3]) == [
        f"{number}: squaring {number}" for number in range(3)
    ]


def test_a_receipt_verifies_until_it_is_changed(cli: Cli, job: int, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    assert cli("receipt", str(job), "--out", path).returncode == 0
    assert cli("verify", path).returncode == 0
    document = json.loads(path.read_text())
    facts = [("receipt", "price"), ("receipt", "output_hash"), ("proof", "transaction")]
    for part, name in facts:
        value = document[part][name]
        path.write_text(
            json.dumps(document | {part: document[part] | {name: value[:-1] + ("1" if value[-1] == "0" else "0")}})
        )
        refused = cli("verify", path)
        assert refused.returncode == 1, name
        assert "Traceback" not in refused.stderr


def test_a_dry_run_refunds_nothing_and_cancel_does(
    cli: Cli, job: int, network: tuple[Up, dict[str, Any]], tmp_path: Path
) -> None:
    program = tmp_path / "sleeper.py"
    program.write_text(PROGRAM.replace("return number * number", "import time; time.sleep(19)"))
    running = subprocess.Popen(
        [*COMMAND, "run", str(program)], env=network[0].environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + DEADLINE
        while not (rows := json.loads(cli("ps", "--running", "--json").stdout)):
            assert time.monotonic() < deadline
        (row,) = rows
        number = str(row["job_id"])
        planned = json.loads(cli("cancel", number, "--dry-run", "--json").stdout)
        assert "transaction" not in planned
        assert json.loads(cli("ps", "--running", "--json").stdout)[0]["job_id"] == row["job_id"]
        assert cli("cancel", number).returncode == 0
        assert json.loads(cli("ps", "--running", "--json").stdout) == []
        _, errors = running.communicate(timeout=DEADLINE)
        assert running.returncode == 1
        assert b"CND-" in errors
    finally:
        running.kill()
        running.wait()
    again = cli("cancel", number)
    assert again.returncode == 2
    assert "has ended already" in again.stderr
