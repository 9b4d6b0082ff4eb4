"""A machine that can't prepare a job refuses it with the reason, leaves nothing behind, and goes on."""

from __future__ import annotations

import errno
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from candela.artefacts import ArtefactStore
from candela.chain.market import ANY_DEVICE, JobState, Terms
from candela.errors import ArtefactError
from candela.manifest import JobManifest, encode_bundle, encode_manifest
from candela.provider import slots
from candela.provider.devices import CPU, LocalDevice
from candela.provider.jobs import KnownJob
from candela.provider.sandbox import Tier
from candela.provider.slots import Bench, Slot

DEVICE = LocalDevice(CPU, "test", 1 << 34, 10**9)
CUSTOMER = "0x" + "c1" * 20


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where job folders are made."""
    made = tmp_path / "made"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


@pytest.fixture
def job(tmp_path: Path) -> KnownJob:
    store = ArtefactStore((tmp_path / "store").as_uri())
    source = store.put(encode_bundle({"job.py": b"def main():\n    return 1\n"}))
    manifest = JobManifest(
        name="test",
        module="job",
        entry="main",
        source=source,
        requirements=[],
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        inputs=["0" * 64],
        memory_bytes=1 << 28,
        timeout_seconds=20,
    )
    spec = bytes.fromhex(store.put(encode_manifest(manifest)))
    terms = Terms(spec, 1, 1, 10**14, 10**13, ANY_DEVICE, 0, 0, 3, 20, 60, 60, 2**40)
    return KnownJob(1, CUSTOMER, terms, JobState.OPEN, 0)


@pytest.fixture
def slot(tmp_path: Path, folders: Path) -> Slot:
    facts: dict[str, Any] = {"market": None, "registry": None, "sender": None, "book": None, "settlement": None}
    facts |= {"owner": None, "ringers": None}
    config: Any = SimpleNamespace(data=str(tmp_path / "data"), price=0)
    bench = Bench(config, store=ArtefactStore((tmp_path / "store").as_uri()), tier=Tier.NONE, **facts)
    return Slot(bench, 0, DEVICE)


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_a_refusal_that_leaves_nothing(
    slot: Slot, job: KnownJob, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        assert slot._prepare(job) is None
    assert "No space left" in slot._bench.unsuitable[1]
    assert not slot._bench.suits(1)
    assert list(folders.iterdir()) == []


def test_a_missing_interpreter_is_a_refusal_that_leaves_nothing(
    slot: Slot, job: KnownJob, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("candela.provider.sandbox._interpreter", lambda: "/no/such/python")
    assert slot._prepare(job) is None
    assert slot._bench.unsuitable[1]
    assert list(folders.iterdir()) == []


def test_a_store_that_keeps_failing_is_not_asked_forever(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_REJECT_SECONDS", -1)
    rejections = 0
    while slot._bench.suits(1):
        slot._bench.reject(1, ArtefactError("the source is missing"))
        rejections += 1
        assert rejections < 100
    assert rejections > 1
