"""What is looked at before a guest is restarted, asked over HTTPS of a served Proxmox with a least-privilege token."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.clock import FakeClock
from tests.datacentre import MemoryLedger
from tests.datacentre.fault import Faults
from tests.stand_in.client import connect
from tests.stand_in.fixture import NODE, OTHER_NODE, RUNNING, STORAGE, TEMPLATE, stand_in
from tests.stand_in.serving import Serving
from zlh_hooks.application.interlock import Interlock, assure_alone
from zlh_hooks.application.journal import Journal, Patience
from zlh_hooks.application.ports import CloneOrder, Cluster
from zlh_hooks.application.root_step import Restart
from zlh_hooks.domain.errors import GuestLocked, HeldUp
from zlh_hooks.domain.interlock import InterlockRules, Subject

__all__ = ["stand_in"]

FRESH, OURS = 5900, 5002
"""A guest that the platform makes, and another one of the rollout."""
MINUTE, NEED = timedelta(minutes=1), timedelta(minutes=6)


def cluster_of(serving: Serving) -> Cluster:
    proxmox = connect(serving)
    return Cluster(proxmox, proxmox, proxmox, proxmox, proxmox, proxmox, proxmox)


def find(serving: Serving) -> Subject | None:
    """What speaks against restarting the running guest now."""
    cluster, clock = cluster_of(serving), FakeClock(datetime.now(UTC))
    journal = Journal(
        ledger=MemoryLedger(clock, Faults(clock)),
        tasks=cluster.tasks,
        clock=clock,
        rollout="r1",
        target=None,
        patience=Patience(MINUTE, MINUTE),
    )
    interlock = Interlock(InterlockRules(), cluster, clock, journal, lambda vmid: vmid in (RUNNING.vmid, OURS))
    conflict = interlock.find(RUNNING, NEED)
    assert journal.last_event() is None
    return conflict.subject if conflict else None


def test_nothing_speaks_against_it_on_a_quiet_node(stand_in: Serving) -> None:
    assert find(stand_in) is None


@pytest.mark.parametrize("lock", ["backup", "snapshot", "rollback", "migrate", "disk", "create", "mounted"])
def test_a_guest_that_is_locked_is_not_restarted_though_proxmox_would(stand_in: Serving, lock: str) -> None:
    stand_in.call(lambda: stand_in.pve.edit_guest(RUNNING.vmid, lock=lock))
    with pytest.raises(GuestLocked) as refused:
        Restart("restart", cluster_of(stand_in), RUNNING, "local:any", MINUTE).act({})
    assert (refused.value.lock, stand_in.pve.counts["reboot", RUNNING.vmid]) == (lock, 0)


@pytest.mark.parametrize(
    ("kind", "ident", "subject"),
    [
        ("vzdump", RUNNING.vmid, Subject.BACKUP),
        ("vzdump", "", Subject.BACKUP),
        ("vzdump", OURS, None),
        ("vzrestore", RUNNING.vmid, Subject.WORK),
        ("vzrestore", FRESH, Subject.PROVISIONING),
        ("vzclone", RUNNING.vmid, Subject.WORK),
        ("vzclone", TEMPLATE.vmid, Subject.PROVISIONING),
        ("vzcreate", FRESH, Subject.PROVISIONING),
        ("vzstart", FRESH, Subject.PROVISIONING),
        ("vzstart", OURS, None),
        ("vzmigrate", RUNNING.vmid, Subject.WORK),
        ("vzsnapshot", RUNNING.vmid, Subject.WORK),
        ("vzrollback", RUNNING.vmid, Subject.WORK),
        ("move_volume", f"{RUNNING.vmid}-mp0>{OURS}-unused0", Subject.WORK),
        ("resize", RUNNING.vmid, Subject.WORK),
        ("vncproxy", RUNNING.vmid, None),
    ],
)
def test_what_a_task_of_others_on_its_node_is_to_it(
    stand_in: Serving, kind: str, ident: int | str, subject: Subject | None
) -> None:
    stand_in.wait(stand_in.pve.work(NODE, kind, ident))
    assert find(stand_in) is subject


@pytest.mark.parametrize(("kind", "ident"), [("vzdump", ""), ("vzclone", TEMPLATE.vmid), ("vzrestore", FRESH)])
def test_what_others_do_on_another_node_is_nothing_to_it(stand_in: Serving, kind: str, ident: int | str) -> None:
    stand_in.wait(stand_in.pve.work(OTHER_NODE, kind, ident))
    assert find(stand_in) is None


@pytest.mark.parametrize(
    ("job", "minutes", "counts"),
    [
        ({"vmid": "5000,5001"}, 5, True),
        ({"vmid": "5001"}, 7, False),
        ({"vmid": "5001"}, -5, True),
        ({"vmid": "5002"}, 5, False),
        ({"all": 1}, 5, True),
        ({"all": 1, "exclude": "5001"}, 5, False),
        ({"all": 1, "node": OTHER_NODE}, 5, False),
        ({"all": 1, "enabled": 0}, 5, False),
    ],
)
def test_a_backup_job_counts_that_takes_it_and_is_due_before_it_would_be_done(
    stand_in: Serving, job: dict[str, Any], minutes: int, counts: bool
) -> None:
    due = datetime.now(UTC) + minutes * MINUTE
    common = {"id": "nightly", "type": "vzdump", "enabled": 1, "schedule": "daily", "next-run": int(due.timestamp())}
    stand_in.call(lambda: stand_in.pve.backup_jobs.append(common | job))
    assert (find(stand_in) is Subject.BACKUP_DUE) is counts


def test_a_new_guest_is_seen_from_its_clone_on_and_between_the_tasks_that_make_it(
    stand_in: Serving,
) -> None:
    """As the platform's API makes one: clone, configure, start, and then wait for its agent."""
    cluster, pve = cluster_of(stand_in), stand_in.pve
    pve.time_scale, pve.ct_secs["clone"] = 0.01, 100
    clone = cluster.editor.clone(TEMPLATE, CloneOrder(FRESH, STORAGE, "fresh", "born"))
    assert find(stand_in) is Subject.PROVISIONING
    with pytest.raises(GuestLocked):
        cluster.editor.write_config(TEMPLATE, {"tags": "zlh-line.game-base"}, None)
    deadline = time.monotonic() + 20
    while cluster.tasks.read_task(clone).running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert find(stand_in) is Subject.PROVISIONING
    stand_in.wait(pve.work(NODE, "vzstart", FRESH))
    assert find(stand_in) is Subject.PROVISIONING


@pytest.mark.parametrize(("kind", "waits"), [("vzsnapshot", True), ("vzrestore", True), ("vzdump", False)])
def test_on_its_way_back_it_waits_for_work_on_itself_alone(stand_in: Serving, kind: str, waits: bool) -> None:
    stand_in.wait(stand_in.pve.work(NODE, kind, RUNNING.vmid))
    cluster = cluster_of(stand_in)
    if waits:
        with pytest.raises(HeldUp, match=kind):
            assure_alone(cluster, RUNNING, ())
    else:
        assure_alone(cluster, RUNNING, ())
