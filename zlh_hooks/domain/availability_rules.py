"""What is promised of availability and what is credited, as the policy writes it; and what is watched from outside."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from zlh_hooks.domain.component_rule import Sentence
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.flaw import Misfit, render_found
from zlh_hooks.domain.outage import KnownGuest
from zlh_hooks.domain.probe import HttpProbe, MinecraftProbe, SourceProbe, TcpProbe
from zlh_hooks.domain.value import Percent, Value
from zlh_hooks.domain.window_rule import Component

OutsideProbe = Annotated[HttpProbe | TcpProbe | MinecraftProbe | SourceProbe, Field(discriminator="kind")]
"""What can be asked of an address from outside: an agent is in a guest, and Prometheus looks from where it stands."""
PointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
SHORTEST_INTERVAL = timedelta(seconds=1)
_UNUSED = ("name", "needed_successes", "in_smoke")


def _check_used(probe: OutsideProbe, place: str, *more: str) -> None:
    """A key that decides nothing here is a mistake."""
    for key in (*_UNUSED, *more):
        if getattr(probe, key) != type(probe).model_fields[key].default:
            expected = "the default: it decides nothing for what is watched from outside"
            raise Misfit((place, key), render_found(getattr(probe, key)), expected)


class CreditStep(Value):
    """From which availability on how much of a month's fee is credited."""

    below_percent: Percent = Field(description="For months in which the server was available for less than this.")
    credit_percent: Percent = Field(description="So much of the month's fee of that server.")
    reason: str = Field(default="", description="Why so much; shown on the internal page.")


class Behind(Value):
    """Which servers cannot be used while a point is away: those of any of the selectors."""

    all: StrictBool = Field(default=False, description="Every server.")
    nodes: tuple[Sentence, ...] = Field(default=(), description="Those on these hosts.")
    kinds: tuple[Sentence, ...] = Field(default=(), description="Those of these [kinds].")
    lines: tuple[Sentence, ...] = Field(default=(), description="Those of these [lines].")

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        some = bool(self.nodes or self.kinds or self.lines)
        if self.all == some:
            found = "all with others" if self.all else "nothing"
            raise Misfit((), found, "all = true, or some of nodes, kinds and lines")
        return self

    def holds(self, guest: KnownGuest) -> bool:
        """Whether the guest is behind it, as it stands now."""
        return self.all or guest.node in self.nodes or guest.kind in self.kinds or guest.line in self.lines


class WatchedPoint(Value):
    """Something shared that customers need to reach their servers."""

    title: Sentence = Field(description="How people call it.")
    component: Component = Field(
        description="Which system it is: work on it that people announce by hand must lie in its windows."
    )
    probe: OutsideProbe = Field(
        description="Asked every `interval`; `needed_failures` in a row are an outage, counted from the first of them."
    )
    behind: Behind = Field(description="Which servers cannot be used while it is away.")
    reason: str = Field(default="", description="Why these servers; shown on the internal page.")

    @model_validator(mode="after")
    def _check_probe(self) -> Self:
        _check_used(self.probe, "probe")
        if self.probe.interval < SHORTEST_INTERVAL:
            shortest = f"{render_duration(SHORTEST_INTERVAL)} or longer"
            raise Misfit(("probe", "interval"), render_found(self.probe.interval), shortest)
        return self


class WatchRules(Value):
    """What is watched from outside. Addresses are in ``zlh-hooks.toml``."""

    reference: OutsideProbe = Field(
        description="Somebody else's machine, asked when a point fails: if it fails too, we see nothing ourselves."
    )
    points: Mapping[PointName, WatchedPoint] = Field(min_length=1, description="Points by a short name.")

    @model_validator(mode="after")
    def _check_reference(self) -> Self:
        _check_used(self.reference, "reference", "interval", "needed_failures")
        return self


class AvailabilityRules(Value):
    """What is promised for each server and calendar month, and what is credited where it is missed.

    Planned is what its customer was told of in time, up to the announced end; all else is unplanned and counts.
    """

    goal_percent: Percent = Field(description="Share of a month for which a server can be used, planned times aside.")
    emergencies: Literal["planned", "unplanned"] = Field(
        default="planned",
        description="What an emergency is for whoever was told of it, from the notice's delivery to its announced end.",
    )
    credits: tuple[CreditStep, ...] = Field(default=(), description="Steps from the smallest credit to the largest.")
    cap_percent: Percent = Field(
        default=Decimal(100),
        description="No month is credited with more, whatever the steps say: a site lowers it without rewriting them.",
    )
    watch: WatchRules | None = Field(
        default=None,
        description="What is watched from outside; left out: nothing is, and only our own acts are counted.",
    )
    reason: str = Field(default="", description="Why this goal; shown on the internal page.")

    @model_validator(mode="after")
    def _check_credits(self) -> Self:
        for position, step in enumerate(self.credits):
            if step.below_percent > self.goal_percent:
                expected = f"at most the goal ({self.goal_percent})"
                raise Misfit(("credits", position, "below_percent"), str(step.below_percent), expected)
            before = self.credits[position - 1] if position else None
            if before and step.below_percent >= before.below_percent:
                expected = f"less than the step before ({before.below_percent})"
                raise Misfit(("credits", position, "below_percent"), str(step.below_percent), expected)
            if before and step.credit_percent <= before.credit_percent:
                expected = f"more than the step before ({before.credit_percent})"
                raise Misfit(("credits", position, "credit_percent"), str(step.credit_percent), expected)
        return self
