"""When restricted work may start: windows of a policy on given days, and the decision at a given moment.

A start is resolved once from local civil time to UTC, and the end is exactly one length later. A local time that does
not exist moves forward by the gap (RFC 5545, 3.3.5; PEP 495 with ``fold=0``), one that comes twice is the first. Spans
are half-open, the date of a rule belongs to the start, and denials win. All instants are aware; results are UTC.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from heapq import merge
from itertools import chain
from typing import Literal
from zoneinfo import ZoneInfo

from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.recurrence import HORIZON_YEARS, list_dates
from zlh_hooks.domain.span import Span, Spans, intersect
from zlh_hooks.domain.window_rule import Component, WindowRule

Effect = Literal["allow", "deny", "freeze"]
HORIZON = timedelta(days=HORIZON_YEARS * 365)
_DAY = timedelta(days=1)
_ZONE_MARGIN = 2 * _DAY
"""How far a local date can lie from UTC's: 14 hours, and a day that a zone leaves out."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A window on one date. ``cutoff`` is its last start. ``moved`` says what a change of clocks did to the start."""

    name: str
    effect: Effect
    start: datetime
    end: datetime
    cutoff: datetime
    local_start: datetime
    moved: str | None = None
    reason: str = ""

    def render_local(self, instant: datetime) -> str:
        """An instant on the window's own clock, e.g. ``2026-11-24 04:00 CET``."""
        return f"{instant.astimezone(self.local_start.tzinfo):%Y-%m-%d %H:%M %Z}"

    def __str__(self) -> str:
        kind = {"allow": "window", "deny": "deny window", "freeze": "freeze"}[self.effect]
        return f"{kind} {self.name!r}{f' ({self.reason})' if self.reason else ''}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether work may start now; ``rule`` is a sentence that stays the same while its reason does.

    ``window`` allows it, or is the next that will, from ``until`` on. Both None: not within ``HORIZON``.
    """

    allowed: bool
    rule: str
    until: datetime | None
    window: Occurrence | None


@dataclass(frozen=True, slots=True)
class _Opening:
    """A part of a window that denials leave, and the last moment at which the work may start in it."""

    window: Occurrence
    start: datetime
    end: datetime
    last_start: datetime
    ended_by: Occurrence | None = None

    def find_start(self, now: datetime) -> datetime | None:
        """The first moment from ``now`` on at which the work may start."""
        start = max(self.start, now)
        return start if start <= self.last_start and start < self.end else None


def list_occurrences(
    policy: Policy, component: Component | str | None, after: datetime, until: datetime
) -> tuple[Occurrence, ...]:
    """Windows and freezes that touch ``[after, until)``, by start; of all components if None. At most ``HORIZON``."""
    until = min(until, after + HORIZON)
    wanted = Component(component) if component else None
    rules = [rule for rule in policy.windows if wanted is None or rule.covers(wanted)]
    windows = (_expand(policy, rule, after, until) for rule in rules)
    return tuple(merge(*windows, _expand_freezes(policy, after, until), key=_by_start))


def next_occurrence(
    policy: Policy, component: Component | str, after: datetime, *, security: bool = False
) -> Occurrence | None:
    """The first allow window that starts at ``after`` or later and is not wholly denied, or None."""
    policy, wanted = _without_spared(policy, security), Component(component)
    windows = _list_allowed(policy, wanted, after)
    return next((w for w in windows if w.start >= after and any(_list_openings(policy, wanted, w))), None)


def decide(
    policy: Policy,
    component: Component | str,
    now: datetime,
    needs: timedelta,
    *,
    security: bool = False,
    newer_than: datetime | None = None,
) -> Decision:
    """Whether work on ``component`` that takes up to ``needs``, its revert included, may start at ``now``.

    ``security``: it closes a hole, and freezes that stop all but security do not count. ``newer_than``: only windows
    that begin after that moment do.
    """
    policy, now, wanted = _without_spared(policy, security), now.astimezone(UTC), Component(component)
    until, opening = _find_start(policy, wanted, now, needs, newer_than) or (None, None)
    window = opening.window if opening else None
    if opening and until == now:
        return Decision(True, f"{window} is open until {opening.window.render_local(opening.end)}", None, window)
    return Decision(False, _explain(policy, wanted, now, needs), until, window)


def find_denial(
    policy: Policy, component: Component | str, now: datetime, needs: timedelta, *, security: bool = False
) -> str | None:
    """Which deny window or freeze is open, or begins before work that takes up to ``needs`` is over; or None."""
    policy, now, wanted = _without_spared(policy, security), now.astimezone(UTC), Component(component)
    denials = _list_denials(policy, wanted, now, now + max(needs, timedelta.resolution))
    if not denials:
        return None
    first = denials[0]
    when = f"until {first.render_local(first.end)}" if first.start <= now else f"from {first.render_local(first.start)}"
    return f"{first} {when}"


def list_starts(
    policy: Policy, component: Component, after: datetime, until: datetime, needs: timedelta, *, security: bool = False
) -> tuple[tuple[str, datetime, datetime], ...]:
    """Each time within ``[after, until)`` in which work that takes up to ``needs`` may start: the window's name, the
    first moment and the last one, denials taken out. For whoever cannot ask ``decide``.
    """
    policy = _without_spared(policy, security)
    windows = _list_allowed(policy, component, after, until, shortest=needs)
    openings = (opening for window in windows for opening in _list_openings(policy, component, window, needs))
    return tuple((one.window.name, one.start, one.last_start) for one in openings if one.last_start > one.start)


def list_usable(policy: Policy, component: Component, within: Span, *, security: bool = False) -> Spans:
    """What of the time lies in windows of the component, denials taken out; cutoffs, which end no work, left aside."""
    policy = _without_spared(policy, security)
    windows = _list_allowed(policy, component, within.begin, within.end)
    openings = (opening for window in windows for opening in _list_openings(policy, component, window))
    return intersect([within], (Span(one.start, one.end) for one in openings))


def list_hints(policy: Policy, now: datetime) -> list[str]:
    """What is valid and yet hardly meant: windows that never begin, components that nothing allows."""
    until = now + HORIZON
    never = [rule.name for rule in policy.windows if not any(_expand(policy, rule, now, until))]
    hints = [f"window {name!r} has no date within the next {HORIZON_YEARS} years" for name in never]
    closed = [one for one in Component if not any(_allows(rule, one) for rule in policy.windows)]
    return hints + ([f"no window allows {', '.join(closed)}: restricted work there never starts"] if closed else [])


def _without_spared(policy: Policy, security: bool) -> Policy:
    """For security fixes: the policy without the freezes that let them through."""
    if not security:
        return policy
    return policy.model_copy(update={"freezes": tuple(one for one in policy.freezes if one.stops == "all")})


def _find_start(
    policy: Policy, component: Component, now: datetime, needs: timedelta, newer_than: datetime | None
) -> tuple[datetime, _Opening] | None:
    """The first moment from ``now`` on at which the work may start, and in what."""
    best: tuple[datetime, _Opening] | None = None
    for window in _list_allowed(policy, component, now, shortest=needs):
        if best and window.start > best[0]:
            break
        if newer_than and window.start <= newer_than:
            continue
        openings = _list_openings(policy, component, window, needs)
        found = next(((start, one) for one in openings if (start := one.find_start(now))), None)
        if found and (best is None or found[0] < best[0]):
            best = found
    return best


def _explain(policy: Policy, component: Component, now: datetime, needs: timedelta) -> str:
    """Which rule refuses."""
    lengths = [rule.length for rule in policy.windows if _allows(rule, component)]
    if not lengths:
        return f"no window of the policy allows {component}"
    longest = max(lengths)
    if needs > longest:
        return f"no window for {component} is as long as the work: {_render(needs)}; the longest has {_render(longest)}"
    denials = _list_denials(policy, component, now, now + timedelta.resolution)
    if denials:
        last = max(denials, key=lambda denial: denial.end)
        return f"{last} until {last.render_local(last.end)}"
    openings = [
        opening
        for window in _list_allowed(policy, component, now, now + timedelta.resolution)
        for opening in _list_openings(policy, component, window, needs)
        if opening.start <= now < opening.end
    ]
    if not openings:
        return f"outside every window for {component}"
    return _explain_late(max(openings, key=lambda opening: opening.last_start), needs)


def _explain_late(opening: _Opening, needs: timedelta) -> str:
    """Why nothing starts in a window that is open."""
    window = opening.window
    if needs <= window.end - window.cutoff:
        return f"nothing starts in {window} after its cutoff at {window.render_local(opening.last_start)}"
    end = window.render_local(opening.end)
    cut = f", when {opening.ended_by} begins" if opening.ended_by else ""
    return f"what takes {_render(needs)} no longer fits into {window}, usable until {end}{cut}"


def _render(length: timedelta) -> str:
    return render_duration(timedelta(seconds=round(length.total_seconds())))


def _allows(rule: WindowRule, component: Component) -> bool:
    return rule.effect == "allow" and rule.covers(component)


def _list_allowed(
    policy: Policy,
    component: Component,
    after: datetime,
    until: datetime | None = None,
    shortest: timedelta = timedelta(0),
) -> Iterator[Occurrence]:
    """Allow windows that touch the time, by start, without those that are too short in any case."""
    end = until or after + HORIZON
    rules = [rule for rule in policy.windows if _allows(rule, component)]
    long_enough = [rule for rule in rules if rule.length >= shortest]
    return merge(*(_expand(policy, rule, after, end) for rule in long_enough), key=_by_start)


def _list_denials(policy: Policy, component: Component, after: datetime, until: datetime) -> list[Occurrence]:
    """Deny windows and freezes that touch the time, by start."""
    rules = [rule for rule in policy.windows if rule.effect == "deny" and rule.covers(component)]
    spans = chain(*(_expand(policy, rule, after, until) for rule in rules), _expand_freezes(policy, after, until))
    return sorted(spans, key=_by_start)


def _list_openings(
    policy: Policy, component: Component, window: Occurrence, needs: timedelta = timedelta(0)
) -> Iterator[_Opening]:
    """What denials leave of a window, by start. A denial that begins inside ends it, cutoff and all."""
    margin = max(window.end - window.cutoff, needs)
    start = window.start
    for denial in _list_denials(policy, component, window.start, window.end):
        if denial.start > start:
            yield _Opening(window, start, denial.start, denial.start - margin, denial)
        start = max(start, denial.end)
    if start < window.end:
        yield _Opening(window, start, window.end, window.end - margin)


def _by_start(occurrence: Occurrence) -> datetime:
    return occurrence.start


def _expand(policy: Policy, rule: WindowRule, after: datetime, until: datetime) -> Iterator[Occurrence]:
    """The rule's windows that touch the time, by start."""
    zone = ZoneInfo(rule.time_zone or policy.time_zone)
    dates = (after - rule.length - _ZONE_MARGIN).date(), (until + _ZONE_MARGIN).date()
    for day in list_dates(rule.rule, rule.anchor, *dates):
        local_start, moved, exists = _resolve(day, rule.start, zone)
        start = local_start.astimezone(UTC)
        end = start + rule.length
        if start < until and end > after and (exists or rule.on_gap == "shift"):
            cutoff = end - timedelta(minutes=rule.cutoff_minutes)
            yield Occurrence(rule.name, rule.effect, start, end, cutoff, local_start, moved)


def _resolve(day: date, clock: time, zone: ZoneInfo) -> tuple[datetime, str | None, bool]:
    """The local start as it will be shown, what a change of clocks did to it, and whether the time exists at all."""
    wanted = datetime.combine(day, clock, zone)
    shown = wanted.astimezone(UTC).astimezone(zone)
    if shown.replace(tzinfo=None, fold=0) != wanted.replace(tzinfo=None):
        return shown, f"clocks skip {wanted:%H:%M} on that date: starts {shown:%Y-%m-%d %H:%M %Z}", False
    if wanted.utcoffset() != wanted.replace(fold=1).utcoffset():
        return shown, f"clocks show {wanted:%H:%M} twice on that date: starts the first time, {shown:%Z}", True
    return shown, None, True


def _expand_freezes(policy: Policy, after: datetime, until: datetime) -> Iterator[Occurrence]:
    """Freezes that touch the time, by start; from the first local midnight to the last."""
    zone = ZoneInfo(policy.time_zone)
    for freeze in sorted(policy.freezes, key=lambda freeze: freeze.first):
        local_start, moved, _ = _resolve(freeze.first, time(), zone)
        start, end = local_start.astimezone(UTC), _resolve(freeze.last + _DAY, time(), zone)[0].astimezone(UTC)
        if start < until and end > after:
            spared = "security fixes go on" if freeze.stops == "all-but-security" else ""
            reason = "; ".join(filter(None, (freeze.reason, spared)))
            yield Occurrence(freeze.name, "freeze", start, end, end, local_start, moved, reason)
