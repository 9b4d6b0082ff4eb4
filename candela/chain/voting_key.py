"""The key that a validator's node votes with, apart from its owner's."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import NoReturn

from candela import _ledger
from candela.chain.keyfile import read_passphrase, read_secret
from candela.errors import KeyFileError
from candela.network.elections import STAKING
from candela.network.genesis import CHAIN_ID

FILE = "validator.key"
"""Its name in a node's folder."""
KEY_TYPE = "candela-consensus-ed25519"
"""What tells its keystore from an account's."""
_POSSESSION = b"_CANDELA_POSSESSION"


class VotingKey:
    """An Ed25519 key in memory. The secret shows in no ``repr``, log or pickle.

    Args:
        secret: 32 bytes.
        encrypted: whether the file that it came from is.
    """

    __slots__ = ("__secret", "encrypted", "public")

    def __init__(self, secret: bytes, *, encrypted: bool = False) -> None:
        self.public: bytes = _ledger.session_key_of(secret)
        self.encrypted = encrypted
        self.__secret = secret

    @classmethod
    def create(cls) -> VotingKey:
        """A new random key."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def of_node(cls, folder: Path, passphrase_file: Path | None = None) -> VotingKey:
        """The key in a node's folder, ``validator.key``: a keystore v3 file of :data:`KEY_TYPE`, or 32 bytes in hex.

        Args:
            folder: the node's.
            passphrase_file: a file with the keystore's passphrase; without, the one in $CANDELA_PASSPHRASE_FILE.

        Raises:
            KeyFileError: it is missing, can be read by others, is another kind of key, or can't be opened.
        """
        path = folder / FILE
        if not path.exists():
            raise KeyFileError(
                f"there is no voting key at {path}",
                fix="name a validator's folder, or make one with: candela validator init",
            )
        text = read_secret(path)
        if text.lstrip().startswith("{"):
            return cls(_unlocked(path, text, read_passphrase(passphrase_file, path)), encrypted=True)
        try:
            secret = bytes.fromhex(text.strip())
        except ValueError:
            secret = b""
        if len(secret) != 32:
            raise KeyFileError(
                f"{path} holds no voting key", why="it has to be a keystore v3 file, or 32 bytes in hexadecimal"
            )
        return cls(secret)

    def save(self, folder: Path, passphrase: str) -> None:
        """Write ``validator.key``, encrypted with scrypt and readable by its owner alone; nothing is replaced.

        Raises:
            KeyFileError: it exists or can't be written.
        """
        from eth_keyfile import keyfile

        document = keyfile.create_keyfile_json(self.__secret, passphrase.encode(), kdf="scrypt")
        # The library takes it for an account's key.
        del document["address"]
        document |= {"keyType": KEY_TYPE, "publicKey": "0x" + self.public.hex()}
        path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise KeyFileError(f"the voting key {path} can't be written", why=error.strerror or str(error)) from None
        self.encrypted = True

    def check_network(self, chain_id: int) -> None:
        """Refuse a key that is not encrypted on any network but a development one.

        Raises:
            KeyFileError: it is not, and ``chain_id`` is another network's.
        """
        if not self.encrypted and chain_id != CHAIN_ID:
            raise KeyFileError(
                "the voting key is not encrypted",
                why=f"that is for development networks, with chain id {CHAIN_ID}; this is chain {chain_id}",
                fix="make another folder with candela validator init, then: candela validator rotate NUMBER FOLDER",
            )

    def node(self, config_json: str) -> _ledger.Node:
        """A node that votes with this key; see :class:`candela._ledger.Node`.

        Raises:
            NodeError: the configuration makes no sense.
        """
        return _ledger.Node(config_json, self.__secret)

    def possession(self, chain_id: int, owner: str, staking: str = STAKING) -> bytes:
        """The proof that this key wants to be an account's (``possesses`` of the contract ConsensusKeys): 64 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        message = chain_id.to_bytes(32, "big") + bytes.fromhex(staking[2:]) + bytes.fromhex(owner[2:])
        framed = bytes([len(_POSSESSION)]) + _POSSESSION + message
        return Ed25519PrivateKey.from_private_bytes(self.__secret).sign(framed)

    def __repr__(self) -> str:
        """Name the public key only."""
        return f"VotingKey(0x{self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("a VotingKey can't be pickled: its secret must not leave the process")


def _unlocked(path: Path, text: str, passphrase: str) -> bytes:
    from eth_keyfile import keyfile

    try:
        document = json.loads(text)
        kind, public = document.get("keyType"), document.get("publicKey")
        secret = keyfile.decode_keyfile_json(document, passphrase.encode()) if kind == KEY_TYPE else b""
    except (ValueError, KeyError, TypeError, NotImplementedError):
        raise KeyFileError(f"the voting key {path} can't be opened", why="wrong passphrase or damaged file") from None
    if kind != KEY_TYPE:
        raise KeyFileError(
            f"{path} holds no voting key",
            why=f"its keyType is {kind!r}, not {KEY_TYPE!r}; an account's key must not vote",
            fix="make one with: candela validator init",
        )
    if public != "0x" + _ledger.session_key_of(secret).hex():
        raise KeyFileError(f"the voting key {path} can't be opened", why="it is not the key that publicKey names")
    return secret
