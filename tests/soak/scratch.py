"""A folder for a run, kept for whoever looks for the cause when the run fails."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder; it stays, and is named, if what is done within fails."""
    directory = Path(tempfile.mkdtemp(prefix="candela-soak-"))
    try:
        yield directory
    except Exception:
        print(f"logs and data: {directory}", file=sys.stderr)
        raise
    shutil.rmtree(directory)
