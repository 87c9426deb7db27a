"""``ready``: the token's real rights against what the work needs, asked of Proxmox path by path."""

from functools import partial

import pytest

from tests.stand_in.client import connect
from tests.stand_in.fixture import RUNNING, stand_in
from tests.stand_in.serving import TOKEN_ID, USER, Serving
from zlh_hooks.application.ready import Readiness, Wanted, check_ready
from zlh_hooks.domain.right import GUEST_PRIVILEGES, Right

__all__ = ["stand_in"]

SCRATCH = range(890000, 891000)


def _check(stand_in: Serving, ignores_ha: bool = False, sees_jobs: bool = False) -> Readiness:
    proxmox = connect(stand_in)
    wanted = Wanted(lambda guest: guest.vmid < 9000, SCRATCH, ["name=eth0,bridge=vmbr1,tag=40"], ignores_ha, sees_jobs)
    return check_ready(proxmox, proxmox, wanted)


def test_a_token_with_the_guests_role_on_the_root_is_ready(stand_in: Serving) -> None:
    assert _check(stand_in).missing == ()


def test_what_the_work_touches_is_read_from_proxmox(stand_in: Serving) -> None:
    scope = _check(stand_in).scope
    assert (scope.targets, scope.templates, scope.storages, scope.nodes) == ([5001, 5002], [9000], ["local"], ["pve1"])
    assert scope.bridges == ["/sdn/zones/localnetwork/vmbr0", "/sdn/zones/localnetwork/vmbr1/40"]


@pytest.mark.parametrize("privilege", [one for one in GUEST_PRIVILEGES if one != "VM.Audit"])
def test_each_privilege_of_the_guests_role_is_missed(stand_in: Serving, privilege: str) -> None:
    stand_in.call(partial(stand_in.pve.revoke, privilege))
    assert {right.privilege for right in _check(stand_in).missing} == {privilege}


def test_a_guest_with_narrower_rights_of_its_own_is_found(stand_in: Serving) -> None:
    stand_in.call(lambda: stand_in.pve.grant(TOKEN_ID, f"/vms/{RUNNING.vmid}", "VM.Audit", "VM.Config.Disk"))
    assert _check(stand_in).missing == (
        Right(f"/vms/{RUNNING.vmid}", "VM.Config.Options"),
        Right(f"/vms/{RUNNING.vmid}", "VM.PowerMgmt"),
    )


def test_a_scratch_number_that_was_closed_is_found(stand_in: Serving) -> None:
    everything_but = [one for one in GUEST_PRIVILEGES if one != "VM.Allocate"]
    stand_in.call(lambda: stand_in.pve.grant(TOKEN_ID, "/vms/890500", *everything_but))
    assert _check(stand_in).missing == (Right("/vms/890500", "VM.Allocate"),)


def test_ignoring_ha_needs_the_console_right_on_the_root(stand_in: Serving) -> None:
    missing = _check(stand_in, ignores_ha=True).missing
    for principal in (USER, TOKEN_ID):
        stand_in.pve.grant(principal, "/", "Sys.Console")
    assert (missing, _check(stand_in, ignores_ha=True).missing) == ((Right("/", "Sys.Console"),), ())


def test_a_token_that_does_not_see_backup_jobs_is_told_if_policy_heeds_them(stand_in: Serving) -> None:
    everything_but = [one for one in GUEST_PRIVILEGES if one != "Sys.Audit"]
    stand_in.call(lambda: stand_in.pve.revoke("Sys.Audit", TOKEN_ID))
    stand_in.call(lambda: stand_in.pve.grant(TOKEN_ID, "/nodes", "Sys.Audit", *everything_but))
    assert _check(stand_in).missing == ()
    assert _check(stand_in, sees_jobs=True).missing == (Right("/", "Sys.Audit"),)


def test_a_token_that_sees_no_guest_is_told_which_right_that_takes(stand_in: Serving) -> None:
    stand_in.call(partial(stand_in.pve.revoke, "VM.Audit"))
    assert Right("/vms", "VM.Audit") in _check(stand_in).missing
