"""A progress bar on stderr, on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterator[T], total: int, name: str) -> Generator[T, None, None]:
    """Pass ``items`` on while showing how many of ``total`` have come."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(name, total=total)
        for item in items:
            progress.advance(bar)
            yield item
