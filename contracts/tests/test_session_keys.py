"""Keys that sign in an account's place: their terms, and the storage that the ledger reads."""

from __future__ import annotations

from typing import Any

import boa
import pytest
from boa.util.abi import Address
from eth_utils import keccak

from .conftest import CND, ROOT

KEY = b"\x07" * 32
OTHER = b"\x08" * 32
SESSION_KEYS = "0x0000000000000000000000000000000000000cd3"
LAST_EXPIRY, MOST = 2**40 - 1, 2**104 - 1


@pytest.fixture
def keys() -> Any:
    with boa.env.anchor():
        # Where genesis puts it; boa remembers the storage of an address beyond the anchor.
        source = boa.load_partial(str(ROOT / "contracts" / "ledger" / "SessionKeys.vy"))
        yield source.deploy(override_address=Address(SESSION_KEYS))


@pytest.fixture
def owner() -> str:
    return boa.env.generate_address("owner")


def later(seconds: int = 100) -> int:
    return boa.env.timestamp + seconds


def _padded(value: bytes) -> bytes:
    return value.rjust(32, b"\0")


def _slot(base: int, *path: bytes) -> int:
    place = base.to_bytes(32, "big")
    for each in path:
        place = keccak(place + _padded(each))
    return int.from_bytes(place, "big")


def _address(text: Any) -> bytes:
    return bytes.fromhex(str(text)[2:])


def test_a_key_is_authorized_with_its_terms_and_nothing_spent(keys: Any, owner: str) -> None:
    expiry = later()
    keys.authorize(KEY, expiry, CND, [], sender=owner)
    (event,) = keys.get_logs()
    assert (event.owner, event.key, event.expiry, event.limit, event.scope) == (owner, KEY, expiry, CND, [])
    assert keys.session(owner, KEY) == (expiry, CND, 0, False, False)
    assert keys.session(boa.env.generate_address(), KEY) == (0, 0, 0, False, False)


def test_a_scoped_key_may_call_what_is_in_its_scope(keys: Any, owner: str) -> None:
    scope = [boa.env.generate_address() for _ in range(8)]
    keys.authorize(KEY, later(), CND, scope, sender=owner)
    assert all(keys.allows(owner, KEY, each) for each in scope)
    assert not keys.allows(owner, KEY, boa.env.generate_address())
    assert not keys.allows(owner, OTHER, scope[0])
    assert keys.session(owner, KEY)[3]


def test_a_key_without_scope_may_call_all_but_its_owner_and_this_contract(keys: Any, owner: str) -> None:
    keys.authorize(KEY, later(), CND, [], sender=owner)
    assert keys.allows(owner, KEY, boa.env.generate_address())
    assert not keys.allows(owner, KEY, owner)
    assert not keys.allows(owner, KEY, keys.address)


def test_a_key_ends_at_its_expiry(keys: Any, owner: str) -> None:
    callee = boa.env.generate_address()
    keys.authorize(KEY, later(100), CND, [], sender=owner)
    boa.env.time_travel(seconds=99)
    assert keys.allows(owner, KEY, callee)
    boa.env.time_travel(seconds=1)
    assert not keys.allows(owner, KEY, callee)


def test_a_revoked_key_stays_revoked(keys: Any, owner: str) -> None:
    keys.authorize(KEY, later(), CND, [], sender=owner)
    keys.revoke(KEY, sender=owner)
    assert [(event.owner, event.key) for event in keys.get_logs()] == [(owner, KEY)]
    assert keys.session(owner, KEY)[4]
    assert not keys.allows(owner, KEY, boa.env.generate_address())
    with boa.reverts("session: key is revoked"):
        keys.revoke(KEY, sender=owner)
    with boa.reverts("session: key is known"):
        keys.authorize(KEY, later(), CND, [], sender=owner)


def test_only_the_owner_revokes_and_two_owners_may_have_the_same_key(keys: Any, owner: str) -> None:
    other = boa.env.generate_address("other")
    keys.authorize(KEY, later(), CND, [], sender=owner)
    with boa.reverts("session: key is unknown"):
        keys.revoke(KEY, sender=other)
    keys.authorize(KEY, later(), 2 * CND, [], sender=other)
    keys.revoke(KEY, sender=other)
    assert keys.allows(owner, KEY, boa.env.generate_address())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"key": bytes(32)}, "session: key is zero"),
        ({"expiry": 0}, "session: expiry has passed"),
        ({"expiry": LAST_EXPIRY + 1}, "session: expiry is too late"),
        ({"limit": 0}, "session: limit is zero"),
        ({"limit": MOST + 1}, "session: limit is too high"),
    ],
)
def test_terms_that_mean_nothing_are_refused(keys: Any, owner: str, change: dict[str, Any], reason: str) -> None:
    terms = {"key": KEY, "expiry": LAST_EXPIRY, "limit": MOST, "scope": []} | change
    with boa.reverts(reason):
        keys.authorize(*terms.values(), sender=owner)


def test_a_scope_can_name_neither_the_owner_nor_this_contract(keys: Any, owner: str) -> None:
    for callee in (owner, keys.address):
        with boa.reverts("session: callee is reserved"):
            keys.authorize(KEY, later(), CND, [callee], sender=owner)


def test_the_storage_is_where_the_ledger_looks(keys: Any, owner: str) -> None:
    callee, account = boa.env.generate_address(), _address(owner)
    keys.authorize(KEY, LAST_EXPIRY, MOST - 5, [callee], sender=owner)
    word = LAST_EXPIRY << 216 | 1 << 208 | MOST - 5 << 104
    assert boa.env.get_storage(keys.address, _slot(0, account, KEY)) == word
    assert boa.env.get_storage(keys.address, _slot(1, account, KEY, _address(callee))) == 1
    boa.env.set_storage(keys.address, _slot(0, account, KEY), word + 42)
    keys.revoke(KEY, sender=owner)
    assert boa.env.get_storage(keys.address, _slot(0, account, KEY)) == word + 42 | 2 << 208
    assert keys.session(owner, KEY) == (LAST_EXPIRY, MOST - 5, 42, True, True)
