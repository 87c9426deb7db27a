"""Who was changed under an emergency and never told. Pure."""

from collections.abc import Iterator

from zlh_hooks.domain.emergency import Emergency, Untold
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.notice_plan import is_astray
from zlh_hooks.domain.progress import Progress, TargetProgress
from zlh_hooks.domain.window_rule import Component


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
