"""On a running chain: the randomness of a moment is recorded from real headers, and a false tile is refuted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from candela.chain.account import Account
from candela.chain.client import Client, Receipt
from candela.chain.contract import Contract
from candela.chain.message import Message
from candela.chain.sender import Sender
from candela.errors import TransactionFailed
from candela.intensity import C1, Context, Opening, Prover, Window, drawn, verify
from candela.intensity.tree import Tree
from candela.intensity.window import leaf, place
from candela.network.contracts import artefact
from candela.network.genesis import BEACON, CHAIN_ID, INTENSITY, REGISTRY, genesis
from tests.nodes import alone

CND = 10**18
DEADLINE_SECONDS = 60
OPEN_SECONDS = 40


class Chain:
    """A node with a prover and a challenger."""

    def __init__(self, folder: Path) -> None:
        self.prover, self.challenger = Account(secrets.token_bytes(32)), Account(secrets.token_bytes(32))
        rich = {account.address: 1_000 * CND for account in (self.prover, self.challenger)}
        self.node = alone(folder, genesis(rich, int(time.time() * 1000)), block_interval_ms=1)
        self.client = Client(self.node.start()["http"])
        self._senders = {
            each.address: Sender(self.client, each, session=None) for each in (self.prover, self.challenger)
        }
        self.registry = Contract(self.client, "Registry", REGISTRY)
        self.beacon = Contract(self.client, "Beacon", BEACON)

    def send(self, account: Account, message: Message) -> Receipt:
        """Send and wait until it is final."""
        return self._senders[account.address].send(message)

    def header(self, number: int) -> tuple[dict[str, Any], bytes]:
        """A block as Ethereum's tools see it, and the header that its hash is of."""
        block = self.client.call("eth_getBlockByNumber", hex(number), False)
        document = self.client.call("candela_getProof", BEACON, [], block["hash"])
        return block, bytes.fromhex(document["headerBytes"][2:])

    def record(self, moment: int) -> bytes:
        """Wait for the first block at or after a moment and record its randomness."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while int(self.client.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16) < moment:
            assert time.monotonic() < deadline, f"no block at {moment}"
            self.send(self.challenger, Message(to=self.challenger.address, data=b"", gas=21_000))
        number = int(self.client.call("eth_blockNumber"), 16)
        while int(self.header(number - 1)[0]["timestamp"], 16) >= moment:
            number -= 1
        (_, before), (block, at) = self.header(number - 1), self.header(number)
        self.send(self.challenger, self.beacon.message("record", moment, before, at))
        found = self.beacon.read("randomness", moment)
        assert "0x" + found.hex() == block["mixHash"]
        return found

    def intensity(self, opens: int, open_seconds: int = OPEN_SECONDS) -> Contract:
        """The contract with one window, number 1, that opens at a moment."""
        words = [bytes(12) + bytes.fromhex(each[2:]) for each in (REGISTRY, BEACON)]
        words += [each.to_bytes(32, "big") for each in (opens, open_seconds)]
        code = bytes.fromhex(artefact("Intensity").bytecode.removeprefix("0x")) + b"".join(words)
        receipt = self.send(self.prover, Message(to=None, data=code))
        assert receipt.contract_address
        return Contract(self.client, "Intensity", receipt.contract_address)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    chain = Chain(tmp_path_factory.mktemp("node"))
    chain.send(chain.prover, chain.registry.message("register", chain.prover.address, value=CND))
    chain.send(chain.prover, chain.registry.message("add_device", 0, 1, 1 << 30, 100_000, "cpu"))
    yield chain
    chain.client.close()
    chain.node.stop()


class Liar(Window):
    """A window with one element off by one."""

    def __init__(self, true: Window, index: int) -> None:
        trees = [true._rebuild(unit) for unit in range(true.units)]
        super().__init__(true.context, trees.__getitem__)
        entries = np.frombuffer(true.open([index])[0].tile, dtype="<i4").copy()
        entries[5 * 32 + 9] += 1
        self._index, self._tile = index, entries.tobytes()
        at = place(C1, index)
        leaves = bytearray(trees[at.unit].levels[0])
        leaves[at.number * 32 : at.number * 32 + 32] = leaf(at.row, at.column, self._tile)
        trees[at.unit] = Tree(bytes(leaves))
        for tree in trees:
            self.add(tree.root)

    def open(self, indices: Iterable[int]) -> list[Opening]:
        """Show tiles as they were committed to."""
        return [
            msgspec.structs.replace(each, tile=self._tile) if each.index == self._index else each
            for each in super().open(indices)
        ]


def _address(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def test_a_liar_loses_its_bond_and_a_true_tile_stands(chain: Chain) -> None:
    opens = int(time.time()) + 2
    intensity = chain.intensity(opens)
    chain.send(chain.prover, intensity.message("deposit", chain.prover.address, value=CND))
    beacon = chain.record(opens)
    context = Context(CHAIN_ID, _address(intensity.address), C1, beacon, _address(chain.prover.address), 0)
    true = Prover().prove(context, 3)
    false = 2 * C1.tiles + 99
    window = Liar(true, false)
    commitment = window.commitment()
    chain.send(chain.prover, intensity.message("commit", 1, 0, C1.code, commitment.root, commitment.units))

    def refutation(index: int, row: int, column: int) -> Message:
        (opening,) = window.open([index])
        path = [*opening.tile_path, *opening.unit_path]
        where = (1, chain.prover.address, 0, index, opening.tile, path)
        return intensity.message("prove_fraud", *where, row, column, gas=2_000_000)

    for index, row, column in ((false, 5, 8), (false - 1, 5, 9), (0, 0, 0)):
        with pytest.raises(TransactionFailed, match="element is right"):
            chain.send(chain.challenger, refutation(index, row, column))
    before = int(chain.client.call("eth_getBalance", chain.challenger.address, "latest"), 16)
    receipt = chain.send(chain.challenger, refutation(false, 5, 9))
    after = int(chain.client.call("eth_getBalance", chain.challenger.address, "latest"), 16)
    assert after - before > CND * 29 // 100
    assert intensity.read("bonds", chain.prover.address) == 0
    gas = int(receipt.gas_used, 16)
    assert gas <= 250_000, f"a refutation took {gas} gas"
    print(f"a refutation took {gas} gas")


def test_a_verifier_needs_the_commitment_and_the_openings_alone(chain: Chain) -> None:
    opens = int(time.time()) + 1
    beacon = chain.record(opens)
    context = Context(CHAIN_ID, _address(INTENSITY), C1, beacon, _address(chain.prover.address), 0)
    window = Prover().prove(context, 2)
    later = chain.record(opens + 2)
    openings = window.open(drawn(context, window.commitment(), later))
    verify(context, window.commitment(), later, openings)
