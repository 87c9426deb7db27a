"""A plan: which guests get which release, in which waves. Pure data, stored whole in the ledger's first entry."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from zlh_hooks.domain.deferral_rules import DeferralRules
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.notice_rules import NoticeRules
from zlh_hooks.domain.policy import Line, RolloutRules, VmidRange
from zlh_hooks.domain.rollout_rules import MODES_OF_BOOLEANS
from zlh_hooks.domain.window_rule import Component

CANARY = 0
AGENT = Component.AGENT.value
"""In place of a line: what is brought is the agent."""
PACKAGES = "packages"
"""In place of a line: what is brought are packages of guests."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Release(_Value):
    """A template version and the template that carries it on each node; or, of line ``agent``, the agent's version; or,
    of line ``packages``, which ones.
    """

    line: str
    version: str
    templates: Mapping[str, int] = Field(description="Node name to the template's VMID.")


class PlannedTarget(_Value):
    """A guest that will be changed. ``wave`` 0 is the canary; ``line`` is told where a plan is for several."""

    vmid: int
    node: str
    name: str
    from_version: str | None
    wave: int
    line: str = ""

    @property
    def ref(self) -> GuestRef:
        """Where the guest was when the plan was made."""
        return GuestRef(self.vmid, self.node)


class LeftOut(_Value):
    """A guest of the line that the plan leaves alone, and why."""

    vmid: int
    name: str
    reason: str
    follows: bool | None = Field(
        default=None,
        description="Whether it follows by itself what is signed for all in the end; None where nobody does that.",
    )


class SignedPart(_Value):
    """What a plan has beside the rest whose states people sign, and guests follow by themselves."""

    lines: Mapping[str, Line] = Field(description="Lines whose guests it is for.")
    jitter: timedelta = Field(description="How long guests take at most to begin, in an open window.")


class AgentPart(SignedPart):
    """Of the agent. Guests name a release ``<version>-<first 8 of its SHA-256>``."""

    pin: int = Field(description="The number under which guests know the version.")
    releases: tuple[str, ...] = Field(description="The version's builds, as guests name them.")


class PatchPart(SignedPart):
    """Of packages. Guests report what became of a wish by its id."""

    wishes: Mapping[str, str] = Field(description="Line to the id of the wish that brings them.")
    ways_back: Mapping[str, str] = Field(description="Line to the id of the wish that takes them back.")


class Plan(_Value):
    """One rollout: rules and line are those of the policy when it was planned, so that a resumed worker keeps them."""

    id: str
    release: Release
    previous: str | None = Field(description="The stable version before, to which `stable` returns on a revert.")
    targets: tuple[PlannedTarget, ...]
    left_out: tuple[LeftOut, ...]
    rules: RolloutRules
    notices: NoticeRules | None = Field(default=None, description="The promise under which it was ordered.")
    deferral: DeferralRules | None = Field(default=None, description="How far its dates may be moved.")
    line: Line = Field(description="The release's line; of those whose guests follow what is signed the first.")
    scratch_vmids: VmidRange
    security: bool = Field(default=False, description="It closes a hole: some freezes do not stop it.")
    emergency: str | None = Field(default=None, description="The emergency under which it was ordered.")
    without_canary: bool = Field(
        default=False, description="That emergency spares it the canary: nobody waits for a first guest's proof."
    )
    agents: AgentPart | None = Field(default=None, description="It brings a release of the agent, and no template.")
    patches: PatchPart | None = Field(default=None, description="It brings packages of guests, and no template.")
    author: str
    created: datetime

    @property
    def component(self) -> Component:
        """Whose windows and emergencies count: guests know one list of windows, whatever they bring by themselves."""
        return Component.AGENT if self.signed else Component.TEMPLATE

    @property
    def signed(self) -> SignedPart | None:
        """What people sign at the start and guests then follow by themselves; None where we exchange their roots."""
        return self.agents or self.patches

    @property
    def deferral_limit(self) -> timedelta:
        """How long after the first announced date a guest may come at the latest; nothing: its date stands."""
        return self.deferral.limit_for(self.security) if self.deferral else timedelta(0)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node with a target, sorted."""
        return tuple(sorted({target.node for target in self.targets}))

    @property
    def waves(self) -> tuple[tuple[PlannedTarget, ...], ...]:
        """Targets by wave, canary first."""
        numbers = sorted({target.wave for target in self.targets})
        return tuple(tuple(target for target in self.targets if target.wave == number) for number in numbers)

    def has_guest(self, vmid: int | None) -> bool:
        """Whether it is one of the targets, which we or its customer start, or a temporary guest of ours."""
        return vmid in self.scratch_vmids or any(target.vmid == vmid for target in self.targets)


def dump_plan(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values for the ledger."""
    return plan.model_dump(mode="json")


def parse_plan(data: Mapping[str, Any]) -> Plan:
    """The plan from the ledger's JSON values."""
    rules = data.get("rules")
    pending = rules.get("exchange_pending") if isinstance(rules, Mapping) else None
    if isinstance(rules, Mapping) and isinstance(pending, bool):  # of an earlier version
        data = {**data, "rules": {**rules, "exchange_pending": MODES_OF_BOOLEANS[pending]}}
    return Plan.model_validate(data)
