"""A month of the calendar, and when it begins and ends in a time zone."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from zlh_hooks.domain.span import Span

EXPECTED = "a month such as 2026-11"
_MONTH = re.compile(r"(2[01]\d\d)-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """``number`` from 1 to 12."""

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"

    @property
    def following(self) -> "Month":
        """The next one."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def span_in(self, zone: str) -> Span:
        """From its first local midnight to that of the next month, in UTC: as long as it is where clocks change.

        A midnight that clocks skip is the moment at which they do; one that they show twice is the first.
        """
        return Span(self._begin_in(zone), self.following._begin_in(zone))

    def _begin_in(self, zone: str) -> datetime:
        return datetime.combine(date(self.year, self.number, 1), time(), ZoneInfo(zone)).astimezone(UTC)


def parse_month(text: str) -> Month:
    """``2026-11``; ``ValueError`` says what would be right."""
    match = _MONTH.fullmatch(text)
    if match is None:
        raise ValueError(EXPECTED)
    return Month(int(match[1]), int(match[2]))
