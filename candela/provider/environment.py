"""Provide the packages that a job names, from this machine's own or from wheels."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from candela.errors import RequirementError

_INSTALL_SECONDS = 600


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

    Only wheels are taken, so nothing of a package runs while it is installed; the sandbox sees the folder read-only.

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
    return folder


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
        raise RequirementError("the job's packages could not be installed", why=str(error)) from error
    if result.returncode != 0:
        shutil.rmtree(building, ignore_errors=True)
        lines = result.stderr.strip().splitlines()
        raise RequirementError("the job's packages could not be installed", why=" ".join(lines)[-500:])
    building.chmod(0o755)
    building.rename(folder)
