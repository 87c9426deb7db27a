"""What monitoring should know of a site, as gauges drawn from its ledger. Pure.

Names are Prometheus' own convention: the unit is in the name, and a moment is ``_timestamp_seconds`` since 1970 in UTC.
What does not exist (a debt, a lease) has no sample, so that no alert compares with it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from zlh_hooks.domain.agent_trust import Expiry
from zlh_hooks.domain.emergency import Debt, Emergency, EmergencyBook
from zlh_hooks.domain.emergency_debt import list_debts
from zlh_hooks.domain.emergency_rules import EmergencyRules
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.guest_change import Changed, read_changes
from zlh_hooks.domain.notice_book import Delivery, DeliveryState, NoticeBook
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, fold_progress, group_by_rollout, list_stuck
from zlh_hooks.domain.steps import RolloutState
from zlh_hooks.domain.window_rule import Component

DEBT_KINDS = ("notice", "review")
PREFIX = "zlh_hooks_"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric. ``label``: what its samples are told apart by, empty if there is one; ``samples``: label to value."""

    name: str
    help: str
    label: str
    samples: tuple[tuple[str, float], ...]


def draw_gauges(
    entries: Sequence[Entry],
    lease_until: datetime | None,
    policy: Policy,
    now: datetime,
    expiries: Iterable[Expiry] = (),
) -> tuple[Gauge, ...]:
    """All of them. ``lease_until``: of the worker's lease, expired or not; None if nobody holds it. ``expiries``: of
    what agents read.
    """
    ends = tuple(expiries)
    told = [(fold_progress(own), NoticeBook().add(own)) for own in group_by_rollout(entries).values()]
    book, rules = EmergencyBook().add(entries), policy.emergency or EmergencyRules()
    debts = [debt for one in book.emergencies.values() for debt in list_debts(one, told, now, rules)]
    return (
        _draw_open(book.emergencies.values(), now),
        _draw_debts(debts),
        _draw_due(debts),
        _draw_rollouts([progress for progress, _ in told]),
        _draw_stuck(entries),
        _draw_kept([progress for progress, _ in told]),
        _draw_undelivered(told),
        _draw_lease(lease_until),
        _draw_renewals(ends),
        _draw_ends(ends),
        _draw_changes(entries, policy),
    )


def _draw_open(emergencies: Iterable[Emergency], now: datetime) -> Gauge:
    open_ones = {one.component for one in emergencies if one.is_open(now)}
    samples = tuple((str(one), float(one in open_ones)) for one in Component)
    return Gauge(f"{PREFIX}emergency_open", "1 while an emergency is open for the component.", "component", samples)


def _draw_debts(debts: Sequence[Debt]) -> Gauge:
    count = Counter(debt.kind for debt in debts)
    samples = tuple((kind, float(count[kind])) for kind in DEBT_KINDS)
    return Gauge(f"{PREFIX}emergency_debts", "What emergencies still owe.", "kind", samples)


def _draw_due(debts: Sequence[Debt]) -> Gauge:
    """A notice is due at once, a review within the policy's time."""
    due = {kind: [debt.due for debt in debts if debt.kind == kind] for kind in DEBT_KINDS}
    samples = tuple((kind, min(times).timestamp()) for kind, times in due.items() if times)
    text = "When the first debt of the kind is due; none while nothing is owed."
    return Gauge(f"{PREFIX}emergency_debt_due_timestamp_seconds", text, "kind", samples)


def _draw_rollouts(rollouts: Sequence[Progress]) -> Gauge:
    count = Counter(progress.state for progress in rollouts)
    samples = tuple((str(state), float(count[state])) for state in RolloutState)
    return Gauge(f"{PREFIX}rollouts", "Rollouts of the ledger by state.", "state", samples)


def _draw_stuck(entries: Sequence[Entry]) -> Gauge:
    text = "Guests whose latest rollout left them STUCK, and which nobody has recovered since."
    return Gauge(f"{PREFIX}targets_stuck", text, "", (("", float(len(list_stuck(entries)))),))


def _draw_kept(rollouts: Iterable[Progress]) -> Gauge:
    text = "Guests that were not healthy when their old root was due to be given up, and keep it therefore."
    kept = sum(row.kept for progress in rollouts for row in progress.targets)
    return Gauge(f"{PREFIX}targets_kept", text, "", (("", float(kept)),))


def _draw_undelivered(told: Iterable[tuple[Progress, NoticeBook]]) -> Gauge:
    """Of rollouts that have not ended, and of dates that still hold: the rest nobody can mend any more."""
    books = [book for progress, book in told if not progress.has_ended]
    count = Counter(one.state for book in books for one in book.deliveries.values() if _matters(one, book))
    states = [state for state in DeliveryState if state is not DeliveryState.DELIVERED]
    samples = tuple((str(state), float(count[state])) for state in states)
    text = "Notices of rollouts that have not ended, which no server has accepted, or which came back."
    return Gauge(f"{PREFIX}notices_undelivered", text, "state", samples)


def _matters(delivery: Delivery, book: NoticeBook) -> bool:
    current = book.rounds[delivery.round].version == (delivery.round, delivery.sequence)
    return current and delivery.customer not in book.vouched


def _draw_lease(until: datetime | None) -> Gauge:
    samples = () if until is None else (("", until.timestamp()),)
    text = "When the worker's lease expires; none while no worker holds it. One that is in the past is a dead worker's."
    return Gauge(f"{PREFIX}worker_lease_expiry_timestamp_seconds", text, "", samples)


def _draw_renewals(expiries: Sequence[Expiry]) -> Gauge:
    samples = tuple((str(one.role), one.renew_by.timestamp()) for one in expiries)
    text = "When each document that agents read should be renewed, long before it ends; none where none is published."
    return Gauge(f"{PREFIX}agent_document_renewal_timestamp_seconds", text, "document", samples)


def _draw_ends(expiries: Sequence[Expiry]) -> Gauge:
    samples = tuple((str(one.role), one.expires.timestamp()) for one in expiries)
    text = "When each document that agents read ends: from then on they stay as they are."
    return Gauge(f"{PREFIX}agent_document_expiry_timestamp_seconds", text, "document", samples)


def _draw_changes(entries: Iterable[Entry], policy: Policy) -> Gauge:
    count = Counter(one.what for one in read_changes(entries) if one.guest not in policy.scratch_vmids)
    samples = tuple((what.value, float(count[what])) for what in Changed)
    text = "How often guests were noted on another node than before, or with another address."
    return Gauge(f"{PREFIX}guest_changes", text, "what", samples)
