"""How many tasks a lease takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from candela.chain.market import ANY_DEVICE, JobState, Terms
from candela.provider.jobs import KnownJob
from candela.provider.slots import lease_size

CUSTOMER = "0x" + "c1" * 20


def job(tasks: int, taken: int = 0, seconds: float = 0.0) -> KnownJob:
    terms = Terms(bytes(32), 1, tasks, 1, 1, ANY_DEVICE, 0, 0, 0, 20, 60, 60, 2**40)
    return KnownJob(1, CUSTOMER, terms, JobState.OPEN, taken, seconds)


def test_shares_shrink_towards_the_end() -> None:
    assert [lease_size(job(100, taken), 4, 256) for taken in (0, 50, 90, 99)] == [13, 7, 2, 1]


def test_short_tasks_are_leased_in_larger_portions() -> None:
    assert lease_size(job(1000, 900, seconds=0.01), 4, 256) == 25
    assert lease_size(job(1000, 900, seconds=60), 4, 256) == 13


@given(
    tasks=st.integers(1, 10**6),
    seconds=st.floats(0, 10**6),
    rivals=st.integers(1, 10**4),
    most=st.integers(1, 256),
)
def test_a_lease_is_never_empty_or_too_large(tasks: int, seconds: float, rivals: int, most: int) -> None:
    assert 1 <= lease_size(job(tasks, 0, seconds), rivals, most) <= min(most, 256)
