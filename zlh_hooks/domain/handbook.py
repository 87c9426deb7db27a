"""What the pages say, computed from the policy: who reads which page, chapters in their order, sentences in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property

from zlh_hooks.domain.availability_rules import AvailabilityRules
from zlh_hooks.domain.component_rule import ComponentRule, Consequence, order_components
from zlh_hooks.domain.duty import Person, Role, holders_of
from zlh_hooks.domain.impact import Course, choose_course
from zlh_hooks.domain.notice_rules import Ladder
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.value import VmidRange
from zlh_hooks.domain.window_rule import Component, WindowRule
from zlh_hooks.domain.wording import (
    render_behind,
    render_course,
    render_cutoff,
    render_freeze,
    render_impact,
    render_leads,
    render_length,
    render_limits,
    render_list,
    render_number,
    render_size,
    render_threshold,
    render_waves,
    render_window,
)


class Page(StrEnum):
    """The pages, by who needs them and when."""

    CUSTOMER = "customer"
    INTERNAL = "internal"
    RUNBOOK = "runbook"
    EMERGENCY = "emergency"
    FIRST_RUN = "first-run"
    HANDOVER = "handover"


TITLES: Mapping[Page, str] = {
    Page.CUSTOMER: "Maintenance",
    Page.INTERNAL: "Maintenance policy",
    Page.RUNBOOK: "Runbook",
    Page.EMERGENCY: "Emergency",
    Page.FIRST_RUN: "First run",
    Page.HANDOVER: "Handover",
}
_MONTH = timedelta(days=30)
_UNCONFIRMED = {
    "time_zone": "the time zone",
    "contact": "addresses",
    "people": "who is on duty",
    "kinds": "which numbers servers have",
    "lines": "where customer data lies",
    "availability": "what is promised and credited",
}
FOR_CUSTOMERS = frozenset({"time_zone", "contact", "availability"})
"""What is unconfirmed and stands on the customers' page."""


@dataclass(frozen=True)
class Duty:
    """A role and who has it."""

    name: str
    role: Role
    people: tuple[Person, ...]

    @property
    def holders(self) -> str:
        """Their names, or that there is nobody."""
        return render_list([person.name for person in self.people]) or "nobody yet"


@dataclass(frozen=True)
class Effect:
    """A consequence with what follows from it."""

    consequence: Consequence
    course: Course
    is_announced: bool

    @property
    def feeling(self) -> str:
        """What is felt, in short."""
        return render_impact(self.consequence.impact)

    @property
    def when(self) -> str:
        """When such a change may start."""
        return render_course(self.course, self.is_announced)


@dataclass(frozen=True)
class Chapter:
    """One component as the pages tell it."""

    name: Component
    rule: ComponentRule
    owner: Duty
    deputy: Duty
    windows: tuple[str, ...]
    after: str
    never_with: str
    interruption: timedelta
    ladder: Ladder | None

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What is felt of it, the least first."""
        found = sorted(self.rule.consequences, key=lambda one: one.impact.rank)
        return tuple(Effect(one, choose_course(one.impact, self.rule.live_mode), bool(self.promise)) for one in found)

    @property
    def is_felt(self) -> bool:
        """Whether a customer is away at all."""
        return bool(self.interruption)

    @property
    def away(self) -> str:
        """How long a customer is away, in words."""
        return f"up to {render_length(self.interruption)}" if self.is_felt else "not at all"

    @property
    def promise(self) -> str:
        """How long before a customer is told; empty if nothing is felt or nobody is told."""
        return render_length(self.ladder.promise) if self.ladder and self.is_felt else ""

    @property
    def limit(self) -> str:
        """After how long it goes back."""
        return render_length(self.rule.time_limit)

    @property
    def is_manual(self) -> bool:
        """Whether a person carries it out."""
        return self.rule.driver == "manual"


@dataclass(frozen=True)
class Occasion:
    """A window with what happens in it."""

    rule: WindowRule
    sentence: str
    cutoff: str
    chapters: tuple[Chapter, ...]

    @property
    def felt(self) -> tuple[Chapter, ...]:
        """What customers notice, the longest last."""
        return tuple(sorted((one for one in self.chapters if one.is_felt), key=lambda one: one.interruption))


@dataclass(frozen=True)
class Rung:
    """A ladder in words."""

    size: str
    leads: str
    reason: str


@dataclass(frozen=True)
class Lookout:
    """A watched point in words: who is behind it, and when it counts as away."""

    name: str
    title: str
    behind: str
    threshold: str
    reason: str


@dataclass(frozen=True)
class Promise:
    """What is promised of each server's month, in words."""

    rules: AvailabilityRules

    @property
    def goal(self) -> str:
        """Percent of the month."""
        return render_number(self.rules.goal_percent)

    @property
    def slack(self) -> str:
        """How much unplanned downtime a month of 30 days has room for."""
        return render_length(_MONTH * float((100 - self.rules.goal_percent) / 100))

    @property
    def credits(self) -> tuple[tuple[str, str, str], ...]:
        """Bound, credit (never above the cap) and reason of each step, the smallest first."""
        return tuple(
            (
                render_number(one.below_percent),
                render_number(min(one.credit_percent, self.rules.cap_percent)),
                one.reason,
            )
            for one in self.rules.credits
        )

    @property
    def cap(self) -> str:
        """Percent of a month's fee."""
        return render_number(self.rules.cap_percent)

    @property
    def points(self) -> tuple[Lookout, ...]:
        """What is watched from outside."""
        found = self.rules.watch.points.items() if self.rules.watch else ()
        return tuple(
            Lookout(name, one.title, render_behind(one.behind), render_threshold(one.probe), one.reason)
            for name, one in found
        )


@dataclass(frozen=True)
class Handbook:
    """The policy as its pages see it."""

    policy: Policy

    @cached_property
    def chapters(self) -> tuple[Chapter, ...]:
        """Every component with a runbook, in the order of a window."""
        return tuple(self._open_chapter(name) for name in order_components(self.policy.components))

    def _open_chapter(self, name: Component) -> Chapter:
        rule, notices = self.policy.components[name], self.policy.notices
        interruption = self.policy.interruption_of(name)
        ladder = notices.ladder_for(interruption) if notices else None
        duties = self._open_duty(rule.owner), self._open_duty(rule.deputy)
        after, never = self._render_titles(name, rule.after), self._render_titles(name, rule.never_with)
        windows = tuple(self._render_window(one) for one in self.policy.windows if _allows(one, name))
        return Chapter(name, rule, *duties, windows, after, never, interruption, ladder)

    def _open_duty(self, name: str) -> Duty:
        return Duty(name, self.policy.roles[name], holders_of(name, self.policy.people))

    def _render_titles(self, own: Component, names: tuple[Component, ...]) -> str:
        """Titles have commas of their own."""
        is_all = len(names) > 1 and set(self.policy.components) - {own} <= set(names)
        return "all others" if is_all else "; ".join(self._title_of(name) for name in Component if name in names)

    def _title_of(self, name: Component) -> str:
        rule = self.policy.components.get(name)
        return rule.title if rule else name

    def _render_window(self, rule: WindowRule) -> str:
        return render_window(rule, self.policy.time_zone)

    @cached_property
    def occasions(self) -> tuple[Occasion, ...]:
        """Windows in which something may start, with their chapters."""
        return tuple(
            Occasion(rule, self._render_window(rule), render_cutoff(rule), self._list_covered(rule))
            for rule in self.policy.windows
            if rule.effect == "allow"
        )

    def _list_covered(self, rule: WindowRule) -> tuple[Chapter, ...]:
        return tuple(one for one in self.chapters if rule.covers(one.name))

    @cached_property
    def denials(self) -> tuple[tuple[str, str], ...]:
        """When nothing starts whatever windows say, and why; dates first that come every week."""
        denied = [(self._render_window(one), one.reason) for one in self.policy.windows if one.effect == "deny"]
        return (*denied, *((render_freeze(one), one.reason) for one in self.policy.freezes))

    @cached_property
    def rungs(self) -> tuple[Rung, ...]:
        """How early customers are told, of the longest interruptions first."""
        ladders = self.policy.notices.ladders if self.policy.notices else ()
        ordered = sorted(ladders, key=lambda ladder: ladder.over, reverse=True)
        return tuple(Rung(render_size(one, len(ordered) == 1), render_leads(one), one.reason) for one in ordered)

    @cached_property
    def shortest_promise(self) -> str:
        """What every customer of a felt change is promised at least; empty if nobody is told."""
        promises = [one.ladder.promise for one in self.chapters if one.ladder and one.is_felt]
        return render_length(min(promises)) if promises else ""

    @cached_property
    def promise(self) -> Promise | None:
        """What is promised of availability; None if nothing is."""
        rules = self.policy.availability
        return Promise(rules) if rules else None

    @cached_property
    def deferral(self) -> str:
        """How long a server may wait for another date; empty if it may not, or if nobody is told of any."""
        rules = self.policy.deferral
        return render_limits(rules) if rules and rules.limit and self.policy.notices else ""

    @cached_property
    def duties(self) -> tuple[Duty, ...]:
        """Every role with its people."""
        return tuple(self._open_duty(name) for name in self.policy.roles)

    @cached_property
    def deciders(self) -> Mapping[str, Duty]:
        """Symptom to who decides."""
        return {name: self._open_duty(symptom.decides) for name, symptom in self.policy.symptoms.items()}

    @cached_property
    def soak(self) -> str:
        """How long a root exchange can be taken back."""
        return render_length(self.policy.rollout.soak)

    @cached_property
    def waves(self) -> str:
        """How a rollout spreads."""
        return render_waves(self.policy.rollout)

    @cached_property
    def patience(self) -> str:
        """How long a rollout waits for players to leave; empty if it does not."""
        wait = self.policy.rollout.wait_until_empty
        return render_length(wait) if wait else ""

    @cached_property
    def exchanged_kinds(self) -> Mapping[str, tuple[str, str]]:
        """Kinds whose roots are exchanged, with their line and numbers."""
        kinds = self.policy.kinds.items()
        return {name: (kind.line, _render_numbers(kind.vmids)) for name, kind in kinds if kind.exchange}

    @property
    def platform(self) -> str:
        """How customers call the platform; empty if the policy does not say."""
        return self.policy.contact.name if self.policy.contact else ""

    @cached_property
    def first_data_path(self) -> str:
        """Where data of customers lies, for examples."""
        return next((path for line in self.policy.lines.values() for path in line.data_paths), "/data")

    def list_unconfirmed(self, page: Page) -> tuple[str, ...]:
        """What a person has yet to confirm, as far as the page shows it."""
        keys = self.policy.to_confirm
        return render_unconfirmed(key for key in keys if page is not Page.CUSTOMER or key in FOR_CUSTOMERS)


def render_unconfirmed(keys: Iterable[str]) -> tuple[str, ...]:
    """Keys of ``to_confirm`` as people call what they name."""
    return tuple(_UNCONFIRMED.get(key, key) for key in keys)


def _render_numbers(vmids: tuple[VmidRange, ...]) -> str:
    return ", ".join(f"{one.first} to {one.last}" if one.first != one.last else str(one.first) for one in vmids)


def _allows(rule: WindowRule, component: Component) -> bool:
    return rule.effect == "allow" and rule.covers(component)
