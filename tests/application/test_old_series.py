"""What was signed for a rollout is kept as long as a person could order it back, and no longer."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.application.agent_rollout_bench import AgentBench
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    return AgentBench(tmp_path, guests=2)


def has_acts(bench: AgentBench, plan: Plan) -> bool:
    return bool(bench.repository.folder.list_acts(plan.id))


def test_the_states_of_a_rollout_that_went_back_go_when_the_next_one_starts(bench: AgentBench) -> None:
    first = bench.submit("1.5.0")
    bench.work(first)
    bench.order("revert")()
    assert bench.work(first).state is RolloutState.REVERTED
    assert has_acts(bench, first)
    second = bench.submit("1.6.0")
    assert (has_acts(bench, first), has_acts(bench, second)) == (False, True)
    assert bench.work(second).state is RolloutState.SUCCEEDED


def test_those_of_one_whose_soak_is_not_over_stay_so_that_it_can_go_back(bench: AgentBench) -> None:
    first = bench.submit("1.5.0")
    bench.work(first)
    second = bench.submit("1.6.0")
    assert has_acts(bench, first)
    bench.order("abort")()
    bench.work(second)
    bench.desk().order("revert", first.id, "it was not good after all")
    assert bench.work(first).state is RolloutState.REVERTED
    assert set(bench.versions().values()) == {"1.4.0"}


def test_when_the_soak_is_over_nobody_can_order_it_back_and_they_go(bench: AgentBench) -> None:
    first = bench.submit("1.5.0")
    bench.work(first)
    bench.tend(first, first.rules.soak + timedelta(minutes=5))
    with pytest.raises(NotAllowed, match="is settled"):
        bench.order("revert")()
    bench.submit("1.6.0")
    assert not has_acts(bench, first)
