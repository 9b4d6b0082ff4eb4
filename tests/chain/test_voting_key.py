"""A validator's key is encrypted at rest, opens with its passphrase alone, and shows nowhere."""

import json
import pickle
from pathlib import Path

import pytest

from candela.chain.account import Account
from candela.chain.keyfile import PASSPHRASE_VARIABLE, read_secret
from candela.chain.voting_key import FILE, KEY_TYPE, VotingKey
from candela.errors import KeyFileError
from candela.network.genesis import CHAIN_ID

SECRET = bytes(range(32))
PASSPHRASE = "correct horse battery staple"


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("node")
    VotingKey(SECRET).save(made, PASSPHRASE)
    return made


def test_a_saved_key_opens_with_its_passphrase(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passphrase = private(tmp_path / "passphrase", PASSPHRASE + "\n")
    opened = VotingKey.of_node(folder, passphrase)
    assert (opened.public, opened.encrypted) == (VotingKey(SECRET).public, True)
    opened.check_network(1)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, str(passphrase))
    assert VotingKey.of_node(folder).public == opened.public


def test_the_file_says_what_it_is_and_holds_no_secret(folder: Path) -> None:
    path = folder / FILE
    document = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert (document["version"], document["crypto"]["kdf"], document["keyType"]) == (3, "scrypt", KEY_TYPE)
    assert document["publicKey"] == "0x" + VotingKey(SECRET).public.hex()
    assert "address" not in document
    assert SECRET.hex() not in path.read_text()
    with pytest.raises(KeyFileError, match="can't be written"):
        VotingKey(SECRET).save(folder, PASSPHRASE)


def test_the_secret_shows_nowhere() -> None:
    key = VotingKey(SECRET)
    assert SECRET.hex() not in repr(key)
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(key)


def test_a_wrong_or_open_passphrase_file_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = private(tmp_path / "wrong", "correct horse")
    with pytest.raises(KeyFileError, match="wrong passphrase") as refusal:
        VotingKey.of_node(folder, wrong)
    assert "correct horse" not in str(refusal.value)
    wrong.chmod(0o640)
    with pytest.raises(KeyFileError, match="can be read by others"):
        VotingKey.of_node(folder, wrong)
    with pytest.raises(KeyFileError, match="is empty"):
        VotingKey.of_node(folder, private(tmp_path / "empty", "\n"))
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)
    with pytest.raises(KeyFileError, match="no passphrase file is named"):
        VotingKey.of_node(folder)


def test_what_systemd_hands_over_may_have_its_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed = private(tmp_path / "passphrase", PASSPHRASE)
    handed.chmod(0o440)
    with pytest.raises(KeyFileError, match="can be read by others"):
        read_secret(handed)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(handed) == PASSPHRASE


def test_accounts_and_validators_keys_are_not_mixed_up(folder: Path, tmp_path: Path) -> None:
    passphrase = private(tmp_path / "passphrase", PASSPHRASE)
    with pytest.raises(KeyFileError, match=f"not '{KEY_TYPE}'"):
        Account(SECRET).save(tmp_path / FILE, PASSPHRASE)
        VotingKey.of_node(tmp_path, passphrase)
    with pytest.raises(KeyFileError, match="holds no account's key"):
        Account.load(folder / FILE, PASSPHRASE)


def test_a_key_of_another_name_is_refused(folder: Path, tmp_path: Path) -> None:
    document = json.loads((folder / FILE).read_text())
    document["publicKey"] = "0x" + bytes(32).hex()
    private(tmp_path / FILE, json.dumps(document))
    with pytest.raises(KeyFileError, match="publicKey names"):
        VotingKey.of_node(tmp_path, private(tmp_path / "passphrase", PASSPHRASE))


def test_plain_keys_are_for_development_networks(tmp_path: Path) -> None:
    path = private(tmp_path / FILE, SECRET.hex())
    plain = VotingKey.of_node(tmp_path)
    assert plain.public == VotingKey(SECRET).public
    plain.check_network(CHAIN_ID)
    with pytest.raises(KeyFileError, match="is not encrypted"):
        plain.check_network(CHAIN_ID + 1)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="can be read by others"):
        VotingKey.of_node(tmp_path)
