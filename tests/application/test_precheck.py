"""What a rollout leaves alone, and that it leaves everything else of a guest as it was."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Datacentre
from zlh_hooks.domain import tag
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.note_book import draft_note
from zlh_hooks.domain.steps import RolloutState, TargetState

ODD = 5003


def _hold(world: Datacentre) -> None:
    until = tag.render_time(world.now + timedelta(days=1))
    world.containers[ODD].values["tags"] += f";{tag.HOLD}{until}"


def _wait_for_restart(world: Datacentre) -> None:
    world.containers[ODD].pending["mp0"] = world.containers[ODD].values["mp0"].replace("backup=1", "backup=0")


def _lose_root(world: Datacentre) -> None:
    world.containers[ODD].values["rootfs"] = "local:5003/vm-5003-disk-9.raw,size=1G"


def _edit(**values: str) -> Callable[[Datacentre], None]:
    return lambda world: world.edit_config(ODD, **values)


def _be_managed(world: Datacentre) -> None:
    world.containers[ODD].ha_state = "started"


def _keep_data_in_root(world: Datacentre) -> None:
    world.edit_config(ODD, mp0=world.containers[ODD].values["mp0"].replace("mp=/data", "mp=/else"))


def _storage(**values: object) -> Callable[[Datacentre], None]:
    def change(world: Datacentre) -> None:
        for key, value in values.items():
            setattr(world.store("n1", "local"), key, value)

    return change


def note_backup(bench: Bench, vmid: int, ago: timedelta) -> None:
    """As the intake records what the hook of backups has noted."""
    note = GuestNote(vmid, GuestPhase.BACKUP_END, bench.clock.now() - ago, "n1", GuestKind.LXC, "backup", "", False)
    bench.ledger.append(draft_note(f"{vmid}-{ago.total_seconds()}", note, ""))


@pytest.mark.parametrize(
    ("ago", "reason"),
    [
        ((), "no good backup of it was noted, and policy wants one within 1d12h"),
        ((40,), "its last good backup ended 2026-11-21 12:00 UTC, and policy wants one within 1d12h"),
        ((40, 64), "its last good backup ended 2026-11-21 12:00 UTC"),
        ((40, 12), None),
    ],
)
def test_a_guest_without_a_good_backup_within_the_time_that_policy_wants_is_left_alone(
    ago: tuple[int, ...], reason: str | None
) -> None:
    bench = Bench(make_policy(backup_within="36h")).furnish(4)
    for vmid in (5001, 5002, 5004):
        note_backup(bench, vmid, timedelta(hours=1))
    for hours in ago:
        note_backup(bench, ODD, timedelta(hours=hours))
    plan = bench.submit("2")
    foreseen, row = bench.engine().foresee(plan), bench.work(plan).of(ODD)
    assert row.state is (TargetState.SKIPPED if reason else TargetState.HEALTHY)
    assert (reason or "") in row.reason and (reason or "") in foreseen.get(ODD, "")
    assert bench.progress(plan).count(TargetState.HEALTHY) == (3 if reason else 4)


OBSTACLES: dict[str, tuple[Callable[[Datacentre], None], str]] = {
    "hold": (_hold, "on hold until"),
    "protection": (_edit(protection="1"), "protected"),
    "HA": (_be_managed, "managed by HA"),
    "pending": (_wait_for_restart, "wait for its next restart: mp0"),
    "architecture": (_edit(arch="arm64"), "arch is arm64"),
    "ostype": (_edit(ostype="alpine"), "ostype is alpine"),
    "privileged": (_edit(unprivileged=""), "unprivileged is False"),
    "idmap": (_edit(lxc="lxc.idmap: u 0 100000 65536"), "lxc.idmap is"),
    "bind mount": (_edit(mp1="/srv/shared,mp=/shared"), "bind or device mount"),
    "data in root": (_keep_data_in_root, "lies in the root"),
    "root missing": (_lose_root, "is not on the storage"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_a_guest_that_may_not_be_exchanged_is_left_alone_with_the_reason_and_the_others_go_on(obstacle: str) -> None:
    bench = Bench().furnish(4)
    plan = bench.submit("2")
    arrange, reason = OBSTACLES[obstacle]
    arrange(bench.datacentre)
    before = dict(bench.datacentre.containers[ODD].values)
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert progress.of(ODD).state is TargetState.SKIPPED
    assert reason in progress.of(ODD).reason
    assert progress.count(TargetState.HEALTHY) == 3
    assert bench.datacentre.containers[ODD].values == before


@pytest.mark.parametrize("obstacle", ["hold", "protection", "HA", "bind mount"])
def test_an_obstacle_that_comes_up_after_staging_leaves_the_guest_alone_too(obstacle: str) -> None:
    bench = Bench().furnish(4)
    arrange, reason = OBSTACLES[obstacle]
    bench.datacentre.faults.meanwhile("exchange", lambda: arrange(bench.datacentre), vmid=5001)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.of(ODD).state is TargetState.SKIPPED
    assert reason in progress.of(ODD).reason
    assert bench.runs(ODD) == "1"


def test_an_unhealthy_guest_is_left_alone_before_its_change() -> None:
    bench = Bench().furnish(4)
    volume = bench.datacentre.volume("n1", bench.datacentre.containers[ODD].config.rootfs.volume)
    assert volume is not None
    volume.behaviour = bench.datacentre.versions["game-base", "3"]
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert progress.of(ODD).state is TargetState.SKIPPED
    assert progress.of(ODD).reason.startswith("not healthy before the change")
    bench.assert_clean(plan)


def test_an_ha_guest_is_ignored_meanwhile_and_given_back_where_policy_says_so() -> None:
    for version, state in (("2", TargetState.HEALTHY), ("3", TargetState.REVERTED)):
        bench = Bench(make_policy(ha="ignore")).furnish(1)
        bench.datacentre.containers[5001].ha_state = "started"
        bench.datacentre.remember(bench.datacentre.containers[5001])
        plan = bench.submit(version)
        assert bench.work(plan).of(5001).state is state
        assert bench.executed("write_ha_state") == {("write_ha_state", 5001): 2}
        bench.assert_clean(plan)


def test_options_foreign_tags_snapshots_and_the_rest_of_the_config_are_kept_exactly() -> None:
    for version in ("2", "3"):
        bench = Bench().furnish(0)
        bench.datacentre.add_guest(
            5001,
            "n1",
            tags=("customer-7", "zz"),
            root_options="mountoptions=noatime;lazytime,quota=1,",
            options={"cores": "3", "description": "mine\n", "startup": "order=3"},
        )
        bench.datacentre.take_snapshot(5001, "mine")
        bench.datacentre.remember(bench.datacentre.containers[5001])
        kept = {k: v for k, v in bench.datacentre.containers[5001].values.items() if k not in ("rootfs", "tags")}
        plan = bench.submit(version)
        assert bench.work(plan).has_ended
        values = bench.datacentre.containers[5001].values
        assert {k: v for k, v in values.items() if k not in ("rootfs", "tags") and not k.startswith("unused")} == kept
        assert "mountoptions=noatime;lazytime,quota=1,size=" in values["rootfs"]
        assert {"customer-7", "zz"} <= set(bench.datacentre.containers[5001].config.tags)
