"""The committed artefacts are what the sources compile to."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("build", ROOT / "contracts" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


@pytest.mark.parametrize(("name", "folder"), build.CONTRACTS.items())
def test_artefact_equals_compiled_source(name: str, folder: str) -> None:
    source = ROOT / name
    committed = json.loads((ROOT / folder / f"{source.stem}.json").read_text())
    assert json.loads(build.artefact(source)) == committed, "run: make contracts"
