"""Read files that hold secrets, and refuse those that others can read."""

from __future__ import annotations

import os
from pathlib import Path

from candela.errors import KeyFileError

PASSPHRASE_VARIABLE = "CANDELA_PASSPHRASE_FILE"  # noqa: S105 - names a variable
_CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"


def read_secret(path: Path) -> str:
    """The text of a file with mode 0600 or less, without the line's end.

    A file in $CREDENTIALS_DIRECTORY may have other modes: systemd guards that folder itself, by an access control list
    that shows as rights of the group.

    Raises:
        KeyFileError: it can't be read, or others can read it.
    """
    try:
        text, mode = path.read_text().rstrip("\r\n"), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeyFileError(f"{path} can't be read", why=why or type(error).__name__) from None
    if mode & 0o077 and not _is_credential(path):
        raise KeyFileError(f"{path} can be read by others", why="it holds a secret", fix=f"chmod 600 {path}")
    return text


def read_passphrase(file: Path | None, opens: Path) -> str:
    """The passphrase in a file, else in the one that $CANDELA_PASSPHRASE_FILE names.

    Args:
        file: the file with the passphrase.
        opens: what it opens, for messages.

    Raises:
        KeyFileError: no file is named, it can't be read, others can read it, or it is empty.
    """
    named = file or os.environ.get(PASSPHRASE_VARIABLE)
    if not named:
        raise KeyFileError(
            f"the key file {opens} is locked",
            why="no passphrase file is named",
            fix=f"put its passphrase into a file that only you can read and set {PASSPHRASE_VARIABLE} to its path",
        )
    passphrase = read_secret(Path(named))
    if not passphrase:
        raise KeyFileError(f"the passphrase file {named} is empty")
    return passphrase


def _is_credential(path: Path) -> bool:
    folder = os.environ.get(_CREDENTIALS_VARIABLE)
    return bool(folder) and path.resolve().is_relative_to(Path(folder or "").resolve())
