"""Who knows of outages: the rollouts' own record, what guest hooks have noted, and the watcher's record.

Another source joins them in ``open_sources``, by the port ``OutageSource`` alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from zlh_hooks.application.ports import OutageSource
from zlh_hooks.domain.announcement import list_announced, read_announcements
from zlh_hooks.domain.availability_rules import AvailabilityRules, WatchRules
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.note_book import read_notes
from zlh_hooks.domain.noted_outage import NotedGuest, fold_notes
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.outage import Gap, KnownGuest, Outage
from zlh_hooks.domain.plan import parse_plan
from zlh_hooks.domain.progress import group_by_rollout
from zlh_hooks.domain.rollout_outage import GuestLog, fold_guest_logs
from zlh_hooks.domain.span import Span, Spans, intersect
from zlh_hooks.domain.watch_book import PointHistory, WatchBook


@dataclass(frozen=True)
class RolloutOutages:
    """What our own restarts cost. ``entries``: the whole ledger; ``counts_emergencies``: see ``list_announced``."""

    entries: Sequence[Entry]
    counts_emergencies: bool

    @cached_property
    def _logs(self) -> Mapping[int, GuestLog]:
        return fold_guest_logs(self.entries)

    def list_outages(self, guests: Sequence[KnownGuest], within: Span) -> tuple[Outage, ...]:
        """Each with the times of which its customer was told by the notices of the same rollout, and its windows."""
        logs = [self._logs[guest.vmid] for guest in guests if guest.vmid in self._logs]
        found = [one for log in logs for one in log.list_outages(within.end) if intersect([one.span], [within])]
        rollouts = {one.rollout for one in found}
        announced, kinds = self._list_announced(rollouts), self._list_kinds(rollouts)
        told = (replace(one, announced=announced[one.rollout].get(one.vmid, ())) for one in found)
        return tuple(replace(one, **kinds.get(one.rollout, {})) for one in told)

    def _list_kinds(self, rollouts: set[str]) -> Mapping[str, Mapping[str, Any]]:
        """Rollout to whose windows its plan keeps; a recovery has no plan, and exchanges roots as a rollout does."""
        planned = (one for one in self.entries if one.kind is Kind.PLAN and one.rollout in rollouts)
        plans = {entry.rollout: parse_plan(entry.data) for entry in planned}
        return {id_: {"component": plan.component, "security": plan.security} for id_, plan in plans.items()}

    def _list_announced(self, rollouts: set[str]) -> Mapping[str, Mapping[int, Spans]]:
        """Rollout to guest to times; a recovery, which belongs to none, was never announced."""
        groups = group_by_rollout(self.entries)
        books = {rollout: NoticeBook().add(groups.get(rollout, ())) for rollout in rollouts}
        counts = self.counts_emergencies
        return {rollout: list_announced(book, counts_emergencies=counts) for rollout, book in books.items()}

    def list_gaps(self, guests: Sequence[KnownGuest], within: Span) -> Iterator[Gap]:
        """Restarts of which nobody knows whether they were asked for."""
        for guest in guests:
            log = self._logs.get(guest.vmid)
            for gap in log.list_gaps(within.end) if log else ():
                yield from (replace(gap, span=span) for span in intersect([gap.span], [within]))


@dataclass(frozen=True)
class NotedOutages:
    """What the hooks of guests have noted, of stops that no rollout caused too. None of it was announced."""

    entries: Sequence[Entry]

    @cached_property
    def _guests(self) -> Mapping[int, NotedGuest]:
        return fold_notes(read_notes(self.entries))

    def _tell(self, guests: Sequence[KnownGuest], within: Span) -> Iterator[Outage | Gap]:
        noted = (self._guests[guest.vmid] for guest in guests if guest.vmid in self._guests)
        return (one for guest in noted for one in guest.tell(within.end) if intersect([one.span], [within]))

    def list_outages(self, guests: Sequence[KnownGuest], within: Span) -> Iterator[Outage]:
        """Those that no owner can have wanted."""
        return (one for one in self._tell(guests, within) if isinstance(one, Outage))

    def list_gaps(self, guests: Sequence[KnownGuest], within: Span) -> Iterator[Gap]:
        """When a guest was off and nobody knows by whose will."""
        gaps = (one for one in self._tell(guests, within) if isinstance(one, Gap))
        return (replace(gap, span=span) for gap in gaps for span in intersect([gap.span], [within]))


@dataclass(frozen=True)
class WatchOutages:
    """What was seen from outside. ``seen_until``: when the watcher that has not ended was last alive."""

    entries: Sequence[Entry]
    rules: WatchRules
    seen_until: datetime

    @cached_property
    def _book(self) -> WatchBook:
        return WatchBook().add(self.entries)

    @cached_property
    def _announced(self) -> Mapping[str, Spans]:
        return read_announcements(self.entries)

    def _tell(self, until: datetime) -> Iterator[tuple[str, PointHistory]]:
        for name in self.rules.points:
            yield name, self._book.tell(name, min(until, self.seen_until))

    def list_outages(self, guests: Sequence[KnownGuest], within: Span) -> Iterator[Outage]:
        """A point's outage is one of every guest behind it, though none stopped."""
        for name, history in self._tell(within.end):
            point = self.rules.points[name]
            for span in (one for one in history.away if intersect([one], [within])):
                is_open = history.is_away and span == history.away[-1]
                cause = f"{point.title} ({name}) could not be reached from outside"
                told = self._announced.get(name, ())
                seen = Outage(0, span, cause, told, is_open, component=point.component)
                yield from (replace(seen, vmid=one.vmid) for one in guests if point.behind.holds(one))

    def list_gaps(self, guests: Sequence[KnownGuest], within: Span) -> Iterator[Gap]:
        """When a point was not looked at, or what was seen says nothing about it."""
        for name, history in self._tell(within.end):
            point = self.rules.points[name]
            causes = {
                f"nobody watched {name}": history.list_unwatched(within),
                f"{name} could not be judged: the reference failed as well, or nothing could be measured": intersect(
                    history.unseen, [within]
                ),
            }
            found = [(span, cause) for cause, spans in causes.items() for span in spans]
            yield from (Gap(g.vmid, span, cause) for span, cause in found for g in guests if point.behind.holds(g))


def open_sources(rules: AvailabilityRules, entries: Sequence[Entry], seen_until: datetime) -> tuple[OutageSource, ...]:
    """Everybody who knows of outages. ``entries``: the whole ledger; ``seen_until``: see ``WatchOutages``."""
    recorded = (RolloutOutages(entries, rules.emergencies == "planned"), NotedOutages(entries))
    return recorded if rules.watch is None else (*recorded, WatchOutages(entries, rules.watch, seen_until))
