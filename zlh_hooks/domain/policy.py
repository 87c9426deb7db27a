"""The policy: what may happen to which guests, when, and how carefully. Valid by construction, never changed."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, field_validator, model_validator

from zlh_hooks.domain.agent_rules import AgentRules
from zlh_hooks.domain.availability_rules import AvailabilityRules
from zlh_hooks.domain.component_rule import ComponentRule, check_components
from zlh_hooks.domain.deferral_rules import DeferralRules
from zlh_hooks.domain.duty import Contact, Person, Responsibility, Role, Symptom, check_kinds, check_roles
from zlh_hooks.domain.emergency_rules import EmergencyRules
from zlh_hooks.domain.flaw import Misfit, has_place, render_found, render_hint
from zlh_hooks.domain.notice_rules import NoticeRules
from zlh_hooks.domain.probe import Probe
from zlh_hooks.domain.rollout_rules import RolloutRules as RolloutRules
from zlh_hooks.domain.value import PositiveDuration, Tag, Value, ZoneName
from zlh_hooks.domain.value import VmidRange as VmidRange
from zlh_hooks.domain.window_rule import Component as Component
from zlh_hooks.domain.window_rule import Freeze, WindowRule

NOT_EXCHANGED = "dev"
"""The kind whose roots are exchanged only if the policy says so: people work and keep things in them."""


def _check_data_path(path: str) -> str:
    parts = path.split("/")[1:]
    if not path.startswith("/") or path == "/" or not all(part not in ("", ".", "..") for part in parts):
        raise ValueError("an absolute path below /, such as /data, without .. and without a / at its end")
    return path


DataPath = Annotated[str, AfterValidator(_check_data_path)]


class GuestKind(Value):
    """Guests that are treated alike, found by their number and tags."""

    vmids: tuple[VmidRange, ...] = Field(min_length=1, description='Guest numbers: "5000-5999" or "5000".')
    tags: tuple[Tag, ...] = Field(default=(), description="The guest must carry one of them; empty: none needed.")
    line: Tag = Field(description="The line of templates that its guests are cloned from.")
    exchange: StrictBool = Field(
        default=True, description=f"Whether roots may be exchanged; false for the kind {NOT_EXCHANGED} if left out."
    )

    def matches(self, vmid: int, tags: Iterable[str]) -> bool:
        """Whether a guest with that number and those tags is of this kind."""
        return any(vmid in numbers for numbers in self.vmids) and (not self.tags or bool(set(self.tags) & set(tags)))

    def may_share_guest(self, other: "GuestKind") -> VmidRange | None:
        """Numbers at which a guest could be of both kinds; tags keep kinds apart if each needs others."""
        if self.tags and other.tags and not set(self.tags) & set(other.tags):
            return None
        pairs = ((mine, theirs) for mine in self.vmids for theirs in other.vmids)
        return next((mine for mine, theirs in pairs if mine.overlaps(theirs)), None)


class FileHook(Value):
    """Write the new stable version to a file."""

    kind: Literal["file"]
    path: str = Field(pattern=r"^/", description="The file to replace.")


class UrlHook(Value):
    """POST the new stable version to a URL."""

    kind: Literal["url"]
    url: str = Field(pattern=r"^https?://[^\s/]+", description="Where to POST; without a password in it.")
    timeout: PositiveDuration = Field(default=timedelta(seconds=10), description="For one attempt.")
    token_file: str | None = Field(
        default=None, pattern=r"^/", description="File with a bearer token, not readable by all."
    )


Hook = Annotated[FileHook | UrlHook, Field(discriminator="kind")]


class Line(Value):
    """A family of templates, and what a guest cloned from it must have and answer."""

    data_paths: tuple[DataPath, ...] = Field(
        min_length=1, description="Where customer data lies; each must be on a volume of its own for an exchange."
    )
    probes: tuple[Probe, ...] = Field(min_length=1, description="Health questions; all must be answered well.")
    keep_versions: StrictInt = Field(default=3, ge=1, description="Template versions kept; one in use always is.")
    new_guests_percent: StrictInt = Field(
        default=10, ge=0, le=100, description="Share of new guests that get the candidate while a rollout runs."
    )
    smoke_net0: str | None = Field(
        default=None,
        pattern=r"^\w+=[^,\s]+(,\w+=[^,\s]+)*$",
        description="Network of the scratch guest that is tried first; left out: the template's.",
        examples=["name=eth0,bridge=vmbr9,ip=dhcp"],
    )
    after_promote: tuple[Hook, ...] = Field(default=(), description="Who is told that `stable` has moved.")

    @model_validator(mode="after")
    def _check_probes(self) -> Self:
        labels = [probe.label for probe in self.probes]
        for position, label in enumerate(labels):
            if label in labels[:position]:
                raise Misfit(("probes", position, "name"), render_found(label), "a name that no other probe has")
        if not any(probe.in_smoke for probe in self.probes):
            raise Misfit(("probes",), "none with in_smoke", "at least one that a fresh scratch guest can pass")
        return self


class Policy(Value):
    """``policy.toml`` as values. Lines and kinds are tables whose names are yours."""

    time_zone: ZoneName = Field(description="IANA zone of windows without their own and of freezes.")
    windows: tuple[WindowRule, ...] = Field(
        default=(), description="When restricted work may start. A component without an allow window waits for ever."
    )
    freezes: tuple[Freeze, ...] = Field(default=(), description="Dates on which nothing restricted starts.")
    lines: Mapping[Tag, Line] = Field(default={}, description="Lines of templates by name.")
    kinds: Mapping[str, GuestKind] = Field(default={}, description="Kinds of guests by name.")
    scratch_vmids: VmidRange = Field(
        default=VmidRange(first=890_000, last=890_999),
        description="Numbers for temporary guests; no customer may have one.",
    )
    rollout: RolloutRules = Field(default=RolloutRules(), description="How carefully rollouts go.")
    notices: NoticeRules | None = Field(
        default=None, description="How early customers are told; left out: nobody is, and nothing waits for it."
    )
    deferral: DeferralRules | None = Field(
        default=None, description="How far customers may move a date that [notices] announced; left out: not at all."
    )
    emergency: EmergencyRules | None = Field(
        default=None, description="How windows and promises may be passed over; left out: there are no emergencies."
    )
    availability: AvailabilityRules | None = Field(
        default=None, description="What is promised and credited; left out: nothing is, and downtime is not reckoned."
    )
    agents: AgentRules = Field(
        default=AgentRules(),
        description="How agents in guests are updated: rings, signatures, and how long they count.",
    )
    roles: Mapping[str, Role] = Field(default={}, description="Duties by name.")
    people: Mapping[str, Person] = Field(default={}, description="Who has them, by a short name.")
    contact: Contact | None = Field(default=None, description="How customers reach the platform.")
    components: Mapping[Component, ComponentRule] = Field(
        default={}, description="The runbook of each of the eight systems."
    )
    symptoms: Mapping[str, Symptom] = Field(default={}, description="When a change goes back, by what is broken.")
    responsibility: Mapping[str, Responsibility] = Field(
        default={}, description="What is ours and what the customer's, by kind of guest."
    )
    to_confirm: tuple[str, ...] = Field(
        default=(),
        description="Keys of this policy that a person confirms before the launch, with `zlh-hooks ready attest`; or "
        "take each out when it is right.",
        examples=[["time_zone", "people", "contact.mail"]],
    )

    @field_validator("kinds")
    @classmethod
    def _spare_dev(cls, kinds: Mapping[str, GuestKind]) -> Mapping[str, GuestKind]:
        kind = kinds.get(NOT_EXCHANGED)
        if kind is None or "exchange" in kind.model_fields_set:
            return kinds
        return {**kinds, NOT_EXCHANGED: kind.model_copy(update={"exchange": False})}

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for key in ("windows", "freezes"):
            names = [one.name for one in getattr(self, key)]
            for position, name in enumerate(names):
                if name in names[:position]:
                    expected = f"a name of its own; {key}[{names.index(name)}] has this one"
                    raise Misfit((key, position, "name"), render_found(name), expected)
        return self

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        if Component.AGENT in self.lines:
            expected = "another name: `zlh-hooks rollout start agent` brings the agent to guests of any line"
            raise Misfit(("lines", Component.AGENT.value), render_found(Component.AGENT.value), expected)
        for name, kind in self.kinds.items():
            if kind.line not in self.lines:
                known = sorted(self.lines)
                expected = f"a line of [lines]: {', '.join(known) or 'none yet'}{render_hint(kind.line, known)}"
                raise Misfit(("kinds", name, "line"), render_found(kind.line), expected)
        return self

    @model_validator(mode="after")
    def _check_vmids(self) -> Self:
        for (one, kind), (other, another) in combinations(self.kinds.items(), 2):
            shared = another.may_share_guest(kind)
            if shared:
                expected = f"numbers that kind {one} does not have, or tags that set both apart"
                raise Misfit(("kinds", other, "vmids"), str(shared), expected)
        for name, kind in self.kinds.items():
            if any(numbers.overlaps(self.scratch_vmids) for numbers in kind.vmids):
                expected = f"numbers outside those of kind {name}"
                raise Misfit(("scratch_vmids",), str(self.scratch_vmids), expected)
        return self

    @model_validator(mode="after")
    def _check_duties(self) -> Self:
        check_components(self.components)
        check_roles(self.roles, self.people, self.components, self.symptoms)
        check_kinds(self.responsibility, self.kinds)
        return self

    @model_validator(mode="after")
    def _check_watched(self) -> Self:
        watch = self.availability.watch if self.availability else None
        for name, point in watch.points.items() if watch else ():
            for table, known in (("kinds", sorted(self.kinds)), ("lines", sorted(self.lines))):
                for position, one in enumerate(getattr(point.behind, table)):
                    if one not in known:
                        place = ("availability", "watch", "points", name, "behind", table, position)
                        expected = f"a name of [{table}]: {', '.join(known) or 'none yet'}{render_hint(one, known)}"
                        raise Misfit(place, render_found(one), expected)
        return self

    @model_validator(mode="after")
    def _check_confirmed(self) -> Self:
        for position, key in enumerate(self.to_confirm):
            if not has_place(self, key):
                raise Misfit(("to_confirm", position), render_found(key), "a key of this policy such as time_zone")
        return self

    def interruption_of(self, component: Component) -> timedelta:
        """How long a customer is away at most while a component is patched and all goes well."""
        rule = self.components.get(component)
        own = rule.interruption if rule else None
        return self.rollout.expected_interruption if own is None else own

    def kind_of(self, vmid: int, tags: Iterable[str]) -> tuple[str, GuestKind] | None:
        """The guest's kind and its name. None if it has none, or carries the tags of several: then it is left alone."""
        carried = frozenset(tags)
        found = [(name, kind) for name, kind in self.kinds.items() if kind.matches(vmid, carried)]
        return found[0] if len(found) == 1 else None
