"""A commitment binds the states, their number and the result; answers that contradict themselves are refused."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candela.trace import (
    END,
    MAX_DEPTH,
    MAX_STEPS,
    RAISED,
    Commitment,
    Steps,
    Tree,
    commit,
    decode_commitment,
    decode_order,
    decode_steps,
    depth_of,
    encode_order,
    encode_steps,
    join,
)

LENGTHS = st.integers(1, 300)


def hashes(count: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % each).digest() for each in range(count)]


@given(LENGTHS, st.integers(0, 3))
def test_tree_is_the_complete_one_with_ends_behind_the_leaves(count: int, deeper: int) -> None:
    tree, depth = Tree(hashes(count)), depth_of(count) + deeper
    row = hashes(count) + [END] * ((1 << depth) - count)
    for level in range(depth + 1):
        assert [tree.node(level, index) for index in range(len(row))] == row
        row = [join(*row[at : at + 2]) for at in range(0, len(row), 2)] if len(row) > 1 else row
    assert tree.lifted(depth) == row[0]


@given(LENGTHS)
def test_anchor_shows_the_last_state(count: int) -> None:
    found, anchor = commit(hashes(count)), Tree(hashes(count)).anchor()
    node, left = found.last, iter(anchor)
    for level in range(found.depth):
        node = join(next(left), node) if (count - 1) >> level & 1 else join(node, Tree([END]).lifted(level))
    assert node == found.root
    assert next(left, None) is None


def test_depth_covers_the_longest_trace() -> None:
    assert [depth_of(each) for each in (1, 2, 3, 4, 5)] == [0, 1, 2, 2, 3]
    assert depth_of(MAX_STEPS) == MAX_DEPTH


@given(LENGTHS)
def test_commitment_survives_the_way_through_its_output(count: int) -> None:
    found = commit(hashes(count))
    assert decode_commitment(found.encode()) == found


def test_output_format_does_not_change_unseen() -> None:
    """The contract reads the same bytes: a change here is one there."""
    digest = hashlib.sha256(commit(hashes(5)).encode()).hexdigest()
    assert digest == "fc7a818df370fc470b3b59611304681788d006a3d15b62621f912bee9e0b3d38"


def test_outputs_that_no_trace_could_state_are_none() -> None:
    good = commit(hashes(3))
    for bad in (
        Commitment(0, good.root, good.last),
        Commitment(MAX_STEPS + 1, good.root, good.last),
        Commitment(3, good.root, END),
        Commitment(3, good.root, RAISED),
    ):
        assert decode_commitment(bad.encode()) is None
    assert decode_commitment(good.encode() + b"\0") is None
    assert decode_commitment(b"\x81\xa5value" + good.encode()[7:]) is None


@given(st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 2**32 - 1))
def test_orders_survive_the_way_to_the_worker(task_input: bytes, state: bytes, limit: int) -> None:
    assert decode_order(encode_order(task_input, state, limit)) == (task_input, state, limit)


def test_answers_that_contradict_themselves_are_refused() -> None:
    state = b"state"
    last = hashlib.sha256(state).digest()
    good = Steps([*hashes(2), last], state, b"")
    assert decode_steps(encode_steps(good)) == good
    assert decode_steps(encode_steps(Steps([], b"", b"error"))).error == b"error"
    for bad in (
        encode_steps(good)[:-1],
        encode_steps(good) + b"\0",
        b"\0" * 11,
        encode_steps(Steps(hashes(2), state, b"")),
        encode_steps(Steps([], state, b"")),
        encode_steps(Steps([END, last], state, b"")),
        encode_steps(Steps([RAISED, last], state, b"")),
    ):
        with pytest.raises(ValueError, match="the worker's answer"):
            decode_steps(bad)
