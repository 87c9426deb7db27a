"""The worker: what it takes up, when it ends, and that it controls the cluster only while it may execute."""

from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.application.controller_lock import ControllerLock, find_claims
from zlh_hooks.application.worker import Heartbeat, HeldLease, Worker
from zlh_hooks.domain.errors import GuestLocked, LeaseLost, NotAllowed
from zlh_hooks.domain.steps import RolloutState

LEASE = timedelta(seconds=60)


def open_worker(bench: Bench) -> Worker:
    """One whose appends end with its lease."""
    held = bench.ledger.lease.take("me", LEASE)
    bench.ledger = bench.ledger.fenced(held)
    lock = ControllerLock(bench.datacentre.cluster, bench.clock, "me-ab12")
    heartbeat = Heartbeat(HeldLease(bench.ledger.lease, held, LEASE, bench.clock), lock, bench.clock)
    engine = bench.engine()
    return Worker(bench.ledger, bench.clock, heartbeat, engine.open_rollout, engine.open_soak)


def test_a_worker_with_nothing_to_do_ends() -> None:
    open_worker(Bench().furnish(1)).run(stays=False)


def test_a_worker_carries_out_what_was_ordered_and_gives_the_cluster_back() -> None:
    bench = Bench().furnish(2)
    worker = open_worker(bench)
    plan = bench.submit("3")
    claimed: list[str] = []
    bench.datacentre.faults.meanwhile(
        "reboot", lambda: claimed.extend(claim.holder for claim in find_claims(bench.datacentre.list_guests()))
    )
    worker.run(stays=False)
    assert bench.progress(plan).state is RolloutState.REVERTED
    assert claimed == ["me-ab12"]
    assert find_claims(bench.datacentre.list_guests()) == ()
    bench.assert_clean(plan)


def test_a_worker_does_nothing_while_another_controller_has_the_cluster() -> None:
    bench = Bench().furnish(2)
    worker = open_worker(bench)
    ControllerLock(bench.datacentre.cluster, bench.clock, "other-cd34").take()
    bench.submit("2")
    with pytest.raises(NotAllowed, match="other-cd34"):
        worker.run(stays=False)
    assert not bench.executed("clone")


def test_a_worker_takes_up_an_order_to_go_back_while_it_tends_the_soak() -> None:
    bench = Bench().furnish(2)
    worker = open_worker(bench)
    plan = bench.submit("2")
    bench.later(timedelta(minutes=10), bench.order("revert"))
    worker.run(stays=False)
    assert bench.progress(plan).state is RolloutState.REVERTED
    bench.assert_clean(plan)


def test_a_worker_whose_lease_was_taken_over_stops_at_once() -> None:
    bench = Bench().furnish(2)
    worker = open_worker(bench)
    bench.submit("2")

    def take_over() -> None:
        bench.clock.advance(LEASE * 2)
        bench.ledger.lease.take("successor", LEASE)

    bench.datacentre.faults.meanwhile("move_volume", take_over)
    with pytest.raises(LeaseLost):
        worker.run(stays=False)
    assert len(bench.executed("move_volume")) == 1


def make_worker(bench: Bench) -> tuple[Worker, ControllerLock]:
    lock = ControllerLock(bench.datacentre.cluster, bench.clock, "here")
    held = HeldLease(bench.ledger.lease, bench.ledger.lease.take("here", LEASE), LEASE, bench.clock)
    engine, heartbeat = bench.engine(), Heartbeat(held, lock, bench.clock)
    return Worker(bench.ledger, bench.clock, heartbeat, engine.open_rollout, engine.open_soak), lock


def test_a_claim_that_a_dead_worker_left_goes_with_the_next_worker_even_if_no_rollout_runs() -> None:
    bench = Bench().furnish()
    worker, lock = make_worker(bench)
    lock.take()
    worker.run(stays=False)
    assert not find_claims(bench.datacentre.list_guests())


def test_the_claim_of_another_controller_stays() -> None:
    bench = Bench().furnish()
    worker, lock = make_worker(bench)
    ControllerLock(bench.datacentre.cluster, bench.clock, "elsewhere").take()
    worker.run(stays=False)
    with pytest.raises(NotAllowed, match="elsewhere"):
        lock.take()


def test_a_worker_that_was_stopped_until_another_took_over_may_send_nothing() -> None:
    bench = Bench().furnish()
    worker, _ = make_worker(bench)
    bench.clock.sleep(LEASE)
    bench.ledger.lease.take("next", LEASE)
    with pytest.raises(LeaseLost):
        worker.heartbeat.assure()


def test_a_worker_that_was_stopped_for_a_while_may_go_on_if_nobody_took_over_and_then_nobody_can() -> None:
    bench = Bench().furnish()
    worker, _ = make_worker(bench)
    bench.clock.sleep(LEASE * 2)
    worker.heartbeat.assure()
    with pytest.raises(NotAllowed, match="here"):
        bench.ledger.lease.take("next", LEASE)


def test_a_controller_that_slept_through_its_claim_may_send_nothing_once_another_one_has_it() -> None:
    bench = Bench().furnish()
    worker, lock = make_worker(bench)
    worker.heartbeat.control()
    bench.clock.sleep(lock.length)
    ControllerLock(bench.datacentre.cluster, bench.clock, "elsewhere").take()
    with pytest.raises(NotAllowed, match="elsewhere"):
        worker.heartbeat.assure()


def test_a_worker_whose_claim_could_not_be_extended_sends_nothing_once_it_is_about_to_end() -> None:
    """Its template was cloned for so long that another controller may take the claim before an answer is here."""
    bench = Bench().furnish()
    worker, lock = make_worker(bench)
    bench.clock.sleep(timedelta(seconds=30))
    lock.take()
    bench.clock.sleep(timedelta(minutes=6))
    bench.datacentre.edit_config(8001, lock="disk")
    worker.heartbeat.control()
    bench.clock.sleep(timedelta(minutes=2))
    worker.heartbeat.assure()
    bench.clock.sleep(timedelta(minutes=1))
    with pytest.raises(GuestLocked, match="8001"):
        worker.heartbeat.assure()
