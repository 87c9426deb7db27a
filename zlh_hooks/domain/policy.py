"""The policy: what may happen to which guests, when, and how carefully. Parsed once, frozen, passed around."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from enum import StrEnum
from itertools import combinations
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from dateutil.rrule import rrulestr
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from zlh_hooks.domain.duration import Duration, render_duration
from zlh_hooks.domain.probe import Probe

_SUB_DAILY = ("SECONDLY", "MINUTELY", "HOURLY")
_FORBIDDEN_PARTS = ("DTSTART", "COUNT", "UNTIL", "BYHOUR", "BYMINUTE", "BYSECOND")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


def _check_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("an IANA time zone such as Europe/Berlin")
    return name


ZoneName = Annotated[str, AfterValidator(_check_zone)]


class VmidRange(_Value):
    """Guest numbers from ``first`` to ``last``, both included; written ``5000-5999`` or ``5000``."""

    first: int = Field(ge=100, le=999_999_999)
    last: int = Field(ge=100, le=999_999_999)

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str | int):
            return value
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(value))
        if match is None:
            raise ValueError("a VMID range such as 5000-5999, or one VMID")
        return {"first": int(match[1]), "last": int(match[2] or match[1])}

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"a range that ends above its start, such as {self.last}-{self.first}")
        return self

    @model_serializer
    def _render(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __contains__(self, vmid: object) -> bool:
        return isinstance(vmid, int) and self.first <= vmid <= self.last

    def numbers(self) -> Iterator[int]:
        """Every number of the range, ascending."""
        return iter(range(self.first, self.last + 1))

    def overlaps(self, other: "VmidRange") -> bool:
        """Whether a number lies in both."""
        return self.first <= other.last and other.first <= self.last


class Count(_Value):
    """A number of targets, or a share of all of them; written ``3`` or ``"25%"``."""

    number: int = Field(ge=1)
    is_percent: bool = False

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int):
            return value
        match = re.fullmatch(r"(\d+)(%?)", str(value))
        if match is None or int(match[1]) < 1 or (match[2] and int(match[1]) > 100):
            raise ValueError('a number of guests from 1, or a share from "1%" to "100%"')
        return {"number": int(match[1]), "is_percent": bool(match[2])}

    @model_serializer
    def _render(self) -> str:
        return f"{self.number}%" if self.is_percent else str(self.number)

    def of(self, total: int) -> int:
        """How many of ``total``; shares are rounded up."""
        return -(-total * self.number // 100) if self.is_percent else self.number


def _check_rule(rule: str) -> str:
    parts = dict(part.partition("=")[::2] for part in rule.upper().split(";"))
    forbidden = [part for part in _FORBIDDEN_PARTS if part in parts]
    if forbidden or parts.get("FREQ") in _SUB_DAILY:
        what = ", ".join(forbidden) or f"FREQ={parts['FREQ']}"
        raise ValueError(f"a rule of days without {what}; the time of day is `start`")
    try:
        rrulestr(rule)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("an RFC 5545 rule such as FREQ=WEEKLY;BYDAY=TU") from error
    return rule


def _parse_time(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('a local time of day such as "04:00"')
    return value


LocalTime = Annotated[
    time,
    BeforeValidator(_parse_time),
    PlainSerializer(lambda value: f"{value:%H:%M}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}),
]


class WindowRule(_Value):
    """A recurring window in local civil time. ``deny`` beats ``allow``."""

    name: str = Field(min_length=1)
    effect: Literal["allow", "deny"] = "allow"
    components: tuple[Component, ...] = Field(default=(), description="Which systems it is for; empty: all of them.")
    rule: Annotated[str, AfterValidator(_check_rule)] = Field(
        description="The days, as an RFC 5545 rule: FREQ=WEEKLY;BYDAY=TU"
    )
    start: LocalTime = Field(description="Local time of day at which it opens.")
    length_minutes: int = Field(ge=1, le=7 * 24 * 60, description="Exact length, also over a change of clocks.")
    cutoff_minutes: int = Field(default=0, ge=0, description="Nothing starts in the last minutes of the window.")
    time_zone: ZoneName | None = Field(default=None, description="Its own IANA zone; the policy's if left out.")
    on_gap: Literal["shift", "skip"] = Field(
        default="shift", description="What happens where the clocks skip its start: shift it forward, or skip that day."
    )
    anchor: date | None = Field(
        default=None, description="A day on which it counts from, needed with INTERVAL above 1."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cutoff_minutes > self.length_minutes:
            raise ValueError(f"cutoff_minutes not above length_minutes ({self.length_minutes})")
        interval = re.search(r"INTERVAL=(\d+)", self.rule.upper())
        if interval and int(interval[1]) > 1 and self.anchor is None:
            raise ValueError("an `anchor` date, because INTERVAL counts from somewhere")
        return self

    @property
    def length(self) -> timedelta:
        """How long it is open."""
        return timedelta(minutes=self.length_minutes)

    @property
    def cutoff(self) -> timedelta:
        """How long before its end nothing starts any more."""
        return timedelta(minutes=self.cutoff_minutes)


class Freeze(_Value):
    """Dates on which nothing restricted happens, in the policy's zone, both included."""

    name: str = Field(min_length=1)
    first: date
    last: date
    reason: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"`last` not before `first` ({self.first})")
        return self


class GuestKind(_Value):
    """A kind of guest and the template line it is born from."""

    vmids: tuple[VmidRange, ...] = Field(min_length=1)
    tags: tuple[str, ...] = Field(default=(), description="A guest must carry one of them; empty: none is needed.")
    line: str = Field(description="The template line of these guests.")
    exchange: bool = Field(
        default=True, description="Whether their roots may be exchanged. False for `dev` unless set."
    )


class FileHook(_Value):
    """Write which version is stable into a file, as JSON."""

    kind: Literal["file"]
    path: str = Field(pattern=r"^/")


class UrlHook(_Value):
    """POST which version is stable to a URL, as JSON."""

    kind: Literal["url"]
    url: str = Field(pattern=r"^https?://")
    timeout: Duration = timedelta(seconds=10)
    token_file: str | None = Field(default=None, pattern=r"^/", description="Bearer token; not world-readable.")


Hook = Annotated[FileHook | UrlHook, Field(discriminator="kind")]


class Line(_Value):
    """A family of templates and what is known of guests born from it."""

    data_paths: tuple[Annotated[str, Field(pattern=r"^/.+")], ...] = Field(
        min_length=1, description="Where customer data lies; each must be on a volume of its own."
    )
    probes: tuple[Probe, ...] = Field(min_length=1, description="What makes a guest healthy.")
    keep_versions: int = Field(default=3, ge=1, description="How many versions retention keeps at least.")
    new_guests_percent: int = Field(
        default=10, ge=0, le=100, description="Share of new guests that get the candidate while a rollout proves it."
    )
    smoke_net0: str | None = Field(
        default=None, description="net0 of the smoke guest; needed where the template has a static address."
    )
    after_promote: tuple[Hook, ...] = ()

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        labels = [probe.label for probe in self.probes]
        doubled = next((label for label in labels if labels.count(label) > 1), None)
        if doubled:
            raise ValueError(f"a `name` of its own for each probe ({doubled} stands twice)")
        if not any(probe.in_smoke for probe in self.probes):
            raise ValueError("at least one probe that a smoke guest can pass (in_smoke)")
        return self


class RolloutRules(_Value):
    """How carefully a rollout goes. Durations are written 90s, 5m, 72h."""

    canary: Count = Field(default=Count(number=1), description="How many guests go first.")
    waves: tuple[Count, ...] = Field(
        default=(
            Count(number=25, is_percent=True),
            Count(number=50, is_percent=True),
            Count(number=100, is_percent=True),
        ),
        min_length=1,
        description="Sizes of the batches after the canary; shares are of all targets; the last repeats.",
    )
    min_healthy_time: Duration = Field(timedelta(seconds=60), description="Healthy without a break, to be proved.")
    healthy_deadline: Duration = Field(timedelta(minutes=5), description="Not proved by then: the guest goes back.")
    progress_deadline: Duration = Field(timedelta(minutes=30), description="No guest proved for so long: pause.")
    max_failures: int = Field(default=1, ge=0, description="More failures than this: everything goes back.")
    max_errors: int = Field(default=3, ge=0, description="More unanswerable measurements than this: pause.")
    max_parallel: int = Field(default=4, ge=1, le=64)
    max_parallel_per_node: int = Field(default=2, ge=1, le=64)
    soak: Duration = Field(timedelta(hours=72), description="How long old roots are kept after success.")
    shutdown_timeout: Duration = Field(
        timedelta(seconds=120), description="For the guest's own shutdown; Proxmox then stops it hard."
    )
    start_timeout: Duration = Field(timedelta(seconds=180), description="ext4 may wait 45 s per volume.")
    lock_wait: Duration = Field(timedelta(minutes=10), description="How long to wait for a backup or another lock.")
    expected_duration: Duration = Field(timedelta(minutes=3), description="One guest, until it was measured.")
    wait_until_empty: Duration | None = Field(
        default=None, description="Wait at most so long until nobody plays; left out: do not wait."
    )
    exchange_pending: bool = Field(
        default=False, description="Let a customer's own restart before the window bring the new root."
    )
    auto_promote: bool = Field(default=True, description="False: pause before `stable` moves.")
    ha: Literal["skip", "ignore"] = Field(default="skip", description="HA guests: skip, or set to ignored meanwhile.")
    lease: Duration = Field(timedelta(seconds=60), description="A dead worker is succeeded after so long.")

    @model_validator(mode="after")
    def _check_deadlines(self) -> Self:
        if self.healthy_deadline <= self.min_healthy_time:
            raise ValueError(f"healthy_deadline above min_healthy_time ({render_duration(self.min_healthy_time)})")
        if self.progress_deadline <= self.healthy_deadline:
            raise ValueError(f"progress_deadline above healthy_deadline ({render_duration(self.healthy_deadline)})")
        return self

    def plan_batches(self, targets: int) -> tuple[int, ...]:
        """Batch sizes, canary first, that sum to ``targets``."""
        sizes = [min(self.canary.of(targets), targets)] if targets else []
        while (left := targets - sum(sizes)) > 0:
            wave = self.waves[min(len(sizes) - 1, len(self.waves) - 1)]
            sizes.append(min(wave.of(targets), left))
        return tuple(sizes)


class Policy(_Value):
    """The whole policy file."""

    time_zone: ZoneName = Field(description="IANA zone of windows and freezes, such as Europe/Berlin.")
    windows: tuple[WindowRule, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    kinds: Mapping[str, GuestKind] = Field(default_factory=dict)
    scratch_vmids: VmidRange = Field(
        default=VmidRange(first=890_000, last=890_999), description="The only numbers that temporary guests take."
    )
    lines: Mapping[str, Line] = Field(default_factory=dict)
    rollout: RolloutRules = RolloutRules()

    @model_validator(mode="before")
    @classmethod
    def _spare_dev_guests(cls, value: Any) -> Any:
        """Roots of `dev` guests are the customer's workshop: exchanged only where the policy says so."""
        kinds = value.get("kinds") if isinstance(value, dict) else None
        if not isinstance(kinds, dict) or not isinstance(kinds.get("dev"), dict) or "exchange" in kinds["dev"]:
            return value
        return {**value, "kinds": {**kinds, "dev": {**kinds["dev"], "exchange": False}}}

    @model_validator(mode="after")
    def _check_kinds(self) -> Self:
        for name, kind in self.kinds.items():
            if kind.line not in self.lines:
                raise ValueError(f"kinds.{name}.line to be one of the lines ({', '.join(self.lines) or 'none'})")
            if any(self.scratch_vmids.overlaps(numbers) for numbers in kind.vmids):
                raise ValueError(f"scratch_vmids ({self.scratch_vmids}) outside of kinds.{name}.vmids")
        for (one, first), (other, second) in combinations(self.kinds.items(), 2):
            if _is_ambiguous(first, second):
                raise ValueError(f"kinds.{one} and kinds.{other} with separate vmids, or with separate tags")
        return self

    def kind_of(self, vmid: int, tags: tuple[str, ...]) -> tuple[str, GuestKind] | None:
        """The guest's kind and its name, or None for a guest that is not ours to care for."""
        for name, kind in self.kinds.items():
            if any(vmid in numbers for numbers in kind.vmids) and (not kind.tags or set(kind.tags) & set(tags)):
                return name, kind
        return None

    def zone_of(self, rule: WindowRule) -> ZoneInfo:
        """The zone in which the rule's times are meant."""
        return ZoneInfo(rule.time_zone or self.time_zone)


def _is_ambiguous(one: GuestKind, other: GuestKind) -> bool:
    shared = any(mine.overlaps(theirs) for mine in one.vmids for theirs in other.vmids)
    apart = bool(one.tags) and bool(other.tags) and not set(one.tags) & set(other.tags)
    return shared and not apart
