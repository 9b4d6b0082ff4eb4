"""Pool other people's GPUs into one computer, from plain Python."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from candela._local import local
    from candela.app import App, Run
    from candela.errors import (
        ArtefactError,
        BudgetError,
        BundleError,
        Error,
        JobEndedError,
        KeyFileError,
        NetworkError,
        NoProviderError,
        NotRunningError,
        ReceiptError,
        RemoteError,
        RpcError,
        TaskLimitError,
        TaskLostError,
        TaskTimeoutError,
        TransactionFailed,
        UsageError,
        ValueTypeError,
        WaitTimeoutError,
    )
    from candela.function import Function
    from candela.job import Job
    from candela.network.configuration import Network
    from candela.results import Handle, Stream
    from candela.verification import Freivalds, Replay, Replicate

__all__ = [
    "App",
    "ArtefactError",
    "BudgetError",
    "BundleError",
    "Error",
    "Freivalds",
    "Function",
    "Handle",
    "Job",
    "JobEndedError",
    "KeyFileError",
    "Network",
    "NetworkError",
    "NoProviderError",
    "NotRunningError",
    "ReceiptError",
    "RemoteError",
    "Replay",
    "Replicate",
    "RpcError",
    "Run",
    "Stream",
    "TaskLimitError",
    "TaskLostError",
    "TaskTimeoutError",
    "TransactionFailed",
    "UsageError",
    "ValueTypeError",
    "WaitTimeoutError",
    "local",
]

_HOMES = {
    "App": "candela.app",
    "Run": "candela.app",
    "Function": "candela.function",
    "Job": "candela.job",
    "local": "candela._local",
    "Network": "candela.network.configuration",
    "Handle": "candela.results",
    "Stream": "candela.results",
    "Replicate": "candela.verification",
    "Replay": "candela.verification",
    "Freivalds": "candela.verification",
}


def __getattr__(name: str) -> Any:
    """Load what is exported when it is first used, so that ``import candela`` stays quick."""
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module 'candela' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "candela.errors")), name)
    globals()[name] = value
    return value


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("candela-network")
    except metadata.PackageNotFoundError:
        # Not installed: a checkout, whose project file is beside the package.
        import tomllib
        from pathlib import Path

        with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as project:
            return tomllib.load(project)["project"]["version"]
