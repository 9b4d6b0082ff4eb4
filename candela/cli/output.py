"""Read addresses, and print results: JSON on one line, or a table that fits 80 columns."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import msgspec

from candela.errors import UsageError
from candela.finding import Finding


def check_address(text: str) -> None:
    """Refuse what is not an address.

    Raises:
        UsageError: it is not 0x and 40 hexadecimal digits.
    """
    try:
        known = text.startswith("0x") and len(bytes.fromhex(text[2:])) == 20
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"{text!r} is not an address", fix="give 0x and 40 hexadecimal digits")


def emit(document: Any, as_json: bool, text: str) -> None:
    """Print ``document`` as JSON, or ``text``."""
    sys.stdout.write((json.dumps(document) if as_json else text) + "\n")
    sys.stdout.flush()


def report(findings: Sequence[Finding], as_json: bool) -> None:
    """Print findings with what to do about them.

    Raises:
        SystemExit: something needed is missing; the status is 1.
    """
    lines: list[str] = []
    for each in findings:
        mark = "ok " if each.ok else "NO " if each.needed else "-- "
        lines.append(_filled(f"{mark} {each.name}: {each.detail}"))
        lines += [_filled(f"    fix: {each.fix}")] if each.fix else []
    emit(msgspec.to_builtins(findings), as_json, "\n".join(lines))
    if any(each.needed and not each.ok for each in findings):
        raise SystemExit(1)


def _filled(text: str) -> str:
    # Paths and keys stay whole, so that they can be copied.
    return textwrap.fill(text, 80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def note(text: str) -> None:
    """Say something beside the result, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [[str(each) for each in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [headings, *cells]
    ]
    return "\n".join(line.rstrip() for line in lines)
