"""Rules of runbooks: drivers, order, and what must not be in work at once."""

from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.domain.handbook_bench import CONSEQUENCE, STEP, make_component, make_tables
from zlh_hooks.domain.component_rule import may_run_together, order_components
from zlh_hooks.domain.flaw import list_flaws
from zlh_hooks.domain.impact import Impact
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window_rule import Component


def faults(**changes: Any) -> list[tuple[str, str, str]]:
    tables = make_tables(**changes)
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(tables)
    return [
        (".".join(map(str, one.place)), one.found, one.expected) for one in list_flaws(caught.value, tables, Policy)
    ]


def faults_of(**changes: Any) -> list[tuple[str, str, str]]:
    return faults(components={"pbs": make_component(**changes)})


ROOT = {"driver": "root", "interruption": None}


def test_roots_are_exchanged_of_templates_only() -> None:
    found = faults_of(driver="root", interruption=None)
    assert found == [("components.pbs.driver", '"root"', '"manual": the driver root does template only')]
    assert Policy.model_validate(make_tables(components={"template": make_component(**ROOT)})).components


def test_agents_alone_follow_what_is_signed() -> None:
    found = faults_of(driver="agent")
    assert found == [("components.pbs.driver", '"agent"', '"manual": the driver agent does agent only')]
    assert Policy.model_validate(make_tables(components={"agent": make_component(driver="agent")})).components


def test_an_owner_is_not_its_own_deputy() -> None:
    assert faults_of(deputy="platform") == [("components.pbs.deputy", '"platform"', "another role than the owner's")]


@pytest.mark.parametrize("key", ["owner", "deputy"])
def test_a_component_is_in_the_hands_of_roles_that_exist(key: str) -> None:
    assert faults_of(**{key: "platfrom"}) == [
        (f"components.pbs.{key}", '"platfrom"', 'a name of [roles]: platform, service; did you mean "platform"?')
    ]


def test_an_order_without_a_beginning_is_refused_and_the_ring_is_named() -> None:
    ring = {"pbs": make_component(after=["edge"]), "edge": make_component(after=["pbs"])}
    [(place, _, expected)] = faults(components=ring)
    assert place in ("components.pbs.after", "components.edge.after")
    assert "without the ring" in expected


def test_a_component_cannot_be_kept_apart_from_itself() -> None:
    assert faults_of(never_with=["pbs"])[0][0] == "components.pbs.never_with"


def test_an_impact_has_one_entry() -> None:
    assert faults_of(consequences=[CONSEQUENCE, CONSEQUENCE]) == [
        ("components.pbs.consequences.1.impact", '"restart"', "an impact that no other consequence has")
    ]


@pytest.mark.parametrize("key", ["consequences", "checks", "steps", "probes", "way_back"])
def test_a_runbook_leaves_nothing_out(key: str) -> None:
    assert [place for place, *_ in faults_of(**{key: []})] == [f"components.pbs.{key}"]


def test_a_command_is_one_line_of_zlh_hooks() -> None:
    assert faults_of(steps=[STEP | {"command": "rm -rf /"}])[0][0] == "components.pbs.steps.0.command"


def test_the_worst_consequence_is_the_one_most_felt() -> None:
    some = [CONSEQUENCE | {"impact": impact} for impact in ("reload", "host-reboot", "live")]
    policy = Policy.model_validate(make_tables(components={"pbs": make_component(consequences=some)}))
    assert policy.components[Component.PBS].worst is Impact.HOST_REBOOT


def test_a_ban_counts_in_both_directions() -> None:
    tables = make_tables(components={"pbs": make_component(), "opnsense": make_component(never_with=["pbs"])})
    rules = Policy.model_validate(tables).components
    assert not may_run_together(rules, Component.PBS, Component.OPNSENSE)
    assert not may_run_together(rules, Component.OPNSENSE, Component.PBS)
    assert may_run_together(rules, Component.PBS, Component.EDGE)


@given(st.permutations(list(Component)), st.data())
def test_every_component_comes_after_those_that_it_waits_for(line: list[Component], data: st.DataObject) -> None:
    edges = data.draw(st.sets(st.sampled_from(list(combinations(line, 2)))))
    tables = {one: make_component(after=[first for first, then in edges if then == one]) for one in line}
    ordered = order_components(Policy.model_validate(make_tables(components=tables)).components)
    assert sorted(ordered) == sorted(Component)
    assert all(ordered.index(first) < ordered.index(then) for first, then in edges)


def test_how_long_a_root_exchange_keeps_a_server_away_is_said_once() -> None:
    template = {"template": make_component(**ROOT)}
    policy = Policy.model_validate(make_tables(components=template, rollout={"expected_interruption": "4m"}))
    assert policy.interruption_of(Component.TEMPLATE) == timedelta(minutes=4)
    twice = {"template": make_component(driver="root", interruption="3m")}
    assert faults(components=twice)[0][0] == "components.template.interruption"
    assert faults_of(interruption=None)[0][0] == "components.pbs.interruption"
