"""Who is left out of a plan that people sign: whether each follows in the end is said when it is made, and comes true."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.application.agent_rollout_bench import AgentBench, make_agent_policy
from tests.application.patch_rollout_bench import PatchBench
from zlh_hooks.cli.view import rows_of_plan
from zlh_hooks.domain.agent_wish import WishOrder
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState

LINE = "game-base"
FOLLOWS, KEEPS = "in the end it follows, and nobody proves it", "it keeps what it has"


def make_policy_with_ring(vmids: str) -> Policy:
    policy = make_agent_policy()
    rings = [{"name": "kept", "vmids": [vmids]}, {"name": "all", "percent": 100}]
    return policy.model_copy(
        update={"agents": policy.agents.model_validate({"jitter": "0s", "rings": rings})},
    )


def foretold(plan: Plan) -> dict[int, bool | None]:
    return {one.vmid: one.follows for one in plan.left_out}


def said(plan: Plan) -> dict[int, str]:
    """What people read of each before they say yes."""
    return {int(row[1]): row[-1] for row in rows_of_plan(plan, {}) if row[0] == "left out"}


@pytest.fixture
def bench(tmp_path: Path) -> PatchBench:
    """5001 is silent, 5002 off, 5003 too old for the way back, 5004 keeps its packages; 5005 to 5007 have a part."""
    bench = PatchBench(tmp_path, guests=7, policy=make_policy_with_ring("5004"))
    bench.wish(WishOrder(LINE, "kept", nothing=True))
    bench.guests[5001].answers = False
    bench.datacentre.power_off(5002)
    bench.guests[5003].takes_back = False
    return bench


def test_of_packages_each_follows_in_the_end_as_the_plan_has_said(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    assert foretold(plan) == {5001: True, 5002: True, 5003: True, 5004: False}
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    bench.datacentre.power_on(5002)
    bench.pass_time(timedelta(hours=1))
    assert {vmid: bench.brought()[vmid] for vmid in foretold(plan)} == foretold(plan)


def test_each_is_told_with_its_reason_and_with_what_becomes_of_it(bench: PatchBench) -> None:
    told = said(bench.plan().plan)
    assert told[5002] == f"it is off; {FOLLOWS}"
    assert told[5003].startswith("its plugin knows no way back by signed word") and told[5003].endswith(FOLLOWS)
    assert told[5004].startswith("it shall keep its packages") and told[5004].endswith(KEEPS)


def test_who_keeps_what_it_has_is_not_asked_about_when_nobody_is_proved(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    bench.give_all(*(target.vmid for target in plan.targets))
    bench.answers = [bench.order("resume")] * len(plan.waves)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert "whoever was left out of the plan (5001, 5002 and 5003)" in bench.list_pauses(plan)[-1]


def test_the_end_waits_for_a_guest_on_hold_that_was_left_out_and_the_plan_says_so(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3)
    until = bench.clock.now() + timedelta(hours=9)
    bench.datacentre.edit_config(5001, tags=f"zlh-hold.{until:%Y%m%dt%H%Mz}")
    plan = bench.submit_patches()
    assert "on hold until" in said(plan)[5001] and "the end waits for that" in said(plan)[5001]
    waited: list[bool] = []

    def clear() -> None:
        waited.append(bench.brought()[5001] or "end" in bench.series.shown)
        bench.datacentre.edit_config(5001, tags="")
        bench.order("resume")()

    bench.answers = [clear]
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    bench.pass_time(timedelta(hours=1))
    assert (waited, bench.brought()[5001]) == ([False], True)


def test_of_the_agent_each_follows_in_the_end_as_the_plan_has_said(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=6)
    bench.repository.release("1.7.0", come_from=">=1.4", back_to=">=1.4")
    bench.repository.release("1.8.0")
    bench.repository.publish(bench.clock.now())
    bench.agents[5001].answers = False
    bench.datacentre.power_off(5002)
    bench.agents[5003].current = bench.name_release("1.8.0")
    bench.agents[5004].current = bench.name_release("1.7.0")
    for vmid in (5005, 5006):
        bench.agents[vmid].current = bench.name_release("1.5.0")
    bench.agents[5006].current = "1.4.9-0a1b2c3d"
    plan = bench.submit("1.7.0")
    assert foretold(plan) == {5001: True, 5002: True, 5003: False, 5004: False, 5006: False}
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    bench.datacentre.power_on(5002)
    bench.pass_time(timedelta(hours=1))
    came = {vmid: bench.agents[vmid].swaps > 0 for vmid in foretold(plan)}
    assert came == foretold(plan)


def test_a_guest_that_the_release_itself_does_not_let_come_does_not_follow(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    bench.repository.release("1.7.0", come_from=">=1.5")
    bench.repository.publish(bench.clock.now())
    bench.agents[5002].current = bench.name_release("1.5.0")
    plan = bench.prepare("1.7.0").plan
    assert (foretold(plan), said(plan)[5001]) == (
        {5001: False},
        f"only >=1.5 may come to 1.7.0, and it has 1.4.0; {KEEPS}",
    )
