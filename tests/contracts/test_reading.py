"""What the cluster says of its guests, tasks and storages."""

from datetime import timedelta

import pytest

from tests.contracts.bench import GUEST, MACHINE, NODE, OTHER, SCRATCH, STORAGE, TEMPLATE, Bench, clone, stage
from zlh_hooks.application.ports import CloneOrder, TaskSummary
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import ConfigChanged, GuestMissing
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.interlock import ActiveTask


def test_the_list_names_every_guest_with_its_node_power_and_template_mark(bench: Bench) -> None:
    listed = {one.vmid: one for one in bench.cluster.inventory.list_guests()}
    assert {GUEST.vmid, OTHER.vmid, TEMPLATE.vmid} <= listed.keys()
    assert (listed[GUEST.vmid].ref, listed[GUEST.vmid].running, listed[GUEST.vmid].template) == (GUEST, True, False)
    assert not listed[OTHER.vmid].running
    assert listed[TEMPLATE.vmid].template
    assert listed[MACHINE.vmid].ref == MACHINE


def test_nodes_are_listed_by_name(bench: Bench) -> None:
    assert bench.cluster.inventory.list_nodes() == (NODE,)


def test_the_list_shows_tags(bench: Bench) -> None:
    listed = {one.vmid: one for one in bench.cluster.inventory.list_guests()}
    assert tag.value_of(tag.VERSION, listed[TEMPLATE.vmid].tags) == "2"


def test_the_list_shows_config_locks(bench: Bench) -> None:
    bench.lock(GUEST, "backup")
    listed = {one.vmid: one.lock for one in bench.cluster.inventory.list_guests()}
    assert (listed[GUEST.vmid], listed[OTHER.vmid]) == ("backup", None)


def test_a_config_has_its_root_its_data_volume_and_a_digest(bench: Bench) -> None:
    config = bench.cluster.inventory.read_config(GUEST)
    assert config.ref == GUEST
    assert config.rootfs.storage == STORAGE
    assert [(mount.is_volume, mount.path.endswith("/data")) for mount in config.data_mounts] == [(True, True)]
    assert config.flag("unprivileged")
    assert config.digest


def test_the_digest_changes_with_the_config_and_returns_with_it(bench: Bench) -> None:
    editor, inventory = bench.cluster.editor, bench.cluster.inventory
    before = inventory.read_config(GUEST)
    editor.write_config(GUEST, {"tags": tag.render_tags([*before.tags, "zlh-hold.x"])}, before.digest)
    changed = inventory.read_config(GUEST)
    editor.write_config(GUEST, {"tags": tag.render_tags(before.tags)}, changed.digest)
    assert changed.digest != before.digest
    assert inventory.read_config(GUEST).digest == before.digest


def test_tags_and_notes_of_a_virtual_machine_are_written_and_taken_away_guarded_by_its_digest(bench: Bench) -> None:
    editor, inventory = bench.cluster.editor, bench.cluster.inventory
    before = inventory.read_config(MACHINE)
    editor.write_config(MACHINE, {"tags": "zlh-hold.x", "description": "why"}, before.digest)
    held = inventory.read_config(MACHINE)
    assert (held.ref, held.tags, held.values["description"].strip()) == (MACHINE, ("zlh-hold.x",), "why")
    with pytest.raises(ConfigChanged):
        editor.write_config(MACHINE, {"tags": "other"}, before.digest)
    editor.write_config(MACHINE, {}, held.digest, delete=["tags", "description"])
    assert inventory.read_config(MACHINE).values == before.values


def test_a_virtual_machine_has_power_of_its_own(bench: Bench) -> None:
    power = bench.cluster.inventory.read_power(MACHINE)
    assert (power.running, power.ha_managed) == (False, False)


def test_a_number_is_no_guest_of_the_other_kind(bench: Bench) -> None:
    with pytest.raises(GuestMissing):
        bench.cluster.inventory.read_config(GuestRef(MACHINE.vmid, NODE))


def test_nothing_is_pending_on_an_untouched_guest(bench: Bench) -> None:
    assert dict(bench.cluster.inventory.read_pending(GUEST)) == {}


def test_power_is_that_of_the_guest_itself(bench: Bench) -> None:
    on, off = bench.cluster.inventory.read_power(GUEST), bench.cluster.inventory.read_power(OTHER)
    assert (on.running, off.running, off.uptime_seconds) == (True, False, 0)
    assert not on.ha_managed


@pytest.mark.parametrize("read", ["read_config", "read_pending", "read_power"])
def test_a_guest_that_does_not_exist_is_missing(bench: Bench, read: str) -> None:
    with pytest.raises(GuestMissing):
        getattr(bench.cluster.inventory, read)(GuestRef(7777, NODE))


def test_a_storage_lists_the_volumes_of_one_owner(bench: Bench) -> None:
    config = bench.cluster.inventory.read_config(GUEST)
    volumes = bench.cluster.storage.list_volumes(NODE, STORAGE, GUEST.vmid)
    assert {volume.volid for volume in volumes} == {mount.volume for mount in config.mounts}
    assert {volume.owner for volume in volumes} == {GUEST.vmid}
    assert all(volume.size > 0 for volume in volumes)


def test_a_node_lists_its_storages_with_kind_and_room(bench: Bench) -> None:
    storage = next(one for one in bench.cluster.storage.list_storages(NODE) if one.name == STORAGE)
    assert (storage.kind, storage.active, storage.holds_roots) == ("dir", True, True)
    assert storage.free > 0


def test_a_running_task_is_found_under_the_number_of_its_source(bench: Bench) -> None:
    order = CloneOrder(SCRATCH.vmid, STORAGE, "scratch", "a scratch guest")
    upid = bench.cluster.editor.clone(TEMPLATE, order)
    started = _clones(bench)
    bench.wait(upid)
    assert [(one.upid, one.kind, one.vmid, one.running) for one in started] == [(upid, "vzclone", TEMPLATE.vmid, True)]


def test_an_ended_task_is_still_listed(bench: Bench) -> None:
    clone(bench)
    assert [(one.kind, one.running) for one in _clones(bench)] == [("vzclone", False)]


def test_a_move_is_listed_for_the_guest_that_gives_and_for_the_one_that_receives(bench: Bench) -> None:
    stage(bench, GUEST)
    since = bench.begun - timedelta(minutes=1)
    for vmid in (SCRATCH.vmid, GUEST.vmid):
        kinds = [one.kind for one in bench.cluster.tasks.list_tasks(NODE, vmid, since)]
        assert "move_volume" in kinds


def _clones(bench: Bench) -> tuple[TaskSummary, ...]:
    return bench.cluster.tasks.list_tasks(NODE, TEMPLATE.vmid, bench.begun - timedelta(minutes=1))


def test_a_node_tells_what_runs_on_it_now_and_what_has_ended_no_more(bench: Bench) -> None:
    order = CloneOrder(SCRATCH.vmid, STORAGE, "scratch", "a scratch guest")
    upid = bench.cluster.editor.clone(TEMPLATE, order)
    running = bench.cluster.tasks.list_active(NODE)
    bench.wait(upid)
    assert [(one.upid, one.kind, one.vmid) for one in running] == [(upid, "vzclone", TEMPLATE.vmid)]
    assert bench.cluster.tasks.list_active(NODE) == ()


def test_a_node_tells_what_has_begun_since_running_and_done(bench: Bench) -> None:
    order = CloneOrder(SCRATCH.vmid, STORAGE, "scratch", "a scratch guest")
    since = bench.begun - timedelta(minutes=1)
    upid = bench.cluster.editor.clone(TEMPLATE, order)
    began = [ActiveTask(upid, "vzclone", TEMPLATE.vmid)]
    assert list(bench.cluster.tasks.list_begun(NODE, since)) == began
    bench.wait(upid)
    assert list(bench.cluster.tasks.list_begun(NODE, since)) == began
    assert bench.cluster.tasks.list_begun(NODE, since + timedelta(hours=1)) == ()


def test_a_backup_of_several_guests_names_none(bench: Bench) -> None:
    bench.back_up_several()
    assert [(one.kind, one.vmid) for one in bench.cluster.tasks.list_active(NODE)] == [("vzdump", None)]


def test_backup_jobs_that_are_enabled_are_listed_with_whom_they_take_and_when(bench: Bench) -> None:
    assert bench.cluster.backups.list_backup_jobs() == ()
    due = bench.begun.replace(microsecond=0) + timedelta(hours=1)
    bench.plan_backups(due)
    jobs = {job.name: job for job in bench.cluster.backups.list_backup_jobs()}
    assert {name: job.due for name, job in jobs.items()} == {"numbers": due, "pool": due, "all": due}
    taken = {name: [guest for guest in (GUEST, OTHER) if job.takes(guest, "customers")] for name, job in jobs.items()}
    assert taken == {"numbers": [GUEST], "pool": [GUEST, OTHER], "all": [OTHER]}
