"""How the command prints what checks have found."""

import json

import pytest

from candela.cli.output import report
from candela.finding import Finding

PATH = "/var/lib/candela/a-folder-with-hyphens-whose-name-is-longer-than-a-line-of-a-terminal-is-wide"


def test_what_is_needed_and_missing_ends_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    good = [Finding("key", True, "here"), Finding("seat", False, "none", "join", needed=False)]
    report(good, as_json=False)
    assert capsys.readouterr().out == "ok  key: here\n--  seat: none\n    fix: join\n"
    with pytest.raises(SystemExit) as ended:
        report([*good, Finding("node", False, "away", "run it")], as_json=True)
    assert ended.value.code == 1
    assert [each["ok"] for each in json.loads(capsys.readouterr().out)] == [True, False, False]


def test_long_lines_are_wrapped_and_paths_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    report([Finding("folder", True, "word " * 40, f"chmod 700 {PATH}")], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80 and PATH not in line] == []
    assert any(PATH in line for line in lines)
