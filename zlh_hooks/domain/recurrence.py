"""Recurrences: the local dates that an RRULE (RFC 5545, 3.3.10) names. No clock, no zone, no time of day."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import takewhile

from dateutil.rrule import rrulestr

HORIZON_YEARS = 5
"""How far ahead dates are looked for."""

_FAR = timedelta(days=19 * 146_097)
"""19 times 400 years, after which the calendar repeats to the weekday.

dateutil looks for a match until the year 9999, seconds long for a rule without one; moved there it gives up at once.
"""
_DAYS = r"(?:MO|TU|WE|TH|FR|SA|SU)"
_PARTS = {
    "FREQ": r"(?:DAILY|WEEKLY|MONTHLY|YEARLY)",
    "INTERVAL": r"[1-9]\d{0,2}",
    "UNTIL": r"\d{8}",
    "WKST": _DAYS,
    "BYDAY": rf"(?:[+-]?[1-9]\d?)?{_DAYS}",
    "BYMONTH": r"(?:[1-9]|1[0-2])",
    "BYMONTHDAY": r"[+-]?(?:[1-9]|[12]\d|3[01])",
    "BYYEARDAY": r"[+-]?[1-9]\d{0,2}",
    "BYWEEKNO": r"[+-]?(?:[1-9]|[1-4]\d|5[0-3])",
    "BYSETPOS": r"[+-]?[1-9]\d{0,2}",
}
_LISTS = frozenset(name for name in _PARTS if name.startswith("BY"))
_INSTEAD = {
    "BYHOUR": "no BYHOUR: the time of day is `start`",
    "BYMINUTE": "no BYMINUTE: the time of day is `start`",
    "BYSECOND": "no BYSECOND: the time of day is `start`",
    "COUNT": "no COUNT: a rule ends with UNTIL=YYYYMMDD",
    "DTSTART": "no DTSTART: the date to count from is `anchor`, the time of day `start`",
}
_EXAMPLE = "an RRULE such as FREQ=WEEKLY;BYDAY=TU,TH"


def check_recurrence(text: str) -> str:
    """The rule itself if it can be expanded; ValueError says what would be right."""
    names = re.findall(r"(?:\A|;)(\w+)", text)
    forbidden = next((_INSTEAD[name] for name in names if name in _INSTEAD), None)
    if forbidden:
        raise ValueError(forbidden)
    if len(set(names)) < len(names) or not re.fullmatch(r"[A-Z]+=[^;=]+(?:;[A-Z]+=[^;=]+)*", text):
        raise ValueError(_EXAMPLE)
    for name, value in parse_parts(text).items():
        _check_part(name, value)
    _check_frequency(parse_parts(text))
    return text


def _check_part(name: str, value: str) -> None:
    if name not in _PARTS:
        raise ValueError(f"no {name}; known parts are {', '.join(_PARTS)}")
    pattern = rf"{_PARTS[name]}(?:,{_PARTS[name]})*" if name in _LISTS else _PARTS[name]
    if name == "FREQ" and not re.fullmatch(pattern, value):
        raise ValueError("FREQ=DAILY, WEEKLY, MONTHLY or YEARLY: a window starts once a day at most")
    if not re.fullmatch(pattern, value):
        raise ValueError(f"another {name} than {value}; see RFC 5545, e.g. {_EXAMPLE}")
    if name == "UNTIL":
        _parse_until(value)


def _check_frequency(parts: Mapping[str, str]) -> None:
    if "FREQ" not in parts:
        raise ValueError(f"FREQ in the rule; {_EXAMPLE}")
    if parts["FREQ"] in ("DAILY", "WEEKLY") and re.search(r"\d", parts.get("BYDAY", "")):
        raise ValueError("a number in BYDAY (such as 1SU) only with FREQ=MONTHLY or YEARLY")
    if "BYSETPOS" in parts and len(_LISTS & set(parts)) == 1:
        raise ValueError("BYSETPOS only together with another BY… part, from whose dates it chooses")


def why_anchored(text: str) -> str | None:
    """Why the rule says nothing without a date to count from; None if it does."""
    parts = parse_parts(text)
    if int(parts.get("INTERVAL", "1")) > 1:
        return f"INTERVAL={parts['INTERVAL']} counts from it"
    named = set(parts) & {"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"}
    if parts["FREQ"] != "DAILY" and not named:
        return f"FREQ={parts['FREQ']} without BYDAY or BYMONTHDAY takes the day from it"
    return None


def list_dates(text: str, anchor: date | None, first: date, last: date) -> tuple[date, ...]:
    """The rule's dates from ``first`` to ``last`` (both included), at most ``HORIZON_YEARS`` later."""
    dates = _expand(text, anchor, first.year)
    return dates[bisect_left(dates, first) : bisect_right(dates, last)]


@lru_cache(maxsize=512)
def _expand(text: str, anchor: date | None, year: int) -> tuple[date, ...]:
    """Its dates from January of ``year`` or the anchor until the horizon is passed, also for the year's last day."""
    parts = parse_parts(text)
    first, last = date(year, 1, 1), date(year + HORIZON_YEARS + 1, 12, 31)
    if "UNTIL" in parts:
        last = min(last, _parse_until(parts.pop("UNTIL")))
    rule = ";".join(f"{name}={value}" for name, value in parts.items())
    begin, stop = (datetime.combine(day, time()) + _FAR for day in (anchor or first, last))
    matches = takewhile(lambda match: match <= stop, rrulestr(rule, dtstart=begin))
    return tuple((match - _FAR).date() for match in matches)


def parse_parts(text: str) -> dict[str, str]:
    """``FREQ=WEEKLY;BYDAY=TU,TH`` as names and values, of a rule that was checked."""
    return dict(part.split("=", 1) for part in text.split(";"))


def _parse_until(value: str) -> date:
    """The last date, included. Read here: dateutil would read it as midnight, with its own idea of zones."""
    try:
        return datetime.strptime(value, "%Y%m%d").date()  # noqa: DTZ007
    except ValueError as error:
        raise ValueError("UNTIL=YYYYMMDD, the last local date") from error
