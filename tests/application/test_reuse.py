"""Proxmox gives the lowest free name again: what is called like a root of ours may be a customer's data by now."""

from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.simulation.volume import GIB

GUESTS = 3
NIGHT = {"name": "night", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 120}
DATED = ("dir", "btrfs", "lvmthin")
UNDATED = ("zfspool", "rbd")


def _staged_by_day(storage: str = "dir") -> tuple[Bench, Plan]:
    """What is staged at 02:00 waits for its window at 04:00."""
    bench = Bench(make_policy([NIGHT]), storage=storage).furnish(GUESTS)
    bench.deadline += timedelta(days=2)
    bench.clock.sleep(timedelta(hours=22))
    return bench, bench.submit("2")


def _is_there(bench: Bench, vmid: int, volid: str) -> bool:
    return bench.datacentre.volume(bench.datacentre.containers[vmid].node, volid) is not None


@pytest.mark.parametrize("storage", DATED)
def test_a_volume_that_got_the_name_of_the_old_root_is_left_alone_and_the_guest_is_settled(storage: str) -> None:
    bench = Bench(storage=storage).furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    data = bench.reuse_name(5001, "unused0")
    progress = bench.tend(plan, timedelta(hours=27))
    assert _is_there(bench, 5001, data)
    assert progress.count(TargetState.SETTLED) == GUESTS
    assert f"{data} was left alone" in progress.of(5001).reason
    assert "its storage dated it" in progress.of(5001).reason
    assert not progress.is_soaking
    assert not [one for one in bench.datacentre.containers[5001].config.tags if "root" in one]


@pytest.mark.parametrize("storage", UNDATED)
def test_where_a_storage_tells_no_dates_another_size_or_another_slot_gives_the_stranger_away(storage: str) -> None:
    bench = Bench(storage=storage).furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    larger = bench.reuse_name(5001, "unused0", size=2 * GIB)
    elsewhere = bench.reuse_name(5003, "unused0")
    bench.datacentre.edit_config(5003, unused0="", unused7=elsewhere)
    progress = bench.tend(plan, timedelta(hours=27))
    assert _is_there(bench, 5001, larger)
    assert "it had 1024 MiB and has 2048 MiB" in progress.of(5001).reason
    assert _is_there(bench, 5003, elsewhere)
    assert "it was in unused0 and is in unused7" in progress.of(5003).reason
    assert progress.count(TargetState.SETTLED) == GUESTS


@pytest.mark.parametrize("storage", (*DATED, *UNDATED))
def test_an_old_root_that_nobody_touched_is_freed_on_every_kind_of_storage(storage: str) -> None:
    bench = Bench(storage=storage).furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    for vmid in (5001, 5002, 5003):
        bench.datacentre.restart_inside(vmid)
    progress = bench.tend(plan, timedelta(hours=27))
    assert progress.count(TargetState.SETTLED) == GUESTS
    assert not [row.reason for row in progress.targets if row.reason]
    bench.assert_clean(plan)


def test_a_volume_in_use_that_is_called_like_the_old_root_is_left_alone_and_the_guest_is_settled() -> None:
    bench = Bench().furnish(GUESTS)
    plan = bench.submit("2")
    bench.work(plan)
    old = bench.datacentre.containers[5001].values["unused0"]
    bench.datacentre.edit_config(5001, unused0="", mp3=f"{old},mp=/old,size=1G")
    progress = bench.tend(plan, timedelta(hours=27))
    assert progress.of(5001).state is TargetState.SETTLED
    assert "it was in unused0 and is in mp3" in progress.of(5001).reason
    assert _is_there(bench, 5001, old)


def test_what_was_left_alone_stands_in_the_ledger() -> None:
    bench = Bench().furnish(1)
    plan = bench.submit("2")
    bench.work(plan)
    data = bench.reuse_name(5001, "unused0")
    bench.tend(plan, timedelta(hours=27))
    outcome = bench.entries(Kind.DONE, "settle.free", 5001)
    assert [data in str(entry.data["left"]) for entry in outcome] == [True]


@pytest.mark.parametrize("storage", DATED)
def test_a_guest_is_never_given_a_volume_that_is_only_called_like_its_staged_root(storage: str) -> None:
    bench, plan = _staged_by_day(storage)
    found: list[str] = []
    bench.later(timedelta(hours=1), lambda: found.append(bench.reuse_name(5001, "unused0")))
    progress = bench.work(plan)
    assert progress.of(5001).state is TargetState.SKIPPED
    assert "is not what was staged" in progress.of(5001).reason
    assert f"{found[0]} was left alone" in progress.of(5001).reason
    assert _is_there(bench, 5001, found[0])
    assert bench.runs(5001) == "1"
    assert bench.executed("reboot").get(("reboot", 5001)) is None
    assert progress.count(TargetState.HEALTHY) == GUESTS - 1


def test_what_is_only_called_like_a_staged_root_stays_when_the_rollout_is_aborted_before_its_turn() -> None:
    bench, plan = _staged_by_day()
    found: list[str] = []
    bench.later(timedelta(hours=1), lambda: found.append(bench.reuse_name(5001, "unused0")))
    bench.later(timedelta(minutes=90), bench.order("abort", "another time"))
    progress = bench.work(plan)
    assert progress.state is RolloutState.ABORTED
    assert _is_there(bench, 5001, found[0])
    assert f"{found[0]} was left alone" in progress.of(5001).reason
    assert progress.of(5002).reason == "the rollout ended before its turn: another time"


def test_a_guest_whose_staged_root_was_removed_is_skipped_before_its_exchange_and_fails_no_version() -> None:
    bench, plan = _staged_by_day()
    bench.later(timedelta(hours=1), lambda: bench.datacentre.edit_config(5001, unused0=""))
    progress = bench.work(plan)
    assert progress.of(5001).state is TargetState.SKIPPED
    assert "it is not there any more" in progress.of(5001).reason
    assert progress.failures == 0
    assert progress.state is RolloutState.SUCCEEDED


def test_a_guest_whose_root_somebody_exchanged_after_staging_keeps_the_one_that_it_has() -> None:
    bench, plan = _staged_by_day()

    def restore() -> None:
        container = bench.datacentre.containers[5001]
        old = bench.datacentre.volume(container.node, container.config.rootfs.volume)
        assert old is not None
        new = bench.datacentre.store(container.node, "local").copy(old, 5001, bench.datacentre.now)
        bench.datacentre.edit_config(5001, rootfs=container.config.rootfs.holding(new.volid, "1G").render())
        bench.datacentre.store(container.node, "local").release(old.volid)
        container.running_root = new.volid

    bench.later(timedelta(hours=1), restore)
    progress = bench.work(plan)
    assert progress.of(5001).state is TargetState.SKIPPED
    assert "when its new one was staged" in progress.of(5001).reason
    bench.assert_clean(plan)


@pytest.mark.parametrize("storage", DATED)
def test_a_guest_does_not_go_back_to_a_volume_that_is_only_called_like_its_old_root(storage: str) -> None:
    bench = Bench(storage=storage).furnish(1)
    plan = bench.submit("2")
    bench.work(plan)
    data = bench.reuse_name(5001, "unused0")
    bench.order("revert", "bad")()
    progress = bench.work(plan)
    assert progress.of(5001).state is TargetState.STUCK
    assert f"{data} is not what was put aside" in progress.of(5001).reason
    assert bench.runs(5001) == "2"
    assert _is_there(bench, 5001, data)


def test_what_got_the_name_of_a_new_root_while_a_lock_kept_that_from_being_freed_stays() -> None:
    bench = Bench(make_policy(lock_wait="1m")).furnish(1)
    plan = bench.submit("2")
    bench.work(plan)
    bench.datacentre.faults.afterwards("reboot", lambda: bench.datacentre.lock(5001, "backup", timedelta(hours=1)))
    bench.order("revert", "bad")()
    assert bench.work(plan).of(5001).owes
    bench.datacentre.unlock(5001)
    data = bench.reuse_name(5001, "unused0")
    progress = bench.tend(plan, timedelta(hours=2))
    assert progress.of(5001).state is TargetState.REVERTED
    assert not progress.of(5001).owes
    assert f"{data} was left alone" in progress.of(5001).reason
    assert _is_there(bench, 5001, data)
