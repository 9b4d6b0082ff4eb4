"""Look at a validator as its operator would: its files, its machine, its node, and what the ledger says of it."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from candela import _ledger
from candela.amounts import format_cnd
from candela.chain import certificate
from candela.chain.client import Client
from candela.chain.committee import Committee
from candela.chain.light import seats
from candela.chain.staking import Staking, ValidatorLine
from candela.chain.voting_key import VotingKey
from candela.errors import Error
from candela.finding import Finding
from candela.network.card import Card, endpoint
from candela.network.inspection import Inspection
from candela.network.validator_folder import Configuration, ValidatorFolder

_LEAST_FREE_BYTES = 5 << 30
_SYNCS = 20
_SYNC_BYTES = 4_096
_SLOW_SYNC_MS = 20.0
_CONNECT_SECONDS = 3.0
_RPC_SECONDS = 5.0
_POLL_SECONDS = 0.02
_AHEAD_MS = 500
"""How far a block may be ahead of the clock of a validator that votes without waiting (crates/consensus)."""
_LATE_MS = 5_000
"""Age of a block that arrives: agreement over the internet takes up to a second or two."""
_IDLE_MS = 75_000
"""Oldest head of a network that goes on: an idle one makes a block a minute."""
_CERTIFICATES = 32
_TELLING_CERTIFICATES = 8
"""So many certificates without a validator that votes are unlikely: each has two thirds of the seats."""
_TRANSACTION_GAS = 500_000


def examine(folder: ValidatorFolder, passphrase_file: Path | None, watch_seconds: float) -> list[Finding]:
    """Everything, in the order in which it matters.

    Args:
        folder: the validator's.
        passphrase_file: of its key; without, the one in $CANDELA_PASSPHRASE_FILE.
        watch_seconds: how long to wait for a block of another validator.

    Raises:
        UsageError: the folder holds no configured validator.
    """
    config, card, chain = folder.configuration(), folder.card(), folder.inspect()
    found = [_tried("key", lambda: _key(folder, card, chain, passphrase_file)), _folder(folder.path)]
    found += [_configuration(config, card), _disk(folder.path), _sync(folder.path)]
    found += [*_ports(config, card), node := _tried("node", lambda: _node(config, chain, folder.path))]
    if not node.ok:
        return [*found, Finding("chain", False, "not checked, because the node does not answer", needed=False)]
    checks = _Chain(Client(config.url, _RPC_SECONDS), folder.path, config, card, chain)
    return [*found, _ready(config), *checks.findings(watch_seconds)]


def _tried(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Error as error:
        return Finding(name, False, ": ".join(filter(None, (error.what, error.why))), error.fix)


def _key(folder: ValidatorFolder, card: Card, chain: Inspection, passphrase_file: Path | None) -> Finding:
    key: VotingKey = folder.key(passphrase_file)
    key.check_network(chain.chain_id)
    if key.public != card.key:
        detail = f"validator.json names {card.public_key[:12]}, and the key is 0x{key.public.hex()[:10]}"
        return Finding("key", False, detail, f"candela validator init {folder.path}")
    kept = "encrypted" if key.encrypted else "not encrypted, as development networks allow"
    return Finding("key", True, f"{card.public_key[:12]}, {kept}, readable by you alone")


def _folder(path: Path) -> Finding:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding("folder", False, f"others may look into {path} (mode {mode:o})", f"chmod 700 {path}")
    return Finding("folder", True, f"{path} is yours alone")


def _configuration(config: Configuration, card: Card) -> Finding:
    named = {each.public_key: each.address for each in config.validators}
    if card.public_key not in named:
        return Finding("configuration", False, "node.json does not name this validator", "run candela validator init")
    if named[card.public_key] != card.address:
        detail = f"node.json says {named[card.public_key]}, validator.json says {card.address}"
        return Finding("configuration", False, detail, "make them agree, and tell the others the address")
    return Finding("configuration", True, f"names this validator and {len(named) - 1} others")


def _disk(path: Path) -> Finding:
    free = shutil.disk_usage(path).free
    fix = "" if free >= _LEAST_FREE_BYTES else "make room: a node that can't write stops"
    return Finding("disk", free >= _LEAST_FREE_BYTES, f"{free / (1 << 30):,.1f} GiB free at {path}", fix)


def _sync(path: Path) -> Finding:
    """How long a small write takes to be durable; every vote and every block waits for one."""
    probe = path / f".doctor.{os.getpid()}"
    times: list[float] = []
    try:
        with probe.open("wb") as file:
            for _ in range(_SYNCS):
                began = time.perf_counter()
                file.write(bytes(_SYNC_BYTES))
                file.flush()
                os.fdatasync(file.fileno())
                times.append((time.perf_counter() - began) * 1_000)
    except OSError as error:
        return Finding("sync", False, f"can't write to {path}: {error.strerror}", "give the folder to this user")
    finally:
        probe.unlink(missing_ok=True)
    median = statistics.median(times)
    detail = f"a write is durable after {median:.1f} ms, at worst {max(times):.1f}"
    fix = "" if median <= _SLOW_SYNC_MS else f"use a faster disk: above {_SLOW_SYNC_MS:.0f} ms votes are late"
    return Finding("sync", median <= _SLOW_SYNC_MS, detail, fix, needed=False)


def _ports(config: Configuration, card: Card) -> Iterator[Finding]:
    if len(config.validators) < 2:
        return
    host, port = endpoint(config.listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    refused = _connect(host, port)
    fix = "start the node, or see in its log why it does not listen" if refused else ""
    yield Finding("listening", not refused, f"{config.listen}{refused}", fix)
    if (refused := _connect(*endpoint(card.address))) and endpoint(card.address) != endpoint(config.listen):
        fix = "forward that port to this machine; some gateways can't be reached from inside, so ask another validator"
        yield Finding("address", False, f"{card.address}{refused}", fix, needed=False)
    others = [each for each in config.validators if each.public_key != card.public_key]
    away = {each.address: refused for each in others if (refused := _connect(*endpoint(each.address)))}
    detail = f"{len(others) - len(away)} of {len(others)} can be reached"
    detail += "".join(f"; {address}{why}" for address, why in away.items())
    fix = "ask their operators, and let the firewall pass connections to these ports" if away else ""
    # With a third of the validators away nothing becomes final.
    yield Finding("others", not away, detail, fix, needed=3 * len(away) >= len(config.validators))


def _connect(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        return f": {error.strerror or error}"
    return ""


def _node(config: Configuration, chain: Inspection, path: Path) -> Finding:
    client = Client(config.url, _RPC_SECONDS)
    try:
        height, first = client.block_number(), client.call("eth_getBlockByNumber", "0x0", False)["hash"]
    except Error as error:
        detail = f"it does not answer at {config.url}: {error.why or error.what}"
        return Finding("node", False, detail, f"start it: candela validator run {path}")
    if first != chain.hash:
        detail = f"{config.url} serves the chain {first}, and the genesis here is that of {chain.hash}"
        return Finding("node", False, detail, "stop the other node, or choose another port in node.json")
    return Finding("node", True, f"{config.url}, chain {chain.chain_id}, block {height}")


def _ready(config: Configuration) -> Finding:
    try:
        answer = httpx2.get(f"{config.url}/ready", timeout=_RPC_SECONDS, trust_env=False)
        error = "" if answer.status_code == 200 else str(answer.json().get("error", answer.status_code))
    except (httpx2.HTTPError, ValueError) as failure:
        error = str(failure)
    return Finding("ready", not error, error or "it agrees on blocks", "see the node's log" if error else "")


class _Chain:
    """What the ledger says of the validator."""

    def __init__(self, client: Client, path: Path, config: Configuration, card: Card, chain: Inspection) -> None:
        self.client, self.path, self.config, self.card, self.chain = client, path, config, card, chain

    def findings(self, watch_seconds: float) -> list[Finding]:
        found = [_tried("clock", lambda: self._clock(watch_seconds))]
        if self.chain.epoch_blocks is None:
            return [*found, Finding("seat", True, "nobody is elected on this chain")]
        try:
            committee = seats(self.client, self.client.block_number() // self.chain.epoch_blocks)
        except Error as error:
            return [*found, Finding("seat", False, error.what, "see the node's log")]
        found += [_tried("stake", self._stake), self._seat(committee), self._book(committee)]
        if self._has_seat(committee) and len(committee.seats) > 1:
            found.append(_tried("votes", lambda: self._votes(committee)))
        return [*found, _tried("money", self._money)]

    def _has_seat(self, committee: Committee) -> bool:
        return self.card.key in {seat.public_key for seat in committee.seats}

    def _head(self) -> dict[str, Any]:
        return _ledger.decode_header(_hex(self.client.call("candela_getHeader", "latest")["headerBytes"]))

    def _clock(self, watch_seconds: float) -> Finding:
        """Compare this clock with the times that other leaders gave their blocks."""
        head, deadline = self._head(), time.monotonic() + watch_seconds
        age, fresh = _now_ms() - head["timestamp_ms"], None
        while time.monotonic() < deadline and fresh is None:
            time.sleep(_POLL_SECONDS)
            newest = self._head()
            if newest["number"] > head["number"]:
                arrived, head = _now_ms() - newest["timestamp_ms"], newest
                fresh = arrived if self._by_another(newest) else None
        return judge_clock(age, fresh)

    def _by_another(self, header: dict[str, Any]) -> bool:
        block = self.client.call("eth_getBlockByNumber", hex(header["number"]), False)
        return block["miner"].lower() != self.config.fee_recipient.lower()

    def _stake(self) -> Finding:
        staking = Staking(self.client)
        number = staking.number_of(self.card.key)
        if number == 0:
            first = self.card.public_key in {each.public_key for each in self.chain.seats}
            detail = "a seat of genesis without a bond" if first else "the key is not registered"
            return Finding("stake", first, detail, "" if first else f"candela validator join {self.path}", needed=False)
        return judge_stake(staking.validator(number), self.card, staking.read("MIN_SELF_BOND"), self.path)

    def _seat(self, committee: Committee) -> Finding:
        if self._has_seat(committee):
            return Finding("seat", True, f"one of {len(committee.seats)} in epoch {committee.epoch}")
        detail = f"none in epoch {committee.epoch}; the node follows without voting"
        return Finding("seat", False, detail, "see candela validator status: join, or bond more", needed=False)

    def _book(self, committee: Committee) -> Finding:
        """Whether every seat is one that the node talks to."""
        named = {each.public_key for each in self.config.validators}
        missing = [seat.key for seat in committee.seats if seat.key not in named]
        if missing:
            detail = f"node.json does not name {len(missing)} that have seats: {', '.join(k[:12] for k in missing)}"
            return Finding("peers", False, detail, "add their keys and addresses to node.json, and restart the node")
        return Finding("peers", True, "node.json names every seat")

    def _votes(self, committee: Committee) -> Finding:
        """Whether the others hear this validator: then certificates have its signature."""
        head = self.client.block_number()
        numbers = range(max(1, head - _CERTIFICATES + 1), head + 1)
        answers = self.client.batch([("candela_getHeader", (hex(each),)) for each in numbers])
        answers = [each for each in answers if isinstance(each, dict) and len(each["certificate"]) > 2]
        read = [certificate.decode(_hex(each["certificate"])) for each in answers]
        read = [each for each in read if each.epoch == committee.epoch]
        place = [seat.public_key for seat in committee.seats].index(self.card.key)
        signed = sum(place in each.signatures for each in read)
        return judge_votes(signed, len(read), self.card)

    def _money(self) -> Finding:
        balance, price = self.client.balance(self.card.owner), int(self.client.call("eth_gasPrice"), 16)
        enough = balance >= price * _TRANSACTION_GAS
        fix = "" if enough else "send it CND: joining, rotating and claiming cost fees"
        return Finding("money", enough, f"the owner {self.card.owner} has {format_cnd(balance)}", fix, needed=False)


def judge_clock(age_ms: int, fresh_ms: int | None) -> Finding:
    """What the age of the head, and of a block of another validator as it arrived, say about this clock."""
    fix = "let it follow network time: timedatectl set-ntp true"
    offset = age_ms if fresh_ms is None else fresh_ms
    if offset < -_AHEAD_MS:
        return Finding("clock", False, f"{-offset / 1_000:.1f} s behind the other validators'", fix)
    if fresh_ms is not None:
        late = fresh_ms > _LATE_MS
        detail = f"{fresh_ms / 1_000:.2f} s after the leader's when its block arrived"
        return Finding("clock", not late, detail, f"{fix}; or the network is slow" if late else "")
    if age_ms > _IDLE_MS:
        detail = f"the last block is {age_ms / 1_000:.0f} s old: the clock is ahead, or nothing becomes final"
        return Finding("clock", False, detail, fix)
    detail = f"the last block is {age_ms / 1_000:.0f} s old, so the clock is ahead by less than that"
    return Finding("clock", True, f"{detail}; nobody else made one while watched")


def judge_votes(signed: int, read: int, card: Card) -> Finding:
    """What it says that a validator with a seat has signed ``signed`` of ``read`` certificates."""
    detail = f"in {signed} of the last {read} certificates"
    if signed or read < _TELLING_CERTIFICATES:
        return Finding("votes", True, detail)
    fix = f"have the others name {card.public_key} at {card.address} in their node.json"
    return Finding("votes", False, f"{detail}: the others don't hear it", fix)


def judge_stake(line: ValidatorLine, card: Card, least_nit: int, path: Path) -> Finding:
    """What the ledger's line says of the validator that a card names."""
    who = f"validator {line.validator}"
    if line.key != card.public_key:
        detail = f"{who} has rotated to {line.key[:12]}: this key is an old one"
        return Finding("stake", False, detail, "run the node with the new key, and this one no more")
    if line.state in ("tombstoned", "jailed"):
        fixes = {"tombstoned": "none: it was proved to have voted twice", "jailed": f"candela validator join {path}"}
        return Finding("stake", False, f"{who} is {line.state}", fixes[line.state])
    if line.owner.lower() != card.owner.lower():
        detail = f"{who} belongs to {line.owner}, and validator.json names {card.owner}"
        return Finding("stake", False, detail, f"candela validator init {path} --owner {line.owner}")
    if line.state != "standing" or int(line.bond_nit) < least_nit:
        detail = f"{who} is {line.state} with a bond of {format_cnd(int(line.bond_nit))}"
        return Finding("stake", False, detail, f"candela validator join {path}", needed=False)
    bond, more = format_cnd(int(line.bond_nit)), format_cnd(int(line.delegated_nit))
    return Finding("stake", True, f"{who} stands for election with {bond}, and {more} delegated")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
