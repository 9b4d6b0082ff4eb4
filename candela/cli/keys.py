"""``candela keys``: make and read key files; a secret is never printed."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from candela.chain.account import Account
from candela.chain.keyfile import read_secret
from candela.cli.output import emit
from candela.errors import KeyFileError, UsageError

app = cyclopts.App(name="keys", help="Make and read keystore v3 files, which cast and geth read too.")
Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]


def _passphrase(file: Path | None, confirm: bool) -> str:
    if file is not None:
        return read_secret(file)
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for a passphrase", fix="use --passphrase-file")
    passphrase = getpass.getpass("Passphrase: ")
    if confirm and getpass.getpass("Again: ") != passphrase:
        raise UsageError("the passphrases differ")
    return passphrase


@app.command
def new(path: Path, *, passphrase_file: Path | None = None, as_json: Json = False) -> None:
    """Make a key and write it to a file that only you can read.

    Parameters
    ----------
    path
        The file; an existing one is not replaced.
    passphrase_file
        A file with the passphrase; asked for without one.
    as_json
        Print JSON.
    """
    account = Account.create()
    account.save(path, _passphrase(passphrase_file, confirm=True))
    emit({"address": account.address, "path": str(path)}, as_json, account.address)


@app.command(name="import")
def import_(path: Path, secret_file: Path, *, passphrase_file: Path | None = None, as_json: Json = False) -> None:
    """Write a key that you have as hex digits to a key file.

    Parameters
    ----------
    path
        The key file; an existing one is not replaced.
    secret_file
        A file with the secret in hex.
    passphrase_file
        A file with the passphrase; asked for without one.
    as_json
        Print JSON.
    """
    try:
        account = Account(bytes.fromhex(secret_file.read_text().strip().removeprefix("0x")))
    except OSError as error:
        raise KeyFileError(f"{secret_file} can't be read", why=error.strerror or str(error)) from None
    except ValueError:
        raise KeyFileError(f"{secret_file} holds no secret key", why="64 hex digits are expected") from None
    account.save(path, _passphrase(passphrase_file, confirm=True))
    emit({"address": account.address, "path": str(path)}, as_json, account.address)


@app.command
def address(path: Path, *, passphrase_file: Path | None = None, as_json: Json = False) -> None:
    """Print the address of a key file, after opening it.

    Parameters
    ----------
    path
        The key file.
    passphrase_file
        A file with the passphrase; asked for without one.
    as_json
        Print JSON.
    """
    account = Account.load(path, _passphrase(passphrase_file, confirm=False))
    emit({"address": account.address, "path": str(path)}, as_json, account.address)
