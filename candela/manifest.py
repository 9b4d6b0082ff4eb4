"""What a job is made of: its manifest, and the bundle of source files that it runs."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgpack
import msgspec

from candela.errors import BundleError
from candela.verification import Freivalds, Replay, Replicate

VERSION = 1
MAX_BUNDLE_BYTES = 32 << 20
MAX_MANIFEST_BYTES = 64 << 20
MAX_FILES = 1_000
MAX_REQUIREMENTS = 100

_HASH = r"^[0-9a-f]{64}$"
_REQUIREMENT = r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?(==[A-Za-z0-9.+!_-]+)?$"
_NAME = r"^[A-Za-z_][A-Za-z0-9_.]*$"

Hash = msgspec.Meta(pattern=_HASH)


class JobManifest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything a provider must know to run a job; its SHA-256 is the job's ``spec_hash`` on chain."""

    version: Literal[1] = VERSION
    kind: Literal["map"] = "map"
    name: str
    module: str
    """Name of the module in the bundle, for instance ``ising``."""
    entry: str
    """Qualified name of the function in the module."""
    source: str
    """SHA-256 of the bundle."""
    requirements: list[str]
    """Packages with exact versions, as ``name==version``."""
    python: str
    """Major and minor version, as ``3.11``."""
    inputs: list[str]
    """SHA-256 of each task's encoded arguments."""
    device: Literal["any", "cpu", "gpu"] = "any"
    memory_bytes: int
    timeout_seconds: int
    output_bytes: int = 64 << 20
    """Most bytes of one encoded result."""
    verify: Replicate | Replay | Freivalds | None = None
    """How auditors judge results; what a tolerance is can't be changed after the fact."""
    ringer_key: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    """X25519 key by which providers tell the customer which task is a ringer; empty where none is wanted."""

    @property
    def traced(self) -> bool:
        """Whether providers commit to every state that a task goes through."""
        return isinstance(self.verify, Replay) and self.verify.trace


def encode_manifest(manifest: JobManifest) -> bytes:
    """The manifest's bytes."""
    return msgspec.msgpack.encode(manifest)


def decode_manifest(data: bytes) -> JobManifest:
    """Read and check a manifest that may come from anybody.

    Raises:
        BundleError: it is malformed or asks for something senseless.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"a manifest of {len(data)} bytes was refused", why=f"at most {MAX_MANIFEST_BYTES} are taken")
    try:
        manifest = msgspec.msgpack.decode(data, type=JobManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError("a job's manifest could not be read", why=str(error)) from error
    _check(manifest)
    return manifest


def _check(manifest: JobManifest) -> None:
    hashes = [manifest.source, *manifest.inputs]
    checks = {
        "a hash is not 64 lower-case hex digits": all(re.match(_HASH, each) for each in hashes),
        "it has no tasks": bool(manifest.inputs),
        "a requirement is not name==version": all(re.match(_REQUIREMENT, each) for each in manifest.requirements),
        "it has too many requirements": len(manifest.requirements) <= MAX_REQUIREMENTS,
        "the module or entry is not a Python name": all(re.match(_NAME, n) for n in (manifest.module, manifest.entry)),
        "the name is too long": len(manifest.name) <= 200,
        "the memory is out of range": 0 < manifest.memory_bytes <= 1 << 46,
        "the timeout is out of range": 0 < manifest.timeout_seconds <= 7 * 24 * 3600,
        "the output limit is out of range": 0 < manifest.output_bytes <= 1 << 30,
    }
    for reason, holds in checks.items():
        if not holds:
            raise BundleError("a job's manifest was refused", why=reason)


def sha256(data: bytes) -> str:
    """SHA-256 as hex digits."""
    return hashlib.sha256(data).hexdigest()


def encode_bundle(files: dict[str, bytes]) -> bytes:
    """The bytes of a bundle: relative POSIX paths to contents, in a fixed order.

    Raises:
        BundleError: a path leaves the bundle, or there is too much.
    """
    _check_files(files)
    return bytes(msgpack.packb({name: files[name] for name in sorted(files)}, use_bin_type=True) or b"")


def decode_bundle(data: bytes) -> dict[str, bytes]:
    """The files of a bundle that may come from anybody.

    Raises:
        BundleError: malformed, too large, or with paths that leave it.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f"a bundle of {len(data)} bytes was refused", why=f"at most {MAX_BUNDLE_BYTES} are taken")
    try:
        files = msgspec.msgpack.decode(data, type=dict[str, bytes])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError("a bundle could not be read", why=str(error)) from error
    _check_files(files)
    return files


def _check_files(files: dict[str, bytes]) -> None:
    if len(files) > MAX_FILES:
        raise BundleError(f"a bundle of {len(files)} files was refused", why=f"at most {MAX_FILES} are taken")
    for name in files:
        path = PurePosixPath(name)
        unsafe = path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name or str(path) != name
        unsafe |= any(len(part.encode()) > 255 for part in path.parts)
        unsafe |= any(str(parent) in files for parent in path.parents)
        if unsafe or len(name) > 500:
            raise BundleError(f"the path {name!r} in a bundle was refused", why="paths must stay inside the bundle")
    size = sum(map(len, files.values()))
    if size > MAX_BUNDLE_BYTES:
        raise BundleError(f"the source files take {size} bytes", why=f"at most {MAX_BUNDLE_BYTES} travel with a job")


class Source(msgspec.Struct):
    """A module with the local modules that it imports, and the packages that they name."""

    module: str
    files: dict[str, bytes]
    requirements: list[str]


def collect(path: Path, extra: tuple[str, ...] = ()) -> Source:
    """Collect the module at ``path``, the modules beside it that it imports, and the versions of its packages.

    Args:
        path: the Python file that defines the function.
        extra: further packages, as ``name`` (the installed version is taken) or ``name==version``.

    Raises:
        BundleError: a file can't be read or parsed, or a package is not installed here.
    """
    root, files, packages = _root(path), {}, set()
    module = path.relative_to(root).with_suffix("").parts
    pending = [path, *(_local(root, module[0]) if len(module) > 1 else [])]
    while pending:
        current = pending.pop()
        name = current.relative_to(root).as_posix()
        if name in files:
            continue
        files[name] = _read(current)
        for imported in _imports(files[name], current):
            # The provider brings candela itself: what runs in the sandbox is its worker.
            local = _local(root, imported) if imported != "candela" else []
            if local:
                pending += local
            elif imported != "candela" and imported not in sys.stdlib_module_names:
                packages.add(imported)
    named = {re.split(r"[\[=]", each, maxsplit=1)[0].lower().replace("_", "-"): each for each in extra}
    requirements = {distribution: f"{distribution}=={version}" for distribution, version in _distributions(packages)}
    requirements |= {name: each if "==" in each else _pinned(each) for name, each in named.items()}
    return Source(module=".".join(module), files=files, requirements=sorted(requirements.values()))


def _root(path: Path) -> Path:
    """The folder from which the module at ``path`` is imported: above its packages, if it is in one."""
    root = path.parent
    while (root / "__init__.py").is_file() and root.parent != root:
        root = root.parent
    return root


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} can't be read", why=str(error)) from error


def _imports(source: bytes, path: Path) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise BundleError(f"{path} can't be parsed", why=str(error)) from error
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def _local(root: Path, module: str) -> list[Path]:
    file, package = root / f"{module}.py", root / module
    if file.is_file():
        return [file]
    if (package / "__init__.py").is_file():
        return sorted(package.rglob("*.py"))
    return []


@cache
def _owners() -> Mapping[str, list[str]]:
    # Reads the metadata of every installed package.
    return importlib.metadata.packages_distributions()


def _distributions(packages: set[str]) -> list[tuple[str, str]]:
    owners = _owners() if packages else {}
    found = []
    for package in sorted(packages):
        for distribution in owners.get(package, [])[:1]:
            found.append((distribution.lower().replace("_", "-"), importlib.metadata.version(distribution)))
        if package not in owners and importlib.util.find_spec(package) is None:
            raise BundleError(
                f"the package {package} is not installed here, so its version is not known",
                fix=f"pip install {package}, or name it: requirements=['{package}==VERSION']",
            )
    return found


def _pinned(name: str) -> str:
    try:
        return f"{name}=={importlib.metadata.version(re.split(r'[[=]', name, maxsplit=1)[0])}"
    except importlib.metadata.PackageNotFoundError as error:
        raise BundleError(
            f"the package {name} is not installed here, so its version is not known",
            fix=f"name the version: requirements=['{name}==VERSION']",
        ) from error
