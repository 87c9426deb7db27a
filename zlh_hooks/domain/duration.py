"""Durations as people write them in the policy: ``90s``, ``5m``, ``72h``, ``3d``, ``1h30m``."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+\Z")
EXPECTED = "a duration such as 90s, 5m, 72h, 3d or 1h30m"


def parse_duration(text: object) -> timedelta:
    """``"1h30m"`` as a timedelta; a timedelta passes through. ValueError says what would be right."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not _WHOLE.match(text):
        raise ValueError(EXPECTED)
    try:
        return timedelta(**{_UNITS[unit]: float(number) for number, unit in reversed(_PART.findall(text))})
    except OverflowError as error:
        raise ValueError(f"{EXPECTED}, and no longer than {timedelta.max.days}d") from error


def render_duration(length: timedelta) -> str:
    """The shortest exact spelling in days, hours, minutes and seconds, e.g. ``1h30m``; ``0s`` for nothing."""
    seconds = length.total_seconds()
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        count, seconds = divmod(seconds, size)
        parts += [f"{count:g}{unit}"] if count else []
    return "".join([*parts, *([f"{seconds:g}s"] if seconds or not parts else [])])


def double(first: timedelta, longest: timedelta) -> Iterator[timedelta]:
    """Pauses between attempts: each twice as long as the one before, up to the longest, for ever."""
    while True:
        yield first
        first = min(first * 2, longest)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(render_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _WHOLE.pattern.replace(r"\Z", "$"), "examples": ["90s", "72h"]}),
]
