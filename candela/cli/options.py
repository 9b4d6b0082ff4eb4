"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

NetworkName = Annotated[
    str | None, Parameter(name="--network", help="Configuration file or node URL; the last started one by default.")
]
DryRun = Annotated[bool, Parameter(name="--dry-run", negative="", help="Only say what would happen.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
