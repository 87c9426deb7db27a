"""What the ledger says of points watched from outside: when each was away, and when nobody looked. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.sight import Change, Turn
from zlh_hooks.domain.span import Span, Spans, intersect, make_spans, subtract, unite

WATCH_BEGAN, WATCH_ENDED = "watch.began", "watch.ended"
"""Evidence of no rollout: a watcher looks at these points from now on (and the one before was last alive then); it has
ended in good order."""


def describe_change(change: Change) -> dict[str, Any]:
    """What is recorded of it."""
    return {"point": change.point, "at": change.at.isoformat()}


@dataclass(slots=True)
class _Course:
    """Spans that begin and end one after another; ``since`` is that of the one that has not ended."""

    ended: list[Span] = field(default_factory=list)
    since: datetime | None = None

    def begin(self, at: datetime) -> None:
        self.since = self.since or at

    def end(self, at: datetime) -> None:
        if self.since is not None:
            self.ended += make_spans(self.since, at)
        self.since = None

    def list_until(self, until: datetime) -> Spans:
        open_one = make_spans(self.since, until) if self.since is not None else ()
        return unite([*self.ended, *open_one])


@dataclass(slots=True)
class PointLog:
    """One point: when it was looked at, when it failed, and when what was seen says nothing."""

    watched: _Course = field(default_factory=_Course)
    away: _Course = field(default_factory=_Course)
    unseen: _Course = field(default_factory=_Course)

    def end(self, at: datetime) -> None:
        """Nobody looks any more."""
        for course in (self.watched, self.away, self.unseen):
            course.end(at)

    def turn(self, turn: Turn, at: datetime) -> None:
        """Take in a change."""
        course = self.away if turn in (Turn.OUTAGE_BEGAN, Turn.OUTAGE_ENDED) else self.unseen
        if turn in (Turn.OUTAGE_BEGAN, Turn.UNSEEN_BEGAN):
            course.begin(at)
        else:
            course.end(at)


@dataclass(frozen=True, slots=True)
class PointHistory:
    """One point as it was, up to the moment that it was asked for. ``is_away``: it was so at that moment still."""

    watched: Spans
    away: Spans
    unseen: Spans
    is_away: bool

    def list_unwatched(self, within: Span) -> Spans:
        """When nobody looked at it."""
        return subtract([within], self.watched)


@dataclass(slots=True)
class WatchBook:
    """All points of a ledger; ``add`` takes in its entries in their order."""

    points: dict[str, PointLog] = field(default_factory=dict)
    _last: datetime | None = None

    def add(self, entries: Iterable[Entry]) -> "WatchBook":
        """Take in more; entries of other things are passed over."""
        turns = frozenset(Turn)
        for entry in entries:
            if entry.kind is not Kind.EVIDENCE or entry.rollout:
                continue
            if entry.name == WATCH_BEGAN:
                self._begin(entry)
            elif entry.name == WATCH_ENDED:
                self._end_all(entry.at)
            elif entry.name in turns:
                self._turn(Turn(entry.name), entry.data)
            else:
                continue
            self._last = entry.at
        return self

    def _begin(self, entry: Entry) -> None:
        """What a watcher that died had last seen was so while it lived, and no longer."""
        seen = entry.data.get("seen")
        self._end_all(datetime.fromisoformat(seen) if seen else self._last or entry.at)
        for point in entry.data["points"]:
            self.points.setdefault(str(point), PointLog()).watched.begin(entry.at)

    def _end_all(self, at: datetime) -> None:
        for log in self.points.values():
            log.end(at)

    def _turn(self, turn: Turn, data: Mapping[str, Any]) -> None:
        log = self.points.get(str(data["point"]))
        if log is not None:
            log.turn(turn, datetime.fromisoformat(data["at"]))

    def tell(self, point: str, until: datetime) -> PointHistory:
        """The point's history; ``until``: when the watcher that has not ended was last alive."""
        log = self.points.get(point, PointLog())
        watched, unseen = log.watched.list_until(until), log.unseen.list_until(until)
        away = subtract(intersect(log.away.list_until(until), watched), unseen)
        is_away = log.away.since is not None and log.away.since < until
        return PointHistory(watched, away, intersect(unseen, watched), is_away)
