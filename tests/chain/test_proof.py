"""Proofs of accounts and slots: the committed vectors, and what happens when any of it is changed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candela.chain import proof
from candela.errors import ProofError, UsageError

Case = dict[str, Any]
ROOT = Path(__file__).parents[2]
VECTORS, DOCUMENTATION = ROOT / "vectors" / "state_proofs.json", ROOT / "docs" / "proofs.md"
# What the sketch in the documentation takes, because it is not strict about digits.
LENIENT = {"a balance with a leading zero", "a line feed after the balance", "capital digits"}
CASES: list[Case] = json.loads(VECTORS.read_text())["cases"]
HONEST = [case for case in CASES if "shown" in case]
REFUSED = [case for case in CASES if "refused" in case]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
HEX = st.binary(max_size=40).map(lambda data: "0x" + data.hex()) | st.integers(0, 2**300).map(hex)
JSON = st.recursive(SCALARS | HEX, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


def name(case: Case) -> str:
    return case["name"]


def verify(case: Case, document: Any) -> proof.Proved:
    slots = [int(slot, 16) for slot in case["slots"]]
    return proof.verify(document, block_hash=case["blockHash"], address=case["address"], slots=slots)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything below ``value``, as what holds it and its key there."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@pytest.mark.parametrize("case", HONEST, ids=name)
def test_honest_answer_shows_its_values(case: Case) -> None:
    proved = verify(case, case["document"])
    expected = case["shown"]["account"]
    assert (proved.account is None) == (expected is None)
    if proved.account is not None:
        assert proved.account.nonce == int(expected["nonce"], 16)
        assert proved.account.balance == int(expected["balance"], 16)
        assert "0x" + proved.account.code_hash.hex() == expected["codeHash"]
    values = [int(value, 16) for value in case["shown"]["values"]]
    assert [proved.slots[int(slot, 16)] for slot in case["slots"]] == values


@pytest.mark.parametrize("case", REFUSED, ids=name)
def test_tampered_answer_is_refused_at_the_part_that_does_not_hold(case: Case) -> None:
    with pytest.raises(ProofError) as caught:
        verify(case, case["document"])
    assert caught.value.part == case["refused"]
    assert str(caught.value).startswith("CND-206: ")


def test_the_check_in_the_documentation_agrees() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own documentation
    for case in CASES:
        try:
            names["check"](case["document"], case["blockHash"], case["address"], case["slots"])
            holds = True
        except Exception:  # noqa: BLE001 - a sketch need not say what is malformed
            holds = False
        assert holds == ("shown" in case) or case["name"] in LENIENT, case["name"]


def changed(text: str) -> Iterator[str]:
    """``text`` with each digit replaced by another, of long texts every seventh."""
    for at in range(0, len(text), 7 if len(text) > 200 else 1):
        yield text[:at] + ("2" if text[at] == "1" else "1") + text[at + 1 :]


@pytest.mark.parametrize("case", HONEST, ids=name)
def test_no_changed_digit_passes(case: Case) -> None:
    document = copy.deepcopy(case["document"])
    del document["certificate"]
    for holder, key in list(places(document)):
        original = holder[key]
        for other in changed(original) if isinstance(original, str) else ():
            holder[key] = other
            with pytest.raises(ProofError):
                verify(case, document)
        holder[key] = original
    verify(case, document)


@settings(max_examples=400)
@given(case=st.sampled_from(HONEST), data=st.data())
def test_whatever_stands_in_a_place_the_answer_is_refused_or_shows_the_same(case: Case, data: st.DataObject) -> None:
    document = copy.deepcopy(case["document"])
    holder, key = data.draw(st.sampled_from(list(places(document))))
    holder[key] = data.draw(JSON)
    try:
        proved = verify(case, document)
    except ProofError:
        return
    assert proved == verify(case, case["document"])


@given(document=JSON)
def test_any_answer_is_refused_without_another_error(document: Any) -> None:
    with pytest.raises(ProofError):
        verify(HONEST[0], document)


def test_address_and_hash_may_be_written_in_capitals() -> None:
    case = HONEST[0]
    capital = {name: "0x" + case[name][2:].upper() for name in ("blockHash", "address")}
    assert verify({**case, **capital}, case["document"]) == verify(case, case["document"])


@pytest.mark.parametrize("slot", [-1, 2**256])
def test_number_that_is_no_slot_is_wrong_usage(slot: int) -> None:
    with pytest.raises(UsageError):
        proof.verify(HONEST[0]["document"], block_hash="", address="", slots=[slot])
