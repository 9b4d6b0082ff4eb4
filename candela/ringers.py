"""Choose ringers, tasks with a false result that test auditors, so that provider and customer alone know them."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from candela import _ledger, values
from candela.errors import ArtefactError, ValueTypeError
from candela.verification import Replicate, Verification

_MILLION = 10**6
_NOT_CHANGED = object()


class Ringer(msgspec.Struct, frozen=True):
    """The task of a lease whose result is false on purpose."""

    lease_id: int
    task: int
    salt: bytes
    """What hides the task's number on chain."""

    @property
    def seal(self) -> bytes:
        """What is on chain while nobody else may know the task."""
        from eth_abi import abi

        kinds = ["uint256", "uint32", "bytes32"]
        return _ledger.keccak256(abi.encode(kinds, [self.lease_id, self.task, self.salt]))


class Planting(msgspec.Struct, frozen=True):
    """What a provider puts on chain for a lease, and the ringer that it hides, if there is one."""

    sealed: bytes
    key: bytes
    ringer: Ringer | None


def public_key(secret: bytes) -> bytes:
    """The X25519 key (RFC 7748) by which providers tell the owner of ``secret`` their ringers."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def plant(customer_key: bytes, lease_id: int, tasks: Sequence[int], share_ppm: int) -> Planting:
    """Choose a lease's ringer by a fresh key.

    Args:
        customer_key: the X25519 key in the job's manifest.
        lease_id, tasks: the lease, and the numbers of its tasks in order.
        share_ppm: how many of a million tasks the customer wants to be ringers; a lease has one at most.

    Raises:
        ValueError: it is no key.
    """
    secret = secrets.token_bytes(32)
    ringer = _choose(_shared(secret, customer_key), lease_id, tasks, share_ppm)
    return Planting(ringer.seal if ringer else secrets.token_bytes(32), public_key(secret), ringer)


def reveal(secret: bytes, planting: Planting, lease_id: int, tasks: Sequence[int], share_ppm: int) -> Ringer | None:
    """The ringer that a provider has hidden from all but the customer; ``None`` where what is sealed is no such.

    Args:
        secret: the customer's.
        planting: what is on chain.
        lease_id, tasks, share_ppm: as for :func:`plant`.
    """
    try:
        ringer = _choose(_shared(secret, planting.key), lease_id, tasks, share_ppm)
    except ValueError:
        return None
    return ringer if ringer is not None and ringer.seal == planting.sealed else None


def _shared(secret: bytes, key: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(key))


def _choose(shared: bytes, lease_id: int, tasks: Sequence[int], share_ppm: int) -> Ringer | None:
    drawn = hashlib.sha512(b"candela ringer" + shared + lease_id.to_bytes(32, "big")).digest()
    if int.from_bytes(drawn[:8], "big") * _MILLION >= share_ppm * len(tasks) << 64:
        return None
    return Ringer(lease_id, tasks[int.from_bytes(drawn[8:16], "big") % len(tasks)], drawn[32:])


def falsified(output: bytes, policy: Verification) -> bytes | None:
    """An encoded result that looks like ``output`` and is not the same; ``None`` where it has nothing to change.

    Args:
        output: a true one.
        policy: whose tolerance the false one must leave.
    """
    try:
        decoded = values.decode(output)
        if not isinstance(decoded, dict) or list(decoded) != ["value"]:
            return None
        changed = _changed(decoded["value"], policy)
        return None if changed is _NOT_CHANGED else values.encode({"value": changed})
    except (ArtefactError, ValueTypeError):
        return None


def _changed(value: Any, policy: Verification) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value + _step(value, policy) if math.isfinite(value) else 0.0
        case complex():
            return complex(_changed(value.real, policy), value.imag)
        case str():
            return value[:-1] + ("b" if value.endswith("a") else "a")
        case bytes():
            return value[:-1] + bytes([value[-1] ^ 1 if value else 0])
        case dict() | list() | tuple():
            return _changed_inside(value, policy)
    return _changed_array(value, policy) if type(value).__module__ == "numpy" else _NOT_CHANGED


def _step(value: float, policy: Verification) -> float:
    allowed = policy.atol + policy.rtol * abs(value) if isinstance(policy, Replicate) else 0.0
    return 2 * allowed + abs(value) / 8 + 1e-3


def _changed_inside(value: Any, policy: Verification) -> Any:
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    while keys:
        key = keys.pop(secrets.randbelow(len(keys)))
        changed = _changed(value[key], policy)
        if changed is not _NOT_CHANGED:
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[key] = changed
            return tuple(copy) if isinstance(value, tuple) else copy
    return _NOT_CHANGED


def _changed_array(value: Any, policy: Verification) -> Any:
    import numpy as np

    array = np.array(value)
    if not array.size or array.dtype.kind not in "biufc":
        return _NOT_CHANGED
    index = secrets.randbelow(array.size)
    entry = array.flat[index].item()
    if array.dtype.kind in "iu":
        # The largest number has no next one.
        array.flat[index] = entry + 1 if entry < np.iinfo(array.dtype).max else entry - 1
    else:
        array.flat[index] = _changed(entry, policy)
    return array if isinstance(value, np.ndarray) else array[()]
