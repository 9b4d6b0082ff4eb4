"""Judge a stated result beside one's own; auditors run this in a sandbox, because both come from strangers."""

from __future__ import annotations

from typing import Any

from candela import values
from candela.errors import ArtefactError
from candela.market.comparison import Tolerance, same
from candela.market.freivalds import is_product


def matches(stated: bytes, own: bytes, tolerance: dict[str, Any]) -> bool:
    """Whether two encoded results mean the same, within a tolerance.

    Of exceptions the kind, the message and the arguments count; where in a host's files they were raised does not.

    Args:
        stated: what a receipt names.
        own: what came of doing the task again.
        tolerance: the fields of a :class:`~candela.market.comparison.Tolerance`.
    """
    right = _comparable(values.decode(own))
    try:
        left = _comparable(values.decode(stated))
    except ArtefactError:
        return False
    return same(left, right, Tolerance(**tolerance))


def multiplies(stated: bytes, task_input: bytes, rtol: float) -> bool:
    """Whether an encoded result is the product of the two matrices that the task was given.

    Args:
        stated: what a receipt names.
        task_input: the encoded arguments of the task.
        rtol: as for :func:`~candela.market.freivalds.is_product`.
    """
    call = values.decode(task_input)
    matrices = [*call["args"], *call["kwargs"].values()]
    if len(matrices) != 2:
        raise ValueError(f"a product has two factors, the task was given {len(matrices)}")
    try:
        found = values.decode(stated)
    except ArtefactError:
        return False
    left, right = matrices
    return isinstance(found, dict) and list(found) == ["value"] and is_product(left, right, found["value"], rtol)


def _comparable(decoded: Any) -> Any:
    error = decoded.get("error") if isinstance(decoded, dict) else None
    if isinstance(error, dict):
        return {"error": {name: error[name] for name in sorted(error) if name != "traceback"}}
    return decoded
