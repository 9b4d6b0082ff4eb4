"""Fetch a job and make it ready to run, before any of its tasks is leased."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from candela.artefacts import ArtefactStore
from candela.errors import BundleError
from candela.manifest import MAX_BUNDLE_BYTES, MAX_MANIFEST_BYTES, JobManifest, decode_bundle, decode_manifest
from candela.provider import environment
from candela.provider.devices import LocalDevice
from candela.provider.executor import Executor
from candela.provider.jobs import KnownJob
from candela.provider.logs import TaskLog
from candela.provider.sandbox import Tier


class Prepared(msgspec.Struct):
    """A job with a warm sandbox."""

    job_id: int
    customer: str
    manifest: JobManifest
    executor: Executor
    log: TaskLog

    def serves(self, job: KnownJob, manifest: JobManifest) -> bool:
        """Whether the sandbox can go on with a job: the same customer's, the same code, the same limits."""
        return job.customer == self.customer and _alike(manifest) == _alike(self.manifest)


def _alike(manifest: JobManifest) -> JobManifest:
    """A manifest without what tells apart jobs that run the same code within the same limits."""
    return msgspec.structs.replace(manifest, name="", inputs=[])


def prepare(
    job: KnownJob, store: ArtefactStore, packages: Path, tier: Tier, device: LocalDevice, warm: Prepared | None
) -> Prepared:
    """Fetch, check, install and start; or go on in a sandbox that is warm already.

    Args:
        job: the job.
        store: where its manifest and source are.
        packages: folder for installed requirements.
        tier: the sandbox to use.
        device: what it will run on.
        warm: a sandbox whose job has ended; it is used, or put away.

    Raises:
        ArtefactError: something is missing or not what its hash says.
        BundleError: the manifest or the bundle is malformed, or contradicts the terms on chain.
        RequirementError: its packages can't be provided.
        SandboxError: the sandbox doesn't start.
    """
    try:
        manifest = fetch_manifest(job, store, device)
    except BaseException:
        if warm is not None:
            warm.executor.close()
        raise
    log = TaskLog(store, job.job_id)
    if warm is not None and warm.serves(job, manifest):
        warm.executor.serve(manifest, log.write)
        return Prepared(job.job_id, job.customer, manifest, warm.executor, log)
    if warm is not None:
        warm.executor.close()
    executor = build_executor(manifest, store, packages, tier, device, log.write)
    try:
        executor.warm()
    except BaseException:
        executor.close()
        raise
    return Prepared(job.job_id, job.customer, manifest, executor, log)


def fetch_manifest(job: KnownJob, store: ArtefactStore, device: LocalDevice) -> JobManifest:
    """A job's manifest, held against its terms and this device.

    Raises:
        ArtefactError: it is missing or not what its hash says.
        BundleError: it is malformed, or contradicts the terms on chain.
    """
    manifest = decode_manifest(store.get(job.terms.spec_hash.hex(), MAX_MANIFEST_BYTES))
    _check(manifest, job, device)
    return manifest


def build_executor(
    manifest: JobManifest,
    store: ArtefactStore,
    packages: Path,
    tier: Tier,
    device: LocalDevice,
    on_log: Callable[[bytes], None],
) -> Executor:
    """What runs a job's tasks, with its source and its packages in place.

    Raises:
        ArtefactError: the source is missing or not what its hash says.
        BundleError: it is malformed.
        RequirementError: its packages can't be provided.
    """
    files = decode_bundle(store.get(manifest.source, MAX_BUNDLE_BYTES))
    folder = environment.provide(manifest.requirements, manifest.python, packages)
    return Executor(manifest, files, folder, tier, device, on_log)


def _check(manifest: JobManifest, job: KnownJob, device: LocalDevice) -> None:
    checks = {
        f"it has {len(manifest.inputs)} inputs for {job.terms.task_count} tasks": len(manifest.inputs)
        == job.terms.task_count,
        f"its timeout of {manifest.timeout_seconds} s is longer than the terms' {job.terms.task_timeout} s": (
            manifest.timeout_seconds <= job.terms.task_timeout
        ),
        f"it wants {manifest.memory_bytes >> 20} MiB, the device has {device.memory_bytes >> 20} MiB": (
            manifest.memory_bytes <= device.memory_bytes
        ),
    }
    for reason, holds in checks.items():
        if not holds:
            raise BundleError("the job's manifest does not fit its terms or this device", why=reason)
