"""What a worker does beside its rollouts."""

from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.application.controller_lock import ControllerLock, find_claims
from zlh_hooks.application.worker import Heartbeat, HeldLease, Worker
from zlh_hooks.domain.errors import LeaseLost, NotAllowed

LEASE = timedelta(seconds=60)


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
