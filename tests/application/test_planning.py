"""Which guests a plan chooses, in which waves, and what it refuses."""

from typing import Any

import pytest

from tests.application.rollout_bench import Bench, make_policy
from zlh_hooks.domain.errors import NotAllowed, TargetError
from zlh_hooks.domain.plan import Plan, dump_plan, parse_plan


def _plan(bench: Bench, version: str = "2") -> Plan:
    return bench.planner().plan_rollout("game-base", version, "tester")


def _sizes(plan: Plan) -> list[int]:
    return [len(wave) for wave in plan.waves]


@pytest.mark.parametrize(
    ("rules", "sizes"),
    [
        ({}, [1, 2, 3]),
        ({"canary": 2, "waves": ["50%"]}, [2, 3, 1]),
        ({"canary": "100%"}, [6]),
        ({"waves": [1]}, [1, 1, 1, 1, 1, 1]),
        ({"waves": [2, "100%"]}, [1, 2, 3]),
    ],
)
def test_waves_are_counts_or_shares_and_the_last_repeats(rules: dict[str, Any], sizes: list[int]) -> None:
    assert _sizes(_plan(Bench(make_policy(**rules)).furnish(6))) == sizes


def test_a_stopped_guest_is_no_canary_while_another_runs() -> None:
    bench = Bench().furnish(3)
    bench.datacentre.power_off(5001)
    assert _plan(bench).waves[0][0].vmid == 5002


def test_a_guest_that_was_chosen_as_canary_goes_first() -> None:
    bench = Bench().furnish(3)
    bench.datacentre.containers[5003].values["tags"] += ";zlh-ring.canary"
    assert _plan(bench).waves[0][0].vmid == 5003


def test_what_is_left_out_says_why() -> None:
    bench = Bench().furnish(2)
    bench.datacentre.add_node("n3")
    bench.datacentre.add_storage("local", "n3")
    bench.datacentre.add_guest(5010, "n3")
    bench.datacentre.add_guest(5011, "n1", version="2")
    bench.datacentre.add_guest(6000, "n1")
    bench.datacentre.add_vm(5012, "n1")
    plan = _plan(bench)
    reasons = {left.vmid: left.reason for left in plan.left_out}
    assert reasons == {5010: "no template of game-base 2 on n3", 5011: "it is on 2 already"}
    assert {target.vmid for target in plan.targets} == {5001, 5002}


def test_a_plan_names_the_version_to_which_stable_would_return() -> None:
    assert _plan(Bench().furnish(1)).previous == "1"


def test_an_unknown_line_is_refused_and_those_that_exist_are_named() -> None:
    with pytest.raises(NotAllowed, match="game-base"):
        Bench().furnish(1).planner().plan_rollout("other", "2", "tester")


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(TargetError, match="9"):
        _plan(Bench().furnish(1), "9")


def test_a_revoked_version_is_refused() -> None:
    bench = Bench().furnish(1)
    bench.run("3")
    with pytest.raises(NotAllowed, match="revoked"):
        _plan(bench, "3")


def test_a_plan_survives_the_ledger_whole() -> None:
    plan = _plan(Bench().furnish(3))
    assert parse_plan(dump_plan(plan)) == plan
