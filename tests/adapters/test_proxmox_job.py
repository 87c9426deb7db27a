"""Active tasks and backup jobs as Proxmox lists them, numbers and flags as text too."""

from datetime import UTC, datetime
from typing import Any

import pytest

from zlh_hooks.adapters.proxmox_answer import parse_active, parse_backup_jobs, parse_begun
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.interlock import ActiveTask, BackupJob

ROW = {"node": "pve1", "pid": 7, "pstart": 1, "starttime": 1795834800, "user": "root@pam"}
DUE = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)


def test_what_has_ended_and_is_not_archived_yet_runs_no_more() -> None:
    rows = [
        ROW | {"upid": "UPID:1", "type": "vzdump", "id": "", "status": "RUNNING"},
        ROW | {"upid": "UPID:2", "type": "vzclone", "id": "9000", "status": "RUNNING"},
        ROW | {"upid": "UPID:3", "type": "move_volume", "id": "890000-mp0>5001-unused0", "status": "RUNNING"},
        ROW | {"upid": "UPID:4", "type": "vzstart", "id": "5001", "status": "OK", "endtime": 1795834801},
    ]
    assert parse_active(rows) == (
        ActiveTask("UPID:1", "vzdump", None),
        ActiveTask("UPID:2", "vzclone", 9000),
        ActiveTask("UPID:3", "move_volume", 890000),
    )


def test_of_what_has_begun_all_counts_but_what_failed() -> None:
    ended = ROW | {"endtime": 1795834801, "type": "vzclone"}
    rows = [
        ROW | {"upid": "UPID:1", "type": "vzdump", "id": ""},
        ended | {"upid": "UPID:2", "id": "9000", "status": "OK"},
        ended | {"upid": "UPID:3", "id": "9000", "status": "WARNINGS: 1"},
        ended | {"upid": "UPID:4", "id": "9000", "status": "no space left"},
    ]
    assert [task.upid for task in parse_begun(rows)] == ["UPID:1", "UPID:2", "UPID:3"]


@pytest.mark.parametrize(
    ("row", "job"),
    [
        ({"vmid": "5001,5002"}, BackupJob("job", None, vmids=frozenset({5001, 5002}))),
        ({"vmid": 5001, "enabled": "1"}, BackupJob("job", None, vmids=frozenset({5001}))),
        ({"vmid": "5001;5002", "all": 0}, BackupJob("job", None, vmids=frozenset({5001, 5002}))),
        ({"pool": "customers"}, BackupJob("job", None, pool="customers")),
        ({"all": "1", "exclude": "700"}, BackupJob("job", None, takes_all=True, excluded=frozenset({700}))),
        ({"all": 1, "node": "pve1"}, BackupJob("job", None, node="pve1", takes_all=True)),
        ({"all": 1, "next-run": int(DUE.timestamp())}, BackupJob("job", DUE, takes_all=True)),
        ({"all": 1, "next-run": str(int(DUE.timestamp()))}, BackupJob("job", DUE, takes_all=True)),
    ],
)
def test_a_job_says_whom_it_takes_and_when_it_runs(row: dict[str, Any], job: BackupJob) -> None:
    assert parse_backup_jobs([{"id": "job", "type": "vzdump", "schedule": "daily", **row}]) == (job,)


def test_a_job_that_is_switched_off_is_none() -> None:
    assert parse_backup_jobs([{"id": "job", "all": 1, "enabled": "0"}]) == ()


def test_an_answer_that_makes_no_sense_is_told() -> None:
    with pytest.raises(RoadError, match="next-run"):
        parse_backup_jobs([{"id": "job", "next-run": "soon"}])
