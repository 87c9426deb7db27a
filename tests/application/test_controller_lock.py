"""One controller per cluster, by a tag on a template."""

from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.application.controller_lock import ControllerLock, find_claims
from zlh_hooks.application.ports import CloneOrder
from zlh_hooks.domain.errors import NotAllowed


def _lock(bench: Bench, holder: str) -> ControllerLock:
    return ControllerLock(bench.datacentre.cluster, bench.clock, holder)


def test_a_second_controller_is_refused_and_told_who_holds_the_cluster_and_until_when() -> None:
    bench = Bench().furnish(1)
    _lock(bench, "one-ab12").take()
    with pytest.raises(NotAllowed, match="one-ab12") as refusal:
        _lock(bench, "two-cd34").take()
    assert refusal.value.until is not None
    assert timedelta(minutes=9) <= refusal.value.until - bench.clock.now() <= timedelta(minutes=10)


def test_the_holder_extends_its_own_claim() -> None:
    bench = Bench().furnish(1)
    lock = _lock(bench, "one-ab12")
    lock.take()
    bench.clock.sleep(timedelta(minutes=8))
    lock.take()
    bench.clock.sleep(timedelta(minutes=8))
    with pytest.raises(NotAllowed):
        _lock(bench, "two-cd34").take()


def test_an_expired_claim_is_taken_over() -> None:
    bench = Bench().furnish(1)
    _lock(bench, "one-ab12").take()
    bench.clock.sleep(timedelta(minutes=11))
    _lock(bench, "two-cd34").take()
    assert [claim.holder for claim in find_claims(bench.datacentre.list_guests())] == ["two-cd34"]


def test_a_claim_that_was_given_back_leaves_nothing() -> None:
    bench = Bench().furnish(1)
    tags = bench.datacentre.containers[8001].values["tags"]
    lock = _lock(bench, "one-ab12")
    lock.take()
    lock.release()
    assert bench.datacentre.containers[8001].values["tags"] == tags


def test_two_who_claim_in_the_same_moment_do_not_both_get_it() -> None:
    bench = Bench().furnish(1)
    bench.datacentre.faults.meanwhile("write_config", _lock(bench, "two-cd34").take)
    with pytest.raises(NotAllowed, match="two-cd34"):
        _lock(bench, "one-ab12").take()


def test_a_claim_waits_while_its_template_is_cloned_and_a_clone_carries_no_claim() -> None:
    bench = Bench().furnish(1)
    lock = _lock(bench, "one-ab12")
    lock.take()
    bench.datacentre.clone(bench.datacentre.ref(8001), CloneOrder(5900, "local", "fresh", "born"))
    lock.take()
    bench.clock.sleep(timedelta(minutes=1))
    bench.datacentre.settle()
    assert any(one.startswith("zlh-lease.") for one in bench.datacentre.containers[5900].config.tags)
    assert [claim.place.vmid for claim in find_claims(bench.datacentre.list_guests())] == [8001]
