"""What customers and operators change on a guest that is in work, or soaks, is theirs: it condemns no version, and the
way back works all the same.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import changes_state, good, turns_unhealthy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.simulation.volume import GIB

CANARY, GUEST = 5001, 5002
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "06:00", "length_minutes": 120}


def stop_server(bench: Bench, vmid: int, state: str = "stopped") -> None:
    """Its customer stops the game; the agent remembers that, whichever root it runs on."""
    for volume in bench.datacentre.volumes_of(bench.datacentre.containers[vmid]):
        if volume.behaviour is not None:
            volume.behaviour = changes_state(volume.behaviour.version, state)


def _fall_ill(bench: Bench, vmid: int) -> None:
    for volume in bench.datacentre.volumes_of(bench.datacentre.containers[vmid]):
        if volume.behaviour is not None and volume.behaviour.version == "1":
            volume.behaviour = turns_unhealthy("1", after=0)


def _add_data(bench: Bench, vmid: int) -> None:
    store = bench.datacentre.store(bench.datacentre.containers[vmid].node, "local")
    volume = store.allocate(vmid, GIB, bench.datacentre.now)
    bench.datacentre.edit_config(vmid, mp1=f"{volume.volid},mp=/data/more,size=1G")


def _add_memory(bench: Bench, vmid: int) -> None:
    bench.datacentre.edit_config(vmid, memory="4096")


CHANGES = pytest.mark.parametrize("change", [stop_server, _add_data, _add_memory])
Change = Callable[[Bench, int], None]


@CHANGES
def test_what_a_customer_changed_in_the_soak_does_not_leave_the_way_back_unproved(change: Change) -> None:
    bench = Bench().furnish(3)
    plan = bench.submit("2")
    bench.work(plan)
    bench.clock.sleep(10 * HOUR)
    change(bench, GUEST)
    wanted = dict(bench.datacentre.containers[GUEST].values)
    bench.order("revert", "unwanted")()
    assert bench.work(plan).state is RolloutState.REVERTED
    left = bench.datacentre.containers[GUEST].values
    assert (left.get("mp1"), left["memory"]) == (wanted.get("mp1"), wanted["memory"])


def test_a_server_that_is_neither_as_before_nor_as_when_it_left_keeps_the_way_back_from_being_proved() -> None:
    bench = Bench().furnish(3)
    plan = bench.submit("2")
    bench.work(plan)
    stop_server(bench, GUEST)
    bench.datacentre.faults.meanwhile("reboot", lambda: stop_server(bench, GUEST, "crashed"), vmid=GUEST)
    bench.order("revert", "unwanted")()
    assert bench.work(plan).state is RolloutState.STUCK
    assert "state is crashed, expected running or stopped" in bench.progress(plan).of(GUEST).reason


def test_a_version_under_which_a_server_stops_is_bad_though_nobody_knows_who_stopped_it() -> None:
    bench = Bench(make_policy(max_failures=1)).furnish(3).spoil(GUEST, behaviour=changes_state("2", "stopped"))
    plan = bench.submit("2")
    assert bench.work(plan).of(GUEST).state is TargetState.REVERTED


def test_a_server_that_an_unproved_version_stopped_for_good_keeps_the_way_back_from_being_proved() -> None:
    bench = Bench(make_policy(max_failures=1)).furnish(3).spoil(GUEST, behaviour=changes_state("2", "stopped"))
    faults = bench.datacentre.faults
    faults.meanwhile("reboot", lambda: stop_server(bench, GUEST), nth=2, vmid=GUEST)
    bench.answers = [bench.order("resume")]
    plan = bench.submit("2")
    row = bench.work(plan).of(GUEST)
    assert (row.state, "state is stopped, expected running" in row.reason) == (TargetState.STUCK, True)


@pytest.mark.parametrize("change", [_add_data, _add_memory])
def test_what_a_customer_changes_between_two_tries_of_a_way_back_does_not_leave_it_unproved(change: Change) -> None:
    bench = Bench().furnish(3)
    plan = bench.submit("2")
    bench.work(plan)
    faults = bench.datacentre.faults
    broken = RoadError("no route")
    faults.afterwards("reboot", lambda: faults.refuse("read_address", broken, vmid=GUEST), vmid=GUEST)
    faults.meanwhile("read_address", lambda: change(bench, GUEST), nth=2, vmid=GUEST)
    bench.order("revert", "unwanted")()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert len(bench.entries(Kind.NOTE, "edited", GUEST)) == 1


# ------------------------------------------------------------- another root


def _restore(bench: Bench, vmid: int) -> None:
    """As Proxmox does it: all volumes but the customer's data are made anew, and the config is as it was before us."""
    bench.datacentre.bring_back(vmid)
    container = bench.datacentre.containers[vmid]
    marks = [tag for tag in container.config.tags if not tag.startswith(("zlh-rollout", "zlh-old", "zlh-kept"))]
    unused = {mount.key: mount.volume for mount in container.config.unused}
    for volid in unused.values():
        bench.datacentre.store(container.node, "local").release(volid)
    bench.datacentre.edit_config(vmid, tags=";".join(marks), **dict.fromkeys(unused, ""))


def _restore_under_the_same_name(bench: Bench, vmid: int) -> None:
    root = bench.datacentre.containers[vmid].config.rootfs
    volume = bench.datacentre.volume(bench.datacentre.containers[vmid].node, root.volume)
    _restore(bench, vmid)
    container = bench.datacentre.containers[vmid]
    anew = bench.datacentre.volume(container.node, container.config.rootfs.volume)
    assert volume is not None and anew is not None
    anew.behaviour, volume.behaviour = None, good("1")
    bench.datacentre.store(container.node, "local").release(anew.volid)
    bench.datacentre.edit_config(vmid, rootfs=root.render())


def _put_old_root_back(bench: Bench, vmid: int) -> None:
    container = bench.datacentre.containers[vmid]
    (old,) = (mount for mount in container.config.unused)
    new = container.config.rootfs
    bench.datacentre.edit_config(vmid, **{"rootfs": new.holding(old.volume, None).render(), old.key: new.volume})


REPLACED = pytest.mark.parametrize("replace", [_restore, _restore_under_the_same_name, _put_old_root_back])


@REPLACED
def test_a_root_that_somebody_brings_while_a_proof_is_owed_condemns_no_version(replace: Change) -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.afterwards("exchange", lambda: bench.datacentre.power_off(GUEST), vmid=GUEST)
    plan = bench.submit("2")
    assert bench.work(plan).of(GUEST).state is TargetState.PROVING
    replace(bench, GUEST)
    bench.datacentre.power_on(GUEST)
    row = bench.tend(plan, 2 * HOUR).of(GUEST)
    assert (row.state, "somebody" in row.reason or "backup" in row.reason) == (TargetState.SKIPPED, True)
    assert (bench.stable(), bench.revoked()) == (["2"], [])


@REPLACED
def test_a_root_that_somebody_brings_during_a_proof_condemns_no_version(replace: Change) -> None:
    bench = Bench(make_policy(min_healthy_time="1m", healthy_deadline="5m")).furnish(3)
    act = lambda: bench.later(timedelta(seconds=20), lambda: replace(bench, CANARY))  # noqa: E731
    bench.datacentre.faults.afterwards("reboot", act, vmid=CANARY)
    progress = bench.work(bench.submit("2"))
    assert (progress.state, progress.of(CANARY).state) == (RolloutState.SUCCEEDED, TargetState.SKIPPED)
    assert bench.revoked() == []


@pytest.mark.parametrize("replace", [_restore, _restore_under_the_same_name])
def test_a_guest_whose_backup_was_brought_back_in_the_soak_does_not_leave_the_way_back_stuck(replace: Change) -> None:
    bench = Bench().furnish(3)
    plan = bench.submit("2")
    bench.work(plan)
    replace(bench, GUEST)
    root = bench.datacentre.containers[GUEST].config.rootfs.volume
    bench.order("revert", "unwanted")()
    progress = bench.work(plan)
    assert (progress.state, progress.of(GUEST).state) == (RolloutState.REVERTED, TargetState.SKIPPED)
    assert (progress.count(TargetState.REVERTED), bench.runs(CANARY)) == (2, "1")
    assert bench.datacentre.containers[GUEST].config.rootfs.volume == root


# ------------------------------------------------------ while a root is pending


@pytest.mark.parametrize("vmid", [CANARY, GUEST])
def test_a_backup_that_is_brought_back_before_our_restart_condemns_no_version(vmid: int) -> None:
    bench = Bench(make_policy(lock_wait="1m")).furnish(3)

    def bring_back() -> None:
        bench.datacentre.bring_back(vmid)
        bench.datacentre.unlock(vmid)

    def begin_restore() -> None:
        bench.datacentre.lock(vmid, "create")
        bench.later(10 * MINUTE, bring_back)

    bench.datacentre.faults.afterwards("exchange", begin_restore, vmid=vmid)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert bench.tend(plan, HOUR).of(vmid).state is TargetState.SKIPPED
    assert (bench.stable(), bench.revoked(), bench.runs(vmid)) == (["2"], [], "1")


def _bring_back(bench: Bench) -> None:
    bench.datacentre.bring_back(CANARY)


def _take_back(bench: Bench) -> None:
    """As the button of Proxmox's own pages does it."""
    bench.datacentre.containers[CANARY].pending.clear()


@pytest.mark.parametrize("act", [_bring_back, _take_back])
def test_a_pending_root_that_somebody_took_away_condemns_no_version_when_its_turn_comes(
    act: Callable[[Bench], None],
) -> None:
    bench = Bench(make_policy([NIGHT], exchange_pending="any-time")).furnish(3)
    bench.later(HOUR, lambda: act(bench))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.of(CANARY).state) == (RolloutState.SUCCEEDED, TargetState.SKIPPED)
    assert "no new one is pending" in progress.of(CANARY).reason
    assert not bench.executed("reboot").get(("reboot", CANARY))
    assert bench.revoked() == []


@pytest.mark.parametrize("half", ["rootfs", "unused0"])
def test_a_pending_exchange_of_which_somebody_took_one_half_back_comes_with_no_restart(half: str) -> None:
    """The button of Proxmox's pages takes back one key: a root would be lost by a restart, or named twice after it."""
    bench = Bench(make_policy([NIGHT], exchange_pending="any-time")).furnish(3)
    guest = bench.datacentre.containers[CANARY]
    bench.later(10 * MINUTE, lambda: guest.pending.pop(half))
    bench.later(11 * MINUTE, lambda: bench.datacentre.restart_inside(CANARY))
    plan = bench.submit("2")
    row = bench.work(plan).of(CANARY)
    assert (row.state, "one half" in row.reason) == (TargetState.SKIPPED, True)
    bench.assert_clean(plan)


def test_a_server_that_its_customer_stopped_while_its_root_was_pending_is_expected_stopped() -> None:
    bench = Bench(make_policy([NIGHT], exchange_pending="any-time")).furnish(3)
    bench.later(HOUR, lambda: stop_server(bench, CANARY))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.count(TargetState.HEALTHY)) == (RolloutState.SUCCEEDED, 3)


def test_a_guest_that_falls_ill_while_its_root_is_pending_is_left_and_condemns_no_version() -> None:
    bench = Bench(make_policy([NIGHT], exchange_pending="any-time", lock_wait="1m")).furnish(3)
    bench.later(HOUR, lambda: _fall_ill(bench, CANARY))
    plan = bench.submit("2")
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    row = bench.tend(plan, HOUR).of(CANARY)
    assert (row.state, "not healthy before the change" in row.reason) == (TargetState.SKIPPED, True)
    assert not bench.executed("reboot").get(("reboot", CANARY))
