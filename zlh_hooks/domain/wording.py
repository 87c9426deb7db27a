"""What the policy says, in words. Pages take every number and every date from here, so that none of them can drift."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from zlh_hooks.domain.availability_rules import Behind, OutsideProbe
from zlh_hooks.domain.deferral_rules import DeferralRules
from zlh_hooks.domain.impact import Course, Impact
from zlh_hooks.domain.notice_rules import Ladder
from zlh_hooks.domain.recurrence import parse_parts
from zlh_hooks.domain.rollout_rules import RolloutRules
from zlh_hooks.domain.value import Count
from zlh_hooks.domain.window_rule import Freeze, WindowRule

WEEKDAYS = {
    "MO": "Monday",
    "TU": "Tuesday",
    "WE": "Wednesday",
    "TH": "Thursday",
    "FR": "Friday",
    "SA": "Saturday",
    "SU": "Sunday",
}
_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "last but one"}
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_DAY = timedelta(days=1)
_MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001 -- any week's Monday, to count local times from
_IMPACTS = {
    Impact.LIVE: "nothing is felt",
    Impact.RELOAD: "a service reads its settings anew; connections go on",
    Impact.RESTART: "a service restarts",
    Impact.GUEST_RESTART: "servers restart",
    Impact.HOST_REBOOT: "a machine restarts, with all that depends on it",
}
_COURSES = {
    Course.ANY_TIME: "at any time, without notice",
    Course.IN_WINDOW: "only in a window",
    Course.NEVER: "not done",
}


def render_list(parts: Sequence[str], last: str = "and") -> str:
    """``a, b and c``."""
    return f" {last} ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def render_length(length: timedelta) -> str:
    """``1 hour 30 minutes``; whole days only from two on, as people say 24 hours and 3 days."""
    seconds = round(length.total_seconds())
    units = _UNITS if seconds >= 2 * 86400 else _UNITS[1:]
    parts = []
    for unit, size in units:
        count, seconds = divmod(seconds, size)
        parts += [f"{count} {unit}{'' if count == 1 else 's'}"] if count else []
    return " ".join(parts) or "no time"


def render_limits(rules: DeferralRules) -> str:
    """``up to 21 days, for a security fix up to 7 days``."""
    security = f"up to {render_length(rules.security_limit)}" if rules.security_limit else "not at all"
    return f"up to {render_length(rules.limit)}, for a security fix {security}"


def render_date(day: date) -> str:
    """``6 January 2027``."""
    return f"{day.day} {day:%B %Y}"


def render_dates(rule: WindowRule) -> str:
    """The dates of a window: ``every Tuesday``, ``every second Sunday from 22 November 2026 on``."""
    parts = parse_parts(rule.rule)
    words = _render_frequency(parts)
    if words is None:
        return f"on the dates of the rule {rule.rule}"
    begin = f" from {render_date(rule.anchor)} on" if rule.anchor else ""
    until = parts.get("UNTIL")
    end = f" until {render_date(date.fromisoformat(until))}" if until else ""
    return f"{words}{begin}{end}"


def _render_frequency(parts: dict[str, str]) -> str | None:
    """None for rules that have no short words."""
    known = {"FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "UNTIL"}
    if set(parts) - known or {"BYDAY", "BYMONTHDAY"} <= set(parts):
        return None
    render = {"DAILY": _render_daily, "WEEKLY": _render_weekly, "MONTHLY": _render_monthly}.get(parts["FREQ"])
    return render(parts, int(parts.get("INTERVAL", "1"))) if render else None


def _render_every(interval: int, unit: str) -> str:
    return f"every {unit}" if interval == 1 else f"every {_ORDINALS.get(interval, f'{interval}th')} {unit}"


def _render_daily(parts: dict[str, str], interval: int) -> str | None:
    return _render_every(interval, "day") if not {"BYDAY", "BYMONTHDAY"} & set(parts) else None


def _render_weekly(parts: dict[str, str], interval: int) -> str | None:
    days = [WEEKDAYS.get(day) for day in parts.get("BYDAY", "").split(",")]
    if None in days:
        return None
    named = render_list([day for day in days if day])
    return (
        f"{_render_every(interval, 'week')} on {named}"
        if interval > 1 and len(days) > 1
        else _render_every(interval, named)
    )


def _render_monthly(parts: dict[str, str], interval: int) -> str | None:
    of = f"of {_render_every(interval, 'month')}"
    if "BYMONTHDAY" in parts:
        days = [int(day) for day in parts["BYMONTHDAY"].split(",")]
        return f"on day {render_list([str(day) for day in days])} {of}" if min(days) > 0 else None
    named = [_render_nth(day) for day in parts.get("BYDAY", "").split(",")]
    if None in named:
        return None
    return f"on the {render_list([name for name in named if name])} {of}"


def _render_nth(day: str) -> str | None:
    weekday, number = WEEKDAYS.get(day[-2:]), day[:-2]
    ordinal = _ORDINALS.get(int(number)) if number.lstrip("+-").isdigit() else None
    return f"{ordinal} {weekday}" if ordinal and weekday else None


def render_window(rule: WindowRule, time_zone: str) -> str:
    """Dates, hours and zone: ``every Tuesday, 04:00 to 06:00 (Europe/Berlin)``."""
    zone = rule.time_zone or time_zone
    parts = parse_parts(rule.rule)
    days = parts.get("BYDAY", "").split(",")
    if rule.length > _DAY and set(parts) == {"FREQ", "BYDAY"} and len(days) == 1 and days[0] in WEEKDAYS:
        return f"{_render_span(rule, days[0])} of every week ({zone})"
    if rule.length > _DAY:
        return f"{render_dates(rule)}, from {rule.start:%H:%M} for {render_length(rule.length)} ({zone})"
    return f"{render_dates(rule)}, {rule.start:%H:%M} to {_render_end(rule, rule.length)} ({zone})"


def _render_span(rule: WindowRule, day: str) -> str:
    start = datetime.combine(_MONDAY + list(WEEKDAYS).index(day) * _DAY, rule.start)
    return f"from {start:%A %H:%M} to {start + rule.length:%A %H:%M}"


def _render_end(rule: WindowRule, length: timedelta) -> str:
    start = datetime.combine(_MONDAY, rule.start)
    end = start + length
    if end.date() == start.date():
        return f"{end:%H:%M}"
    return "midnight" if end.time() == _MONDAY.time() else f"{end:%H:%M} on the next day"


def render_cutoff(rule: WindowRule) -> str:
    """``Nothing starts after 05:30``; empty without a cutoff or in windows longer than a day."""
    if not rule.cutoff_minutes or rule.length > _DAY:
        return ""
    return f"Nothing starts after {_render_end(rule, rule.length - timedelta(minutes=rule.cutoff_minutes))}"


def render_freeze(freeze: Freeze) -> str:
    """``from 18 December 2026 to 6 January 2027: security fixes only``."""
    what = "nothing" if freeze.stops == "all" else "security fixes only"
    if freeze.first == freeze.last:
        return f"on {render_date(freeze.first)}: {what}"
    return f"from {render_date(freeze.first)} to {render_date(freeze.last)}: {what}"


def render_impact(impact: Impact) -> str:
    """What is felt, in short."""
    return _IMPACTS[impact]


def render_course(course: Course, is_announced: bool) -> str:
    """When it may start; ``is_announced``: customers are told of what is not live."""
    return _COURSES[course] + (", and announced before" if course is Course.IN_WINDOW and is_announced else "")


def render_leads(ladder: Ladder) -> str:
    """``7 days, 24 hours and 1 hour before``."""
    return f"{render_list([render_length(lead) for lead in ladder.leads])} before"


def render_size(ladder: Ladder, is_only: bool) -> str:
    """Which interruptions a ladder is for."""
    if ladder.over:
        return f"an interruption longer than {render_length(ladder.over)}"
    return "an interruption" if is_only else "a shorter one"


def render_waves(rules: RolloutRules) -> str:
    """``one server first, then waves of 10 % and 25 %, then all others``."""
    *waves, last = (_render_count(wave) for wave in rules.waves)
    end = "then all others" if last == "100 %" else f"then {last} at a time"
    between = [f"then waves of {render_list(waves)}"] if waves else []
    return ", ".join([f"{_render_count(rules.canary)} first", *between, end])


def _render_count(count: Count) -> str:
    if count.is_percent:
        return f"{count.number} %"
    return "one server" if count.number == 1 else f"{count.number} servers"


def render_number(number: Decimal) -> str:
    """Without noughts that say nothing: ``99.5``, ``50``."""
    return f"{number.normalize():f}"


def render_behind(behind: Behind) -> str:
    """Which servers: ``all servers``, ``servers of kind game, or on host pve1``."""
    if behind.all:
        return "all servers"
    named = (("of kind", behind.kinds), ("of line", behind.lines), ("on host", behind.nodes))
    return f"servers {render_list([f'{word} {render_list(names)}' for word, names in named if names], 'or')}"


def render_threshold(probe: OutsideProbe) -> str:
    """After what a watched point is away: ``3 failures in a row, 30 seconds apart``."""
    if probe.needed_failures == 1:
        return "one failure"
    return f"{probe.needed_failures} failures in a row, {render_length(probe.interval)} apart"


def render_capital(text: str) -> str:
    """As a sentence begins."""
    return text[:1].upper() + text[1:]


def render_anchor(heading: str) -> str:
    """As readers of Markdown on the web make it: lower case, blanks to hyphens, all other signs gone."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
