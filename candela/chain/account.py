"""Keys that sign transactions, and the files that keep accounts' keys."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any, NoReturn

from candela import _ledger
from candela.errors import KeyFileError


class Account:
    """A secp256k1 key and its address. The secret shows in no ``repr``, log or pickle.

    Args:
        secret: 32 bytes.

    Raises:
        KeyFileError: the bytes are no key.
    """

    __slots__ = ("__secret", "address")

    def __init__(self, secret: bytes) -> None:
        try:
            self.address: str = _ledger.address_of(secret)
        except ValueError as error:
            raise KeyFileError("not a secret key", why=str(error)) from None
        self.__secret = secret

    @classmethod
    def create(cls) -> Account:
        """A new random key."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def load(cls, path: Path, passphrase: str) -> Account:
        """The key in a keystore v3 file, as written by :meth:`save`, geth or cast.

        Raises:
            KeyFileError: the file is missing, malformed, or the passphrase is wrong.
        """
        from eth_keyfile import keyfile

        try:
            document = json.loads(path.read_bytes())
            if "keyType" in document:
                raise KeyFileError(f"{path} holds no account's key", why=f"its keyType is {document['keyType']!r}")
            return cls(keyfile.decode_keyfile_json(document, passphrase.encode()))
        except OSError as error:
            raise KeyFileError(f"the key file {path} can't be read", why=str(error)) from None
        except (ValueError, KeyError, TypeError, NotImplementedError):
            raise KeyFileError(f"the key file {path} can't be opened", why="wrong passphrase or damaged file") from None

    def save(self, path: Path, passphrase: str) -> None:
        """Write a keystore v3 file that only the owner can read; an existing file is not replaced.

        Raises:
            KeyFileError: the file exists or can't be written.
        """
        from eth_keyfile import keyfile

        document = keyfile.create_keyfile_json(self.__secret, passphrase.encode(), kdf="scrypt")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(document, file)
        except OSError as error:
            raise KeyFileError(f"the key file {path} can't be written", why=str(error)) from None

    def sign_transaction(self, fields: dict[str, Any]) -> tuple[bytes, str]:
        """Sign a transaction described as in JSON-RPC: ``(raw bytes, 0x hash)``."""
        return _ledger.sign_transaction(fields, self.__secret)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a digest of 32 bytes: r, s and v, 65 bytes."""
        return _ledger.sign_message(digest, self.__secret)

    def derive(self, purpose: str) -> bytes:
        """A secret of 32 bytes for another use, from which this key can't be found."""
        return hmac.digest(self.__secret, purpose.encode(), "sha256")

    def export(self) -> str:
        """The secret as hex; only for showing the throw-away accounts of a development network."""
        return "0x" + self.__secret.hex()

    def __repr__(self) -> str:
        """Name the address only."""
        return f"Account({self.address})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("an Account can't be pickled: its secret must not leave the process")


class SessionKey:
    """An Ed25519 key that signs in an account's place. It lives in memory only and shows in no ``repr``, log or pickle.

    Args:
        seed: 32 bytes.
    """

    __slots__ = ("__seed", "public")

    def __init__(self, seed: bytes) -> None:
        self.public: bytes = _ledger.session_key_of(seed)
        self.__seed = seed

    @classmethod
    def create(cls) -> SessionKey:
        """A new random key."""
        return cls(secrets.token_bytes(32))

    def sign_transaction(self, fields: dict[str, Any]) -> tuple[bytes, str]:
        """Sign a transaction of type 0x50 for the account in ``from``: ``(raw bytes, 0x hash)``."""
        return _ledger.sign_session_transaction(fields, self.__seed)

    def __repr__(self) -> str:
        """Name the public key only."""
        return f"SessionKey(0x{self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("a SessionKey can't be pickled: its secret must not leave the process")
