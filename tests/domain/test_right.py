"""Which rights the work needs, and what is said of those that are missing."""

from dataclasses import replace

from zlh_hooks.domain.right import Right, Scope, check_rights, plan_rights, render_bridge, render_roles
from zlh_hooks.domain.storage_kind import may_rename

SCOPE = Scope(
    targets=[5001],
    templates=[9000],
    scratch=[890000],
    storages=["tank"],
    bridges=["/sdn/zones/localnetwork/vmbr0"],
    nodes=["pve1"],
    ignores_ha=False,
    sees_jobs=False,
)


def _on(path: str, scope: Scope = SCOPE) -> set[str]:
    return {right.privilege for right in plan_rights(scope) if right.path == path}


def test_a_target_is_changed_and_restarted_but_neither_cloned_nor_destroyed() -> None:
    assert _on("/vms/5001") == {"VM.Audit", "VM.Config.Disk", "VM.Config.Options", "VM.PowerMgmt"}


def test_a_template_is_cloned_tagged_and_in_the_end_destroyed_but_never_started() -> None:
    assert "VM.PowerMgmt" not in _on("/vms/9000")
    assert {"VM.Clone", "VM.Config.Options", "VM.Allocate"} <= _on("/vms/9000")


def test_ha_needs_rights_on_the_root_only_if_policy_ignores_it() -> None:
    assert _on("/") == set()
    assert _on("/", replace(SCOPE, ignores_ha=True)) == {"Sys.Audit", "Sys.Console"}


def test_backup_jobs_need_a_right_on_the_root_if_policy_heeds_them_and_its_role_reaches_no_further() -> None:
    scope = replace(SCOPE, sees_jobs=True)
    assert _on("/", scope) == {"Sys.Audit"}
    commands = render_roles("zlh@pve", "hooks", scope)
    assert "pveum role add ZlhJobs --privs 'Sys.Audit'" in commands
    (given,) = [command for command in commands if command.startswith("pveum acl modify / ")]
    assert given == "pveum acl modify / --roles ZlhJobs --propagate 0 --users 'zlh@pve' --tokens 'zlh@pve!hooks'"


def test_where_ha_is_ignored_the_role_on_the_root_sees_backup_jobs_as_well() -> None:
    assert not [
        one for one in render_roles("a@pve", "t", replace(SCOPE, ignores_ha=True, sees_jobs=True)) if "Jobs" in one
    ]


def test_without_any_visible_guest_the_right_to_see_guests_is_asked_for() -> None:
    assert "VM.Audit" in _on("/vms", replace(SCOPE, targets=[]))


def test_nothing_is_missing_when_every_path_holds_what_it_needs() -> None:
    needed = plan_rights(SCOPE)
    held = {path: frozenset(r.privilege for r in needed if r.path == path) for path in {r.path for r in needed}}
    assert check_rights(needed, held) == ()


def test_a_privilege_on_another_path_does_not_count() -> None:
    needed = [Right("/vms/5001", "VM.PowerMgmt")]
    assert check_rights(needed, {"/vms/5002": frozenset({"VM.PowerMgmt"})}) == tuple(needed)


def test_a_bridge_is_in_the_local_zone_and_a_virtual_network_where_it_is_listed() -> None:
    listed = ["/", "/sdn/zones/customers/net7", "/sdn/zones/localnetwork"]
    assert render_bridge("vmbr0", "12", listed) == "/sdn/zones/localnetwork/vmbr0/12"
    assert render_bridge("net7", None, listed) == "/sdn/zones/customers/net7"


def test_both_roles_are_defined_and_the_first_is_given_to_user_and_token() -> None:
    commands = render_roles("zlh@pve", "hooks", SCOPE)
    assert commands[0].startswith("pveum role add ZlhGuests --privs '")
    assert commands[1] == "pveum role add ZlhNodes --privs 'Sys.Audit Sys.Console Sys.Modify Sys.PowerMgmt'"
    given = "--roles ZlhGuests --users 'zlh@pve' --tokens 'zlh@pve!hooks'"
    assert f"pveum acl modify /storage/tank {given}" in commands
    assert not any(command.startswith("pveum acl modify / ") for command in commands)


def test_only_known_storages_give_volumes_away() -> None:
    assert [kind for kind in ("dir", "lvmthin", "zfspool", "iscsi", "pbs", "new") if may_rename(kind)] == [
        "dir",
        "lvmthin",
        "zfspool",
    ]
