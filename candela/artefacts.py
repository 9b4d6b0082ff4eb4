"""Keep bytes where customers and providers both reach them: a folder, or a bucket; same code."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from candela import _ledger
from candela.chain.account import Account
from candela.errors import ArtefactError

CHUNK_BYTES = 64 << 10
_HASH = re.compile(r"[0-9a-f]{64}")


class Heartbeat(msgspec.Struct):
    """What a provider says about a lease while it works on it."""

    lease_id: int
    at: float
    """Unix time in seconds."""
    running: list[int]
    """Tasks in work."""
    signature: str = ""
    """The operator's over the rest, as hex digits."""

    def digest(self) -> bytes:
        """What is signed."""
        fields = ["candela heartbeat", self.lease_id, self.at, self.running]
        return _ledger.keccak256(json.dumps(fields).encode())


class ArtefactStore:
    """Content by its SHA-256, and the logs and heartbeats of leases.

    Nothing that is read is trusted: content is checked against its hash and bounded before it is fetched.

    Args:
        url: ``file:///folder``, ``memory:///``, ``s3://bucket/prefix``, ``gs://bucket/prefix``, ...
    """

    def __init__(self, url: str) -> None:
        import obstore.store

        self.url = url
        try:
            if urlsplit(url).scheme == "file":
                folder = Path(urlsplit(url).path)
                folder.mkdir(parents=True, exist_ok=True)
                self._store = obstore.store.LocalStore(folder)
            else:
                self._store = obstore.store.from_url(url)
        except Exception as error:
            raise ArtefactError(f"the artefact store {url} can't be opened", why=str(error)) from error

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its SHA-256 as hex digits.

        Raises:
            ArtefactError: it can't be stored, for instance because the disk is full.
        """
        digest = hashlib.sha256(data).hexdigest()
        self._write(_key(digest), data)
        return digest

    def get(self, digest: str, limit_bytes: int) -> bytes:
        """The content with a hash.

        Raises:
            ArtefactError: missing, larger than ``limit_bytes``, or not what the hash says.
        """
        if not _HASH.fullmatch(digest):
            raise ArtefactError(f"{digest!r} is not a SHA-256")
        data = self._read(_key(digest), limit_bytes)
        if hashlib.sha256(data).hexdigest() != digest:
            raise ArtefactError(f"the content stored as {digest} is something else", why="the store was tampered with")
        return data

    def append_log(self, job_id: int, task: int, attempt: int, sequence: int, data: bytes) -> None:
        """Store one chunk of a task's output of at most ``CHUNK_BYTES``."""
        self._write(f"{_log_prefix(job_id, task, attempt)}/{sequence:08d}", data[:CHUNK_BYTES])

    def log(self, job_id: int, task: int, attempt: int, first: int = 0) -> Iterator[bytes]:
        """The chunks of a task's output from number ``first`` on."""
        sequence = first
        while True:
            try:
                yield self._read(f"{_log_prefix(job_id, task, attempt)}/{sequence:08d}", CHUNK_BYTES)
            except ArtefactError:
                return
            sequence += 1

    def beat(self, lease_id: int, running: list[int], account: Account) -> None:
        """Say that a lease's provider is at work, signed by its operator."""
        beat = Heartbeat(lease_id, time.time(), running)
        beat.signature = account.sign_digest(beat.digest()).hex()
        self._write(f"leases/{lease_id}/heartbeat", json.dumps(msgspec.to_builtins(beat)).encode())

    def heartbeat(self, lease_id: int, operator: str) -> Heartbeat | None:
        """The last heartbeat of a lease, ``None`` when there is none that ``operator`` has signed.

        It is informative: only the chain decides whether a lease is alive.
        """
        try:
            beat = msgspec.json.decode(self._read(f"leases/{lease_id}/heartbeat", 1 << 16), type=Heartbeat)
            signer = _ledger.recover(beat.digest(), bytes.fromhex(beat.signature))
        except (ArtefactError, msgspec.MsgspecError, ValueError):
            return None
        return beat if beat.lease_id == lease_id and signer.lower() == operator.lower() else None

    def _write(self, key: str, data: bytes) -> None:
        import obstore

        try:
            obstore.put(self._store, key, data)
        except Exception as error:
            raise ArtefactError(
                f"{len(data)} bytes could not be stored in {self.url}",
                why=str(error),
                fix="free space or choose another store",
            ) from error

    def _read(self, key: str, limit_bytes: int) -> bytes:
        import obstore

        try:
            found = obstore.get(self._store, key)
            size = found.meta["size"]
            if size <= limit_bytes:
                return bytes(found.bytes())
        except Exception as error:
            raise ArtefactError(f"{key} is not in {self.url}", why=str(error)) from error
        raise ArtefactError(f"{key} has {size} bytes", why=f"at most {limit_bytes} are taken")


def _key(digest: str) -> str:
    return f"sha256/{digest[:2]}/{digest}"


def _log_prefix(job_id: int, task: int, attempt: int) -> str:
    return f"logs/{job_id}/{task}/{attempt}"
