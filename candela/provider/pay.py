"""Say where each part of a provider's pay comes from, with the numbers that made it."""

from __future__ import annotations

import msgspec

from candela.amounts import WORK_SCALE, format_cnd
from candela.chain.audits import Audits, AuditState, Seat, Verdict
from candela.chain.intensity import Intensity
from candela.chain.market import Market
from candela.chain.registry import Registry
from candela.chain.rewards import Rewards
from candela.provider.earnings import JobEarnings, read_earnings

_DECIDED = {
    AuditState.UPHELD: Verdict.RIGHT,
    AuditState.REFUTED: Verdict.WRONG,
    AuditState.NOT_DELIVERED: Verdict.WITHHELD,
    AuditState.NOT_CHECKABLE: Verdict.UNCHECKABLE,
    AuditState.RINGER: Verdict.WRONG,
}


class Component(msgspec.Struct):
    """One part of pay: its amount in nit, less than nothing where it was lost, and how it came about."""

    name: str
    amount: int
    reason: str


def explain(market: Market, provider: str) -> list[Component]:
    """All parts of a provider's pay since it registered, from the chain alone.

    Args:
        market: the contract; the others are read at the same node.
        provider: the owner's address.
    """
    jobs = read_earnings(market, provider)
    return [*_work(jobs), *_audits(Audits(market.client), provider), *_losses(market, provider)]


def _work(jobs: list[JobEarnings]) -> list[Component]:
    tasks, work = sum(each.tasks for each in jobs), sum(each.work_uwu for each in jobs)
    settled = sum(each.settled for each in jobs)
    mean = f", {format_cnd(settled * WORK_SCALE // work)} each on average" if work else ""
    reasons = {
        "paid": f"of {format_cnd(settled)} stated for {tasks} tasks: {work / WORK_SCALE:,.3f} work units{mean}",
        "fees": "burned: 5 % of each payment, of which the pool for work pays up to 80 % back",
        "to_auditors": "set aside for auditors: 2 % of each payment",
        "pending": "until the customer accepts, or the job's audit window ends",
        "held": "disputed: until a committee decides, the customer relents, or a week is over",
        "refused": "went back to jobs whose results a committee found false or missing",
        "burned": "disputed for a week without an audit",
    }
    amounts = {name: sum(getattr(each, name) for each in jobs) for name in reasons}
    shown = [name for name in reasons if amounts[name] or name == "paid"]
    return [Component(name.replace("_", " "), amounts[name], reasons[name]) for name in shown]


def _audits(audits: Audits, provider: str) -> list[Component]:
    head, word = audits.client.block_number(), _word(provider)
    seated = audits.events(0, head, audits.topic("Seated"), None, word)
    fees = rewards = judged = 0
    for event in seated:
        fee, reward = _income(audits, event.fields["audit_id"], event.fields["seat"])
        fees, rewards, judged = fees + fee, rewards + reward, judged + bool(fee)
    numbers = [
        f"0x{each.fields['auditor']:064x}" for each in audits.events(0, head, audits.topic("Enrolled"), None, word)
    ]
    shares = _shares(audits, {each.fields["audit_id"] for each in seated}, provider)
    lost = audits.events(0, head, audits.topic("AuditorPenalised"), numbers) if numbers else []
    penalty = sum(each.fields["amount"] for each in lost)
    found = []
    if seated:
        found.append(
            Component("audit fees", fees, f"{judged} of {len(seated)} seats: each task's price and 0.0001 CND")
        )
        found.append(Component("audit rewards", rewards, "30 % of slashes that its verdicts led to"))
        reason = "of the 2 % of payments that are set aside, credited; paid with: candela provider rewards pay"
        found.append(Component("audit shares", shares, reason))
    if penalty:
        found.append(
            Component("audit penalties", -penalty, f"{len(lost)} verdicts that were late or not the majority's")
        )
    return found


def _income(audits: Audits, audit_id: int, number: int) -> tuple[int, int]:
    """The fee and the share of a slash that a seat has brought."""
    audit = audits.audit(audit_id)
    state = AuditState(audit.state)
    if not state.ended:
        return 0, 0
    winners = [seat for seat in range(audit.seats) if _won(audits.seat(audit_id, seat), state)]
    if number not in winners:
        return 0, 0
    return audit.fee, audits.conclusion(audit_id)["to_auditors"] // len(winners)


def _shares(audits: Audits, seated: set[int], provider: str) -> int:
    """What a provider was credited with for its verdicts on audits."""
    rewards = Rewards(audits.client)
    if not seated or not rewards.deployed:
        return 0
    events = rewards.events(0, audits.client.block_number(), rewards.topic("AuditorsPaid"))
    paid = [each.fields for each in events if each.fields["audit_id"] in seated]
    winners = {each["audit_id"]: audits.read("winners", each["audit_id"])[2] for each in paid}
    return sum(each["each"] for each in paid if provider.lower() in map(str.lower, winners[each["audit_id"]]))


def _won(seat: Seat, state: AuditState) -> bool:
    if seat.verdict == Verdict.SILENT:
        return False
    return state is AuditState.UNDECIDED or seat.verdict == _DECIDED[state]


def _losses(market: Market, provider: str) -> list[Component]:
    client, word = market.client, _word(provider)
    head, registry, intensity = client.block_number(), Registry(client), Intensity(client)
    slashed = registry.events(0, head, registry.topic("Slashed"), word)
    refuted = intensity.events(0, head, intensity.topic("Refuted"), None, word)
    found = []
    if slashed:
        lost = sum(each.fields["amount"] for each in slashed)
        found.append(Component("slashed", -lost, f"{len(slashed)} verdicts against its results; see: candela audits"))
    if refuted:
        lost = sum(each.fields["slashed"] for each in refuted)
        found.append(Component("windows refuted", -lost, f"{len(refuted)} windows with false or missing tiles"))
    return found


def _word(address: str) -> str:
    return "0x" + address.lower().removeprefix("0x").rjust(64, "0")
