"""Rules of a rollout's way back through the channels: what stands in its way never ends it."""

from datetime import timedelta

from tests.application.rollout_bench import Bench
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.simulation.builder import DATA_PATH


def make_bench() -> Bench:
    """Four guests with their data where the world puts it; version 3 turns unhealthy."""
    bench = Bench().furnish(guests=4)
    rules = bench.policy.model_dump(mode="json", exclude_unset=True)
    rules["lines"]["game-base"]["data_paths"] = [DATA_PATH]
    bench.policy = Policy.model_validate(rules)
    return bench


def revoked(bench: Bench) -> bool:
    return all("zlh-revoked" in bench.datacentre.containers[vmid].config.tags for vmid in (8003, 8103))


def test_a_template_that_stays_locked_delays_the_revocation_and_nothing_is_lost() -> None:
    bench = make_bench()
    bench.datacentre.faults.meanwhile("reboot", lambda: bench.datacentre.lock(8003, "backup", timedelta(minutes=20)))
    progress = bench.run("3")
    assert progress.state is RolloutState.REVERTED, progress.reason
    assert TargetState.STUCK not in {row.state for row in progress.targets}
    assert revoked(bench)


def test_a_revocation_of_which_only_the_first_tag_was_written_is_completed() -> None:
    bench = make_bench()
    values = bench.datacentre.containers[8003].values
    bench.datacentre.faults.meanwhile("reboot", lambda: values.update(tags=values["tags"] + ";zlh-revoked"))
    progress = bench.run("3")
    assert progress.state is RolloutState.REVERTED, progress.reason
    assert revoked(bench)
    assert bench.stable() == ["1"]


def test_templates_deleted_meanwhile_do_not_keep_guests_from_going_back() -> None:
    bench = make_bench()

    def delete() -> None:
        for vmid in (8003, 8103):
            bench.datacentre.containers.pop(vmid, None)

    bench.datacentre.faults.afterwards("reboot", delete)
    progress = bench.run("3")
    assert progress.state is RolloutState.REVERTED, progress.reason
    assert TargetState.STUCK not in {row.state for row in progress.targets}


def test_a_way_back_that_is_held_up_for_hours_does_not_fill_the_ledger() -> None:
    bench = make_bench()
    bench.datacentre.faults.meanwhile("reboot", lambda: bench.datacentre.lock(8003, "backup", timedelta(hours=6)))
    progress = bench.run("3")
    assert progress.state is RolloutState.REVERTED, progress.reason
    entries = bench.ledger.read()
    assert sum(entry.name == "revoked" for entry in entries) == 1
    assert len(entries) < 600, f"{len(entries)} entries in six hours"


def test_a_start_that_fails_for_a_moment_on_the_way_back_leaves_nobody_off() -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.fail_task("reboot", "unable to activate storage 'local'", nth=2, vmid=5001, part=2)
    bench.datacentre.faults.fail_task("start", "unable to activate storage 'local'", times=5, vmid=5001)
    plan = bench.submit("3")
    progress = bench.work(plan)
    assert (progress.state, progress.of(5001).state) == (RolloutState.REVERTED, TargetState.REVERTED)
    assert bench.runs(5001) == "1"
    assert sum(call.names[0] == "start" and 5001 in call.vmids for call in bench.datacentre.faults.log) == 6
    bench.assert_clean(plan)
