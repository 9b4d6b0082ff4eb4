"""Do a task again in a sandbox and judge what its receipt says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from candela import values
from candela.artefacts import ArtefactStore
from candela.chain.audits import Verdict
from candela.chain.market import Market, Outcome
from candela.errors import ArtefactError, Error, SandboxError
from candela.manifest import JobManifest, sha256
from candela.market.comparison import Tolerance
from candela.provider.devices import LocalDevice
from candela.provider.executor import Executor, Finished
from candela.provider.preparation import build_executor, fetch_manifest
from candela.provider.retracing import Retracer, known_job, leaf_of
from candela.provider.sandbox import Tier
from candela.trace import decode_commitment
from candela.values import MAX_BYTES
from candela.verification import Freivalds, Replay, Replicate

MACHINES = Tolerance(rtol=1e-6, atol=1e-12)
"""How far results of honest machines may be apart where the job states nothing: processors sum in other orders."""
_JUDGE_SECONDS = 120
_JUDGE_BYTES = 4 << 30
_READ_PAUSES = (0.5, 2.0, 5.0, 0.0)
_CUT_SHORT = (Outcome.TIMEOUT, Outcome.LIMIT)


class Statement(msgspec.Struct, frozen=True):
    """What a receipt under audit says."""

    job_id: int
    task: int
    outcome: int
    output_hash: bytes
    replay: bool
    """Whether the contract compares hashes itself: then another hash can't be found right."""


class Finding(msgspec.Struct, frozen=True):
    """What an auditor found, and why."""

    verdict: Verdict
    output_hash: bytes
    """SHA-256 of what its own run gave; zero where it gave nothing."""
    reason: str


_NOTHING = bytes(32)


class Examiner:
    """Does tasks of other providers again.

    Args:
        market: tells the jobs' terms.
        store: where their code, inputs and outputs are.
        packages: folder for installed requirements.
        tier: the sandbox to use.
        device: what the tasks run on.
        sleep: waits between tries to read an output.
    """

    def __init__(
        self,
        market: Market,
        store: ArtefactStore,
        packages: Path,
        tier: Tier,
        device: LocalDevice,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._market, self._store, self._packages = market, store, packages
        self._tier, self._device, self._sleep = tier, device, sleep
        self._retracer = Retracer(market, store, packages, tier, device)

    def examine(self, stated: Statement) -> Finding:
        """Judge a receipt; whatever keeps this machine from doing so makes it uncheckable, never false."""
        try:
            manifest = fetch_manifest(known_job(self._market, stated.job_id), self._store, self._device)
            task_input = self._store.get(manifest.inputs[stated.task], MAX_BYTES)
        except Error as error:
            return _uncheckable(error)
        output = self._read(stated.output_hash.hex(), manifest.output_bytes)
        if output is None:
            return Finding(Verdict.WITHHELD, _NOTHING, "nobody can read the output that the receipt names")
        commitment = decode_commitment(output) if manifest.traced and stated.outcome == Outcome.OK else None
        if commitment is not None and self._read(commitment.last.hex(), manifest.output_bytes) is None:
            return Finding(Verdict.WITHHELD, _NOTHING, "nobody can read the last state, which is the result")
        try:
            if isinstance(manifest.verify, Freivalds) and stated.outcome == Outcome.OK:
                return self._multiply(stated, manifest.verify, output, task_input)
            return self._repeat(stated, manifest, output, task_input)
        except Error as error:
            return _uncheckable(error)

    def examine_step(self, job_id: int, task: int, before: bytes | None, claimed: bytes) -> Finding:
        """Judge one step of a traced task; what keeps this machine from doing so makes it uncheckable, never false.

        Args:
            job_id: the job.
            task: the task.
            before: hash of the state that the step begins from, ``None`` for the task's beginning.
            claimed: the leaf that it leads to, as the provider says.
        """
        state = self._read(before.hex(), MAX_BYTES) if before is not None else b""
        if state is None:
            return Finding(Verdict.WITHHELD, _NOTHING, "nobody can read the state before the step")
        try:
            steps = self._retracer.run(job_id, task, state, 1).steps
        except Error as error:
            return _uncheckable(error)
        if steps is None:
            return Finding(Verdict.UNCHECKABLE, _NOTHING, "this machine could not finish the step")
        own = leaf_of(steps)
        if own == claimed:
            return Finding(Verdict.RIGHT, own, "the step leads to the same bytes")
        return Finding(Verdict.WRONG, own, "the step leads to other bytes")

    def _read(self, digest: str, limit_bytes: int) -> bytes | None:
        for pause in _READ_PAUSES:
            try:
                return self._store.get(digest, limit_bytes)
            except ArtefactError:
                self._sleep(pause)
        return None

    def _multiply(self, stated: Statement, policy: Freivalds, output: bytes, task_input: bytes) -> Finding:
        right = self._ask("multiplies", output, task_input, policy.rtol)
        if right is None:
            return Finding(Verdict.UNCHECKABLE, _NOTHING, "the check of the product did not end")
        if right:
            return Finding(Verdict.RIGHT, stated.output_hash, "it is the product, by random vectors")
        return Finding(Verdict.WRONG, _NOTHING, "it is not the product, by random vectors")

    def _repeat(self, stated: Statement, manifest: JobManifest, output: bytes, task_input: bytes) -> Finding:
        executor = build_executor(manifest, self._store, self._packages, self._tier, self._device, lambda _: None)
        try:
            own = executor.run(task_input)
        finally:
            executor.close()
        found = bytes.fromhex(sha256(own.output))
        if found == stated.output_hash:
            return Finding(Verdict.RIGHT, found, "every byte is the same")
        if stated.outcome in _CUT_SHORT or own.outcome in _CUT_SHORT:
            return self._cut_short(stated, manifest, own, found)
        if isinstance(manifest.verify, Replay) and own.outcome == stated.outcome == Outcome.OK:
            return Finding(Verdict.WRONG, found, "the bytes are not the same")
        near = self._near(output, own.output, _tolerance(manifest))
        if near is None:
            return Finding(Verdict.UNCHECKABLE, found, "the results could not be compared")
        if not near:
            return Finding(Verdict.WRONG, found, "the results differ by more than the tolerance")
        if stated.replay:
            return Finding(Verdict.UNCHECKABLE, found, "the results differ as those of two machines may")
        return Finding(Verdict.RIGHT, found, "the results are the same within the tolerance")

    def _cut_short(self, stated: Statement, manifest: JobManifest, own: Finished, found: bytes) -> Finding:
        if own.outcome in _CUT_SHORT:
            return Finding(Verdict.UNCHECKABLE, found, "this machine could not finish the task")
        if stated.outcome == Outcome.TIMEOUT and 2 * own.usage.wall_seconds > manifest.timeout_seconds:
            return Finding(Verdict.UNCHECKABLE, found, "a slower machine may have run out of time")
        reason = f"it was done in {own.usage.wall_seconds:.1f} s within the job's limits, which the receipt denies"
        return Finding(Verdict.WRONG, found, reason)

    def _near(self, output: bytes, own: bytes, tolerance: Tolerance) -> bool | None:
        fields = msgspec.to_builtins(tolerance)
        found = self._ask("matches", output, own, fields)
        if found is None and self._ask("matches", own, own, fields):
            # Reading one's own result works, reading the stated one breaks the reader: nobody would make such a result.
            return False
        return found

    def _ask(self, entry: str, *arguments: object) -> bool | None:
        """What a function of :mod:`candela.market.judgement` says in a sandbox, ``None`` where it says nothing."""
        manifest = JobManifest(
            name="judgement",
            module="candela.market.judgement",
            entry=entry,
            source="",
            requirements=[],
            python="",
            inputs=[],
            memory_bytes=min(self._device.memory_bytes, _JUDGE_BYTES),
            timeout_seconds=_JUDGE_SECONDS,
            output_bytes=1 << 16,
        )
        executor = Executor(manifest, {}, None, self._tier, self._device, lambda _: None)
        try:
            finished = executor.run(values.encode({"args": list(arguments), "kwargs": {}}))
        finally:
            executor.close()
        if finished.outcome != Outcome.OK:
            return None
        answer = values.decode(finished.output, 1 << 16)
        return answer.get("value") is True if isinstance(answer, dict) else None


def _tolerance(manifest: JobManifest) -> Tolerance:
    policy = manifest.verify
    if isinstance(policy, Replicate):
        return Tolerance(rtol=policy.rtol, atol=policy.atol, ulp=policy.ulp)
    return Tolerance() if isinstance(policy, Replay) else MACHINES


def _uncheckable(error: Error) -> Finding:
    reason = f"{error.what} ({error.why})" if error.why else error.what
    kind = "the sandbox failed: " if isinstance(error, SandboxError) else ""
    return Finding(Verdict.UNCHECKABLE, _NOTHING, kind + reason)
