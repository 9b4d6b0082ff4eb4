"""Convert between CND, as people write it, and nit, as the ledger counts: exact decimals, never floats."""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation

from candela.errors import UsageError

NIT_PER_CND = 10**18
# Exact, or an error: Python's own context rounds to 28 digits.
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
WORK_SCALE = 10**6
"""Micro work units in a work unit (1 cd x 1 s)."""


def parse_cnd(text: str | int | Decimal) -> int:
    """Nit for an amount of CND such as ``"2.50"``.

    Raises:
        UsageError: not a non-negative decimal with at most 18 places.
    """
    try:
        amount = _EXACT.multiply(Decimal(text), Decimal(NIT_PER_CND))
    except (DecimalException, TypeError, ValueError):
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount < 2**256 or amount != amount.to_integral_value():
        raise UsageError(
            f"{text!r} is not an amount of CND",
            why="amounts are decimals with at most 18 places, written as text so that none is lost",
            fix='write it like "2.50"',
        )
    return int(amount)


def format_cnd(nit: int, places: int = 6) -> str:
    """An amount in CND with at most ``places`` decimals, rounded down; tiny amounts keep two digits."""
    if nit == 0:
        return "0 CND"
    sign, nit = ("-", -nit) if nit < 0 else ("", nit)
    whole, fraction = divmod(nit, NIT_PER_CND)
    digits = f"{fraction:018d}"
    if whole == 0:
        places = max(places, len(digits) - len(digits.lstrip("0")) + 2)
    decimals = digits[:places].rstrip("0")
    return f"{sign}{whole}.{decimals} CND" if decimals else f"{sign}{whole} CND"


def per_hour(price_per_unit: int, intensity_ucd: int) -> int:
    """Nit for an hour of a device of ``intensity_ucd`` micro-candela at ``price_per_unit`` nit per work unit."""
    return price_per_unit * intensity_ucd * 3600 // WORK_SCALE
