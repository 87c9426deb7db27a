"""The Proxmox adapter when the road is broken: rights, tokens, quorum, nodes, and requests whose answer is lost."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.stand_in.client import connect
from tests.stand_in.fault import Fault, TaskFault
from tests.stand_in.fixture import NODE, OTHER_NODE, RUNNING, SCRATCH, STOPPED, STORAGE, TEMPLATE, stand_in
from tests.stand_in.serving import TOKEN_NAME, USER, Serving
from zlh_hooks.adapters import proxmox_link
from zlh_hooks.adapters.proxmox import Proxmox
from zlh_hooks.adapters.proxmox_access import Access
from zlh_hooks.application.ports import CloneOrder
from zlh_hooks.domain.errors import GuestMissing, RightMissing, RoadError, Unanswered

__all__ = ["stand_in"]

ORDER = CloneOrder(SCRATCH.vmid, STORAGE, "zlh-scratch-890000", "note")
Change = Callable[[Proxmox], object]
CHANGES: dict[str, Change] = {
    "write_config": lambda proxmox: proxmox.write_config(RUNNING, {"tags": "x"}, None),
    "clone": lambda proxmox: proxmox.clone(TEMPLATE, ORDER),
    "move_volume": lambda proxmox: proxmox.move_volume(
        proxmox.read_config(STOPPED), "mp0", proxmox.read_config(RUNNING), "unused0"
    ),
    "destroy": lambda proxmox: proxmox.destroy(STOPPED),
    "start": lambda proxmox: proxmox.start(STOPPED),
    "reboot": lambda proxmox: proxmox.reboot(RUNNING, timedelta(minutes=1)),
    "shutdown": lambda proxmox: proxmox.shutdown(RUNNING, timedelta(minutes=1)),
    "stop": lambda proxmox: proxmox.stop(RUNNING),
    "write_ha_state": lambda proxmox: proxmox.write_ha_state(RUNNING.vmid, "ignored"),
}
each_change = pytest.mark.parametrize("call", sorted(CHANGES))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads are asked for twice only: the tests of this file are about what comes after that."""
    monkeypatch.setattr(proxmox_link, "_ATTEMPTS", 2)


@pytest.fixture
def proxmox(stand_in: Serving) -> Proxmox:
    """The product, entering with a token that may also change HA."""
    stand_in.call(lambda: stand_in.pve.manage(RUNNING.vmid))
    stand_in.pve.ct(RUNNING.vmid).ha_state = None  # ignored already, so that power actions are not HA's
    for principal in (USER, f"{USER}!{TOKEN_NAME}"):
        stand_in.pve.grant(principal, "/", "Sys.Console")
    return connect(stand_in)


def _executed(stand_in: Serving, call: str) -> int:
    return sum(count for (name, _), count in stand_in.pve.counts.items() if name == call)


def _sent(stand_in: Serving) -> int:
    return len([method for method, _, _ in stand_in.pve.requests if method != "GET"])


# ------------------------------------------------------------------------ lost answers


@each_change
def test_a_change_whose_answer_was_lost_is_unanswered_and_sent_once(
    stand_in: Serving, proxmox: Proxmox, call: str
) -> None:
    stand_in.pve.faults.requests.append(Fault(call, after=True))
    with pytest.raises(Unanswered):
        CHANGES[call](proxmox)
    assert (_executed(stand_in, call), _sent(stand_in)) == (1, 1)


@each_change
def test_a_change_that_was_lost_on_its_way_is_unanswered_too(stand_in: Serving, proxmox: Proxmox, call: str) -> None:
    stand_in.pve.faults.requests.append(Fault(call, after=False))
    with pytest.raises(Unanswered):
        CHANGES[call](proxmox)
    assert (_executed(stand_in, call), _sent(stand_in)) == (0, 1)


def test_a_change_that_is_answered_too_late_is_unanswered(stand_in: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxmox_link, "_LONGEST_ANSWER", timedelta())
    stand_in.pve.faults.requests.append(Fault("write_config", after=True, delay=1.0))
    with pytest.raises(Unanswered):
        CHANGES["write_config"](connect(stand_in, timeout=timedelta(seconds=0.3)))
    assert _executed(stand_in, "write_config") == 1


@pytest.mark.parametrize("status", [502, 504, 596, 599])
def test_a_change_that_a_proxy_lost_is_unanswered(stand_in: Serving, proxmox: Proxmox, status: int) -> None:
    stand_in.pve.faults.requests.append(Fault("write_config", after=True, status=status, message="Connection reset"))
    with pytest.raises(Unanswered):
        CHANGES["write_config"](proxmox)


def test_a_change_answered_with_a_page_of_a_proxy_is_unanswered(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.fail("PUT", "/lxc/5001/config", 200, "<h1>Welcome</h1>", html=True)
    with pytest.raises(Unanswered):
        CHANGES["write_config"](proxmox)


def test_a_second_change_after_a_lost_one_goes_through(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.faults.requests.append(Fault("write_config", nth=1))
    with pytest.raises(Unanswered):
        CHANGES["write_config"](proxmox)
    CHANGES["write_config"](proxmox)
    assert proxmox.read_config(RUNNING).tags == ("x",)


def test_somebody_can_be_killed_between_a_change_and_its_answer(stand_in: Serving, proxmox: Proxmox) -> None:
    killed: list[str] = []
    fault = Fault("write_config", after=True, act=lambda: killed.append(stand_in.pve.ct(RUNNING.vmid).config["tags"]))
    stand_in.pve.faults.requests.append(fault)
    with pytest.raises(Unanswered):
        CHANGES["write_config"](proxmox)
    assert killed == ["x"]


# ----------------------------------------------------------------------- never arrived


@each_change
def test_a_change_to_a_node_that_is_off_was_not_carried_out(stand_in: Serving, proxmox: Proxmox, call: str) -> None:
    stand_in.pve.set_node_offline(NODE)
    if call == "write_ha_state":  # answered by any node
        CHANGES[call](proxmox)
        return
    with pytest.raises(RoadError, match="node pve1 cannot be reached") as failed:
        CHANGES[call](proxmox)
    assert not isinstance(failed.value, Unanswered)


def test_nobody_listening_is_a_broken_road_and_nothing_was_sent(stand_in: Serving, tmp_path: Path) -> None:
    nowhere = Proxmox(Access("127.0.0.1", USER, TOKEN_NAME, "secret", 1, stand_in.ca_file, timedelta(seconds=1)))
    for ask in (nowhere.list_guests, lambda: CHANGES["write_config"](nowhere)):
        with pytest.raises(RoadError, match="cannot be reached") as failed:
            ask()
        assert not isinstance(failed.value, Unanswered)


def test_a_certificate_that_is_not_trusted_is_refused_with_advice(stand_in: Serving) -> None:
    stranger = Proxmox(Access(stand_in.pve.host, USER, TOKEN_NAME, stand_in.token, stand_in.pve.port))
    with pytest.raises(RoadError, match="set ca_file"):
        stranger.list_guests()


def test_a_ca_file_that_is_not_there_is_named(stand_in: Serving, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    lost = Proxmox(Access(stand_in.pve.host, USER, TOKEN_NAME, stand_in.token, stand_in.pve.port, gone))
    with pytest.raises(RoadError, match=r"gone\.pem"):
        lost.list_guests()


# ------------------------------------------------------------------------------ quorum


@pytest.mark.parametrize("call", ["write_config", "clone", "start", "write_ha_state"])
def test_without_quorum_nothing_is_changed_and_the_road_is_to_blame(
    stand_in: Serving, proxmox: Proxmox, call: str
) -> None:
    stand_in.pve.lose_quorum()
    with pytest.raises(RoadError) as failed:
        CHANGES[call](proxmox)
    assert not isinstance(failed.value, Unanswered)
    assert _executed(stand_in, call) == 0


def test_without_quorum_reading_goes_on(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.lose_quorum()
    assert proxmox.read_config(RUNNING).ref == RUNNING


def test_a_node_that_is_off_is_named_when_reading(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.set_node_offline(OTHER_NODE)
    with pytest.raises(RoadError, match="node pve2 cannot be reached"):
        proxmox.list_storages(OTHER_NODE)


# ------------------------------------------------------------------------------- rights


def test_a_refused_token_is_said_without_its_secret(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.apitokens.clear()
    with pytest.raises(RoadError, match="refuses the API token") as failed:
        proxmox.list_guests()
    assert stand_in.token not in str(failed.value)


def test_the_secret_is_in_no_representation(stand_in: Serving) -> None:
    assert stand_in.token not in repr(Access("host", USER, TOKEN_NAME, stand_in.token))


NEEDED: dict[str, Change] = {
    "VM.Audit": lambda proxmox: proxmox.read_config(RUNNING),
    "VM.Clone": CHANGES["clone"],
    "VM.Allocate": CHANGES["clone"],
    "VM.Config.Disk": CHANGES["move_volume"],
    "VM.Config.Network": lambda proxmox: proxmox.write_config(RUNNING, {"net0": "name=eth0,bridge=vmbr0"}, None),
    "VM.Config.Options": CHANGES["write_config"],
    "VM.PowerMgmt": CHANGES["reboot"],
    "Datastore.AllocateSpace": CHANGES["clone"],
    "SDN.Use": CHANGES["clone"],
    "Sys.Console": CHANGES["write_ha_state"],
}


@pytest.mark.parametrize("privilege", sorted(NEEDED))
def test_a_missing_privilege_is_named_with_its_path(stand_in: Serving, proxmox: Proxmox, privilege: str) -> None:
    stand_in.call(partial(stand_in.pve.revoke, privilege))
    with pytest.raises(RightMissing) as failed:
        NEEDED[privilege](proxmox)
    path, _, named = failed.value.missing.partition(", ")
    assert path.startswith("/")
    assert privilege in named.split("|")


@pytest.mark.parametrize("who", [USER, f"{USER}!{TOKEN_NAME}"])
def test_a_privilege_counts_only_if_both_the_user_and_its_token_hold_it(
    stand_in: Serving, proxmox: Proxmox, who: str
) -> None:
    stand_in.call(partial(stand_in.pve.revoke, "VM.PowerMgmt", who))
    with pytest.raises(RightMissing):
        CHANGES["reboot"](proxmox)
    assert "VM.PowerMgmt" not in proxmox.read_rights()["/"]


def test_unused_volumes_need_the_privilege_for_options_and_not_the_one_for_disks(
    stand_in: Serving, proxmox: Proxmox
) -> None:
    stand_in.call(partial(stand_in.pve.revoke, "VM.Config.Options"))
    with pytest.raises(RightMissing) as failed:
        proxmox.write_config(STOPPED, {"unused0": "local:5002/vm-5002-disk-7.raw"}, None)
    assert "VM.Config.Options" in failed.value.missing


def test_the_nearest_rights_replace_those_above_them(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.call(lambda: stand_in.pve.grant(f"{USER}!{TOKEN_NAME}", f"/vms/{RUNNING.vmid}", "VM.Audit"))
    assert proxmox.read_rights(f"/vms/{RUNNING.vmid}") == {f"/vms/{RUNNING.vmid}": frozenset({"VM.Audit"})}
    assert "VM.PowerMgmt" in proxmox.read_rights(f"/vms/{STOPPED.vmid}")[f"/vms/{STOPPED.vmid}"]


# -------------------------------------------------------------------------------- tasks


def test_a_failed_clone_gives_its_number_and_its_template_back(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.faults.tasks.append(TaskFault("vzclone", "lvcreate failed"))
    result = proxmox.read_task(proxmox.clone(TEMPLATE, ORDER))
    assert (result.ok, result.exit_status) == (False, "clone failed: lvcreate failed")
    assert proxmox.read_config(TEMPLATE).lock is None
    with pytest.raises(GuestMissing):
        proxmox.read_config(SCRATCH)


@pytest.mark.parametrize(
    ("call", "kind"), [("move_volume", "move_volume"), ("reboot", "vzreboot"), ("start", "vzstart")]
)
def test_a_task_error_is_no_error_of_the_request(stand_in: Serving, proxmox: Proxmox, call: str, kind: str) -> None:
    stand_in.pve.faults.tasks.append(TaskFault(kind, "it broke"))
    result = proxmox.read_task(CHANGES[call](proxmox))  # type: ignore[arg-type]
    assert (result.running, result.ok, result.exit_status) == (False, False, "it broke")


@pytest.mark.parametrize(
    "said",
    [
        "unable to activate storage 'bulk' - directory is expected to be a mount point but is not mounted: '/mnt/dir'",
        "could not activate storage 'tank', zfs error: cannot import 'tank': no such pool available",
        "storage 'nas' is not online",
        "mount error: mount.nfs: Connection timed out",
    ],
)
def test_a_task_that_failed_for_a_storage_says_so(stand_in: Serving, proxmox: Proxmox, said: str) -> None:
    stand_in.pve.faults.tasks.append(TaskFault("vzreboot", said))
    assert proxmox.read_task(proxmox.reboot(RUNNING, timedelta(minutes=1))).storage_away
    stand_in.pve.faults.tasks.append(TaskFault("vzstart", "startup for container '5002' failed"))
    assert not proxmox.read_task(proxmox.start(STOPPED)).storage_away


def test_any_task_may_succeed_with_warnings(stand_in: Serving, proxmox: Proxmox) -> None:
    stand_in.pve.faults.tasks.append(TaskFault("vzreboot", "WARNINGS: 3", after=True))
    assert proxmox.read_task(proxmox.reboot(RUNNING, timedelta(minutes=1))).ok
