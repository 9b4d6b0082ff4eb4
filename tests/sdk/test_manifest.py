"""Manifests and bundles: what is collected, and which hostile ones are refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candela import manifest
from candela.errors import BundleError

GOOD = {
    "version": 1,
    "kind": "map",
    "name": "job",
    "module": "work",
    "entry": "run",
    "source": "0" * 64,
    "requirements": ["numpy==2.4.6"],
    "python": "3.11",
    "inputs": ["f" * 64],
    "device": "any",
    "memory_bytes": 1 << 20,
    "timeout_seconds": 10,
    "verify": None,
    "ringer_key": "",
    "output_bytes": 1 << 20,
}


def test_manifest_round_trips() -> None:
    decoded = manifest.decode_manifest(msgpack.packb(GOOD))
    assert manifest.decode_manifest(manifest.encode_manifest(decoded)) == decoded
    assert msgspec.to_builtins(decoded) == GOOD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("kind", "script"),
        ("module", "../evil"),
        ("module", "os; import sys"),
        ("entry", "run()"),
        ("source", "0" * 63),
        ("source", "G" * 64),
        ("inputs", []),
        ("inputs", ["0" * 64, "x"]),
        ("requirements", ["numpy>=2"]),
        ("requirements", ["numpy @ https://example.com/evil.whl"]),
        ("requirements", ["--index-url=https://example.com"]),
        ("requirements", ["a==1"] * 101),
        ("memory_bytes", 0),
        ("memory_bytes", 1 << 60),
        ("timeout_seconds", 0),
        ("timeout_seconds", 10**9),
        ("output_bytes", 1 << 40),
        ("device", "quantum"),
        ("name", "x" * 201),
        ("unknown", 1),
    ],
)
def test_senseless_manifests_are_refused(field: str, value: object) -> None:
    with pytest.raises(BundleError):
        manifest.decode_manifest(msgpack.packb(GOOD | {field: value}))


@given(st.binary(max_size=300))
def test_hostile_bytes_are_no_manifest_and_no_bundle(data: bytes) -> None:
    with pytest.raises(BundleError):
        manifest.decode_manifest(data)
    with contextlib.suppress(BundleError):
        manifest.decode_bundle(data)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../up.py", "a/../../b.py", "", ".", "a//b.py", "./a.py", "a\0.py", "x" * 501, "a/"]
)
def test_paths_that_leave_a_bundle_are_refused(path: str) -> None:
    data = msgpack.packb({path: b""}, use_bin_type=True)
    with pytest.raises(BundleError):
        manifest.decode_bundle(data)
    with pytest.raises(BundleError):
        manifest.encode_bundle({path: b""})


def test_bundles_are_bounded() -> None:
    with pytest.raises(BundleError):
        manifest.decode_bundle(bytes(manifest.MAX_BUNDLE_BYTES + 1))
    with pytest.raises(BundleError):
        manifest.encode_bundle({f"{number}.py": b"" for number in range(manifest.MAX_FILES + 1)})
    with pytest.raises(BundleError):
        manifest.encode_bundle({"a.py": bytes(manifest.MAX_BUNDLE_BYTES + 1)})


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}\.py", fullmatch=True), st.binary(), max_size=5))
def test_bundle_bytes_do_not_depend_on_order(files: dict[str, bytes]) -> None:
    encoded = manifest.encode_bundle(files)
    assert manifest.encode_bundle(dict(reversed(files.items()))) == encoded
    assert manifest.decode_bundle(encoded) == files


def test_local_modules_and_versions_are_collected(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("import json\nimport near\nfrom package import part\nimport numpy\n")
    (tmp_path / "near.py").write_text("import msgpack\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "part.py").write_text("")
    (tmp_path / "unused.py").write_text("raise SystemExit")
    source = manifest.collect(tmp_path / "work.py")
    assert source.module == "work"
    assert sorted(source.files) == ["near.py", "package/__init__.py", "package/part.py", "work.py"]
    names = [each.partition("==")[0] for each in source.requirements]
    assert names == ["msgpack", "numpy"]


def test_modules_of_a_package_keep_their_names(tmp_path: Path) -> None:
    inner = tmp_path / "study" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "study" / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("")
    (inner / "work.py").write_text("from study import near\nfrom . import other\n")
    (tmp_path / "study" / "near.py").write_text("")
    (inner / "other.py").write_text("")
    source = manifest.collect(inner / "work.py")
    assert source.module == "study.inner.work"
    assert {"study/near.py", "study/inner/other.py", "study/inner/work.py"} <= source.files.keys()


def test_what_is_not_installed_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("import no_such_package_here\n")
    with pytest.raises(BundleError, match="no_such_package_here"):
        manifest.collect(tmp_path / "work.py")
    with pytest.raises(BundleError, match="can't be parsed"):
        (tmp_path / "work.py").write_text("def")
        manifest.collect(tmp_path / "work.py")
