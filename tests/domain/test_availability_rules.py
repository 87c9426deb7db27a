"""Rules of what the policy may promise, credit and watch."""

from typing import Any

import pytest
from pydantic import ValidationError

from zlh_hooks.domain.availability_rules import Behind
from zlh_hooks.domain.flaw import list_flaws
from zlh_hooks.domain.outage import KnownGuest
from zlh_hooks.domain.policy import Policy

PROBE = {"kind": "tcp", "port": 443}
POINT = {"title": "Router", "component": "opnsense", "behind": {"all": True}, "probe": PROBE}
LINE = {"data_paths": ["/data"], "probes": [{"kind": "agent"}]}


def make_tables(**changes: Any) -> dict[str, Any]:
    return {
        "time_zone": "Europe/Berlin",
        "lines": {"game-base": LINE},
        "kinds": {"game": {"vmids": ["5000-5999"], "line": "game-base"}},
        "availability": {"goal_percent": 99.5, **changes},
    }


def watch(**changes: Any) -> dict[str, Any]:
    return {"watch": {"reference": PROBE, "points": {"router": POINT | changes}}}


def steps(*pairs: tuple[float, float]) -> dict[str, Any]:
    return {"credits": [{"below_percent": below, "credit_percent": credit} for below, credit in pairs]}


@pytest.mark.parametrize(
    ("changes", "key", "found", "expected"),
    [
        ({"goal_percent": 101}, "goal_percent", "101", "a number from 0 to 100"),
        ({"goal_percent": -1}, "goal_percent", "-1", "a number from 0 to 100"),
        ({"goal_percent": "99.5"}, "goal_percent", '"99.5"', "a number from 0 to 100"),
        ({"goal_percent": True}, "goal_percent", "true", "a number from 0 to 100"),
        ({"goal_percent": float("nan")}, "goal_percent", "NaN", "a number from 0 to 100"),
        ({"goal_percent": 99.99999}, "goal_percent", "99.99999", "at most three decimals"),
        ({"cap_percent": 150}, "cap_percent", "150", "a number from 0 to 100"),
        ({"emergencies": "free"}, "emergencies", '"free"', "'planned' or 'unplanned'"),
        (steps((99.9, 5)), "credits.0.below_percent", "99.9", "at most the goal (99.5)"),
        (steps((99, 5), (99, 9)), "credits.1.below_percent", "99", "less than the step before (99)"),
        (steps((99, 5), (98, 5)), "credits.1.credit_percent", "5", "more than the step before (5)"),
        (watch(behind={}), "watch.points.router.behind", "nothing", "all = true, or some of"),
        (watch(behind={"all": True, "nodes": ["n1"]}), "watch.points.router.behind", "all with others", "all = true"),
        (watch(behind={"kinds": ["gmae"]}), "watch.points.router.behind.kinds.0", '"gmae"', 'did you mean "game"?'),
        (watch(behind={"lines": ["x"]}), "watch.points.router.behind.lines.0", '"x"', "a name of [lines]: game-base"),
        (watch(probe={"kind": "agent"}), "watch.points.router.probe.kind", '"agent"', "'http', 'tcp', 'minecraft'"),
        (
            watch(probe=PROBE | {"needed_successes": 2}),
            *("watch.points.router.probe.needed_successes", "2", "decides nothing for what is watched"),
        ),
        (watch(probe=PROBE | {"interval": "10ms"}), "watch.points.router.probe.interval", '"0.01s"', "1s or longer"),
        ({"watch": {"reference": PROBE, "points": {}}}, "watch.points", "a table", "at least 1 item"),
        (
            {"watch": {"reference": PROBE | {"interval": "9s"}, "points": {"router": POINT}}},
            *("watch.reference.interval", '"9s"', "decides nothing"),
        ),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands(
    changes: dict[str, Any], key: str, found: str, expected: str
) -> None:
    tables = make_tables(**changes)
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(tables)
    (flaw,) = list_flaws(caught.value, tables, Policy)
    assert (".".join(map(str, flaw.place)), flaw.found) == (f"availability.{key}", found)
    assert expected in flaw.expected


def test_a_policy_with_promises_survives_being_written_and_read() -> None:
    policy = Policy.model_validate(make_tables(**steps((99.5, 5), (99, 15)), **watch()))
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy


def test_who_is_behind_a_point_is_found_by_any_of_its_selectors() -> None:
    guest = KnownGuest(5001, "game-5001", "n1", "game", "game-base")
    holding = [{"all": True}, {"nodes": ["n1"]}, {"kinds": ["dev", "game"]}, {"lines": ["game-base"], "nodes": ["n9"]}]
    assert all(Behind.model_validate(one).holds(guest) for one in holding)
    assert not any(Behind.model_validate(one).holds(guest) for one in ({"nodes": ["n2"]}, {"kinds": ["dev"]}))
    assert not Behind.model_validate({"kinds": ["game"]}).holds(KnownGuest(1, ""))
