"""Make the file that a chain starts from."""

from __future__ import annotations

from typing import Any

from candela.network.contracts import artefact

CHAIN_ID = 4_410_948
"""Chain id of development networks: "CND" in ASCII."""

REGISTRY = "0x0000000000000000000000000000000000000cd1"
MARKET = "0x0000000000000000000000000000000000000cd2"
SESSION_KEYS = "0x0000000000000000000000000000000000000cd3"
BEACON = "0x0000000000000000000000000000000000000cd4"
INTENSITY = "0x0000000000000000000000000000000000000cd5"
AUDITS = "0x0000000000000000000000000000000000000cd9"
"""Registry and Market take this contract's word: its address is fixed in their code too."""
WINDOW_PERIOD_SECONDS = 3_600
"""Seconds from one window of Proof of Intensity to the next."""
WINDOW_OPEN_SECONDS = 60
"""Seconds for which it is open: at most 2 % of the time."""

DEFAULT_BLOCK_GAS = 1_000_000_000


def genesis(balances: dict[str, int], timestamp_ms: int, block_gas: int = DEFAULT_BLOCK_GAS) -> dict[str, Any]:
    """The genesis of a development network.

    Args:
        balances: address to balance in nit.
        timestamp_ms: Unix time of block 0 in milliseconds.
        block_gas: most gas in a block.

    Returns:
        The JSON document that the node reads; its system contracts are installed in the order given.
    """
    registry_word, beacon_word = (address.removeprefix("0x").rjust(64, "0") for address in (REGISTRY, BEACON))
    times = f"{WINDOW_PERIOD_SECONDS:064x}{WINDOW_OPEN_SECONDS:064x}"
    market_word = MARKET.removeprefix("0x").rjust(64, "0")
    audits = artefact("Audits").bytecode + registry_word + market_word + beacon_word
    intensity = artefact("Intensity").bytecode + registry_word + beacon_word + times
    return {
        "chainId": CHAIN_ID,
        "timestampMs": timestamp_ms,
        "blockGasLimit": block_gas,
        "accounts": {address: {"balance": hex(balance)} for address, balance in sorted(balances.items())},
        "deployments": [
            {"name": "Registry", "address": REGISTRY, "initCode": artefact("Registry").bytecode},
            {"name": "Market", "address": MARKET, "initCode": artefact("Market").bytecode + registry_word},
            {"name": "SessionKeys", "address": SESSION_KEYS, "initCode": artefact("SessionKeys").bytecode},
            {"name": "Beacon", "address": BEACON, "initCode": artefact("Beacon").bytecode},
            {"name": "Intensity", "address": INTENSITY, "initCode": intensity},
            {"name": "Audits", "address": AUDITS, "initCode": audits},
        ],
    }
