"""The store gives back what was put in, or an error; never something else, never too much."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candela.artefacts import CHUNK_BYTES, ArtefactStore
from candela.chain.account import Account
from candela.errors import ArtefactError
from candela.provider.logs import TaskLog


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore((tmp_path / "store").as_uri())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(data=st.binary(max_size=1000))
def test_content_comes_back_by_its_hash(store: ArtefactStore, data: bytes) -> None:
    digest = store.put(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert store.get(digest, len(data)) == data


def test_content_that_was_changed_is_refused(store: ArtefactStore, tmp_path: Path) -> None:
    digest = store.put(b"true")
    (tmp_path / "store" / "sha256" / digest[:2] / digest).write_bytes(b"false")
    with pytest.raises(ArtefactError, match="something else"):
        store.get(digest, 100)


def test_content_beyond_the_limit_is_not_fetched(store: ArtefactStore) -> None:
    digest = store.put(bytes(101))
    with pytest.raises(ArtefactError, match="101 bytes"):
        store.get(digest, 100)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64])
def test_what_is_no_hash_or_unknown_is_an_error(store: ArtefactStore, digest: str) -> None:
    with pytest.raises(ArtefactError):
        store.get(digest, 100)


def test_heartbeats_tell_the_running_tasks(store: ArtefactStore) -> None:
    operator = Account.create()
    assert store.heartbeat(7, operator.address) is None
    store.beat(7, [3], operator)
    beat = store.heartbeat(7, operator.address)
    assert beat is not None
    assert (beat.lease_id, beat.running) == (7, [3])


def test_heartbeats_of_others_do_not_count(store: ArtefactStore, tmp_path: Path) -> None:
    operator, other = Account.create(), Account.create()
    store.beat(7, [3], other)
    assert store.heartbeat(7, operator.address) is None
    store.beat(7, [3], operator)
    (file,) = tmp_path.rglob("heartbeat")
    file.write_bytes(file.read_bytes().replace(b"[3]", b"[4]"))
    assert store.heartbeat(7, operator.address) is None


def test_logs_of_tasks_are_kept_apart_and_in_order(store: ArtefactStore) -> None:
    log = TaskLog(store, 1)
    log.begin(0, 0)
    for letter in b"hello":
        log.write(bytes([letter]))
    log.begin(1, 2)
    log.write(b"x" * (CHUNK_BYTES + 1))
    log.flush()
    assert list(store.log(1, 0, 0)) == [b"hello"]
    assert [len(chunk) for chunk in store.log(1, 1, 2)] == [CHUNK_BYTES, 1]
    assert list(store.log(1, 1, 0)) == []
