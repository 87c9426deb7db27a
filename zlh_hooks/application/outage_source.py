"""Who knows of outages: the rollouts' own record, and the watcher's.

Another source joins them in ``wiring`` by the port ``OutageSource`` alone. Stops that zlh-hooks did not cause are seen
by none of these two, except through the points that are watched from outside.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from zlh_hooks.domain.announcement import list_announced, read_announcements
from zlh_hooks.domain.availability_rules import WatchRules
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.outage import Gap, KnownGuest, Outage
from zlh_hooks.domain.progress import group_by_rollout
from zlh_hooks.domain.rollout_outage import GuestLog, fold_guest_logs
from zlh_hooks.domain.span import Span, Spans, intersect, unite
from zlh_hooks.domain.watch_book import PointHistory, WatchBook


@dataclass(frozen=True)
class RolloutOutages:
    """What our own restarts cost. ``entries``: the whole ledger; ``counts_emergencies``: see ``list_announced``."""

    entries: Sequence[Entry]
    counts_emergencies: bool

    @cached_property
    def _logs(self) -> Mapping[int, GuestLog]:
        return fold_guest_logs(self.entries)

    @cached_property
    def _books(self) -> tuple[NoticeBook, ...]:
        return tuple(NoticeBook().add(entries) for entries in group_by_rollout(self.entries).values())

    def list_outages(self, guests: Sequence[KnownGuest], until: datetime) -> Iterator[Outage]:
        """Each with the times of which its customer was told."""
        for guest in guests:
            found = self._logs[guest.vmid].list_outages(until) if guest.vmid in self._logs else ()
            if found:
                announced = self._list_announced(guest.vmid)
                yield from (replace(one, announced=announced) for one in found)

    def _list_announced(self, vmid: int) -> tuple[Span, ...]:
        told = (list_announced(book, vmid, counts_emergencies=self.counts_emergencies) for book in self._books)
        return unite(span for spans in told for span in spans)

    def list_gaps(self, guests: Sequence[KnownGuest], within: Span) -> Iterator[Gap]:
        """Restarts of which nobody knows whether they were asked for."""
        for guest in guests:
            if guest.vmid in self._logs:
                yield from self._logs[guest.vmid].list_gaps(within.end)


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

    def list_outages(self, guests: Sequence[KnownGuest], until: datetime) -> Iterator[Outage]:
        """A point's outage is one of every guest behind it, though none stopped."""
        for name, history in self._tell(until):
            point = self.rules.points[name]
            for span in history.away:
                is_open = history.is_away and span == history.away[-1] and span.end == min(until, self.seen_until)
                cause = f"{point.title} ({name}) could not be reached from outside"
                told = self._announced.get(name, ())
                yield from (Outage(one.vmid, span, cause, told, is_open) for one in guests if point.behind.holds(one))

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
