"""A guest's month: how long it could not be used, planned and unplanned, how long nobody knows, and what follows. Pure.

At each moment a guest is down if any outage says so, else unknown if any gap says so, else up. What is down is planned
only while every outage that says so was announced: an announced restart does not hide the router's fault. In the same
way it is inside of windows only while every such outage is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from zlh_hooks.domain.availability_rules import AvailabilityRules
from zlh_hooks.domain.credit import propose_credit, reckon_available
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.outage import Gap, KnownGuest, Outage
from zlh_hooks.domain.span import Span, Spans, intersect, measure, subtract


class Verdict(StrEnum):
    """Whether the goal was met; ``unknown``: it depends on times of which nobody knows."""

    MET = "met"
    MISSED = "missed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Downtime:
    """Disjoint parts of one stretch of time; what is in none of them, the guest was up.

    ``in_windows``: what of the planned and the unplanned lay in windows.
    """

    planned: Spans
    unplanned: Spans
    unknown: Spans
    in_windows: Spans = ()

    @property
    def planned_in_windows(self) -> Spans:
        """What was announced and lay in windows."""
        return intersect(self.planned, self.in_windows)

    @property
    def unplanned_in_windows(self) -> Spans:
        """What was not announced, and lay in windows all the same."""
        return intersect(self.unplanned, self.in_windows)


def sort_out(within: Span, outages: Iterable[Outage], gaps: Iterable[Gap]) -> Downtime:
    """What of the time is which, from everything that is known of one guest. Overlaps count once."""
    known = list(outages)
    down = intersect([within], (one.span for one in known))
    planned = subtract(down, (part for one in known for part in subtract([one.span], one.announced)))
    in_windows = subtract(down, (part for one in known for part in subtract([one.span], one.in_windows)))
    unknown = subtract(intersect([within], (gap.span for gap in gaps)), down)
    return Downtime(planned, subtract(down, planned), unknown, in_windows)


@dataclass(frozen=True, slots=True)
class Account:
    """One guest's month. ``within``: what of the month counts. ``notes`` say what a reader must know to judge it."""

    customer: Customer
    guest: KnownGuest
    within: Span
    downtime: Downtime
    outages: tuple[Outage, ...]
    gaps: tuple[Gap, ...]
    rules: AvailabilityRules
    notes: tuple[str, ...] = ()

    @property
    def available(self) -> Fraction:
        """Percent of the time, if whatever nobody knows was up; exact."""
        return self._reckon(measure(self.downtime.unplanned))

    @property
    def available_at_worst(self) -> Fraction:
        """Percent of the time, if whatever nobody knows was down; exact."""
        return self._reckon(measure((*self.downtime.unplanned, *self.downtime.unknown)))

    def _reckon(self, away: timedelta) -> Fraction:
        return reckon_available(self.within.length, away)

    @property
    def verdict(self) -> Verdict:
        """Whether the goal was met."""
        goal = Fraction(self.rules.goal_percent)
        if self.available < goal:
            return Verdict.MISSED
        return Verdict.MET if self.available_at_worst >= goal else Verdict.UNKNOWN

    @property
    def credit_percent(self) -> Decimal:
        """What is proposed, for what is known to have been down; nothing where nobody pays."""
        return Decimal(0) if self.customer.id == OPERATOR else propose_credit(self.rules, self.available)
