"""How agents in guests follow what was signed for them: rings, signatures, and how long these count."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, StrictInt, model_validator

from zlh_hooks.domain.agent_trust import RoleRule, RoleRules, TrustRole
from zlh_hooks.domain.duration import Duration
from zlh_hooks.domain.flaw import Misfit, render_found
from zlh_hooks.domain.value import PositiveDuration, Tag, Value, VmidRange

SHORTEST_TIMESTAMP = timedelta(days=30)
"""A publishing machine that is away, or its people, for some weeks must not stop every guest."""
Threshold = Annotated[StrictInt, Field(ge=1)]
Percent = Annotated[StrictInt, Field(ge=0, le=100)]


class RingRule(Value):
    """Guests that get a version together. A guest belongs to the first ring that it is in and that has a pin."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="How pins call it.")
    tags: tuple[Tag, ...] = Field(
        default=(),
        description="Guests that carry one of them when the desired state is made.",
        examples=[["zlh-ring.canary"]],
    )
    vmids: tuple[VmidRange, ...] = Field(default=(), description='Guest numbers: "5000-5999" or "5000".')
    percent: Percent = Field(
        default=0, description="Share of all guests, by a hash of their number: a share that grows keeps whom it had."
    )

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        if not (self.tags or self.vmids or self.percent):
            raise Misfit((), "a ring without members", "tags, vmids or a percent above 0")
        return self


class AgentRules(Value):
    """The defaults suit two people: nobody alone changes whose keys count, and each alone can take a version back."""

    rings: tuple[RingRule, ...] = Field(
        default=(RingRule(name="all", percent=100),), min_length=1, description="Asked in their order; the last is all."
    )
    jitter: Duration = Field(
        default=timedelta(minutes=30), description="Guests begin spread over so long, each at its own time in a window."
    )
    root_threshold: Threshold = Field(
        default=2, description="People who must sign a change of keys; the sealed key counts as one."
    )
    release_threshold: Threshold = Field(default=1, description="People who must sign a release.")
    root_life: PositiveDuration = Field(
        default=timedelta(days=365), description="How long the list of keys counts until people sign it again."
    )
    release_life: PositiveDuration = Field(
        default=timedelta(days=365), description="The same for the list of releases."
    )
    desired_life: PositiveDuration = Field(
        default=timedelta(days=90), description="The same for pins; windows are told to agents for so long."
    )
    snapshot_life: PositiveDuration = Field(
        default=timedelta(days=90),
        description="The same for what the publishing machine signs: which documents belong together.",
    )
    timestamp_life: PositiveDuration = Field(
        default=timedelta(days=30),
        description="And which is the newest. After so long without `zlh-hooks agent publish` agents stay as they are.",
    )
    warn_percent: Percent = Field(
        default=40, description="`agent publish --check` warns when less than this share of a life is left."
    )

    @model_validator(mode="after")
    def _check_timestamp(self) -> Self:
        if self.timestamp_life < SHORTEST_TIMESTAMP:
            expected = f"{render_found(SHORTEST_TIMESTAMP)} at least: so long may nobody publish"
            raise Misfit(("timestamp_life",), render_found(self.timestamp_life), expected)
        return self

    @model_validator(mode="after")
    def _check_rings(self) -> Self:
        names = [ring.name for ring in self.rings]
        for position, name in enumerate(names):
            if name in names[:position]:
                raise Misfit(("rings", position, "name"), render_found(name), "a name that no other ring has")
        return self

    def role_rules(self) -> RoleRules:
        """What each document needs. An operator alone signs pins: taking a version back must not wait for two."""
        return {
            TrustRole.ROOT: RoleRule(self.root_threshold, self.root_life),
            TrustRole.TARGETS: RoleRule(self.root_threshold, self.root_life),
            TrustRole.RELEASES: RoleRule(self.release_threshold, self.release_life),
            TrustRole.DESIRED: RoleRule(1, self.desired_life),
            TrustRole.SNAPSHOT: RoleRule(1, self.snapshot_life),
            TrustRole.TIMESTAMP: RoleRule(1, self.timestamp_life),
        }
