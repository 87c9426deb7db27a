"""The watcher looks at what all servers share, from outside, and records when it was away.

A process of its own and no thread of the worker: it has to go on while no worker runs, and while one is restarted, and
its end must be a gap that is seen, not one that hides behind the worker's. It changes nothing but the ledger.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from zlh_hooks.application.ports import Clock, LeaseHolder, Ledger, Prober
from zlh_hooks.application.worker import HeldLease
from zlh_hooks.domain.availability_rules import OutsideProbe, WatchRules
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.sight import Change, PointSight, Sight, Turn
from zlh_hooks.domain.watch_book import WATCH_BEGAN, WATCH_ENDED, describe_change

MOST_AT_ONCE = 8
"""Measurements at the same time."""
_WORDS = {
    Turn.OUTAGE_BEGAN: "away since",
    Turn.OUTAGE_ENDED: "answers again since",
    Turn.UNSEEN_BEGAN: "cannot be judged since",
    Turn.UNSEEN_ENDED: "can be judged again since",
}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is watched: the rules, and where each point and the reference are (IP addresses)."""

    rules: WatchRules
    addresses: Mapping[str, str]
    reference: str


@dataclass(slots=True)
class Watcher:
    """One watcher with its lease. ``say`` gets a line for each change; ``pause`` waits, and says whether to end."""

    ledger: Ledger
    clock: Clock
    prober: Prober
    outlook: Outlook
    held: HeldLease
    say: Callable[[str], None]
    pause: Callable[[timedelta], bool]
    _sights: dict[str, PointSight] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _alive: datetime | None = None

    def run(self, seen: datetime | None) -> None:
        """Look until ``pause`` says so. ``seen``: when the watcher before was last alive, unless it ended in order."""
        points = self.outlook.rules.points
        self._sights = {name: PointSight(name, point.probe.needed_failures) for name, point in points.items()}
        self._due = dict.fromkeys(points, self.clock.monotonic())
        self._alive = self.clock.now()
        self._record(WATCH_BEGAN, {"points": list(points), "seen": seen.isoformat() if seen else None})
        self.say(f"watching {', '.join(points)}")
        while True:
            self._look()
            if self.pause(self._nap()):
                break
            self._beat()
        self._record(WATCH_ENDED, {})
        self.say("ended: from now on nobody watches")

    def _nap(self) -> timedelta:
        next_due = timedelta(seconds=max(0.0, min(self._due.values()) - self.clock.monotonic()))
        return min(next_due, self.held.length / 4)

    def _beat(self) -> None:
        """A sign of life. A process that was stopped, and a clock that was set, show here as time that nobody saw."""
        self.held.renew()
        now, alive = self.clock.now(), self._alive or self.clock.now()
        if now - alive > self.held.length + self._longest_look():
            for name, sight in self._sights.items():
                self._tell(sight.lose(alive), f"nothing was measured until {now:%H:%M:%S}")
                self._due[name] = self.clock.monotonic()
        self._alive = now

    def _longest_look(self) -> timedelta:
        rules = self.outlook.rules
        return rules.reference.timeout + max(point.probe.timeout for point in rules.points.values())

    # ------------------------------------------------------------------ look

    def _look(self) -> None:
        """Ask every point whose turn it is, and the reference if one fails."""
        due = [name for name, at in self._due.items() if at <= self.clock.monotonic()]
        if not due:
            return
        answers = dict(self._measure(due))
        blind = self._explain_blindness(answers)
        for name, answer in answers.items():
            sight = _judge(answer.verdict, is_blind=bool(blind))
            detail = f"{answer.detail}; {blind}" if sight is Sight.UNSEEN and blind else answer.detail
            self._tell(self._sights[name].see(sight, answer.at), detail)

    def _measure(self, due: list[str]) -> Iterator[tuple[str, Measurement]]:
        began = self.clock.monotonic()
        for name in due:
            self._due[name] = began + self.outlook.rules.points[name].probe.interval.total_seconds()
        if len(due) == 1:
            yield due[0], self._ask(due[0])
            return
        with ThreadPoolExecutor(max_workers=min(MOST_AT_ONCE, len(due))) as pool:
            yield from zip(due, pool.map(self._ask, due), strict=True)

    def _ask(self, name: str) -> Measurement:
        return self._ask_at(name, self.outlook.rules.points[name].probe, self.outlook.addresses[name])

    def _ask_at(self, name: str, probe: OutsideProbe, address: str) -> Measurement:
        """A point is no guest: probes that may stand here ask nothing of one but its address."""
        return self.prober.measure(probe, GuestRef(0, name), address)

    def _explain_blindness(self, answers: Mapping[str, Measurement]) -> str:
        """Why a point that fails may be well: the reference fails too. Empty if it does not, or nobody has to know."""
        if all(answer.verdict is not Verdict.UNHEALTHY for answer in answers.values()):
            return ""
        answer = self._ask_at("reference", self.outlook.rules.reference, self.outlook.reference)
        return "" if answer.verdict is Verdict.HEALTHY else f"and the reference fails: {answer.detail}"

    # ---------------------------------------------------------------- record

    def _tell(self, changes: tuple[Change, ...], detail: str) -> None:
        for change in changes:
            self._record(change.turn, describe_change(change) | {"detail": detail})
            self.say(f"{change.point}: {_WORDS[change.turn]} {change.at:%Y-%m-%d %H:%M:%S} UTC ({detail})")

    def _record(self, name: str, data: Mapping[str, Any]) -> None:
        self.ledger.append(Draft(Kind.EVIDENCE, name, data=data))


def _judge(verdict: Verdict, *, is_blind: bool) -> Sight:
    if verdict is Verdict.HEALTHY:
        return Sight.UP
    return Sight.UNSEEN if verdict is Verdict.ERROR or is_blind else Sight.DOWN


def find_last_alive(holder: LeaseHolder | None, length: timedelta, now: datetime) -> datetime | None:
    """When a watcher whose lease has run out gave its last sign of life; None if there is none, or it lives."""
    if holder is None or holder.until > now:
        return None
    return holder.until - length
