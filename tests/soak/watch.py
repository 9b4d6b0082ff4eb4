"""What a committee of validators promises, watched through its clients."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable
from pathlib import Path

from candela import _ledger
from candela.chain.client import Client
from tests.soak.server import BrokenPromiseError, transfer

DEADLINE_SECONDS = 60
PAYEE = "0x" + "09" * 20
BURST = 5
_DOUBLE_VOTE = re.compile(
    r"conflicting (?:notarize|nullify|finalize)|nullify after finalize|finalize after nullify|invalid certificate"
)


class Watch:
    """Sends transfers to validators and holds them to what they said.

    Args:
        urls: each validator's RPC.
        keys: as many accounts with money.
        logs: each validator's log.
    """

    def __init__(self, urls: list[str], keys: list[bytes], logs: list[Path]) -> None:
        self.clients = [Client(url, timeout=10) for url in urls]
        self.everyone = list(range(len(urls)))
        self.receipts: dict[str, str] = {}
        self.sent: list[str] = []
        self.longest_wait_s = 0.0
        self._keys, self._logs = keys, logs
        self._nonces = [itertools.count() for _ in keys]
        self._blocks: dict[int, str] = {}

    def submit(self, live: list[int]) -> list[list[str]]:
        """Sends a few transfers from each account, to the same validator each time or to the first of ``live`` instead.

        Returns:
            The hashes by account.
        """
        sent = [
            [self._send(account, account if account in live else live[0]) for _ in range(BURST)]
            for account in self.everyone
        ]
        self.sent += itertools.chain.from_iterable(sent)
        return sent

    def _send(self, account: int, at: int) -> str:
        raw, digest = _ledger.sign_transaction(transfer(next(self._nonces[account]), PAYEE, 1), self._keys[account])
        self.clients[at].call("eth_sendRawTransaction", "0x" + raw.hex())
        return digest

    def height(self, at: int) -> int:
        """The head of a validator."""
        return self.clients[at].block_number()

    def await_final(self, live: list[int], digests: Iterable[str]) -> None:
        """Waits until ``digests`` are final at every one of ``live``, in the same blocks."""
        began = time.monotonic()
        for digest, at in itertools.product(digests, live):
            while (receipt := self.clients[at].call("eth_getTransactionReceipt", digest)) is None:
                if time.monotonic() - began > DEADLINE_SECONDS:
                    raise BrokenPromiseError(f"{digest} is not final at validator {at} after {DEADLINE_SECONDS} s")
                time.sleep(0.01)
            self._note(digest, receipt["blockHash"], at)
        self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - began)

    def await_height(self, at: int, height: int) -> float:
        """Waits until a validator has reached ``height``; returns the seconds that it took."""
        began = time.monotonic()
        while self.height(at) < height:
            if time.monotonic() - began > DEADLINE_SECONDS:
                raise BrokenPromiseError(f"validator {at} has not caught up after {DEADLINE_SECONDS} s")
            time.sleep(0.02)
        return time.monotonic() - began

    def _note(self, digest: str, block: str, at: int) -> None:
        if self.receipts.setdefault(digest, block) != block:
            raise BrokenPromiseError(f"{digest} is in {self.receipts[digest]}, and in {block} at validator {at}")

    def compare(self, at: int, first: int) -> None:
        """Compares the blocks of a validator from ``first`` on with everyone's."""
        for number in range(first, self.height(at) + 1):
            block = self.clients[at].call("eth_getBlockByNumber", hex(number), False)["hash"]
            if self._blocks.setdefault(number, block) != block:
                raise BrokenPromiseError(
                    f"fork: block {number} of validator {at} is {block}, not {self._blocks[number]}"
                )

    def continue_nonces(self, account: int) -> None:
        """Goes on at the nonce that every validator has: what one alone knew, and lost, is sent again under it."""
        address = _ledger.address_of(self._keys[account])
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            kinds = itertools.product(self.clients, ("latest", "pending"))
            nonces = [int(client.call("eth_getTransactionCount", address, kind), 16) for client, kind in kinds]
            if len(set(nonces)) == 1:
                self._nonces[account] = itertools.count(nonces[0])
                return
            if time.monotonic() > deadline:
                raise BrokenPromiseError(f"validators disagree on the nonce of {address}: {nonces}")
            time.sleep(0.05)

    def check_receipts(self, at: int, most: int | None = None) -> None:
        """What was final is where it was; ``most`` limits this to the newest ones."""
        for digest, block in list(self.receipts.items())[-(most or 0) :]:
            receipt = self.clients[at].call("eth_getTransactionReceipt", digest)
            if receipt is None or receipt["blockHash"] != block:
                raise BrokenPromiseError(f"{digest} was final in {block} and is not at validator {at}")

    def check_votes(self) -> None:
        """No validator has caught another one voting twice."""
        for log in self._logs:
            for line in log.read_text(errors="replace").splitlines():
                if _DOUBLE_VOTE.search(line):
                    raise BrokenPromiseError(f"{log.name}: {line}")

    def check_everything(self) -> None:
        """Every block, every receipt and every vote, at every validator."""
        for at in self.everyone:
            self.compare(at, 1)
            self.check_receipts(at)
        self.check_votes()
