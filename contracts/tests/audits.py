"""Audits beside the other contracts: a customer, a provider under suspicion, and auditors who say what a test wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boa
from eth_abi import abi
from eth_utils import keccak

from candela.chain.audits import Audit

from .conftest import CND, HASH, PRICE, WORK, World, compiled, deploy

AUDITS = "0x0000000000000000000000000000000000000Cd9"
BISECTION = "0x0000000000000000000000000000000000000CDc"
BURNED = "0x" + "0" * 40
BOND, SEAT_FEE, SLASH = CND // 10, 10**14, CND
TASK = WORK * PRICE // 10**6
FEE = TASK + SEAT_FEE
RIGHT, WRONG, WITHHELD, UNCHECKABLE = 1, 2, 3, 4
OPEN, DRAWN, UPHELD, REFUTED, NOT_DELIVERED, NOT_CHECKABLE, UNDECIDED, RINGER = range(1, 9)
NARROWING = 9
REPLICATE, REPLAY, FREIVALDS = 1, 2, 3
TRUE = b"\x07" * 32
SALT = b"\x05" * 32

_MOMENTS = """
# pragma version 0.4.3
randomness: public(HashMap[uint256, bytes32])

@external
def record(moment: uint256, drawn: bytes32):
    self.randomness[moment] = drawn
"""


@cache
def moments() -> Any:
    """A beacon that takes a test's word, compiled once."""
    return boa.loads_partial(_MOMENTS)


@dataclass
class Court:
    """The contracts with their people."""

    world: World
    audits: Any
    bisection: Any
    moments: Any
    auditors: list[str]
    numbers: dict[str, int] = field(default_factory=dict)
    output: bytes = HASH
    """Hash of the outputs that receipts state."""

    def enrol(self, provider: str) -> int:
        """Register a provider and enrol its device."""
        boa.env.set_balance(provider, 1_000 * CND)
        self.world.registry.register(provider, value=CND, sender=provider)
        self.world.registry.add_device(0, 1, 1 << 30, 1, "cpu", sender=provider)
        number = self.audits.enrol(0, value=BOND, sender=provider)
        self.numbers[provider] = number
        return number

    def settled(self, tasks: int = 1, **terms: Any) -> int:
        """A lease whose tasks are settled; returns its id."""
        lease = self.world.lease(self.world.open(**terms))
        for task in range(tasks):
            self.world.settle(lease, task, output=self.output)
        return lease

    def receipt(self) -> tuple:
        """What a task's settlement states."""
        return (0, HASH, HASH, self.output, WORK)

    def record(self, moment: int, value: bytes = TRUE) -> None:
        """Let a moment pass and record its randomness."""
        self.wait_until(moment + 1)
        self.moments.record(moment, value)

    def dispute(self, lease: int, task: int = 0, hold: bool = True) -> int:
        """Let the customer dispute a task and ask for a committee; returns the audit."""
        customer = self.world.customer
        if hold:
            self.world.market.dispute(lease, task, HASH, sender=customer)
        fee = self.audits.fee(lease, task)
        return self.audits.dispute(lease, task, *self.receipt(), value=fee, sender=customer)

    def draw(self, audit: int, value: bytes = TRUE) -> list[str]:
        """Seat the committee; returns its members' providers."""
        self.record(self.audit(audit).moment, value)
        self.audits.draw(audit)
        return self.committee(audit)

    def audit(self, audit: int) -> Audit:
        """The audit."""
        return Audit(*self.audits.audits(audit))

    def committee(self, audit: int) -> list[str]:
        """The providers that are seated."""
        seats = [self.audits.seats(audit, seat)[0] for seat in range(self.audit(audit).seats)]
        return [self.audits.auditors(number)[0] for number in seats]

    def sealed(self, audit: int, seat: int, provider: str, verdict: int, output: bytes) -> bytes:
        """The hash that hides a verdict."""
        kinds = ["uint256", "uint8", "address", "uint8", "bytes32", "bytes32"]
        return keccak(abi.encode(kinds, [audit, seat, str(provider), verdict, output, SALT]))

    def say(self, audit: int, verdicts: list[tuple[int, bytes] | None]) -> None:
        """Let each seat commit and reveal a verdict; ``None`` is silent."""
        members = self.committee(audit)
        for seat, (member, said) in enumerate(zip(members, verdicts, strict=True)):
            if said is not None:
                self.audits.commit(audit, seat, self.sealed(audit, seat, member, *said), sender=member)
        if None in verdicts:
            self.wait_until(self.audit(audit).commit_until + 1)
        for seat, (member, said) in enumerate(zip(members, verdicts, strict=True)):
            if said is not None:
                self.audits.reveal(audit, seat, *said, SALT, sender=member)
        if None in verdicts:
            self.wait_until(self.audit(audit).reveal_until + 1)

    def judge(self, lease: int, verdicts: list[tuple[int, bytes] | None], hold: bool = True) -> int:
        """A dispute from its beginning to its end; returns the audit."""
        audit = self.dispute(lease, hold=hold)
        self.draw(audit)
        self.say(audit, verdicts)
        self.audits.conclude(audit)
        return audit

    def wait_until(self, moment: int) -> None:
        """Let time pass up to a moment; it never goes back."""
        boa.env.timestamp = max(boa.env.timestamp, moment)

    def pass_time(self, seconds: int) -> None:
        """Let time pass."""
        boa.env.time_travel(seconds=seconds)


def court(auditors: int = 3) -> Court:
    """A chain with all contracts, one provider, one customer and enrolled auditors; the caller anchors the chain."""
    registry = deploy("Registry")
    market = deploy("Market", registry.address)
    beacon = moments().deploy()
    arguments = (registry.address, market.address, beacon.address)
    audits = compiled("compute", "Audits").deploy(*arguments, override_address=boa.util.abi.Address(AUDITS))
    beside = (registry.address, market.address, AUDITS)
    bisection = compiled("compute", "Bisection").deploy(*beside, override_address=boa.util.abi.Address(BISECTION))
    customer, provider = boa.env.generate_address("customer"), boa.env.generate_address("provider")
    for account in (customer, provider):
        boa.env.set_balance(account, 1_000 * CND)
    registry.register(provider, value=CND, sender=provider)
    registry.add_device(0, 1, 1 << 30, 100_000, "cpu", sender=provider)
    people = [boa.env.generate_address(f"auditor {number}") for number in range(auditors)]
    made = Court(World(registry, market, customer, provider), audits, bisection, beacon, people)
    for person in people:
        made.enrol(person)
    boa.env.time_travel(seconds=100)
    return made
