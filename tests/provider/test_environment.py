"""A job's packages come from this machine where the versions agree, else from wheels, never from source."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from candela.errors import RequirementError
from candela.provider import environment

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
NUMPY = f"numpy=={importlib.metadata.version('numpy')}"


def wheel(folder: Path, name: str, version: str) -> None:
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only wheels of this folder can be installed."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return folder


def test_own_packages_are_used_where_they_satisfy(tmp_path: Path) -> None:
    assert environment.unsatisfied([NUMPY]) == []
    assert environment.provide([NUMPY], PYTHON, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_another_version_is_not_satisfied() -> None:
    assert environment.unsatisfied(["numpy==0.0.1", "no-such-package==1"]) == ["numpy==0.0.1", "no-such-package==1"]


def test_wheels_are_installed_once(tmp_path: Path, wheels: Path) -> None:
    wheel(wheels, "lumen", "1.2.3")
    folder = environment.provide(["lumen==1.2.3"], PYTHON, tmp_path / "cache")
    assert folder is not None
    assert (folder / "lumen.py").read_text() == "VERSION = '1.2.3'\n"
    (wheels / "lumen-1.2.3-py3-none-any.whl").unlink()
    assert environment.provide(["lumen==1.2.3"], PYTHON, tmp_path / "cache") == folder


def test_source_distributions_are_never_built(tmp_path: Path, wheels: Path) -> None:
    planted = tmp_path / "planted"
    source = tmp_path / "evil-1.0"
    source.mkdir()
    (source / "setup.py").write_text(
        f"open({str(planted)!r}, 'w')\nfrom setuptools import setup\nsetup(name='evil', version='1.0')\n"
    )
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    subprocess.run(["tar", "czf", wheels / "evil-1.0.tar.gz", "-C", tmp_path, "evil-1.0"], check=True)
    with pytest.raises(RequirementError):
        environment.provide(["evil==1.0"], PYTHON, tmp_path / "cache")
    assert not planted.exists()
    assert not [each for each in (tmp_path / "cache").iterdir() if each.is_dir()]


def test_another_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequirementError, match="needs Python"):
        environment.provide([], "2.7", tmp_path)


def installed(cache: Path, name: str, age: float, size: int = 1000) -> Path:
    folder = cache / name
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(bytes(size))
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder


def test_packages_that_were_not_used_for_longest_go_first(tmp_path: Path) -> None:
    old, held, middle, new = (installed(tmp_path, f"{n}", age) for n, age in enumerate((900, 800, 700, 600)))
    descriptor = environment.hold(held)
    environment.trim(tmp_path, 2_500, keep=new)
    assert [each.exists() for each in (old, held, middle, new)] == [False, True, False, True]
    os.close(descriptor)
    environment.trim(tmp_path, 0, keep=new)
    assert [each.exists() for each in (held, new)] == [False, True]
