"""The root exchange of a container, rule by rule."""

from datetime import datetime

import pytest

from tests.contracts.bench import (
    GIB,
    GUEST,
    MINUTE,
    NODE,
    OTHER,
    SCRATCH,
    STORAGE,
    TEMPLATE,
    Bench,
    clone,
    detach_root,
    exchange,
    stage,
)
from zlh_hooks.application.ports import CloneOrder
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import ConfigChanged, GuestLocked, GuestMissing, TargetError
from zlh_hooks.domain.guest import GuestRef

ORDER = CloneOrder(SCRATCH.vmid, STORAGE, "scratch", "a scratch guest")


def _volids(bench: Bench, owner: GuestRef) -> set[str]:
    return {volume.volid for volume in bench.cluster.storage.list_volumes(NODE, STORAGE, owner.vmid)}


# clone


def test_a_clone_has_its_own_root_its_note_and_the_tags_of_its_template(bench: Bench) -> None:
    config = bench.cluster.inventory.read_config(clone(bench))
    assert _volids(bench, SCRATCH) == {config.rootfs.volume}
    assert config.values["description"].strip() == "a scratch guest"
    assert config.values["hostname"] == "scratch"
    assert tag.value_of(tag.VERSION, config.tags) == "2"
    assert (config.flag("template"), config.lock) == (False, None)


def test_a_template_that_is_being_cloned_refuses_a_second_clone(bench: Bench) -> None:
    upid = bench.cluster.editor.clone(TEMPLATE, ORDER)
    with pytest.raises(GuestLocked) as refused:
        bench.cluster.editor.clone(TEMPLATE, CloneOrder(SCRATCH.vmid + 1, STORAGE, "second", ""))
    assert refused.value.lock == "disk"
    assert bench.wait(upid).ok


def test_a_template_is_free_again_when_the_clone_is_done(bench: Bench) -> None:
    clone(bench)
    clone(bench, GuestRef(SCRATCH.vmid + 1, NODE))
    assert bench.cluster.inventory.read_config(TEMPLATE).lock is None


def test_a_clone_takes_no_number_that_is_taken(bench: Bench) -> None:
    with pytest.raises(TargetError):
        bench.cluster.editor.clone(TEMPLATE, CloneOrder(OTHER.vmid, STORAGE, "scratch", ""))


# resize


def _root_size(bench: Bench) -> int:
    root = bench.cluster.inventory.read_config(SCRATCH).rootfs.volume
    stored = bench.cluster.storage.list_volumes(NODE, STORAGE, SCRATCH.vmid)
    return next(volume.size for volume in stored if volume.volid == root)


def test_a_root_grows_to_the_size_that_is_asked_for_and_the_config_says_so(bench: Bench) -> None:
    config = bench.cluster.inventory.read_config(clone(bench))
    assert bench.wait(bench.cluster.editor.resize(config, "rootfs", 3 * GIB)).ok
    grown = bench.cluster.inventory.read_config(SCRATCH)
    assert _root_size(bench) == 3 * GIB
    assert dict(grown.rootfs.options)["size"] == "3G"
    assert grown.rootfs.volume == config.rootfs.volume


@pytest.mark.parametrize("size", [GIB, GIB // 2], ids=["the size it has", "less"])
def test_a_root_only_grows(bench: Bench, size: int) -> None:
    config = bench.cluster.inventory.read_config(clone(bench))
    with pytest.raises(TargetError):
        bench.cluster.editor.resize(config, "rootfs", size)
    assert _root_size(bench) == GIB


def test_a_root_of_a_config_that_was_changed_meanwhile_does_not_grow(bench: Bench) -> None:
    config = bench.cluster.inventory.read_config(clone(bench))
    bench.cluster.editor.write_config(SCRATCH, {"tags": "changed"}, None)
    with pytest.raises(ConfigChanged):
        bench.cluster.editor.resize(config, "rootfs", 3 * GIB)


def test_a_root_of_a_locked_guest_does_not_grow(bench: Bench) -> None:
    clone(bench)
    bench.lock(SCRATCH, "backup")
    with pytest.raises(GuestLocked):
        bench.cluster.editor.resize(bench.cluster.inventory.read_config(SCRATCH), "rootfs", 3 * GIB)


def test_the_root_of_a_running_guest_grows_too(bench: Bench) -> None:
    config = bench.cluster.inventory.read_config(GUEST)
    assert bench.wait(bench.cluster.editor.resize(config, "rootfs", 3 * GIB)).ok
    stored = bench.cluster.storage.list_volumes(NODE, STORAGE, GUEST.vmid)
    assert {volume.size for volume in stored if volume.volid == config.rootfs.volume} == {3 * GIB}


def test_an_unused_volume_does_not_grow(bench: Bench) -> None:
    new = stage(bench, GUEST)
    config = bench.cluster.inventory.read_config(GUEST)
    key = next(mount.key for mount in config.unused if mount.volume == new)
    with pytest.raises(TargetError, match="enumeration"):
        bench.cluster.editor.resize(config, key, 3 * GIB)


def test_a_volume_that_is_out_of_use_keeps_its_date_while_its_guest_runs(bench: Bench) -> None:
    def date_of(volid: str) -> datetime | None:
        stored = bench.cluster.storage.list_volumes(NODE, STORAGE, GUEST.vmid)
        return next(volume.stamp for volume in stored if volume.volid == volid)

    new = stage(bench, GUEST)
    old = exchange(bench, GUEST, new)
    bench.restart_inside(GUEST)
    aside = date_of(old)
    bench.restart_inside(GUEST)
    assert aside is not None
    assert date_of(old) == aside
    in_use = date_of(new)
    assert in_use is not None
    assert in_use >= aside


def test_a_resize_is_listed_for_its_guest(bench: Bench) -> None:
    config = bench.cluster.inventory.read_config(clone(bench))
    upid = bench.cluster.editor.resize(config, "rootfs", 3 * GIB)
    bench.wait(upid)
    listed = bench.cluster.tasks.list_tasks(NODE, SCRATCH.vmid, bench.begun - MINUTE)
    assert [task.kind for task in listed if task.upid == upid] == ["resize"]


# filler and move


def test_a_mount_given_by_size_allocates_a_volume(bench: Bench) -> None:
    clone(bench)
    bench.cluster.editor.write_config(SCRATCH, {"mp0": f"{STORAGE}:0.05,mp=/zlh-filler"}, None)
    config = bench.cluster.inventory.read_config(SCRATCH)
    assert config.data_mounts[0].path == "/zlh-filler"
    assert _volids(bench, SCRATCH) == {config.rootfs.volume, config.data_mounts[0].volume}


def test_root_and_filler_change_places_in_one_write(bench: Bench) -> None:
    clone(bench)
    root = detach_root(bench)
    config = bench.cluster.inventory.read_config(SCRATCH)
    assert config.data_mounts[0].volume == root
    assert config.rootfs.volume != root
    assert config.rootfs.volume in _volids(bench, SCRATCH)


def test_a_moved_volume_is_renamed_to_its_new_owner_who_may_run(bench: Bench) -> None:
    before = _volids(bench, GUEST)
    new = stage(bench, GUEST)
    assert _volids(bench, GUEST) - before == {new}
    assert bench.cluster.inventory.read_power(GUEST).running


def test_staging_leaves_no_volume_behind_the_scratch_guest(bench: Bench) -> None:
    stage(bench, GUEST)
    assert _volids(bench, SCRATCH) == set()
    with pytest.raises(GuestMissing):
        bench.cluster.inventory.read_config(SCRATCH)


def test_a_freed_number_is_given_to_the_next_volume(bench: Bench) -> None:
    first = stage(bench, GUEST)
    bench.cluster.editor.write_config(GUEST, {}, None, delete=("unused0",))
    assert stage(bench, GUEST) == first


def test_a_root_itself_cannot_be_moved(bench: Bench) -> None:
    clone(bench)
    with pytest.raises(TargetError, match="rootfs"):
        _move(bench, "rootfs", "unused0")


def test_a_volume_does_not_move_to_a_key_in_use(bench: Bench) -> None:
    clone(bench)
    detach_root(bench)
    with pytest.raises(TargetError, match="already in use"):
        _move(bench, "mp0", "mp0", target=OTHER)


def test_a_volume_does_not_move_with_a_stale_digest(bench: Bench) -> None:
    clone(bench)
    detach_root(bench)
    source, target = (bench.cluster.inventory.read_config(one) for one in (SCRATCH, GUEST))
    bench.cluster.editor.write_config(GUEST, {"tags": "changed"}, target.digest)
    with pytest.raises(ConfigChanged):
        bench.cluster.editor.move_volume(source, "mp0", target, "unused0")


def test_a_volume_does_not_move_to_a_locked_guest(bench: Bench) -> None:
    clone(bench)
    detach_root(bench)
    bench.lock(GUEST, "backup")
    with pytest.raises(GuestLocked):
        _move(bench, "mp0", "unused0")


def _move(bench: Bench, key: str, target_key: str, target: GuestRef = GUEST) -> None:
    source, taker = (bench.cluster.inventory.read_config(one) for one in (SCRATCH, target))
    bench.wait(bench.cluster.editor.move_volume(source, key, taker, target_key))


# the one PUT


def test_on_a_running_guest_the_exchange_waits_and_nothing_else_changes(bench: Bench) -> None:
    new = stage(bench, GUEST)
    before = bench.cluster.inventory.read_config(GUEST)
    old = exchange(bench, GUEST, new)
    after, pending = bench.cluster.inventory.read_config(GUEST), bench.cluster.inventory.read_pending(GUEST)
    assert dict(after.values) == dict(before.values)
    assert {key: (value or "").split(",")[0] for key, value in pending.items()} == {"rootfs": new, "unused0": old}


def test_on_a_stopped_guest_the_exchange_is_in_force_at_once(bench: Bench) -> None:
    new = stage(bench, OTHER)
    old = exchange(bench, OTHER, new)
    config = bench.cluster.inventory.read_config(OTHER)
    assert (config.rootfs.volume, [mount.volume for mount in config.unused]) == (new, [old])
    assert dict(bench.cluster.inventory.read_pending(OTHER)) == {}


def test_a_pending_exchange_can_be_taken_back(bench: Bench) -> None:
    new = stage(bench, GUEST)
    before = bench.cluster.inventory.read_config(GUEST)
    exchange(bench, GUEST, new)
    digest = bench.cluster.inventory.read_config(GUEST).digest
    bench.cluster.editor.write_config(GUEST, {}, digest, revert=("rootfs", "unused0"))
    assert dict(bench.cluster.inventory.read_pending(GUEST)) == {}
    assert bench.cluster.inventory.read_config(GUEST) == before


@pytest.mark.parametrize("how", ["reboot", "shutdown and start", "power-off from inside", "reboot from inside"])
def test_a_pending_exchange_is_in_force_after_the_next_stop_whoever_causes_it(bench: Bench, how: str) -> None:
    new = stage(bench, GUEST)
    old = exchange(bench, GUEST, new)
    _stop_somehow(bench, how)
    config = bench.cluster.inventory.read_config(GUEST)
    assert (config.rootfs.volume, [mount.volume for mount in config.unused]) == (new, [old])
    assert dict(bench.cluster.inventory.read_pending(GUEST)) == {}


def _stop_somehow(bench: Bench, how: str) -> None:
    power = bench.cluster.power
    if how == "reboot":
        assert bench.wait(power.reboot(GUEST, MINUTE)).ok
    elif how == "shutdown and start":
        assert bench.wait(power.shutdown(GUEST, MINUTE)).ok
        assert bench.wait(power.start(GUEST)).ok
    elif how == "power-off from inside":
        bench.power_off_inside(GUEST)
    else:
        bench.restart_inside(GUEST)


def test_the_exchange_backwards_brings_the_old_root(bench: Bench) -> None:
    new = stage(bench, OTHER)
    before = bench.cluster.inventory.read_config(OTHER)
    old = exchange(bench, OTHER, new)
    exchange(bench, OTHER, old)
    after = bench.cluster.inventory.read_config(OTHER)
    assert after.rootfs.volume == before.rootfs.volume
    assert after.fingerprint() == before.fingerprint()


def test_an_exchange_leaves_the_rest_of_the_config_alone(bench: Bench) -> None:
    before = bench.cluster.inventory.read_config(OTHER)
    exchange(bench, OTHER, stage(bench, OTHER))
    after = bench.cluster.inventory.read_config(OTHER)
    assert after.fingerprint() == before.fingerprint()
    assert after.tags == before.tags


def test_a_root_that_is_replaced_without_a_place_is_orphaned(bench: Bench) -> None:
    new = stage(bench, OTHER)
    old = bench.cluster.inventory.read_config(OTHER).rootfs
    bench.cluster.editor.write_config(OTHER, {"rootfs": old.holding(new, "1G").render()}, None)
    config = bench.cluster.inventory.read_config(OTHER)
    assert old.volume not in {mount.volume for mount in config.mounts}
    assert old.volume in _volids(bench, OTHER)


def test_a_root_that_does_not_exist_is_stored_as_sent(bench: Bench) -> None:
    missing = f"{STORAGE}:{OTHER.vmid}/vm-{OTHER.vmid}-disk-77.raw"
    bench.cluster.editor.write_config(OTHER, {"rootfs": f"{missing},size=1G"}, None)
    assert bench.cluster.inventory.read_config(OTHER).rootfs.volume == missing


@pytest.mark.parametrize("guest", [GUEST, OTHER], ids=["running", "stopped"])
def test_deleting_an_unused_entry_frees_its_volume(bench: Bench, guest: GuestRef) -> None:
    new = stage(bench, guest)
    bench.cluster.editor.write_config(guest, {}, None, delete=("unused0",))
    assert new not in _volids(bench, guest)
    assert bench.cluster.inventory.read_config(guest).unused == ()


# refusals


def test_a_write_with_a_stale_digest_changes_nothing(bench: Bench) -> None:
    stale = bench.cluster.inventory.read_config(GUEST)
    bench.cluster.editor.write_config(GUEST, {"tags": "changed"}, stale.digest)
    with pytest.raises(ConfigChanged):
        bench.cluster.editor.write_config(GUEST, {"tags": "again"}, stale.digest)
    assert bench.cluster.inventory.read_config(GUEST).tags == ("changed",)


def test_a_locked_guest_refuses_writes_and_names_the_lock(bench: Bench) -> None:
    bench.lock(GUEST, "backup")
    with pytest.raises(GuestLocked) as refused:
        bench.cluster.editor.write_config(GUEST, {"tags": "changed"}, None)
    assert refused.value.lock == "backup"


def test_a_locked_guest_is_not_destroyed(bench: Bench) -> None:
    bench.lock(OTHER, "backup")
    with pytest.raises(GuestLocked):
        bench.cluster.editor.destroy(OTHER)


def test_a_pending_change_is_part_of_the_digest(bench: Bench) -> None:
    before = bench.cluster.inventory.read_config(GUEST)
    exchange(bench, GUEST, before.rootfs.volume + "x")
    with pytest.raises(ConfigChanged):
        bench.cluster.editor.write_config(GUEST, {"tags": "late"}, before.digest)


def test_a_start_of_a_locked_guest_fails_in_its_task(bench: Bench) -> None:
    bench.lock(OTHER, "backup")
    result = bench.wait(bench.cluster.power.start(OTHER))
    assert not result.ok
    assert "locked" in result.exit_status
    assert result.lock == "backup"


def test_a_protected_guest_refuses_the_exchange_but_not_the_staging(bench: Bench) -> None:
    bench.cluster.editor.write_config(OTHER, {"protection": "1"}, None)
    new = stage(bench, OTHER)
    with pytest.raises(TargetError, match="protection"):
        exchange(bench, OTHER, new)


def test_a_write_to_a_guest_that_does_not_exist_finds_it_missing(bench: Bench) -> None:
    with pytest.raises(GuestMissing):
        bench.cluster.editor.write_config(GuestRef(7777, NODE), {"tags": "x"}, None)


def test_a_tag_that_proxmox_would_refuse_is_refused(bench: Bench) -> None:
    with pytest.raises(TargetError):
        bench.cluster.editor.write_config(GUEST, {"tags": "zlh:wrong"}, None)


def test_tags_are_stored_sorted(bench: Bench) -> None:
    bench.cluster.editor.write_config(GUEST, {"tags": "b;a"}, None)
    assert bench.cluster.inventory.read_config(GUEST).tags == ("a", "b")


# power


def test_a_reboot_of_a_locked_guest_is_carried_out(bench: Bench) -> None:
    bench.lock(GUEST, "backup")
    assert bench.wait(bench.cluster.power.reboot(GUEST, MINUTE)).ok


def test_a_stopped_guest_starts_and_a_running_one_stops(bench: Bench) -> None:
    assert bench.wait(bench.cluster.power.start(OTHER)).ok
    assert bench.wait(bench.cluster.power.stop(GUEST)).ok
    power = bench.cluster.inventory.read_power
    assert (power(OTHER).running, power(GUEST).running) == (True, False)


def test_a_running_guest_is_not_destroyed(bench: Bench) -> None:
    with pytest.raises(TargetError):
        bench.cluster.editor.destroy(GUEST)


def test_destroying_a_guest_frees_its_volumes(bench: Bench) -> None:
    assert bench.wait(bench.cluster.editor.destroy(OTHER)).ok
    assert _volids(bench, OTHER) == set()
