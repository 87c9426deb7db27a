"""The rules of the in-memory world that no contract asks: guests, time, customers, and the proofs at the end."""

from datetime import timedelta

import pytest

from tests.contracts.bench import (
    GUEST,
    MINUTE,
    NODE,
    OTHER,
    SCRATCH,
    STORAGE,
    TEMPLATE,
    MemoryBench,
    clone,
    detach_root,
    exchange,
    stage,
)
from tests.datacentre import (
    Behaviour,
    Datacentre,
    assert_data_untouched,
    assert_no_leftovers,
    assert_power_as_left,
    boots_slowly,
    cannot_be_measured,
    changes_state,
    claims,
    exits_soon,
    never_boots,
    refuses_shutdown,
    turns_unhealthy,
)
from zlh_hooks.application.ports import CloneOrder, TaskResult
from zlh_hooks.domain.errors import GuestLocked, GuestMissing, RightMissing, RoadError, TargetError
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.probe import AgentProbe, MinecraftProbe, TcpProbe

AGENT = AgentProbe(kind="agent")


@pytest.fixture
def bench() -> MemoryBench:
    return MemoryBench()


@pytest.fixture
def world(bench: MemoryBench) -> Datacentre:
    return bench.world


def pass_seconds(bench: MemoryBench, seconds: float) -> None:
    bench.clock.sleep(timedelta(seconds=seconds))


def measure(world: Datacentre, guest: GuestRef = GUEST) -> Measurement:
    return world.measure(AGENT, guest, world.read_address(guest))


def roll_out(bench: MemoryBench, behaviour: Behaviour, guest: GuestRef = GUEST) -> TaskResult:
    """Exchange the guest's root for a copy of one that behaves so, and reboot it."""
    root = bench.world.volume(NODE, bench.world.read_config(TEMPLATE).rootfs.volume)
    assert root is not None
    root.behaviour = behaviour
    exchange(bench, guest, stage(bench, guest))
    return bench.wait(bench.world.reboot(guest, MINUTE))


# time and tasks


def test_a_task_ends_when_the_clock_has_passed_its_length_and_not_before(bench: MemoryBench, world: Datacentre) -> None:
    upid = world.clone(TEMPLATE, CloneOrder(SCRATCH.vmid, STORAGE, "scratch", ""))
    pass_seconds(bench, 2.9)
    assert world.read_task(upid).running
    pass_seconds(bench, 0.1)
    assert world.read_task(upid) == TaskResult(False, True, "OK")


def test_a_guest_that_is_being_cloned_is_locked_and_has_no_root_yet(world: Datacentre) -> None:
    world.clone(TEMPLATE, CloneOrder(SCRATCH.vmid, STORAGE, "scratch", ""))
    config = world.read_config(SCRATCH)
    assert (config.lock, config.rootfs.volume) == ("create", "")
    assert len(world.list_volumes(NODE, STORAGE, SCRATCH.vmid)) == 1


def test_what_happens_between_two_calls_happens_at_its_own_moment(bench: MemoryBench, world: Datacentre) -> None:
    world.at(timedelta(seconds=10), lambda: world.restart_inside(GUEST.vmid))
    pass_seconds(bench, 25)
    assert world.read_power(GUEST).uptime_seconds == 15


def test_the_list_lags_in_power_and_is_live_in_locks_and_existence(bench: MemoryBench, world: Datacentre) -> None:
    world.list_guests()
    world.power_off(GUEST.vmid)
    world.lock(GUEST.vmid, "backup")
    listed = {one.vmid: one for one in world.list_guests()}
    assert (listed[GUEST.vmid].running, listed[GUEST.vmid].lock) == (True, "backup")
    pass_seconds(bench, 5)
    assert not next(one for one in world.list_guests() if one.vmid == GUEST.vmid).running


def test_a_write_waits_for_the_config_file_while_a_short_power_task_holds_it(
    bench: MemoryBench, world: Datacentre
) -> None:
    world.start(OTHER)
    begun = bench.clock.now()
    world.write_config(OTHER, {"tags": "later"}, None)
    assert bench.clock.now() - begun == pytest.approx(timedelta(seconds=2), abs=timedelta(seconds=0.2))
    assert world.read_config(OTHER).tags == ("later",)


def test_a_write_gives_up_after_ten_seconds_of_a_long_power_task(bench: MemoryBench, world: Datacentre) -> None:
    world.faults.slow_task("start", MINUTE)
    world.start(OTHER)
    begun = bench.clock.now()
    with pytest.raises(GuestLocked, match="got timeout"):
        world.write_config(OTHER, {"tags": "never"}, None)
    assert bench.clock.now() - begun == pytest.approx(timedelta(seconds=10), abs=timedelta(seconds=0.2))


def test_a_second_start_waits_for_the_first_and_then_finds_the_guest_running(
    bench: MemoryBench, world: Datacentre
) -> None:
    first, second = world.start(OTHER), world.start(OTHER)
    assert bench.wait(first).ok
    assert bench.wait(second) == TaskResult(False, False, f"CT {OTHER.vmid} already running")


# clones and volumes


def test_a_clone_inherits_protection_onboot_and_network_but_no_hardware_address(
    bench: MemoryBench, world: Datacentre
) -> None:
    world.edit_config(TEMPLATE.vmid, protection="1")
    config, template = world.read_config(clone(bench)), world.read_config(TEMPLATE)
    assert (config.values["protection"], config.values["onboot"]) == ("1", "1")
    assert config.values["net0"].split("hwaddr=")[0] == template.values["net0"].split("hwaddr=")[0]
    assert config.values["net0"] != template.values["net0"]


def test_a_note_is_stored_with_a_line_end(bench: MemoryBench, world: Datacentre) -> None:
    assert world.read_config(clone(bench)).values["description"] == "a scratch guest\n"
    world.write_config(GUEST, {"description": "customer"}, None)
    assert world.read_config(GUEST).values["description"] == "customer\n"


def test_a_volume_takes_the_first_number_that_its_owner_has_free(bench: MemoryBench) -> None:
    assert stage(bench, GUEST) == f"{STORAGE}:5001/vm-5001-disk-2.raw"


def test_a_filler_stays_named_as_unused_although_it_became_the_root(bench: MemoryBench, world: Datacentre) -> None:
    clone(bench)
    detach_root(bench)
    config = world.read_config(SCRATCH)
    assert [mount.volume for mount in config.unused] == [config.rootfs.volume]
    world.write_config(SCRATCH, {}, None, delete=("unused0",))
    assert config.rootfs.volume in {one.volid for one in world.list_volumes(NODE, STORAGE, SCRATCH.vmid)}


def test_a_clone_of_a_guest_with_a_bind_mount_is_refused(world: Datacentre) -> None:
    world.edit_config(OTHER.vmid, mp1="/srv/shared,mp=/shared")
    with pytest.raises(TargetError, match="bind"):
        world.clone(OTHER, CloneOrder(SCRATCH.vmid, STORAGE, "scratch", ""))


def test_a_clone_on_a_full_storage_leaves_no_guest_no_volume_and_no_lock(bench: MemoryBench, world: Datacentre) -> None:
    world.fill_storage(NODE, STORAGE)
    result = bench.wait(world.clone(TEMPLATE, CloneOrder(SCRATCH.vmid, STORAGE, "scratch", "")))
    assert "No space left" in result.exit_status
    assert world.read_config(TEMPLATE).lock is None
    assert_no_leftovers(world)


def test_a_volume_in_a_snapshot_does_not_move(bench: MemoryBench, world: Datacentre) -> None:
    clone(bench)
    detach_root(bench)
    world.take_snapshot(SCRATCH.vmid, "before")
    with pytest.raises(TargetError, match="snapshot"):
        world.move_volume(world.read_config(SCRATCH), "mp0", world.read_config(GUEST), "unused0")


def test_a_volume_does_not_move_from_a_running_guest_unless_it_is_unused(world: Datacentre) -> None:
    with pytest.raises(TargetError, match="must be stopped"):
        world.move_volume(world.read_config(GUEST), "mp0", world.read_config(OTHER), "unused0")


def test_a_volume_does_not_move_to_or_from_a_template(world: Datacentre) -> None:
    with pytest.raises(TargetError, match="template"):
        world.move_volume(world.read_config(OTHER), "mp0", world.read_config(TEMPLATE), "unused0")


def test_a_volume_does_not_move_on_a_storage_without_rename(world: Datacentre) -> None:
    world.store(NODE, STORAGE).kind = "iscsidirect"
    with pytest.raises(TargetError, match="rename"):
        world.move_volume(world.read_config(OTHER), "mp0", world.read_config(GUEST), "unused0")


def test_a_volume_that_a_snapshot_names_is_kept_and_comes_back_as_unused(bench: MemoryBench, world: Datacentre) -> None:
    new = stage(bench, OTHER)
    world.take_snapshot(OTHER.vmid, "before")
    world.write_config(OTHER, {}, None, delete=("unused0",))
    assert new in {one.volid for one in world.list_volumes(NODE, STORAGE, OTHER.vmid)}
    world.remove_snapshot(OTHER.vmid, "before")
    assert [mount.volume for mount in world.read_config(OTHER).unused] == [new]


def test_a_guest_never_frees_the_volume_of_another(bench: MemoryBench, world: Datacentre) -> None:
    foreign = world.read_config(GUEST).rootfs.volume
    world.write_config(OTHER, {"unused0": foreign}, None)
    world.write_config(OTHER, {}, None, delete=("unused0",))
    assert measure(world).verdict is Verdict.HEALTHY


def test_a_removed_mount_becomes_unused(world: Datacentre) -> None:
    data = world.read_config(OTHER).data_mounts[0].volume
    world.write_config(OTHER, {}, None, delete=("mp0",))
    assert [mount.volume for mount in world.read_config(OTHER).unused] == [data]


def test_a_new_mount_is_plugged_into_a_running_guest_and_a_changed_one_waits(world: Datacentre) -> None:
    world.write_config(GUEST, {"mp1": f"{STORAGE}:1,mp=/more"}, None)
    assert world.read_config(GUEST).values["mp1"].endswith("mp=/more,size=1G")
    changed = world.read_config(GUEST).values["mp1"].replace("/more", "/other")
    world.write_config(GUEST, {"mp1": changed}, None)
    assert dict(world.read_pending(GUEST)) == {"mp1": changed}


def test_a_mount_that_cannot_be_allocated_stays_pending(world: Datacentre) -> None:
    world.fill_storage(NODE, STORAGE)
    with pytest.raises(TargetError, match="No space left"):
        world.write_config(OTHER, {"mp1": f"{STORAGE}:1,mp=/more"}, None)
    assert set(world.read_pending(OTHER)) == {"mp1"}


@pytest.mark.parametrize(
    ("kind", "volid"),
    [
        ("dir", "s:6001/vm-6001-disk-0.raw"),
        ("lvmthin", "s:vm-6001-disk-0"),
        ("zfspool", "s:subvol-6001-disk-0"),
    ],
)
def test_a_volume_is_named_as_its_kind_of_storage_names_it(world: Datacentre, kind: str, volid: str) -> None:
    world.add_storage("s", NODE, kind=kind)
    world.add_guest(6001, NODE, storage="s")
    assert world.read_config(GuestRef(6001, NODE)).rootfs.volume == volid


# power and HA


@pytest.mark.parametrize("how", ["reboot", "shutdown"])
def test_a_guest_deaf_to_shutdown_is_stopped_hard_when_the_time_is_up(
    bench: MemoryBench, world: Datacentre, how: str
) -> None:
    roll_out(bench, refuses_shutdown("2"))
    begun = bench.clock.now()
    assert bench.wait(getattr(world, how)(GUEST, MINUTE)).ok
    assert bench.clock.now() - begun >= MINUTE
    assert world.read_power(GUEST).running == (how == "reboot")
    assert world.read_power(GUEST).uptime_seconds < 5


def test_a_guest_whose_root_is_not_there_does_not_start(bench: MemoryBench, world: Datacentre) -> None:
    world.write_config(OTHER, {"rootfs": f"{STORAGE}:5002/vm-5002-disk-77.raw,size=1G"}, None)
    assert bench.wait(world.start(OTHER)).exit_status == "startup for container '5002' failed"


def test_a_template_does_not_start(world: Datacentre) -> None:
    with pytest.raises(TargetError, match="template"):
        world.start(TEMPLATE)


def test_the_ha_manager_starts_again_what_was_powered_off_unless_it_is_told_to_ignore_it(
    bench: MemoryBench, world: Datacentre
) -> None:
    world.add_guest(5003, NODE, ha_state="started")
    world.add_guest(5004, NODE, ha_state="started")
    world.write_ha_state(5004, "ignored")
    for vmid in (5003, 5004):
        world.power_off(vmid)
    pass_seconds(bench, 11)
    assert world.read_power(GuestRef(5003, NODE)).running
    assert not world.read_power(GuestRef(5004, NODE)).running


def test_a_start_of_an_ha_managed_guest_ends_before_the_guest_runs(bench: MemoryBench, world: Datacentre) -> None:
    guest = world.add_guest(5003, NODE, ha_state="stopped", running=False).ref
    assert bench.wait(world.start(guest)).ok
    assert not world.read_power(guest).running
    pass_seconds(bench, 6)
    assert world.read_power(guest).running


def test_only_a_guest_under_ha_has_an_ha_state_to_write(world: Datacentre) -> None:
    with pytest.raises(TargetError, match="no such resource"):
        world.write_ha_state(GUEST.vmid, "ignored")


# behaviour of roots


def test_a_copy_behaves_as_its_template_does(bench: MemoryBench, world: Datacentre) -> None:
    assert measure(world).facts == {"version": "1", "state": "running"}
    exchange(bench, GUEST, stage(bench, GUEST))
    assert measure(world).facts["version"] == "1"
    bench.wait(world.reboot(GUEST, MINUTE))
    pass_seconds(bench, 3)
    assert measure(world).facts["version"] == "2"


def test_a_root_that_never_boots_fails_the_task_and_leaves_the_guest_off(bench: MemoryBench, world: Datacentre) -> None:
    assert roll_out(bench, never_boots("2")).exit_status == "startup for container '5001' failed"
    assert not world.read_power(GUEST).running


def test_a_root_may_turn_unhealthy_after_its_first_good_answers(bench: MemoryBench, world: Datacentre) -> None:
    roll_out(bench, turns_unhealthy("2", after=8))
    pass_seconds(bench, 5)
    assert measure(world).verdict is Verdict.HEALTHY
    pass_seconds(bench, 3)
    assert measure(world).verdict is Verdict.UNHEALTHY


def test_a_slow_root_answers_late(bench: MemoryBench, world: Datacentre) -> None:
    roll_out(bench, boots_slowly("2", seconds=120))
    pass_seconds(bench, 119)
    assert measure(world).verdict is Verdict.UNHEALTHY
    pass_seconds(bench, 1)
    assert measure(world).verdict is Verdict.HEALTHY


def test_a_start_that_answers_ok_proves_nothing(bench: MemoryBench, world: Datacentre) -> None:
    assert roll_out(bench, exits_soon("2")).ok
    pass_seconds(bench, 1)
    assert not world.read_power(GUEST).running


def test_a_root_may_claim_another_version_or_change_its_agents_state(bench: MemoryBench, world: Datacentre) -> None:
    roll_out(bench, claims("2", reports="1"))
    pass_seconds(bench, 3)
    assert measure(world).facts["version"] == "1"
    world.power_on(OTHER.vmid)
    roll_out(bench, changes_state("2", "idle"), OTHER)
    pass_seconds(bench, 3)
    assert measure(world, OTHER).facts["state"] == "idle"


def test_a_measurement_that_fails_is_neither_healthy_nor_unhealthy(bench: MemoryBench, world: Datacentre) -> None:
    roll_out(bench, cannot_be_measured("2"))
    pass_seconds(bench, 3)
    assert measure(world).verdict is Verdict.ERROR


def test_players_are_told_by_game_probes_only(world: Datacentre) -> None:
    world.set_players(GUEST.vmid, 7)
    address = world.read_address(GUEST)
    assert world.measure(MinecraftProbe(kind="minecraft"), GUEST, address).facts["players"] == "7"
    assert world.measure(TcpProbe(kind="tcp", port=80), GUEST, address).facts == {}


def test_a_guest_that_is_off_or_has_no_address_yet_is_unhealthy(bench: MemoryBench, world: Datacentre) -> None:
    assert measure(world, OTHER).verdict is Verdict.UNHEALTHY
    world.power_on(OTHER.vmid)
    assert world.read_address(OTHER) is None
    assert measure(world, OTHER).detail == "no address yet"


# rights, quorum, nodes


@pytest.mark.parametrize(
    ("privilege", "call"),
    [
        ("VM.Audit", lambda world: world.read_config(GUEST)),
        ("VM.Clone", lambda world: world.clone(TEMPLATE, CloneOrder(SCRATCH.vmid, STORAGE, "s", ""))),
        ("VM.Allocate", lambda world: world.clone(TEMPLATE, CloneOrder(SCRATCH.vmid, STORAGE, "s", ""))),
        ("SDN.Use", lambda world: world.clone(TEMPLATE, CloneOrder(SCRATCH.vmid, STORAGE, "s", ""))),
        ("Datastore.AllocateSpace", lambda world: world.clone(TEMPLATE, CloneOrder(SCRATCH.vmid, STORAGE, "s", ""))),
        ("VM.Allocate", lambda world: world.destroy(OTHER)),
        ("VM.Config.Disk", lambda world: world.write_config(GUEST, {"rootfs": "x"}, None)),
        ("VM.Config.Options", lambda world: world.write_config(GUEST, {"tags": "x"}, None)),
        ("VM.Config.Options", lambda world: world.write_config(GUEST, {"unused0": "x"}, None)),
        ("VM.PowerMgmt", lambda world: world.start(OTHER)),
        ("Datastore.Audit", lambda world: world.list_volumes(NODE, STORAGE, GUEST.vmid)),
        ("Sys.Console", lambda world: world.write_ha_state(GUEST.vmid, "ignored")),
    ],
)
def test_a_missing_privilege_is_named(world: Datacentre, privilege: str, call) -> None:  # type: ignore[no-untyped-def]
    world.revoke_privilege(privilege)
    with pytest.raises(RightMissing) as refused:
        call(world)
    assert refused.value.missing.endswith(privilege)
    assert privilege not in world.read_rights()["/"]


def test_without_the_right_to_look_the_list_is_empty_and_no_error(world: Datacentre) -> None:
    world.revoke_privilege("VM.Audit")
    assert world.list_guests() == ()


def test_without_quorum_reads_go_on_and_writes_do_not(bench: MemoryBench, world: Datacentre) -> None:
    world.lose_quorum(MINUTE)
    world.read_config(GUEST)
    with pytest.raises(RoadError, match="quorum"):
        world.write_config(GUEST, {"tags": "x"}, None)
    pass_seconds(bench, 60)
    world.write_config(GUEST, {"tags": "x"}, None)


def test_a_node_that_is_cut_off_answers_nothing_and_its_guests_run_on(bench: MemoryBench, world: Datacentre) -> None:
    world.cut_node(NODE, MINUTE)
    with pytest.raises(RoadError):
        world.read_power(GUEST)
    pass_seconds(bench, 60)
    assert world.read_power(GUEST).uptime_seconds > 60


def test_a_crashed_node_brings_up_what_was_on_and_applies_what_was_pending(
    bench: MemoryBench, world: Datacentre
) -> None:
    new = stage(bench, GUEST)
    exchange(bench, GUEST, new)
    world.crash_node(NODE, MINUTE)
    pass_seconds(bench, 65)
    assert world.read_config(GUEST).rootfs.volume == new
    assert world.read_power(GUEST).uptime_seconds == 5
    assert not world.read_power(OTHER).running


def test_a_reboot_that_loses_its_node_holds_no_config_file_any_more(bench: MemoryBench, world: Datacentre) -> None:
    world.reboot(GUEST, MINUTE)
    world.crash_node(NODE, MINUTE)
    pass_seconds(bench, 65)
    write_begun = bench.clock.now()
    world.write_config(GUEST, {"tags": "x"}, None)
    assert bench.clock.now() == write_begun


def test_rights_above_a_path_hold_on_it(world: Datacentre) -> None:
    world.privileges["/vms/5001"] = frozenset({"VM.Console"})
    assert {"VM.Console", "VM.Audit"} <= world.read_rights("/vms/5001")["/vms/5001"]
    assert "VM.Console" not in world.read_rights("/vms/5002")["/vms/5002"]


def test_without_the_right_to_its_disks_a_guests_volumes_are_not_listed_and_that_is_said(world: Datacentre) -> None:
    world.revoke_privilege("VM.Config.Disk")
    with pytest.raises(RightMissing):
        world.list_volumes(NODE, STORAGE, GUEST.vmid)


def test_a_clone_that_loses_its_node_stays_locked(bench: MemoryBench, world: Datacentre) -> None:
    upid = world.clone(TEMPLATE, CloneOrder(SCRATCH.vmid, STORAGE, "scratch", ""))
    world.crash_node(NODE, MINUTE)
    pass_seconds(bench, 65)
    assert not world.read_task(upid).ok
    assert (world.read_config(TEMPLATE).lock, world.read_config(SCRATCH).lock) == ("disk", "create")


# what others do


def test_a_backup_lock_goes_when_the_backup_is_done(bench: MemoryBench, world: Datacentre) -> None:
    world.lock(GUEST.vmid, "backup", timedelta(minutes=5))
    with pytest.raises(GuestLocked):
        world.write_config(GUEST, {"tags": "x"}, None)
    pass_seconds(bench, 300)
    world.write_config(GUEST, {"tags": "x"}, None)


def test_a_migrated_guest_is_missing_on_its_old_node_and_whole_on_the_new_one(
    bench: MemoryBench, world: Datacentre
) -> None:
    world.add_node("n2")
    world.add_storage(STORAGE, "n2")
    world.write_record(GUEST.vmid, "before")
    world.migrate_guest(GUEST.vmid, "n2")
    with pytest.raises(GuestMissing):
        world.read_config(GUEST)
    pass_seconds(bench, 3)
    assert measure(world, GuestRef(GUEST.vmid, "n2")).verdict is Verdict.HEALTHY
    assert_data_untouched(world)
    assert_no_leftovers(world)


def test_a_guest_deleted_during_its_reboot_fails_the_task(bench: MemoryBench, world: Datacentre) -> None:
    upid = world.reboot(GUEST, MINUTE)
    world.at(timedelta(seconds=0.5), lambda: world.delete_guest(GUEST.vmid))
    assert "does not exist" in bench.wait(upid).exit_status
    assert_no_leftovers(world)


def test_what_somebody_else_edits_is_what_must_be_there_in_the_end(world: Datacentre) -> None:
    world.edit_config(GUEST.vmid, memory="4096")
    assert_no_leftovers(world)
    world.write_config(GUEST, {"memory": "1024"}, None)
    with pytest.raises(AssertionError, match="5001: changed config"):
        assert_no_leftovers(world)


# the proofs


def test_a_whole_exchange_leaves_one_old_root_and_the_customers_data(bench: MemoryBench, world: Datacentre) -> None:
    world.keep_writing(GUEST.vmid, timedelta(seconds=0.5), times=100)
    roll_out(bench, Behaviour("2"))
    pass_seconds(bench, 60)
    assert_no_leftovers(world, [GUEST.vmid])
    assert_data_untouched(world)
    assert_power_as_left(world)
    assert 80 < len(world.acknowledged[GUEST.vmid]) < 100


def test_an_old_root_that_nobody_expects_is_a_leftover(bench: MemoryBench, world: Datacentre) -> None:
    roll_out(bench, Behaviour("2"))
    with pytest.raises(AssertionError, match=r"unused volumes \['unused0'\], expected 0"):
        assert_no_leftovers(world)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda bench: clone(bench), "890000: temporary guest"),
        (lambda bench: exchange(bench, GUEST, stage(bench, GUEST)), "5001: pending"),
        (lambda bench: bench.world.write_config(GUEST, {"tags": "zlh-rollout.x"}, None), "tags of work"),
        (lambda bench: bench.world.write_config(GUEST, {"tags": "foreign"}, None), r"changed tags \('foreign',\)"),
        (lambda bench: bench.world.write_config(OTHER, {"rootfs": "local:gone"}, None), "orphan"),
        (lambda bench: bench.world.write_config(OTHER, {"rootfs": "local:gone"}, None), "does not exist"),
        (lambda bench: bench.world.destroy(OTHER), "lock destroyed"),
    ],
)
def test_leftovers_are_found_and_named(bench: MemoryBench, harm, found: str) -> None:  # type: ignore[no-untyped-def]
    harm(bench)
    with pytest.raises(AssertionError, match=found):
        assert_no_leftovers(bench.world)


def test_a_volume_used_by_two_guests_is_found(world: Datacentre) -> None:
    world.write_config(OTHER, {"unused0": world.read_config(GUEST).rootfs.volume}, None)
    with pytest.raises(AssertionError, match="is 5001's"):
        assert_no_leftovers(world, [OTHER.vmid])


def test_tags_that_were_named_must_be_there_and_no_others(world: Datacentre) -> None:
    ours = ["zlh-line.game-base", "zlh-version.1"]
    assert_no_leftovers(world, expected_tags={GUEST.vmid: ours})
    with pytest.raises(AssertionError, match="5001: tags"):
        assert_no_leftovers(world, expected_tags={GUEST.vmid: ours[:1]})


def test_a_guest_that_is_off_acknowledges_nothing(world: Datacentre) -> None:
    assert not world.write_record(OTHER.vmid, "lost")
    assert_data_untouched(world)


def test_data_that_went_back_in_time_is_found(world: Datacentre) -> None:
    world.write_record(GUEST.vmid, "one")
    volume = world.data_volume(world.containers[GUEST.vmid])
    assert volume is not None
    volume.records.clear()
    with pytest.raises(AssertionError, match="5001: acknowledged"):
        assert_data_untouched(world)


def test_data_in_the_root_is_lost_by_an_exchange_and_that_is_found(bench: MemoryBench, world: Datacentre) -> None:
    guest = world.add_guest(5003, NODE, data_paths=()).ref
    world.write_record(guest.vmid, "one")
    roll_out(bench, Behaviour("2"), guest)
    with pytest.raises(AssertionError, match="5003: acknowledged"):
        assert_data_untouched(world)


def test_a_guest_that_we_left_off_is_found(bench: MemoryBench, world: Datacentre) -> None:
    bench.wait(world.stop(GUEST))
    with pytest.raises(AssertionError, match="5001 is off"):
        assert_power_as_left(world)
