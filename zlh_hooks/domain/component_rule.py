"""How each of the eight systems is patched, as the policy writes it: who, in which order, by which steps, and back."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from zlh_hooks.domain.duration import Duration
from zlh_hooks.domain.flaw import Misfit, render_found
from zlh_hooks.domain.impact import Impact, LiveMode
from zlh_hooks.domain.value import PositiveDuration, Value
from zlh_hooks.domain.window_rule import Component

AUTOMATIC: Mapping[str, Component] = {"root": Component.TEMPLATE, "agent": Component.AGENT}
"""Drivers that carry a component out by themselves; ``manual`` is a person with the runbook."""
Sentence = Annotated[str, Field(min_length=1)]


class Step(Value):
    """One thing to do or to look at, with both ways to do it and the answer that lets you go on."""

    do: Sentence = Field(description="What is done, as a title.")
    command: str | None = Field(
        default=None, pattern=r"^zlh-hooks [^\n]+$", description="The command of zlh-hooks, where there is one."
    )
    by_hand: Sentence = Field(description="What does the same while zlh-hooks is dead: commands, a line each.")
    expect: Sentence = Field(description="The answer that lets you go on; with any other one: stop.")


class Consequence(Value):
    """What is felt of some changes of a component, and the evidence that puts a change among them."""

    impact: Impact = Field(description="live, reload, restart, guest-restart or host-reboot.")
    what: Sentence = Field(description="Which changes these are, and what a customer notices.")
    evidence: Sentence = Field(description="What is looked at to know; never guessed.")


class ComponentRule(Value):
    """The runbook of one component."""

    title: Sentence = Field(description="How people call it.")
    driver: Literal["root", "agent", "manual"] = Field(
        description="What carries it out: root exchange (templates only), the signed state (agents only), "
        "or a person with the runbook."
    )
    owner: str = Field(description="The role that answers for it: a name of [roles].")
    deputy: str = Field(description="The role that does it while the owner is away; another one.")
    after: tuple[Component, ...] = Field(default=(), description="Components that come before it in a window.")
    never_with: tuple[Component, ...] = Field(
        default=(), description="Components that are never in work at the same time."
    )
    live_mode: LiveMode = Field(
        default="auto", description="auto: live where possible; enforce: only live; off: always in a window."
    )
    consequences: tuple[Consequence, ...] = Field(min_length=1, description="What is felt of it, and how to know.")
    felt: Sentence = Field(description="What customers notice at worst, in their words; stands on their page.")
    interruption: Duration | None = Field(
        default=None,
        description="How long a customer is away at most when all goes well; 0s: not at all. Left out with the driver "
        "root: rollout.expected_interruption says it.",
    )
    time_limit: PositiveDuration = Field(description="When it has taken so long, go back: do not go on.")
    point_of_no_return: Sentence = Field(description="From when on there is only forward, or that there is no such.")
    checks: tuple[Step, ...] = Field(min_length=1, description="Before anything is touched.")
    steps: tuple[Step, ...] = Field(min_length=1, description="The work.")
    probes: tuple[Step, ...] = Field(min_length=1, description="How it is proved.")
    way_back: tuple[Step, ...] = Field(min_length=1, description="How it is taken back.")
    reason: str = Field(default="", description="Why this order, mode and limit; shown in the policy.")

    @model_validator(mode="after")
    def _check_duties(self) -> Self:
        if self.owner == self.deputy:
            raise Misfit(("deputy",), render_found(self.deputy), "another role than the owner's")
        return self

    @model_validator(mode="after")
    def _check_interruption(self) -> Self:
        if self.driver != "root" and self.interruption is None:
            raise Misfit(("interruption",), "nothing", 'a duration such as "10m", or "0s"')
        if self.driver == "root" and self.interruption is not None:
            found = render_found(self.interruption)
            raise Misfit(("interruption",), found, "nothing: rollout.expected_interruption says it")
        return self

    @model_validator(mode="after")
    def _check_consequences(self) -> Self:
        impacts = [one.impact for one in self.consequences]
        for position, impact in enumerate(impacts):
            if impact in impacts[:position]:
                place = ("consequences", position, "impact")
                raise Misfit(place, render_found(impact), "an impact that no other consequence has")
        return self

    @property
    def worst(self) -> Impact:
        """The most that a change of it is felt."""
        return max(one.impact for one in self.consequences)

    def all_steps(self) -> tuple[Step, ...]:
        """Every step, in the order of the runbook."""
        return (*self.checks, *self.steps, *self.probes, *self.way_back)


def check_components(components: Mapping[Component, ComponentRule]) -> None:
    """``Misfit``, counted from the policy, unless drivers fit and the order has a beginning."""
    for name, rule in components.items():
        if rule.driver != "manual" and AUTOMATIC[rule.driver] is not name:
            expected = f'"manual": the driver {rule.driver} does {AUTOMATIC[rule.driver]} only'
            raise Misfit(("components", name, "driver"), render_found(rule.driver), expected)
        if name in rule.never_with:
            raise Misfit(("components", name, "never_with"), render_found(name), "other components than itself")
    try:
        order_components(components)
    except CycleError as error:
        ring = error.args[1]
        expected = f"an order without the ring {' → '.join(ring)}"
        raise Misfit(("components", ring[1], "after"), render_found(ring[0]), expected) from error


def order_components(components: Mapping[Component, ComponentRule]) -> tuple[Component, ...]:
    """Each after those that it comes after; else in the order of :class:`Component`. ``CycleError`` for a ring."""
    sorter = TopologicalSorter({name: _known(rule.after, components) for name, rule in components.items()})
    sorter.prepare()
    ordered: list[Component] = []
    ready: set[Component] = set()
    while sorter.is_active():
        ready.update(sorter.get_ready())
        first = min(ready, key=list(Component).index)
        ready.remove(first)
        sorter.done(first)
        ordered.append(first)
    return tuple(ordered)


def _known(names: Iterable[Component], components: Mapping[Component, ComponentRule]) -> list[Component]:
    """Those that have a rule: what is not there need not be waited for."""
    return [name for name in names if name in components]


def may_run_together(components: Mapping[Component, ComponentRule], one: Component, other: Component) -> bool:
    """Whether both may be in work at once; a ban counts in both directions."""
    pairs = ((one, other), (other, one))
    return not any(there in components[here].never_with for here, there in pairs if here in components)
