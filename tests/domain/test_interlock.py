"""What of others' work on its node speaks against restarting a guest, and what policy makes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.interlock import (
    ActiveTask,
    Answer,
    BackupJob,
    Conflict,
    InterlockRules,
    Subject,
    Surroundings,
    find_conflict,
)

NOW = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
NEED, MINUTE = timedelta(minutes=6), timedelta(minutes=1)
GUEST, OTHER, OURS, TEMPLATE, VM, VM_TEMPLATE = 5001, 5900, 5002, 9000, 700, 9100
QUIET = Surroundings(GuestRef(GUEST, "pve1"), "customers", (), (), lambda vmid: vmid in (GUEST, OURS))
JOB = BackupJob("nightly", NOW + MINUTE)


def name_tasks(tasks: tuple[tuple[str, int | None], ...]) -> tuple[ActiveTask, ...]:
    return tuple(ActiveTask(f"UPID:{number}", *task) for number, task in enumerate(tasks))


def conflict(*tasks: tuple[str, int | None], jobs: tuple[BackupJob, ...] = (), **rules: Any) -> Conflict | None:
    return judge(replace(QUIET, tasks=name_tasks(tasks), jobs=jobs), **rules)


def judge(around: Surroundings, **rules: Any) -> Conflict | None:
    return find_conflict(around, InterlockRules.model_validate(rules), NOW, NEED)


def subject(*tasks: tuple[str, int | None], jobs: tuple[BackupJob, ...] = ()) -> Subject | None:
    found = conflict(*tasks, jobs=jobs)
    return found.subject if found else None


@pytest.mark.parametrize(
    ("kind", "vmid", "expected"),
    [
        ("vzdump", GUEST, Subject.BACKUP),
        ("vzdump", None, Subject.BACKUP),
        ("vzdump", OTHER, None),
        ("vzmigrate", GUEST, Subject.WORK),
        ("vzrestore", GUEST, Subject.WORK),
        ("vzclone", GUEST, Subject.WORK),
        ("vzsnapshot", GUEST, Subject.WORK),
        ("vzmigrate", OTHER, None),
        ("vncproxy", GUEST, None),
        ("vzclone", TEMPLATE, Subject.PROVISIONING),
        ("vzcreate", OTHER, Subject.PROVISIONING),
        ("vzrestore", OTHER, Subject.PROVISIONING),
        ("vzstart", OTHER, Subject.PROVISIONING),
        ("vzstart", OURS, None),
        ("vzstart", GUEST, None),
        ("vzreboot", OTHER, None),
        ("qmclone", VM_TEMPLATE, Subject.PROVISIONING),
        ("qmcreate", VM, Subject.PROVISIONING),
        ("qmrestore", VM, Subject.PROVISIONING),
        ("qmstart", VM, Subject.PROVISIONING),
        ("qmigrate", VM, None),
        ("qmreboot", VM, None),
        ("qmigrate", GUEST, Subject.WORK),
        ("qmrestore", GUEST, Subject.WORK),
        ("qmsnapshot", GUEST, Subject.WORK),
        ("qmmove", GUEST, Subject.WORK),
        ("aptupdate", None, None),
    ],
)
def test_what_an_active_task_is_to_a_guest(kind: str, vmid: int | None, expected: Subject | None) -> None:
    assert subject((kind, vmid)) is expected


@pytest.mark.parametrize(
    ("kind", "vmid", "counts"),
    [
        ("vzclone", TEMPLATE, True),
        ("vzcreate", OTHER, True),
        ("vzrestore", OTHER, True),
        ("qmclone", VM_TEMPLATE, True),
        ("qmrestore", VM, True),
        ("vzstart", OTHER, False),
        ("qmstart", VM, False),
        ("vzdump", OTHER, False),
        ("vzclone", OURS, False),
    ],
)
def test_a_guest_that_was_made_lately_is_being_provisioned_though_no_task_runs(
    kind: str, vmid: int, counts: bool
) -> None:
    found = judge(replace(QUIET, lately=name_tasks(((kind, vmid),))))
    assert (found is not None and found.subject is Subject.PROVISIONING) is counts


def test_how_long_a_new_guest_may_be_at_its_provisioning_is_policy_and_it_is_said() -> None:
    around = replace(QUIET, lately=name_tasks((("vzclone", TEMPLATE),)))
    found = judge(around, provisioning_time="10m")
    assert found and found.reason == "a new guest on pve1 is younger than 10m and may not be ready: vzclone 9000"
    assert judge(around, provisioning="ignore") is None


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ({"vmids": frozenset({GUEST})}, True),
        ({"vmids": frozenset({OTHER})}, False),
        ({"pool": "customers"}, True),
        ({"pool": "customers/inner"}, False),
        ({"pool": "others", "vmids": frozenset({GUEST})}, False),
        ({"takes_all": True}, True),
        ({"takes_all": True, "excluded": frozenset({GUEST})}, False),
        ({"takes_all": True, "node": "pve1"}, True),
        ({"takes_all": True, "node": "pve2"}, False),
        ({}, False),
    ],
)
def test_a_job_that_is_due_counts_for_the_guests_that_it_takes(job: dict[str, Any], expected: bool) -> None:
    assert (subject(jobs=(replace(JOB, **job),)) is Subject.BACKUP_DUE) is expected


@pytest.mark.parametrize(
    ("due", "counts"),
    [
        (NOW + NEED, True),
        (NOW + NEED + MINUTE, False),
        (NOW - MINUTE, True),
        (NOW - timedelta(hours=1), False),
        (None, False),
    ],
)
def test_a_job_counts_if_it_comes_before_the_guest_is_done_or_should_have_come_just_now(
    due: datetime | None, counts: bool
) -> None:
    assert (subject(jobs=(BackupJob("nightly", due, takes_all=True),)) is not None) is counts


def test_a_conflict_says_what_it_is_and_where() -> None:
    job = replace(JOB, takes_all=True)
    told = [
        conflict(("vzdump", GUEST)),
        conflict(("vzdump", None)),
        conflict(("vzclone", TEMPLATE)),
        conflict(("vzmigrate", GUEST)),
        conflict(jobs=(job,)),
    ]
    assert [one.reason for one in told if one] == [
        "its backup runs on pve1",
        "a backup of several guests, perhaps of this one, runs on pve1",
        "a new guest is being made or started on pve1: vzclone 9000",
        "somebody else's task is at work on it: vzmigrate",
        "backup job nightly is due at 2026-11-27 03:01 UTC, before it is done",
    ]


def test_all_is_waited_for_unless_policy_says_otherwise() -> None:
    assert {InterlockRules().answer(subject) for subject in Subject} == {"wait"}


@pytest.mark.parametrize("answer", get_args(Answer))
def test_each_thing_has_a_rule_of_its_own_but_work_on_the_guest_is_always_waited_for(answer: Answer) -> None:
    jobs = (replace(JOB, takes_all=True),)
    found = [
        conflict(("vzdump", None), backup=answer),
        conflict(jobs=jobs, backup_due=answer),
        conflict(("vzclone", TEMPLATE), provisioning=answer),
    ]
    assert [one.answer if one else "ignore" for one in found] == [answer] * 3
    everything = {"backup": answer, "backup_due": answer, "provisioning": answer}
    work = conflict(("vzmigrate", GUEST), **everything)
    assert work and work.answer == "wait"


def test_of_several_the_gravest_answer_counts() -> None:
    tasks = (("vzdump", None), ("vzclone", TEMPLATE))
    found = [
        conflict(*tasks, backup="wait", provisioning="refuse"),
        conflict(*tasks, backup="skip", provisioning="wait"),
        conflict(*tasks, backup="ignore", provisioning="wait"),
        conflict(*tasks, backup="ignore", provisioning="ignore"),
    ]
    assert [one.answer if one else None for one in found] == ["refuse", "skip", "wait", None]
