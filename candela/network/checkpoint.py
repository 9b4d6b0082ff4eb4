"""Make a checkpoint of a network whose data folder is at hand: for whoever trusts this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from candela.chain import certificate
from candela.chain.checkpoint import Checkpoint
from candela.chain.client import Client
from candela.chain.committee import Committee
from candela.chain.light import LightClient, seats
from candela.errors import CheckpointError
from candela.network.configuration import Network


def checkpoint_of(data: Path) -> Checkpoint:
    """The newest block of a running network, with its validators.

    Those of epoch 0 stand in the node's configuration, later ones in its ledger.

    Args:
        data: the folder of ``candela up``.

    Raises:
        CheckpointError: the folder is no network's.
        CertificateError: its validators did not finalise the node's newest block.
        NetworkError: the network does not run.
    """
    try:
        config = json.loads((data / "node.json").read_text())
        keys = _keys(config)
        network = Network.read(data / "network.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{data} is no folder of a network", why=str(error), fix="name one with --data, or start: candela up"
        ) from error
    client = Client(network.rpc)
    newest = client.call("eth_getBlockByNumber", "latest", False)["hash"]
    made = Checkpoint(chain_id=network.chain_id, block_hash=newest, committee=_committee(client, newest, keys))
    return LightClient(client, made).checkpoint


def _committee(client: Client, block_hash: str, keys: list[bytes]) -> Committee:
    encoded = bytes.fromhex(client.call("candela_getHeader", block_hash)["certificate"].removeprefix("0x"))
    epoch = certificate.decode(encoded).epoch if encoded else 0
    return seats(client, epoch) if epoch > 0 else Committee.of_keys(0, keys)


def _keys(config: dict[str, Any]) -> list[bytes]:
    named = config.get("validators") or []
    if named:
        return [bytes.fromhex(each["public_key"].removeprefix("0x")) for each in named]
    secret = bytes.fromhex((Path(config["data_dir"]) / "validator.key").read_text().strip())
    return [Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()]
