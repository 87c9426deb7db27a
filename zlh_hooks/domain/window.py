"""When restricted work may start. ``now`` is passed in; nothing here reads a clock.

The rules: a start in local civil time is resolved once to UTC, the end is the start plus an exact length; a local time
that the clocks skip shifts forward by the gap (or the day is skipped), an ambiguous one is the first; the weekday
belongs to the start; windows are ``[start, end)``; deny and freezes win.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from zlh_hooks.domain.policy import Component, Freeze, Policy, WindowRule

HORIZON = timedelta(days=5 * 366)
"""How far ahead is looked: a rule that never matches must end."""
_DAY = timedelta(days=1)
_LONGEST = timedelta(days=9)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One opening of a window. Instants are aware UTC; nothing starts from ``cutoff`` on.

    ``local_start`` is in the window's zone; ``moved`` says how a change of clocks touched the start, or is None.
    """

    name: str
    effect: str
    start: datetime
    end: datetime
    cutoff: datetime
    local_start: datetime
    moved: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether restricted work may start now. ``rule`` names what decides, ``until`` when it would be allowed."""

    allowed: bool
    rule: str
    until: datetime | None
    window: Occurrence | None


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of time in which nothing restricted happens, and its name."""

    start: datetime
    end: datetime
    name: str


def resolve_local(naive: datetime, zone: ZoneInfo) -> tuple[datetime, str | None]:
    """A local civil time as UTC, and what a change of clocks did to it: ``skipped``, ``ambiguous`` or None."""
    first = naive.replace(tzinfo=zone, fold=0)
    instant = first.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != naive:
        return instant, "skipped"
    if first.utcoffset() != naive.replace(tzinfo=zone, fold=1).utcoffset():
        return instant, "ambiguous"
    return instant, None


def list_occurrences(
    policy: Policy, component: Component | str, after: datetime, until: datetime
) -> tuple[Occurrence, ...]:
    """Openings of allow and deny windows that begin in ``[after, until)``, by their start."""
    rules = (rule for rule in policy.windows if _is_for(rule, component))
    found = (occurrence for rule in rules for occurrence in _expand(policy, rule, after, until))
    return tuple(sorted(found, key=lambda occurrence: (occurrence.start, occurrence.name)))


def next_occurrence(policy: Policy, component: Component | str, now: datetime) -> Occurrence | None:
    """The next opening of an allow window after ``now`` in which something can start; None within five years."""
    return next((found for found in _usable(policy, component, now, timedelta(0)) if found.start > now), None)


def decide(policy: Policy, component: Component | str, now: datetime, needs: timedelta) -> Decision:
    """Whether work that takes ``needs`` (its way back included) may start now."""
    denied = next((span for span in _denials(policy, component, now, now + _DAY) if span.start <= now < span.end), None)
    reason = f"{denied.name} forbids it" if denied else "no window is open"
    for occurrence in _usable(policy, component, now, needs):
        if occurrence.start > now:
            return Decision(False, reason, occurrence.start, occurrence)
        latest = _latest_start(policy, component, occurrence, needs)
        if now < latest:
            return Decision(True, f"window {occurrence.name} is open", None, occurrence)
        reason = reason if denied else _why_late(occurrence, now, needs)
    return Decision(False, reason, None, None)


def _why_late(occurrence: Occurrence, now: datetime, needs: timedelta) -> str:
    if now >= occurrence.cutoff:
        return f"window {occurrence.name} is past its cutoff"
    return f"what takes {needs} with its way back does not fit into what is left of window {occurrence.name}"


def _is_for(rule: WindowRule, component: Component | str) -> bool:
    return not rule.components or component in rule.components


def _expand(policy: Policy, rule: WindowRule, after: datetime, until: datetime) -> Iterator[Occurrence]:
    zone = policy.zone_of(rule)
    earliest = (after.astimezone(zone) - _DAY).replace(tzinfo=None)
    latest = (until.astimezone(zone) + _DAY).replace(tzinfo=None)
    anchor = datetime.combine(rule.anchor or earliest.date() - _LONGEST, rule.start)
    for naive in rrulestr(rule.rule, dtstart=anchor, ignoretz=True).xafter(earliest, inc=True):
        if naive >= latest:
            return
        occurrence = _resolve(rule, naive, zone)
        if occurrence is not None and after <= occurrence.start < until:
            yield occurrence


def _resolve(rule: WindowRule, naive: datetime, zone: ZoneInfo) -> Occurrence | None:
    start, change = resolve_local(naive, zone)
    if change == "skipped" and rule.on_gap == "skip":
        return None
    local = start.astimezone(zone)
    end = start + rule.length
    moved = {
        "skipped": f"the clocks skip {naive:%H:%M}: starts {local:%H:%M}",
        "ambiguous": f"{naive:%H:%M} comes twice: starts at the first",
    }.get(change or "")
    return Occurrence(rule.name, rule.effect, start, end, end - rule.cutoff, local, moved)


def _usable(policy: Policy, component: Component | str, now: datetime, needs: timedelta) -> Iterator[Occurrence]:
    """Openings that are open or to come in which something that takes ``needs`` could start, soonest first.

    The one that is open now is given although it may be too late in it; the caller says why.
    """
    begin = now - _LONGEST
    step = timedelta(days=62)
    while begin < now + HORIZON:
        for found in list_occurrences(policy, component, begin, begin + step):
            if found.effect == "allow" and found.end > now:
                yield from _clipped(policy, component, found, now, needs)
        begin += step


def _clipped(
    policy: Policy, component: Component | str, found: Occurrence, now: datetime, needs: timedelta
) -> Iterator[Occurrence]:
    """The parts of an opening that no denial covers, each as an opening of its own."""
    begin = found.start
    for span in (*_denials(policy, component, found.start, found.end), _Span(found.end, found.end, "")):
        part = _part(found, begin, min(span.start, found.end))
        begin = max(begin, span.end)
        if part is None or part.end <= now:
            continue
        if part.start <= now or _latest_start(policy, component, part, needs) > part.start:
            yield part


def _part(found: Occurrence, start: datetime, end: datetime) -> Occurrence | None:
    if start >= end:
        return None
    if (start, end) == (found.start, found.end):
        return found
    local = start.astimezone(found.local_start.tzinfo)
    return Occurrence(found.name, found.effect, start, end, min(end, found.cutoff), local, found.moved)


def _latest_start(policy: Policy, component: Component | str, occurrence: Occurrence, needs: timedelta) -> datetime:
    """Nothing may start from here on: cutoff, or too late to be done and taken back before the end."""
    return min(occurrence.cutoff, occurrence.end - needs + timedelta(microseconds=1))


def _denials(policy: Policy, component: Component | str, start: datetime, end: datetime) -> list[_Span]:
    """Deny windows and freezes that touch ``[start, end)``, by their start."""
    closed = (o for o in list_occurrences(policy, component, start - _LONGEST, end) if o.effect == "deny")
    spans = [_Span(o.start, o.end, f"window {o.name}") for o in closed if o.end > start]
    return sorted([*spans, *_frozen(policy.freezes, policy, start, end)], key=lambda span: span.start)


def _frozen(freezes: Iterable[Freeze], policy: Policy, start: datetime, end: datetime) -> Iterator[_Span]:
    zone = ZoneInfo(policy.time_zone)
    for freeze in freezes:
        span = _Span(_midnight(freeze.first, zone), _midnight(freeze.last + _DAY, zone), f"freeze {freeze.name}")
        if span.start < end and span.end > start:
            yield span


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return resolve_local(datetime.combine(day, time()), zone)[0]
