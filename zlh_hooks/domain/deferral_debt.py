"""Guests that were deferred, whose cap has passed, and that still run what they ran. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from zlh_hooks.domain.deferral import find_latest
from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.line import parse_version
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.progress import Progress, TargetProgress
from zlh_hooks.domain.steps import RolloutState, TargetState

_UNCHANGED = (TargetState.PENDING, TargetState.STAGED, TargetState.SKIPPED)
_TAKEN_BACK = (RolloutState.REVERTING, RolloutState.REVERTED, RolloutState.STUCK)


@dataclass(frozen=True, slots=True)
class Overdue:
    """A guest that should have had a version of a line by ``latest``."""

    rollout: str
    vmid: int
    name: str
    line: str
    version: str
    latest: datetime


def list_overdue(
    progress: Progress, book: NoticeBook, zone: str, now: datetime, running: Mapping[int, str | None] | None
) -> Iterator[Overdue]:
    """Those of one rollout. ``running``: guest to its version as the cluster says; None if it cannot be asked.

    Nobody owes a version that was taken back.
    """
    plan, release = progress.plan, progress.plan.release
    if progress.state in _TAKEN_BACK:
        return
    for row in progress.targets:
        vmid = row.target.vmid
        if vmid not in book.deferrals or not _is_unchanged(row, release.version, running):
            continue
        latest = find_latest(book.first_dates[vmid], plan.deferral_limit, zone)
        if latest < now:
            yield Overdue(plan.id, vmid, row.target.name, release.line, release.version, latest)


def _is_unchanged(row: TargetProgress, wanted: str, running: Mapping[int, str | None] | None) -> bool:
    vmid = row.target.vmid
    if row.state not in _UNCHANGED or (running is not None and vmid not in running):
        return False  # changed, or gone
    version = row.target.from_version if running is None else running[vmid]
    return version is None or _is_older(version, wanted)


def _is_older(version: str, wanted: str) -> bool:
    try:
        return parse_version(version) < parse_version(wanted)
    except TargetError:
        return version != wanted
