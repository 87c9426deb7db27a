"""The world's fault points: what a test orders to go wrong goes wrong there, then, and nowhere else."""

from datetime import timedelta

import pytest

from tests.contracts.bench import GUEST, MINUTE, NODE, OTHER, SCRATCH, STORAGE, TEMPLATE, MemoryBench, exchange, stage
from tests.datacentre import Crash, Datacentre, MemoryLedger, assert_no_leftovers
from zlh_hooks.application.ports import CloneOrder
from zlh_hooks.domain.entry import GENESIS, Draft, Kind, chain_digest
from zlh_hooks.domain.errors import GuestLocked, LeaseLost, NotAllowed, RoadError, Unanswered
from zlh_hooks.domain.evidence import Verdict
from zlh_hooks.domain.probe import TcpProbe

ORDER = CloneOrder(SCRATCH.vmid, STORAGE, "scratch", "")
DRAFT = Draft(Kind.INTENT, "clone", "r1", 5001, {"volume": "x"})


@pytest.fixture
def bench() -> MemoryBench:
    return MemoryBench()


@pytest.fixture
def world(bench: MemoryBench) -> Datacentre:
    return bench.world


def write_tag(world: Datacentre, tag: str) -> None:
    world.write_config(GUEST, {"tags": tag}, None)


def test_who_dies_before_a_call_has_not_made_it(world: Datacentre) -> None:
    world.faults.die_before("clone")
    with pytest.raises(Crash):
        world.clone(TEMPLATE, ORDER)
    assert SCRATCH.vmid not in world.containers
    assert world.faults.executed["clone", TEMPLATE.vmid] == 0


def test_who_dies_after_a_call_has_made_it(world: Datacentre) -> None:
    world.faults.die_after("clone")
    with pytest.raises(Crash):
        world.clone(TEMPLATE, ORDER)
    assert SCRATCH.vmid in world.containers
    assert world.faults.executed["clone", TEMPLATE.vmid] == 1


def test_the_dead_change_nothing_more_until_the_next_process_starts(world: Datacentre) -> None:
    world.faults.die_before("clone")
    with pytest.raises(Crash):
        world.clone(TEMPLATE, ORDER)
    with pytest.raises(Crash):
        write_tag(world, "cleaned-up")
    world.faults.restart()
    write_tag(world, "alive")
    assert world.read_config(GUEST).tags == ("alive",)


def test_no_handler_of_errors_survives_a_crash() -> None:
    assert not issubclass(Crash, Exception)


def test_a_lost_answer_was_carried_out(world: Datacentre) -> None:
    world.faults.lose_answer("write_config")
    with pytest.raises(Unanswered):
        write_tag(world, "stored")
    assert world.read_config(GUEST).tags == ("stored",)


def test_a_late_request_is_carried_out_when_nobody_waits_any_more(bench: MemoryBench, world: Datacentre) -> None:
    world.faults.arrive_late("write_config", timedelta(seconds=5))
    with pytest.raises(Unanswered):
        write_tag(world, "late")
    bench.clock.sleep(timedelta(seconds=4.9))
    assert "late" not in world.read_config(GUEST).tags
    bench.clock.sleep(timedelta(seconds=0.1))
    assert world.read_config(GUEST).tags == ("late",)
    assert world.faults.executed["write_config", GUEST.vmid] == 1


def test_a_late_request_with_a_stale_digest_changes_nothing(bench: MemoryBench, world: Datacentre) -> None:
    world.faults.arrive_late("write_config", timedelta(seconds=5))
    with pytest.raises(Unanswered):
        world.write_config(GUEST, {"tags": "late"}, world.read_config(GUEST).digest)
    write_tag(world, "other")
    bench.clock.sleep(timedelta(seconds=5))
    assert world.read_config(GUEST).tags == ("other",)
    assert world.faults.executed["write_config", GUEST.vmid] == 1


def test_what_a_dead_process_had_sent_still_arrives(bench: MemoryBench, world: Datacentre) -> None:
    world.faults.arrive_late("clone", timedelta(seconds=5), dying=True)
    with pytest.raises(Crash):
        world.clone(TEMPLATE, ORDER)
    world.faults.restart()
    bench.clock.sleep(timedelta(seconds=8))
    assert world.read_config(SCRATCH).rootfs.volume


def test_a_request_that_was_reset_was_not_carried_out(world: Datacentre) -> None:
    before = world.read_config(GUEST)
    world.faults.reset_before("write_config")
    with pytest.raises(Unanswered):
        write_tag(world, "lost")
    assert world.read_config(GUEST) == before


def test_a_refusal_comes_as_often_as_ordered_and_then_no_more(world: Datacentre) -> None:
    world.faults.refuse("write_config", GuestLocked("CT is locked (backup)", "backup"), nth=2, times=2)
    write_tag(world, "one")
    for _ in range(2):
        with pytest.raises(GuestLocked):
            write_tag(world, "refused")
    write_tag(world, "four")
    assert world.faults.executed["write_config", GUEST.vmid] == 2
    assert world.faults.calls("write_config") == 4


def test_a_fault_for_one_guest_spares_the_others(world: Datacentre) -> None:
    world.faults.refuse("write_config", RoadError("broken"), vmid=OTHER.vmid)
    write_tag(world, "spared")
    with pytest.raises(RoadError):
        world.write_config(OTHER, {"tags": "x"}, None)


def test_a_fault_at_the_nth_change_counts_changes_of_all_kinds_and_no_reads(world: Datacentre) -> None:
    world.faults.die_before(None, nth=3)
    write_tag(world, "one")
    world.read_config(GUEST)
    world.start(OTHER)
    with pytest.raises(Crash):
        world.reboot(GUEST, MINUTE)


def test_an_exchange_is_told_from_other_config_writes(bench: MemoryBench, world: Datacentre) -> None:
    new = stage(bench, GUEST)
    world.faults.die_after("exchange", vmid=GUEST.vmid)
    write_tag(world, "no-exchange")
    with pytest.raises(Crash):
        exchange(bench, GUEST, new)
    assert world.faults.executed["exchange", GUEST.vmid] == 1


def test_a_moved_volume_counts_for_the_guest_that_receives_it(bench: MemoryBench, world: Datacentre) -> None:
    stage(bench, GUEST)
    assert world.faults.executed["move_volume", GUEST.vmid] == 1


def test_a_slow_call_lets_time_pass_before_it_is_carried_out(bench: MemoryBench, world: Datacentre) -> None:
    world.at(timedelta(seconds=30), lambda: world.power_off(GUEST.vmid))
    world.faults.slow("read_power", MINUTE)
    assert not world.read_power(GUEST).running


def test_something_may_happen_just_before_a_call(world: Datacentre) -> None:
    world.faults.meanwhile("write_config", lambda: world.lock(GUEST.vmid, "backup"))
    with pytest.raises(GuestLocked):
        write_tag(world, "late")


def test_something_may_happen_between_the_deed_and_its_answer(world: Datacentre) -> None:
    world.faults.afterwards("write_config", lambda: world.edit_config(GUEST.vmid, tags="overwritten"))
    write_tag(world, "first")
    assert world.read_config(GUEST).tags == ("overwritten",)


def test_a_task_ordered_to_fail_ends_with_that_error_and_without_its_effect(
    bench: MemoryBench, world: Datacentre
) -> None:
    world.faults.fail_task("clone", "copy failed: input/output error")
    assert bench.wait(world.clone(TEMPLATE, ORDER)).exit_status == "copy failed: input/output error"
    assert world.read_config(TEMPLATE).lock is None
    assert_no_leftovers(world)


def test_a_reboot_ordered_to_fail_leaves_the_guest_running(bench: MemoryBench, world: Datacentre) -> None:
    world.faults.fail_task("reboot", "some error")
    assert not bench.wait(world.reboot(GUEST, MINUTE)).ok
    assert world.read_power(GUEST).uptime_seconds > 60
    assert bench.wait(world.reboot(GUEST, MINUTE)).ok


def test_a_task_that_fails_halfway_has_done_its_first_part(bench: MemoryBench, world: Datacentre) -> None:
    world.faults.fail_task("reboot", "startup failed", part=2)
    result = bench.wait(world.reboot(GUEST, MINUTE))
    assert (result.ok, result.exit_status) == (False, "startup failed")
    assert not world.read_power(GUEST).running


def test_a_token_that_is_refused_reads_nothing_until_it_is_accepted_again(
    bench: MemoryBench, world: Datacentre
) -> None:
    world.refuse_token(MINUTE)
    with pytest.raises(RoadError, match="401"):
        world.read_config(GUEST)
    bench.clock.sleep(MINUTE)
    assert world.read_config(GUEST).ref == GUEST


def test_a_task_with_warnings_did_its_work_and_counts_as_well_ended(bench: MemoryBench, world: Datacentre) -> None:
    world.faults.warn_task("clone")
    result = bench.wait(world.clone(TEMPLATE, ORDER))
    assert (result.ok, result.exit_status) == (True, "WARNINGS: 1")
    assert world.read_config(SCRATCH).rootfs.volume


def test_a_task_ordered_to_be_slow_takes_that_much_longer(bench: MemoryBench, world: Datacentre) -> None:
    world.faults.slow_task("start", timedelta(minutes=3))
    begun = bench.clock.now()
    assert bench.wait(world.start(OTHER)).ok
    assert bench.clock.now() - begun >= timedelta(minutes=3)


def test_an_error_on_the_way_to_a_probe_is_a_measurement_too(world: Datacentre) -> None:
    world.faults.refuse("measure", RoadError("no route to Prometheus"))
    measured = world.measure(TcpProbe(kind="tcp", port=80), GUEST, world.read_address(GUEST))
    assert (measured.verdict, measured.detail) == (Verdict.ERROR, "no route to Prometheus")


# ledger and lease


def test_the_ledger_in_memory_chains_its_entries_as_the_real_one_does(bench: MemoryBench) -> None:
    ledger = MemoryLedger(bench.clock)
    first, second = ledger.append(DRAFT), ledger.append(DRAFT)
    assert (first.sequence, first.previous, second.previous) == (1, GENESIS, first.digest)
    assert second.digest == chain_digest(2, bench.clock.now(), DRAFT, first.digest)


def test_the_ledger_is_read_by_rollout_and_from_a_place_on(bench: MemoryBench) -> None:
    ledger = MemoryLedger(bench.clock)
    for rollout in ("r1", "r2", "r1"):
        ledger.append(Draft(Kind.NOTE, "x", rollout))
    assert [entry.sequence for entry in ledger.read("r1")] == [1, 3]
    assert [entry.sequence for entry in ledger.read(after=1)] == [2, 3]
    assert [entry.sequence for entry in ledger.read("r1", after=1)] == [3]


def test_the_ledger_takes_json_only(bench: MemoryBench) -> None:
    with pytest.raises(TypeError):
        MemoryLedger(bench.clock).append(Draft(Kind.NOTE, "x", data={"at": bench.clock.now()}))


def test_who_dies_after_an_entry_has_recorded_it(bench: MemoryBench, world: Datacentre) -> None:
    ledger = MemoryLedger(bench.clock, world.faults)
    world.faults.die_after("append", nth=2)
    ledger.append(DRAFT)
    with pytest.raises(Crash):
        ledger.append(DRAFT)
    assert len(ledger.read()) == 2


def test_a_lease_is_refused_while_another_holds_it_and_free_when_it_has_expired(bench: MemoryBench) -> None:
    ledger = MemoryLedger(bench.clock)
    first = ledger.lease.take("one", MINUTE)
    with pytest.raises(NotAllowed) as refused:
        ledger.lease.take("two", MINUTE)
    assert refused.value.until == first.until
    bench.clock.sleep(MINUTE)
    assert ledger.lease.take("two", MINUTE).number == first.number + 1


def test_a_worker_whose_lease_was_taken_over_records_nothing_more(bench: MemoryBench) -> None:
    ledger = MemoryLedger(bench.clock)
    lease = ledger.lease.take("one", MINUTE)
    worker = ledger.fenced(lease)
    worker.append(DRAFT)
    bench.clock.sleep(MINUTE)
    worker.append(DRAFT)
    ledger.lease.take("two", MINUTE)
    with pytest.raises(LeaseLost):
        worker.append(DRAFT)
    with pytest.raises(LeaseLost):
        ledger.lease.renew(lease, MINUTE)
    assert len(ledger.read()) == 2


def test_the_dead_keep_their_lease_until_it_expires(bench: MemoryBench, world: Datacentre) -> None:
    ledger = MemoryLedger(bench.clock, world.faults)
    lease = ledger.lease.take("one", MINUTE)
    world.faults.die_before("append")
    with pytest.raises(Crash):
        ledger.append(DRAFT)
    with pytest.raises(Crash):
        ledger.lease.release(lease)
    assert ledger.lease.read() == lease


def test_a_lease_given_back_is_free_at_once(bench: MemoryBench) -> None:
    ledger = MemoryLedger(bench.clock)
    ledger.lease.release(ledger.lease.take("one", MINUTE))
    assert ledger.lease.read() is None
    assert ledger.lease.take("two", MINUTE).number == 2


def test_a_node_lists_nothing_of_a_storage_on_another(world: Datacentre) -> None:
    world.add_node("n2")
    world.add_storage(STORAGE, "n2")
    assert world.list_volumes("n2", STORAGE, GUEST.vmid) == ()
    assert world.list_volumes(NODE, STORAGE, GUEST.vmid)
