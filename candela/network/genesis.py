"""Make the file that a chain starts from."""

from __future__ import annotations

from typing import Any

from candela.network.contracts import artefact
from candela.network.elections import Elections

CHAIN_ID = 4_410_948
"""Chain id of development networks: "CND" in ASCII."""

REGISTRY = "0x0000000000000000000000000000000000000cd1"
MARKET = "0x0000000000000000000000000000000000000cd2"
SESSION_KEYS = "0x0000000000000000000000000000000000000cd3"
BEACON = "0x0000000000000000000000000000000000000cd4"
INTENSITY = "0x0000000000000000000000000000000000000cd5"
SHARES = "0x0000000000000000000000000000000000000cd6"
"""The factory of node shares. Registry asks it for vaults: its address is fixed in its code too."""
REWARDS = "0x0000000000000000000000000000000000000cd7"
VAULT = "0x0000000000000000000000000000000000000cda"
"""What every vault of node shares is a clone of."""
AUDITS = "0x0000000000000000000000000000000000000cd9"
"""Registry and Market take this contract's word: its address is fixed in their code too."""
BISECTION = "0x0000000000000000000000000000000000000cdc"
"""Audits takes this contract's word: its address is fixed in its code too."""
WINDOW_PERIOD_SECONDS = 3_600
"""Seconds from one window of Proof of Intensity to the next."""
WINDOW_OPEN_SECONDS = 60
"""Seconds for which it is open: at most 2 % of the time."""

DEFAULT_BLOCK_GAS = 1_000_000_000


def genesis(
    balances: dict[str, int],
    timestamp_ms: int,
    block_gas: int = DEFAULT_BLOCK_GAS,
    elections: Elections | None = None,
    chain_id: int = CHAIN_ID,
) -> dict[str, Any]:
    """The genesis of a network.

    Args:
        balances: address to balance in nit.
        timestamp_ms: Unix time of block 0 in milliseconds.
        block_gas: most gas in a block.
        elections: the validators of epoch 0 and how later ones are elected; without, the validators are those in the
            nodes' configuration for ever.
        chain_id: EIP-155 chain id.

    Returns:
        The JSON document that the node reads; its system contracts are installed in the order given.
    """
    intensity_times = f"{WINDOW_PERIOD_SECONDS:064x}{WINDOW_OPEN_SECONDS:064x}"
    document: dict[str, Any] = {
        "chainId": chain_id,
        "timestampMs": timestamp_ms,
        "blockGasLimit": block_gas,
        "accounts": {address: {"balance": hex(balance)} for address, balance in sorted(balances.items())},
        "deployments": [
            _deployment("Registry", REGISTRY),
            _deployment("Market", MARKET, REGISTRY),
            _deployment("SessionKeys", SESSION_KEYS),
            _deployment("Beacon", BEACON),
            _deployment("Intensity", INTENSITY, REGISTRY, BEACON, words=intensity_times),
            _deployment("Audits", AUDITS, REGISTRY, MARKET, BEACON),
            _deployment("Bisection", BISECTION, REGISTRY, MARKET, AUDITS),
            _deployment("Shares", VAULT, REGISTRY, MARKET, INTENSITY, AUDITS),
            _deployment("SharesFactory", SHARES, VAULT),
            _deployment("Rewards", REWARDS, REGISTRY, INTENSITY, SHARES, MARKET),
        ],
    }
    if elections is not None:
        document["deployments"] += elections.deployments()
        document["epochBlocks"] = elections.epoch_blocks
    return document


def _deployment(name: str, address: str, *arguments: str, words: str = "") -> dict[str, str]:
    """A contract with the addresses, then the words, that its constructor takes."""
    encoded = "".join(argument.removeprefix("0x").rjust(64, "0") for argument in arguments)
    return {"name": name, "address": address, "initCode": artefact(name).bytecode + encoded + words}
