"""What a look at the ledger reads: what came since the one before, and rollouts that were open then."""

from dataclasses import dataclass, replace

from zlh_hooks.application.ports import Ledger
from zlh_hooks.domain.audit import Break, find_break
from zlh_hooks.domain.dead_man import Checked
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.progress import Progress, fold_progress, has_new_order


@dataclass(frozen=True, slots=True)
class Review:
    """``rollouts``: those open before or written to since, oldest first. After a ``broken`` place nothing counts."""

    checked: Checked
    rollouts: tuple[Progress, ...] = ()
    broken: Break | None = None


def review_ledger(ledger: Ledger, before: Checked) -> Review:
    """Check what is new, and of what is old the entries of open rollouts."""
    start, new = _read_new(ledger, before)
    broken = find_break(new, (start.sequence, start.digest))
    if broken:
        return Review(before, broken=broken)
    ids = start.rollouts | {entry.rollout for entry in new if entry.rollout}
    histories = sorted((ledger.read(one) for one in ids), key=lambda own: own[0].sequence)
    broken = next(filter(None, map(_find_change, histories)), None)
    if broken:
        return Review(before, broken=broken)
    rollouts = tuple(map(fold_progress, histories))
    is_open = zip(rollouts, histories, strict=True)
    checked = replace(start, rollouts=frozenset(one.plan.id for one, own in is_open if _may_need_worker(one, own)))
    return Review(replace(checked, sequence=new[-1].sequence, digest=new[-1].digest) if new else checked, rollouts)


def _read_new(ledger: Ledger, before: Checked) -> tuple[Checked, tuple[Entry, ...]]:
    """All of it, where the last entry of the look before is no longer there: it may have come back from a copy."""
    last = ledger.read(None, before.sequence - 1) if before.sequence else ()
    if last and (last[0].sequence, last[0].digest) == (before.sequence, before.digest):
        return before, last[1:]
    return Checked(), ledger.read(None, 0)


def _find_change(entries: tuple[Entry, ...]) -> Break | None:
    """Each by itself, for others lie between them."""
    found = (find_break([entry], (entry.sequence - 1, entry.previous)) for entry in entries)
    return next(filter(None, found), None)


def _may_need_worker(progress: Progress, entries: tuple[Entry, ...]) -> bool:
    """Whether one has to carry it on, now or after another that is in hand; else a new entry would say so."""
    return not progress.has_ended or progress.is_soaking or has_new_order(entries, "revert")
