"""A rollout that guests follow by themselves pauses when nobody becomes healthy for too long."""

from pathlib import Path

import pytest

from tests.application.agent_rollout_bench import AgentBench, make_agent_policy
from tests.application.patch_rollout_bench import FELT, PatchBench
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState

GUESTS = 6
"""A canary, and waves of one guest; each may take 16 minutes: 15, and a healthy_deadline of one."""


def make_patient_policy(windows: object = None) -> Policy:
    rules: dict[str, object] = {"waves": [1], "max_errors": 99, "progress_deadline": "30m"}
    return make_agent_policy(**rules) if windows is None else make_agent_policy(windows, **rules)


def open_waiting(home: Path, *waits: int) -> PatchBench:
    """These guests wait for their players' sake; the others bring it at once."""
    bench = PatchBench(home, guests=GUESTS, policy=make_patient_policy())
    for vmid in waits:
        bench.guests[vmid].outcome = FELT
    return bench


def test_when_nobody_becomes_healthy_for_too_long_no_further_wave_is_shown_unasked(tmp_path: Path) -> None:
    bench = open_waiting(tmp_path, *range(5002, 5001 + GUESTS))
    plan = bench.submit_patches()
    bench.answers = [bench.order("abort")]
    assert bench.work(plan).state is RolloutState.ABORTED
    assert bench.list_pauses(plan) == ["no guest became healthy within 46m: resume goes on, abort ends it"]
    assert bench.series.shown == ["wave-0", "wave-1", "wave-2", "wave-3"]


def test_a_person_who_resumes_gives_them_as_long_again(tmp_path: Path) -> None:
    bench = open_waiting(tmp_path, *range(5002, 5001 + GUESTS))
    plan = bench.submit_patches()
    bench.answers = [bench.order("resume")]
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert len(bench.list_pauses(plan)) == 1


@pytest.mark.parametrize("waits", [(5006,), (5002, 5003, 5005, 5006)])
def test_guests_that_wait_hold_up_nobody_while_others_become_healthy(tmp_path: Path, waits: tuple[int, ...]) -> None:
    bench = open_waiting(tmp_path, *waits)
    plan = bench.submit_patches()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.list_pauses(plan) == []


def test_to_wait_for_a_window_is_no_standstill(tmp_path: Path) -> None:
    windows = [
        {"name": f"at-{hour}", "rule": "FREQ=DAILY", "start": f"{hour}:00", "length_minutes": 20}
        for hour in ("04", "05", "06", "07", "08")
    ]
    bench = AgentBench(tmp_path, guests=4, policy=make_patient_policy(windows))
    plan = bench.submit()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.list_pauses(plan) == []
