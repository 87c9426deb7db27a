"""Windows and freezes as the policy writes them. What they mean on a given day is :mod:`zlh_hooks.domain.window`."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictInt, model_validator

from zlh_hooks.domain.flaw import Misfit
from zlh_hooks.domain.recurrence import check_recurrence, why_anchored
from zlh_hooks.domain.value import LocalDate, LocalTime, Value, ZoneName

_LONGEST_MINUTES = 7 * 24 * 60
_FIRST_YEAR, _LAST_YEAR = 2000, 2199


class Component(StrEnum):
    """The eight patched systems."""

    PVE_HOST = "pve-host"
    PBS = "pbs"
    OPNSENSE = "opnsense"
    API_PORTAL = "api-portal"
    TEMPLATE = "template"
    AGENT = "agent"
    EDGE = "edge"
    MONITORING = "monitoring"


class WindowRule(Value):
    """When restricted work may start (``allow``) or may not (``deny``, which wins)."""

    name: str = Field(min_length=1, description="How refusals and tables call the window.")
    effect: Literal["allow", "deny"] = Field(
        default="allow", description="What the window does. Where both apply, deny wins."
    )
    components: tuple[Component, ...] = Field(default=(), description="What it is for; empty means every component.")
    rule: Annotated[str, AfterValidator(check_recurrence)] = Field(
        description="The dates on which it starts: an RRULE (RFC 5545) in local civil time, without time of day.",
        examples=["FREQ=WEEKLY;BYDAY=TU,TH", "FREQ=MONTHLY;BYDAY=1SU", "FREQ=DAILY"],
    )
    start: LocalTime = Field(description="Local time of day at which it starts.")
    length_minutes: StrictInt = Field(
        ge=1, le=_LONGEST_MINUTES, description="Exact length, also in nights when clocks change."
    )
    cutoff_minutes: StrictInt = Field(
        default=0, ge=0, description="Nothing starts in the last so many minutes; what runs is brought to its end."
    )
    time_zone: ZoneName | None = Field(default=None, description="IANA zone of `start`; the policy's if left out.")
    on_gap: Literal["shift", "skip"] = Field(
        default="shift",
        description="If clocks go forward over `start`: begin later by as much (shift), or not on this date (skip).",
    )
    anchor: LocalDate | None = Field(
        default=None, description="First possible date; rules with INTERVAL count from it and need it."
    )
    reason: str = Field(default="", description="Why then; shown on the pages.")

    @model_validator(mode="after")
    def _check_cutoff(self) -> Self:
        if self.effect == "deny" and self.cutoff_minutes:
            raise Misfit(("cutoff_minutes",), str(self.cutoff_minutes), "none: a deny window has no last start")
        if self.cutoff_minutes > self.length_minutes:
            longest = f"at most length_minutes ({self.length_minutes})"
            raise Misfit(("cutoff_minutes",), str(self.cutoff_minutes), longest)
        return self

    @model_validator(mode="after")
    def _check_anchor(self) -> Self:
        reason = why_anchored(self.rule)
        if self.anchor is None and reason:
            raise Misfit(("anchor",), "nothing", f"a date such as 2026-11-23, because {reason}")
        if self.anchor and not _FIRST_YEAR <= self.anchor.year <= _LAST_YEAR:
            raise Misfit(("anchor",), str(self.anchor), f"a date from {_FIRST_YEAR} to {_LAST_YEAR}")
        return self

    @property
    def length(self) -> timedelta:
        """How long it is open."""
        return timedelta(minutes=self.length_minutes)

    def covers(self, component: Component) -> bool:
        """Whether the window is for the component."""
        return not self.components or component in self.components


class Freeze(Value):
    """Whole days on which nothing restricted starts, whatever windows say."""

    name: str = Field(min_length=1, description="How refusals and tables call the freeze.")
    first: LocalDate = Field(description="First date, in the policy's zone.")
    last: LocalDate = Field(description="Last date, included.")
    stops: Literal["all", "all-but-security"] = Field(
        default="all", description="Whether security fixes wait too, or may start in their windows."
    )
    reason: str = Field(default="", description="Why; shown to whoever is refused.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.last < self.first:
            raise Misfit(("last",), str(self.last), f"the same date as first ({self.first}) or a later one")
        return self
