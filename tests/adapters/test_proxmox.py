"""The Proxmox adapter over HTTPS: what it reads, what it sends, and how a refusal is understood."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.stand_in.client import connect
from tests.stand_in.fixture import NODE, OTHER_NODE, RUNNING, SCRATCH, STOPPED, STORAGE, TEMPLATE, stand_in
from tests.stand_in.serving import TOKEN_ID, USER, Serving
from zlh_hooks.adapters import proxmox_link
from zlh_hooks.adapters.proxmox import Proxmox
from zlh_hooks.application.ports import CloneOrder, Upid
from zlh_hooks.domain.errors import (
    ConfigChanged,
    GuestLocked,
    GuestMissing,
    RightMissing,
    RoadError,
    TargetError,
    Unreadable,
)
from zlh_hooks.domain.guest import GuestRef

__all__ = ["stand_in"]

ORDER = CloneOrder(SCRATCH.vmid, STORAGE, "zlh-scratch-890000", "zlh-hooks scratch guest: rollout r1, stage 5001")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def proxmox(stand_in: Serving) -> Proxmox:
    """The product, entering with the token."""
    return connect(stand_in)


def _carry_out(proxmox: Proxmox, upid: Upid) -> None:
    result = proxmox.read_task(upid)
    assert result.ok, result.exit_status


def _stage(proxmox: Proxmox, guest: GuestRef) -> str:
    """The new root, as an unused volume of the guest."""
    _carry_out(proxmox, proxmox.clone(TEMPLATE, ORDER))
    proxmox.write_config(SCRATCH, {"mp0": f"{STORAGE}:0.05,mp=/zlh-filler"}, proxmox.read_config(SCRATCH).digest)
    config = proxmox.read_config(SCRATCH)
    values = {"rootfs": f"{config.data_mounts[0].volume},size=51M", "mp0": f"{config.rootfs.volume},mp=/zlh-os"}
    proxmox.write_config(SCRATCH, values, config.digest)
    slot = proxmox.read_config(guest).free_key("unused")
    upid = proxmox.move_volume(proxmox.read_config(SCRATCH), "mp0", proxmox.read_config(guest), slot)
    _carry_out(proxmox, upid)
    _carry_out(proxmox, proxmox.destroy(SCRATCH))
    return proxmox.read_config(guest).values[slot]


def _exchange(proxmox: Proxmox, guest: GuestRef, new: str) -> None:
    config = proxmox.read_config(guest)
    slot = next(mount.key for mount in config.unused if mount.volume == new)
    values = {"rootfs": config.rootfs.holding(new, "1G").render(), slot: config.rootfs.volume}
    proxmox.write_config(guest, values, config.digest)


# ------------------------------------------------------------------------ the whole way


def test_a_running_guest_gets_a_new_root_and_its_old_one_back_with_the_guests_role_alone(proxmox: Proxmox) -> None:
    before = proxmox.read_config(RUNNING)
    new = _stage(proxmox, RUNNING)
    _exchange(proxmox, RUNNING, new)
    assert proxmox.read_config(RUNNING).rootfs == before.rootfs
    _carry_out(proxmox, proxmox.reboot(RUNNING, MINUTE))
    assert proxmox.read_config(RUNNING).rootfs.volume == new
    _exchange(proxmox, RUNNING, before.rootfs.volume)
    _carry_out(proxmox, proxmox.reboot(RUNNING, MINUTE))
    after = proxmox.read_config(RUNNING)
    proxmox.write_config(RUNNING, {}, after.digest, delete=("unused0",))
    assert dict(proxmox.read_config(RUNNING).values) == dict(before.values)


def test_a_stopped_guest_is_exchanged_at_once_and_settled(proxmox: Proxmox) -> None:
    old = proxmox.read_config(STOPPED).rootfs.volume
    new = _stage(proxmox, STOPPED)
    _exchange(proxmox, STOPPED, new)
    config = proxmox.read_config(STOPPED)
    assert (config.rootfs.volume, dict(proxmox.read_pending(STOPPED))) == (new, {})
    proxmox.write_config(STOPPED, {}, config.digest, delete=("unused0",))
    left = {volume.volid for volume in proxmox.list_volumes(NODE, STORAGE, STOPPED.vmid)}
    assert left == {new, config.data_mounts[0].volume}
    assert old not in left


def test_every_change_of_the_whole_way_is_executed_once(stand_in: Serving, proxmox: Proxmox) -> None:
    _exchange(proxmox, RUNNING, _stage(proxmox, RUNNING))
    _carry_out(proxmox, proxmox.reboot(RUNNING, MINUTE))
    assert dict(stand_in.pve.counts) == {
        ("clone", TEMPLATE.vmid): 1,
        ("write_config", SCRATCH.vmid): 2,
        ("move_volume", SCRATCH.vmid): 1,
        ("destroy", SCRATCH.vmid): 1,
        ("write_config", RUNNING.vmid): 1,
        ("reboot", RUNNING.vmid): 1,
    }


# ------------------------------------------------------------------------------ reading


def test_virtual_machines_are_listed_as_such_and_unknown_kinds_left_out(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.call(lambda: stand_in.pve.add_vm(7000, "vm", node=NODE))
    stand_in.pve.ct_resources = lambda user, kind=None: [{"type": "openvz2", "id": "openvz2/1"}]  # type: ignore[method-assign]
    assert [(guest.vmid, guest.is_container) for guest in proxmox.list_guests()] == [(7000, False)]


def test_raw_lxc_lines_of_a_config_are_kept_one_a_line(stand_in: Serving, proxmox: Proxmox) -> None:
    raw = [["lxc.idmap", "u 0 100000 65536"], ["lxc.idmap", "g 0 100000 65536"]]
    stand_in.call(lambda: stand_in.pve.edit_guest(RUNNING.vmid, lxc=raw))
    assert proxmox.read_config(RUNNING).values["lxc"].splitlines() == [
        "lxc.idmap: u 0 100000 65536",
        "lxc.idmap: g 0 100000 65536",
    ]


def test_the_address_is_the_guests_own_and_neither_loopback_nor_link_local(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.runtime.addresses[RUNNING.vmid] = "10.1.2.3"
    assert proxmox.read_address(RUNNING) == "10.1.2.3"


def test_a_guest_without_an_address_yet_is_looked_for_at_its_fixed_one(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.call(lambda: stand_in.pve.edit_guest(RUNNING.vmid, net0="name=eth0,bridge=vmbr0,ip=10.9.8.7/24"))
    assert proxmox.read_address(RUNNING) == "10.9.8.7"


def test_a_guest_with_dhcp_and_no_lease_has_no_address_and_a_stopped_one_neither(proxmox: Proxmox) -> None:
    assert (proxmox.read_address(RUNNING), proxmox.read_address(STOPPED)) == (None, None)


def test_an_orphaned_volume_is_listed_for_the_number_in_its_name(stand_in: Serving, proxmox: Proxmox) -> None:
    volid = stand_in.pve.volumes.allocate(STORAGE, 890007, 1024**2)
    assert [(one.volid, one.size) for one in proxmox.list_volumes(NODE, STORAGE, 890007)] == [(volid, 1024**2)]


def test_volumes_of_another_node_are_not_listed(proxmox: Proxmox) -> None:
    assert proxmox.list_volumes(OTHER_NODE, STORAGE, RUNNING.vmid) == ()


def test_a_move_is_among_the_tasks_of_both_guests(proxmox: Proxmox) -> None:
    _stage(proxmox, RUNNING)
    since = datetime.now(UTC) - MINUTE
    for guest in (SCRATCH, RUNNING):
        kinds = [task.kind for task in proxmox.list_tasks(NODE, guest.vmid, since)]
        assert "move_volume" in kinds


def test_tasks_from_before_are_not_listed(proxmox: Proxmox) -> None:
    _carry_out(proxmox, proxmox.start(STOPPED))
    assert proxmox.list_tasks(NODE, STOPPED.vmid, datetime.now(UTC) + MINUTE) == ()


def test_a_running_task_is_listed_as_running(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.time_scale = 0.05
    stand_in.pve.ct(STOPPED.vmid).start_secs = 10
    upid = proxmox.start(STOPPED)
    (task,) = proxmox.list_tasks(NODE, STOPPED.vmid, datetime.now(UTC) - MINUTE)
    assert (task.upid, task.kind, task.vmid, task.running) == (upid, "vzstart", STOPPED.vmid, True)
    assert proxmox.read_task(upid).running


def test_tasks_of_others_are_seen_with_sys_audit_only(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.wait(stand_in.pve.backup(RUNNING.vmid, secs=0))
    since = datetime.now(UTC) - MINUTE
    seen = [task.kind for task in proxmox.list_tasks(NODE, RUNNING.vmid, since)]
    stand_in.call(partial(stand_in.pve.revoke, "Sys.Audit"))
    assert (seen, proxmox.list_tasks(NODE, RUNNING.vmid, since)) == (["vzdump"], ())


def test_a_task_that_proxmox_forgot_is_no_broken_road(proxmox: Proxmox) -> None:
    with pytest.raises(TargetError):
        proxmox.read_task(Upid(f"UPID:{NODE}:00000001:00000001:00000001:vzstart:5001:{TOKEN_ID}:"))


def test_a_passing_failure_of_the_road_is_not_noticed_when_reading(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.fail("GET", "/lxc/5001/config", 596, "Connection timed out", times=2)
    assert proxmox.read_config(RUNNING).ref == RUNNING


def test_reading_gives_up_after_a_few_tries(
    stand_in: Serving, proxmox: Proxmox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxmox_link, "_ATTEMPTS", 3)
    stand_in.pve.fail("GET", "/lxc/5001/config", 599, "Too many redirections")
    with pytest.raises(RoadError, match="node pve1 cannot be reached"):
        proxmox.read_config(RUNNING)
    assert len([path for _, path, _ in stand_in.pve.requests if path.endswith("/lxc/5001/config")]) == 3


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("interfaces", "command 'nsenter -t 4711 --net -- ip --json a' failed: exit code 1"),
        ("status/current", "short read on command socket (16 != 0)"),
        ("status/current", "can't open '/sys/fs/cgroup/lxc/5001/memory.current' - No such file or directory"),
    ],
)
def test_a_look_into_a_guest_that_restarts_is_taken_again(
    stand_in: Serving, proxmox: Proxmox, path: str, sentence: str
) -> None:
    stand_in.pve.runtime.addresses[RUNNING.vmid] = "10.1.2.3"
    stand_in.pve.fail("GET", f"/lxc/5001/{path}", 500, sentence, times=2)
    assert proxmox.read_power(RUNNING).running
    assert proxmox.read_address(RUNNING) == "10.1.2.3"


def test_a_guest_that_cannot_be_looked_into_at_all_is_neither_well_nor_ill(
    stand_in: Serving, proxmox: Proxmox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxmox_link, "_ATTEMPTS", 2)
    stand_in.pve.fail("GET", "/lxc/5001/status/current", 500, "short read on command socket (16 != 0)")
    with pytest.raises(Unreadable, match="short read"):
        proxmox.read_power(RUNNING)


def test_a_storage_that_does_not_answer_is_no_guests_fault(
    stand_in: Serving, proxmox: Proxmox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxmox_link, "_ATTEMPTS", 2)
    stand_in.pve.fail("GET", f"/storage/{STORAGE}/content", 500, f"storage '{STORAGE}' is not online")
    with pytest.raises(RoadError, match="not online") as failed:
        proxmox.list_volumes(NODE, STORAGE, RUNNING.vmid)
    assert not isinstance(failed.value, Unreadable)


def test_what_proxmox_explains_is_not_asked_twice(stand_in: Serving, proxmox: Proxmox) -> None:
    with pytest.raises(GuestMissing):
        proxmox.read_config(GuestRef(5999, NODE))
    assert len([path for _, path, _ in stand_in.pve.requests if path.endswith("/lxc/5999/config")]) == 1


def test_a_page_that_is_no_answer_of_proxmox_is_a_broken_road(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.fail("GET", "/lxc/5001/config", 200, "<h1>Welcome</h1>", html=True)
    with pytest.raises(RoadError, match="did not answer as Proxmox does"):
        proxmox.read_config(RUNNING)


# ------------------------------------------------------------------------------ writing


def test_an_empty_value_deletes_its_key_because_proxmox_would_not_read_it_back(proxmox: Proxmox) -> None:
    proxmox.write_config(STOPPED, {"tags": ""}, None)
    assert "tags" not in proxmox.read_config(STOPPED).values


def test_no_root_is_ever_left_without_an_entry_by_an_exchange(proxmox: Proxmox) -> None:
    volumes = {volume.volid for volume in proxmox.list_volumes(NODE, STORAGE, STOPPED.vmid)}
    new = _stage(proxmox, STOPPED)
    _exchange(proxmox, STOPPED, new)
    assert {mount.volume for mount in proxmox.read_config(STOPPED).mounts} == volumes | {new}


def test_a_guest_that_does_not_shut_down_in_time_is_killed_by_a_reboot(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.ct(RUNNING.vmid).shutdown_secs = 600
    _carry_out(proxmox, proxmox.reboot(RUNNING, MINUTE))
    assert proxmox.read_power(RUNNING).running


def test_a_guest_that_does_not_shut_down_in_time_is_stopped_hard(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.ct(RUNNING.vmid).shutdown_secs = 600
    _carry_out(proxmox, proxmox.shutdown(RUNNING, MINUTE))
    assert not proxmox.read_power(RUNNING).running


def test_a_start_may_take_minutes(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.time_scale, stand_in.pve.ct(STOPPED.vmid).start_secs = 0.002, 180
    upid = proxmox.start(STOPPED)
    assert proxmox.read_task(upid).running
    while proxmox.read_task(upid).running:
        pass
    assert proxmox.read_task(upid).ok


def test_a_clone_that_ends_with_warnings_has_succeeded(proxmox: Proxmox) -> None:
    result = proxmox.read_task(proxmox.clone(TEMPLATE, ORDER))
    assert (result.ok, result.exit_status) == (True, "WARNINGS: 1")


def test_a_full_storage_fails_the_clone_and_leaves_nothing(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.volumes.capacity[STORAGE] = stand_in.pve.volumes.used(STORAGE)
    result = proxmox.read_task(proxmox.clone(TEMPLATE, ORDER))
    assert (result.ok, "No space left on device" in result.exit_status) == (False, True)
    assert proxmox.list_volumes(NODE, STORAGE, SCRATCH.vmid) == ()
    assert proxmox.read_config(TEMPLATE).lock is None
    with pytest.raises(GuestMissing):
        proxmox.read_config(SCRATCH)


def test_volumes_that_the_token_may_not_see_are_a_missing_right_and_not_none(
    stand_in: Serving, proxmox: Proxmox
) -> None:
    stand_in.pve.revoke("VM.Config.Disk")
    with pytest.raises(RightMissing) as refused:
        proxmox.list_volumes(NODE, STORAGE, STOPPED.vmid)
    assert refused.value.missing == f"/vms/{STOPPED.vmid}, VM.Config.Disk"


def test_a_guest_whose_root_is_missing_does_not_start(proxmox: Proxmox) -> None:
    proxmox.write_config(STOPPED, {"rootfs": f"{STORAGE}:5002/vm-5002-disk-9.raw,size=1G"}, None)
    result = proxmox.read_task(proxmox.start(STOPPED))
    assert (result.ok, "does not exist" in result.exit_status) == (False, True)


def test_ha_is_told_to_ignore_a_guest_and_shows_that_it_does(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.call(lambda: stand_in.pve.manage(RUNNING.vmid))
    for principal in (USER, TOKEN_ID):
        stand_in.pve.grant(principal, "/", "Sys.Console")
    managed = proxmox.read_power(RUNNING)
    proxmox.write_ha_state(RUNNING.vmid, "ignored")
    ignored = proxmox.read_power(RUNNING)
    proxmox.write_ha_state(RUNNING.vmid, "started")
    assert [(one.ha_managed, one.ha_state) for one in (managed, ignored, proxmox.read_power(RUNNING))] == [
        (True, "started"),
        (False, "ignored"),
        (True, "started"),
    ]


def test_a_guest_that_is_no_ha_resource_cannot_be_given_a_state(stand_in: Serving, proxmox: Proxmox) -> None:
    for principal in (USER, TOKEN_ID):
        stand_in.pve.grant(principal, "/", "Sys.Console")
    with pytest.raises(TargetError, match="no such resource"):
        proxmox.write_ha_state(RUNNING.vmid, "ignored")


def test_threads_share_one_adapter(proxmox: Proxmox) -> None:
    names = set()

    def work(number: int) -> int:
        names.add(threading.current_thread().name)
        proxmox.write_config(RUNNING if number % 2 else STOPPED, {"description": f"{number}"}, None)
        return proxmox.read_config(STOPPED).ref.vmid

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(24))) == {STOPPED.vmid}
    assert len(names) > 1


# ------------------------------------------------------------------ refusals of one guest


@pytest.mark.parametrize("lock", ["backup", "snapshot", "migrate"])
def test_a_locked_guest_refuses_and_names_its_lock(stand_in: Serving, proxmox: Proxmox, lock: str) -> None:
    stand_in.call(lambda: stand_in.pve.edit_guest(STOPPED.vmid, lock=lock))
    for change in (
        lambda: proxmox.write_config(STOPPED, {"tags": "x"}, None),
        lambda: proxmox.destroy(STOPPED),
        lambda: proxmox.clone(STOPPED, ORDER),
    ):
        with pytest.raises(GuestLocked) as refused:
            change()
        assert refused.value.lock == lock


def test_a_config_that_another_task_holds_open_counts_as_locked(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.wait(stand_in.pve.hold_config_lock(STOPPED.vmid, None))
    with pytest.raises(GuestLocked) as refused:
        proxmox.write_config(STOPPED, {"tags": "x"}, None)
    assert refused.value.lock == "config"


def test_a_config_edited_by_somebody_else_is_not_overwritten(stand_in: Serving, proxmox: Proxmox) -> None:
    read = proxmox.read_config(STOPPED)
    stand_in.call(lambda: stand_in.pve.edit_guest(STOPPED.vmid, memory=1024))
    with pytest.raises(ConfigChanged):
        proxmox.write_config(STOPPED, {"tags": "x"}, read.digest)


@pytest.mark.parametrize("edited", [SCRATCH, RUNNING], ids=["source", "target"])
def test_a_volume_is_not_moved_when_either_guest_was_edited(
    stand_in: Serving, proxmox: Proxmox, edited: GuestRef
) -> None:
    _carry_out(proxmox, proxmox.clone(TEMPLATE, ORDER))
    source, target = proxmox.read_config(SCRATCH), proxmox.read_config(RUNNING)
    stand_in.call(lambda: stand_in.pve.edit_guest(edited.vmid, memory=1024))
    with pytest.raises(ConfigChanged):
        proxmox.move_volume(source, "mp0", target, "unused0")


def test_a_deleted_guest_is_missing(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.call(lambda: stand_in.pve.delete_guest(RUNNING.vmid))
    for change in (lambda: proxmox.read_config(RUNNING), lambda: proxmox.write_config(RUNNING, {"tags": "x"}, None)):
        with pytest.raises(GuestMissing):
            change()


def test_a_migrated_guest_is_missing_where_it_was_and_found_where_it_is(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.call(lambda: stand_in.pve.move_guest(RUNNING.vmid, OTHER_NODE))
    with pytest.raises(GuestMissing):
        proxmox.read_config(RUNNING)
    assert GuestRef(RUNNING.vmid, OTHER_NODE) in {guest.ref for guest in proxmox.list_guests()}


def test_a_value_that_proxmox_refuses_is_named(proxmox: Proxmox) -> None:
    with pytest.raises(TargetError, match="tags"):
        proxmox.write_config(STOPPED, {"tags": "zlh:wrong"}, None)


def test_a_protected_guest_keeps_its_root(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.call(lambda: stand_in.pve.edit_guest(STOPPED.vmid, protection=1))
    with pytest.raises(TargetError, match="protection mode enabled"):
        _exchange(proxmox, STOPPED, _stage(proxmox, STOPPED))
