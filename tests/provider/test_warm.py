"""A warm sandbox goes on with the same customer's next job, and with nobody else's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from candela import values
from candela.artefacts import ArtefactStore
from candela.chain.market import ANY_DEVICE, JobState, Terms
from candela.manifest import JobManifest, encode_bundle, encode_manifest
from candela.provider.devices import CPU, LocalDevice
from candela.provider.jobs import KnownJob
from candela.provider.preparation import Prepared, prepare
from candela.provider.sandbox import Tier

DEVICE = LocalDevice(CPU, "test", 1 << 34, 10**9)
SOURCE = b"calls = 0\ndef main():\n    global calls\n    calls += 1\n    return calls\n"
ALICE, BOB = "0x" + "a1" * 20, "0x" + "b0" * 20
Begin = Callable[..., Prepared]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Prepare a job of a customer, with a sandbox that is warm or with a fresh one."""
    store = ArtefactStore((tmp_path / "store").as_uri())
    made: list[Prepared] = []

    def run(customer: str, warm: Prepared | None = None, source: bytes = SOURCE, **changes: object) -> Prepared:
        facts: dict[str, object] = {
            "name": f"job {len(made)}",
            "module": "job",
            "entry": "main",
            "source": store.put(encode_bundle({"job.py": source})),
            "requirements": [],
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "inputs": [f"{len(made):064x}"],
            "memory_bytes": 1 << 28,
            "timeout_seconds": 20,
        }
        manifest = JobManifest(**(facts | changes))  # type: ignore[arg-type]
        spec = bytes.fromhex(store.put(encode_manifest(manifest)))
        terms = Terms(spec, 1, 1, 10**14, 10**13, ANY_DEVICE, 0, 0, 3, 20, 60, 60, 2**40)
        job = KnownJob(len(made) + 1, customer, terms, JobState.OPEN, 0)
        made.append(prepare(job, store, tmp_path / "packages", Tier.NONE, DEVICE, warm))
        return made[-1]

    yield run
    for prepared in made:
        prepared.executor.close()


def calls(prepared: Prepared) -> object:
    """How often the sandbox has run the function."""
    finished = prepared.executor.run(values.encode({"args": [], "kwargs": {}}))
    return values.decode(finished.output)["value"]


def test_the_same_customers_next_job_finds_it_warm(begin: Begin) -> None:
    first = begin(ALICE)
    assert calls(first) == 1
    second = begin(ALICE, first)
    assert second.job_id != first.job_id
    assert calls(second) == 2


def test_another_customer_never_does(begin: Begin) -> None:
    first = begin(ALICE)
    assert calls(first) == 1
    assert calls(begin(BOB, first)) == 1


@pytest.mark.parametrize(
    "changes",
    [{"source": SOURCE + b"\n"}, {"memory_bytes": 1 << 29}, {"timeout_seconds": 10}, {"output_bytes": 1 << 10}],
)
def test_other_code_or_limits_get_a_fresh_one(begin: Begin, changes: dict[str, object]) -> None:
    first = begin(ALICE)
    assert calls(first) == 1
    assert calls(begin(ALICE, first, **changes)) == 1
