"""Provide the packages that a job names, from this machine's own or from wheels."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from candela.errors import RequirementError

_INSTALL_SECONDS = 600
_CACHE_BYTES = 20 << 30
"""Most bytes of installed packages that are kept; those that no job has used for longest go first."""


_FRESH_SECONDS = 60
"""What was provided so lately may not be held yet by whoever asked for it."""


def installer() -> str | None:
    """The program that installs wheels: beside this Python, else on the path."""
    own = Path(sys.executable).parent / "uv"
    return str(own) if own.exists() else shutil.which("uv")


def unsatisfied(requirements: list[str]) -> list[str]:
    """Those of ``requirements`` (``name==version``) that this machine's own packages don't satisfy exactly."""
    missing = []
    for requirement in requirements:
        name, _, version = requirement.partition("==")
        try:
            installed = importlib.metadata.version(name.partition("[")[0])
        except importlib.metadata.PackageNotFoundError:
            installed = None
        if installed is None or (version and installed != version):
            missing.append(requirement)
    return missing


def provide(requirements: list[str], python: str, cache: Path) -> Path | None:
    """A folder with the packages, or ``None`` when this machine's own satisfy them all.

    Guaranteed: only wheels are taken, so no ``setup.py`` or build backend of a package ever runs on this machine
    outside of a sandbox; an installation ends after ten minutes; the sandbox sees the folder read-only; the cache is
    held below a bound by removing what has not been used for longest, except what a running agent holds.

    Raises:
        RequirementError: another Python, or a package without a wheel for this machine.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python != own:
        raise RequirementError(f"the job needs Python {python}, this provider has {own}")
    if not unsatisfied(requirements):
        return None
    key = hashlib.sha256("\n".join([own, *sorted(requirements)]).encode()).hexdigest()
    folder = cache / key
    cache.mkdir(parents=True, exist_ok=True)
    # Two agents on one machine must not build the same folder at once.
    with (cache / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(requirements, folder)
            (cache / f"{key}.size").write_text(str(_size(folder)))
        _touch(folder)
    trim(cache, _CACHE_BYTES, keep=folder)
    return folder


def trim(cache: Path, limit_bytes: int, keep: Path) -> None:
    """Remove packages, least recently used first, until the rest has at most ``limit_bytes``.

    Args:
        cache: the folder of all of them.
        limit_bytes: what may stay.
        keep: never removed.
    """
    folders = sorted((each for each in cache.iterdir() if each.is_dir() and not each.suffix), key=_used)
    sizes = {each: _known_size(each) for each in folders}
    total = sum(sizes.values())
    for folder in folders:
        if total <= limit_bytes:
            return
        if folder != keep and _used(folder) < time.time() - _FRESH_SECONDS and _remove(folder):
            total -= sizes[folder]


def hold(folder: Path) -> int:
    """Keep an installation from being removed until the returned descriptor is closed."""
    held = os.open(folder.with_suffix(".use"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def _remove(folder: Path) -> bool:
    """Remove an installation unless somebody holds it."""
    with folder.with_suffix(".use").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".size").unlink(missing_ok=True)
    return True


def _touch(folder: Path) -> None:
    os.utime(folder)


def _used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _known_size(folder: Path) -> int:
    try:
        return int(folder.with_suffix(".size").read_text())
    except (OSError, ValueError):
        return _size(folder)


def _size(folder: Path) -> int:
    return sum(each.lstat().st_size for each in folder.rglob("*") if each.is_file())


def _install(requirements: list[str], folder: Path) -> None:
    building = folder.with_suffix(".building")
    shutil.rmtree(building, ignore_errors=True)
    command = [installer() or "uv", "pip", "install", "--quiet", "--only-binary", ":all:", "--python", sys.executable]
    try:
        result = subprocess.run(
            [*command, "--target", str(building), *requirements],
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
            env={**os.environ, "UV_NO_PROGRESS": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(building, ignore_errors=True)
        raise RequirementError("the job's packages could not be installed", why=str(error)) from error
    if result.returncode != 0:
        shutil.rmtree(building, ignore_errors=True)
        lines = result.stderr.strip().splitlines()
        raise RequirementError("the job's packages could not be installed", why=" ".join(lines)[-500:])
    building.chmod(0o755)
    building.rename(folder)
