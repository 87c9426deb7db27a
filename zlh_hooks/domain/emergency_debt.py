"""What emergencies leave owing: their review, and a word to whoever was changed under one and never told. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from zlh_hooks.domain.emergency import Debt, Emergency, Untold
from zlh_hooks.domain.emergency_rules import EmergencyRules
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.notice_plan import is_astray
from zlh_hooks.domain.progress import Progress, TargetProgress
from zlh_hooks.domain.window_rule import Component


def list_debts(
    emergency: Emergency, rollouts: Iterable[tuple[Progress, NoticeBook]], now: datetime, rules: EmergencyRules
) -> tuple[Debt, ...]:
    """All that it leaves owing, the first due first. ``rollouts``: those of the ledger, with what was told of each."""
    untold = [who for progress, book in rollouts for who in list_untold(emergency, progress, book)]
    return emergency.debts(now, rules.review_within, untold)


def list_untold(emergency: Emergency, progress: Progress, book: NoticeBook) -> Iterator[Untold]:
    """Customers of the rollout who are still owed a notice. Where the policy has no notices, nobody is."""
    if emergency.component is not Component.TEMPLATE or progress.plan.notices is None:
        return
    for row in progress.targets:
        at = row.began_at
        if at is not None and emergency.is_open(at) and not _knows(row, book):
            mine = book.round_of(row.target.vmid)
            yield Untold(progress.plan.id, row.target.vmid, mine.of(row.target.vmid) if mine else None, at)


def _knows(row: TargetProgress, book: NoticeBook) -> bool:
    """A date that was told and not kept is not what the customer has to know."""
    mine = book.round_of(row.target.vmid)
    if mine is None or is_astray(row, book):
        return False
    return book.has_heard(str(mine.of(row.target.vmid)), mine)
