"""An auditor tells right from false, withheld and uncheckable, whatever the receipt and the store say."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from candela import values
from candela.artefacts import ArtefactStore
from candela.chain.audits import Verdict
from candela.chain.market import ANY_DEVICE, Job, JobState, Outcome, Terms
from candela.manifest import JobManifest, encode_bundle, encode_manifest
from candela.provider.devices import CPU, LocalDevice
from candela.provider.examination import Examiner, Statement
from candela.provider.sandbox import probe
from candela.trace import END, RAISED, commit
from candela.verification import Freivalds, Replay, Replicate, Verification

SOURCE = """
import itertools
def third(number): return number / 3
def product(a, b): return a @ b
def fail(number): raise ValueError(number)
def hang(number):
    for _ in itertools.count(): pass
def grow(number): return bytearray(1 << 40)
def count(end, state=None):
    state = state or 0
    while state < end:
        state += 1
        if state == 7: hang(state)
        yield state
    if end == 5: raise ValueError(end)
"""


class Job1:
    """A market with one job, and the store with what belongs to it."""

    def __init__(self, folder: Path, entry: str, policy: Verification | None, *arguments: object) -> None:
        self.store = ArtefactStore(folder.as_uri())
        manifest = JobManifest(
            name="test",
            module="job",
            entry=entry,
            source=self.store.put(encode_bundle({"job.py": SOURCE.encode()})),
            requirements=[],
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            inputs=[self.store.put(values.encode({"args": list(arguments), "kwargs": {}}))],
            memory_bytes=1 << 30,
            timeout_seconds=2,
            verify=policy,
        )
        spec = bytes.fromhex(self.store.put(encode_manifest(manifest)))
        self._terms = Terms(spec, 1, 1, 1, 1, ANY_DEVICE, 0, 0, 0, 2, 10, 10, 2**40)
        device = LocalDevice(CPU, "cpu", 4 << 30, 1)
        packages = folder / "packages"
        self.examiner = Examiner(self, self.store, packages, probe().tier, device, lambda _: None)  # type: ignore[arg-type]

    def job(self, _job_id: int) -> Job:
        return Job("0x" + "11" * 20, JobState.OPEN, 0, 1, 1, 0)

    def terms(self, _job_id: int) -> Terms:
        return self._terms

    def verdict(
        self, stated: object, outcome: Outcome = Outcome.OK, replay: bool = False, key: str = "value"
    ) -> Verdict:
        """What the examiner says of a receipt that states this value."""
        digest = bytes.fromhex(self.store.put(values.encode({key: stated})))
        return self.examiner.examine(Statement(1, 0, outcome, digest, replay)).verdict


def test_right_and_false_results_are_told_apart(tmp_path: Path) -> None:
    strict = Job1(tmp_path, "third", Replay(), 1.0)
    assert strict.verdict(1 / 3, replay=True) is Verdict.RIGHT
    assert strict.verdict(0.3333333333333334, replay=True) is Verdict.WRONG
    within = Job1(tmp_path, "third", Replicate(rtol=1e-9), 1.0)
    assert within.verdict(0.3333333333333334) is Verdict.RIGHT
    assert within.verdict(0.3334) is Verdict.WRONG


def test_machines_of_jobs_without_policy_may_differ_a_little(tmp_path: Path) -> None:
    job = Job1(tmp_path, "third", None, 1.0)
    assert job.verdict(0.3333333333333334, replay=True) is Verdict.UNCHECKABLE
    assert job.verdict(0.34, replay=True) is Verdict.WRONG


def test_unreadable_output_is_withheld_and_missing_code_is_not_the_providers_fault(tmp_path: Path) -> None:
    job = Job1(tmp_path, "third", Replay(), 1.0)
    assert job.examiner.examine(Statement(1, 0, 0, b"\1" * 32, True)).verdict is Verdict.WITHHELD
    job._terms.spec_hash = b"\2" * 32
    assert job.verdict(1 / 3) is Verdict.UNCHECKABLE


def test_a_result_that_breaks_its_reader_is_false(tmp_path: Path) -> None:
    job = Job1(tmp_path, "third", Replicate(rtol=0.1), 1.0)
    digest = bytes.fromhex(job.store.put(b"\x81\xa5value" + b"\x91" * 200_000 + b"\x01"))
    assert job.examiner.examine(Statement(1, 0, 0, digest, False)).verdict is Verdict.WRONG


def test_limits_that_were_not_run_into_are_a_lie(tmp_path: Path) -> None:
    job = Job1(tmp_path, "third", Replay(), 1.0)
    for outcome in (Outcome.TIMEOUT, Outcome.LIMIT):
        assert job.verdict({"type": "x"}, outcome, replay=True, key="error") is Verdict.WRONG


@pytest.mark.parametrize("entry", ["hang", "grow"])
def test_who_can_not_finish_a_task_judges_nobody(tmp_path: Path, entry: str) -> None:
    job = Job1(tmp_path, entry, Replay(), 1)
    assert job.verdict(5, replay=True) is Verdict.UNCHECKABLE


def test_exceptions_are_results(tmp_path: Path) -> None:
    job = Job1(tmp_path, "fail", Replay(), 3)
    error = {"type": "ValueError", "message": "3", "arguments": values.encode([3]), "traceback": "elsewhere"}
    assert job.verdict(error, Outcome.USER_ERROR, key="error") is Verdict.RIGHT
    assert job.verdict(error | {"message": "4"}, Outcome.USER_ERROR, key="error") is Verdict.WRONG
    assert job.verdict(9.0) is Verdict.WRONG


def test_products_are_checked_without_being_computed(tmp_path: Path) -> None:
    a = np.arange(12.0).reshape(3, 4)
    job = Job1(tmp_path, "product", Freivalds(), a, a.T)
    assert job.verdict(a @ a.T) is Verdict.RIGHT
    assert job.verdict(np.zeros((3, 3))) is Verdict.WRONG


def leaf(state: int) -> bytes:
    return hashlib.sha256(values.encode(state)).digest()


def test_a_step_is_judged_by_the_state_before_it(tmp_path: Path) -> None:
    job = Job1(tmp_path, "count", Replay(trace=True), 3)
    for state in range(1, 4):
        job.store.put(values.encode(state))
    step = job.examiner.examine_step
    assert step(1, 0, None, leaf(1)).verdict is Verdict.RIGHT
    assert step(1, 0, leaf(2), leaf(3)).verdict is Verdict.RIGHT
    found = step(1, 0, leaf(2), leaf(4))
    assert (found.verdict, found.output_hash) == (Verdict.WRONG, leaf(3))
    assert step(1, 0, leaf(3), END).verdict is Verdict.RIGHT
    assert step(1, 0, leaf(3), leaf(4)).output_hash == END
    assert step(1, 0, leaf(9), leaf(10)).verdict is Verdict.WITHHELD


def test_a_step_that_raises_or_does_not_end_is_told_from_a_false_one(tmp_path: Path) -> None:
    raising = Job1(tmp_path / "raising", "count", Replay(trace=True), 5)
    raising.store.put(values.encode(5))
    found = raising.examiner.examine_step(1, 0, leaf(5), leaf(6))
    assert (found.verdict, found.output_hash) == (Verdict.WRONG, RAISED)
    assert raising.examiner.examine_step(1, 0, leaf(5), RAISED).verdict is Verdict.RIGHT
    hanging = Job1(tmp_path / "hanging", "count", Replay(trace=True), 9)
    hanging.store.put(values.encode(6))
    assert hanging.examiner.examine_step(1, 0, leaf(6), leaf(7)).verdict is Verdict.UNCHECKABLE
    plain = Job1(tmp_path / "plain", "third", Replay(), 1.0)
    assert plain.examiner.examine_step(1, 0, None, leaf(1)).verdict is Verdict.UNCHECKABLE


def test_a_traced_output_without_its_last_state_is_withheld(tmp_path: Path) -> None:
    job = Job1(tmp_path, "count", Replay(trace=True), 3)
    stated = commit([leaf(state) for state in range(1, 4)])
    job.store.put(stated.encode())
    receipt = Statement(1, 0, Outcome.OK, stated.output_hash, True)
    assert job.examiner.examine(receipt).verdict is Verdict.WITHHELD
    job.store.put(values.encode(3))
    assert job.examiner.examine(receipt).verdict is Verdict.RIGHT
    false = commit([leaf(1), leaf(9), leaf(3)])
    job.store.put(false.encode())
    assert job.examiner.examine(Statement(1, 0, Outcome.OK, false.output_hash, True)).verdict is Verdict.WRONG
