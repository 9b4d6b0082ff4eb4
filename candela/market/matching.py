"""Whether a device fits a job, and if not why: the same answer for both sides."""

from __future__ import annotations

import msgspec

from candela.amounts import format_cnd
from candela.chain.market import ANY_DEVICE, JobState, Terms
from candela.chain.registry import Device

_CPU = 0
_KINDS = {_CPU: "cpu", 1: "gpu", ANY_DEVICE: "any"}
_TIERS = {0: "none", 1: "bubblewrap", 2: "gvisor", 3: "virtual machine"}


class Constraint(msgspec.Struct):
    """One condition with both sides' numbers."""

    name: str
    holds: bool
    wanted: str
    offered: str


def constraints(terms: Terms, device: Device, price_floor: int) -> list[Constraint]:
    """What a job asks of a device and what a device asks of a job.

    Args:
        terms: the job's conditions.
        device: the device on offer.
        price_floor: least nit per work unit that its provider takes.
    """
    return [
        Constraint(
            "device kind",
            # A GPU's second costs a thousand times a core's: it takes the work that asks for one.
            terms.device_kind == device.kind or (terms.device_kind == ANY_DEVICE and device.kind == _CPU),
            _KINDS.get(terms.device_kind, "unknown"),
            _KINDS.get(device.kind, "unknown"),
        ),
        Constraint(
            "sandbox",
            device.sandbox_tier >= terms.min_tier,
            f"at least {_TIERS.get(terms.min_tier, terms.min_tier)}",
            str(_TIERS.get(device.sandbox_tier, device.sandbox_tier)),
        ),
        Constraint(
            "memory",
            device.memory_bytes >= terms.min_memory_bytes,
            f"{terms.min_memory_bytes >> 20} MiB",
            f"{device.memory_bytes >> 20} MiB",
        ),
        Constraint(
            "price",
            price_floor <= terms.max_price_per_unit,
            f"at most {format_cnd(terms.max_price_per_unit)} per work unit",
            f"at least {format_cnd(price_floor)} per work unit",
        ),
    ]


def job_constraints(state: int, deadline: int, now: int, tasks_left: int) -> list[Constraint]:
    """What must hold of the job itself for anybody to take a lease."""
    return [
        Constraint("job is open", state == JobState.OPEN, "open", JobState(state).name.lower()),
        Constraint("deadline", now <= deadline, f"before {deadline}", str(now)),
        Constraint("tasks left", tasks_left > 0, "at least 1", str(tasks_left)),
    ]


def fits(terms: Terms, device: Device, price_floor: int) -> bool:
    """Whether every constraint holds."""
    return all(each.holds for each in constraints(terms, device, price_floor))
