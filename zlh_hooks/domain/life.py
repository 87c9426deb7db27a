"""From when to when a guest existed, as far as the ledger knows. Pure.

A plan names every guest of its line. One that an earlier plan of the line does not name is younger than that plan: it
counts from the first plan that names it. A rollout that finds a guest deleted says when it ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.plan import Plan, parse_plan
from zlh_hooks.domain.span import Span, Spans, intersect, make_spans
from zlh_hooks.domain.steps import TargetEvent


@dataclass(frozen=True, slots=True)
class Life:
    """``begin``, ``end``: None where nobody knows, which counts as always."""

    begin: datetime | None = None
    end: datetime | None = None

    def within(self, span: Span) -> Spans:
        """What of the span the guest lived through."""
        return intersect([span], make_spans(self.begin or span.begin, self.end or span.end))

    def describe(self, span: Span) -> tuple[str, ...]:
        """What a reader must know of it to judge a figure that was reckoned over the span."""
        begun: tuple[str, ...] = ()
        if self.begin is None:
            begun = ("nobody knows since when it exists: the whole time counts",)
        elif self.begin > span.begin:
            begun = (f"first seen {self.begin:%Y-%m-%d %H:%M} UTC",)
        ended = (f"found deleted {self.end:%Y-%m-%d %H:%M} UTC",) if self.end and self.end < span.end else ()
        return (*begun, *ended)


@dataclass(slots=True)
class LifeBook:
    """What plans and rollouts say of guests; ``add`` takes in a ledger's entries in their order."""

    names: dict[int, str] = field(default_factory=dict)
    nodes: dict[int, str] = field(default_factory=dict)
    _begins: dict[int, datetime | None] = field(default_factory=dict)
    _ends: dict[int, datetime] = field(default_factory=dict)
    _lines: set[str] = field(default_factory=set)

    def add(self, entries: Iterable[Entry]) -> "LifeBook":
        """Take in more; entries of other things are passed over."""
        for entry in entries:
            if entry.kind is Kind.PLAN:
                self._take(parse_plan(entry.data), entry.at)
            elif entry.kind is Kind.EVENT and entry.name == TargetEvent.VANISHED and entry.target is not None:
                self._ends[entry.target] = entry.at
        return self

    def _take(self, plan: Plan, at: datetime) -> None:
        is_first = plan.release.line not in self._lines
        self._lines.add(plan.release.line)
        self.nodes |= {target.vmid: target.node for target in plan.targets}
        named = {one.vmid: one.name for one in plan.targets} | {one.vmid: one.name for one in plan.left_out}
        self.names |= named
        for vmid in named:
            self._begins.setdefault(vmid, None if is_first else at)
            self._ends.pop(vmid, None)

    @property
    def lives(self) -> Mapping[int, Life]:
        """Guest to its life, of all that were ever in a plan."""
        return {vmid: Life(begin, self._ends.get(vmid)) for vmid, begin in self._begins.items()}
