from tests.application.rollout_bench import Bench
from zlh_hooks.domain.steps import RolloutState, TargetState


def test_a_good_version_reaches_every_guest_and_becomes_stable() -> None:
    bench = Bench().furnish()
    progress = bench.run("2")
    assert progress.state is RolloutState.SUCCEEDED, progress.reason
    assert {row.state for row in progress.targets} == {TargetState.HEALTHY}
    assert bench.stable() == ["2"]
