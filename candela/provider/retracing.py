"""Run steps of a traced task again, from what the store keeps."""

from __future__ import annotations

from pathlib import Path

from candela.artefacts import ArtefactStore
from candela.chain.market import JobState, Market
from candela.errors import ProviderError
from candela.provider.devices import LocalDevice
from candela.provider.executor import Finished
from candela.provider.jobs import KnownJob
from candela.provider.preparation import build_executor, fetch_manifest
from candela.provider.sandbox import Tier
from candela.trace import END, RAISED, Steps
from candela.values import MAX_BYTES


def known_job(market: Market, job_id: int) -> KnownJob:
    """A job as the chain knows it."""
    job, terms = market.job(job_id), market.terms(job_id)
    return KnownJob(job_id, job.customer, terms, JobState(job.state), job.next_task)


class Retracer:
    """Runs steps of anybody's tasks, in a sandbox.

    Args:
        market: tells the jobs' terms.
        store: where code, inputs and states are.
        packages: folder for installed requirements.
        tier: the sandbox to use.
        device: what the tasks run on.
    """

    def __init__(self, market: Market, store: ArtefactStore, packages: Path, tier: Tier, device: LocalDevice) -> None:
        self._market, self._store, self._packages = market, store, packages
        self._tier, self._device = tier, device

    def run(self, job_id: int, task: int, state: bytes = b"", limit: int = 0) -> Finished:
        """Run ``limit`` steps of a task, 0 for all, after ``state`` or from its beginning.

        Raises:
            ArtefactError: something of the job can't be read.
            BundleError: the job is malformed.
            ProviderError: it has no trace.
            RequirementError: its packages can't be provided.
            SandboxError: the sandbox doesn't start.
        """
        manifest = fetch_manifest(known_job(self._market, job_id), self._store, self._device)
        if not manifest.traced:
            raise ProviderError(f"job {job_id} has no trace", fix="a committee does its tasks again as a whole")
        task_input = self._store.get(manifest.inputs[task], MAX_BYTES)
        executor = build_executor(manifest, self._store, self._packages, self._tier, self._device, lambda _: None)
        try:
            return executor.step(task_input, state, limit)
        finally:
            executor.close()

    def keep_state(self, job_id: int, task: int, before: bytes, count: int) -> None:
        """Store the state after ``count`` steps, for the committee that does the next one.

        Args:
            job_id: the job.
            task: the task.
            before: the state's hash, as its leaf says; the end of a trace has no state.
            count: steps up to it, at least 1.

        Raises:
            ProviderError: the steps lead to another state here.
        """
        if before in (END, RAISED):
            return
        steps = self.run(job_id, task, limit=count).steps
        if steps is None or steps.leaves[-1:] != [before]:
            raise ProviderError(
                f"the state after {count} steps of task {task} of job {job_id} is not what it was",
                why="the task's steps do not give the same bytes each time on this machine",
            )
        self._store.put(steps.state)


def leaf_of(steps: Steps) -> bytes:
    """The leaf of a single step."""
    if steps.error:
        return RAISED
    return steps.leaves[0] if steps.leaves else END
