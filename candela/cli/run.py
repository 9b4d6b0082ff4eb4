"""``candela run``: run a customer's program with the network connected."""

from __future__ import annotations

import ast
import os
import runpy
import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from candela.errors import UsageError


def run(
    file: Path,
    *arguments: Annotated[str, cyclopts.Parameter(allow_leading_hyphen=True)],
    network: str | None = None,
) -> None:
    """Run a Python file that defines a candela.App.

    Parameters
    ----------
    file
        The program.
    arguments
        Its own arguments.
    network
        Configuration file or node URL; the network that was started last by default.
    """
    _check(file)
    if network is not None:
        os.environ["CANDELA_NETWORK"] = network
    sys.argv = [str(file), *arguments]
    sys.path.insert(0, str(file.resolve().parent))
    runpy.run_path(str(file), run_name="__main__")


def _check(file: Path) -> None:
    try:
        tree = ast.parse(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} can't be read", why=error.strerror or str(error)) from error
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{file} is not a Python program", why=str(error)) from error
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    if not any(isinstance(each, ast.Attribute | ast.Name) and _name(each) == "App" for each in calls):
        raise UsageError(
            f"{file} defines no candela.App, so nothing of it would run on the network",
            why="only functions of an App travel; whole scripts as jobs are not built yet",
            fix="see examples/ising.py",
        )


def _name(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id
