"""One controller per cluster, by a tag on a template."""

from contextlib import suppress
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.application.controller_lock import ControllerLock, find_claims
from zlh_hooks.application.ports import CloneOrder
from zlh_hooks.domain.errors import GuestLocked, NotAllowed

MINUTE = timedelta(minutes=1)


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


def test_giving_it_back_leaves_the_claim_of_another_who_took_it_over_in_that_moment() -> None:
    bench = Bench().furnish(1)
    lock = _lock(bench, "one-ab12")
    lock.take()
    bench.clock.sleep(11 * MINUTE)
    bench.datacentre.faults.meanwhile("read_config", _lock(bench, "two-cd34").take)
    lock.release()
    assert [claim.holder for claim in find_claims(bench.datacentre.list_guests())] == ["two-cd34"]


def test_two_who_claim_in_the_same_moment_do_not_both_get_it() -> None:
    bench = Bench().furnish(1)
    bench.datacentre.faults.meanwhile("write_config", _lock(bench, "two-cd34").take)
    with pytest.raises(NotAllowed, match="two-cd34"):
        _lock(bench, "one-ab12").take()


def _clone(bench: Bench, length: timedelta) -> None:
    """Somebody clones the claim's template, which is locked meanwhile."""
    bench.datacentre.faults.slow_task("clone", length)
    bench.datacentre.clone(bench.datacentre.ref(8001), CloneOrder(5900, "local", "fresh", "born"))


def _seconds_to_take(bench: Bench, lock: ControllerLock) -> float:
    before = bench.clock.monotonic()
    lock.take()
    return bench.clock.monotonic() - before


def test_a_claim_is_found_on_its_template_alone_while_that_is_cloned_and_after() -> None:
    bench = Bench().furnish(1)
    _lock(bench, "one-ab12").take()
    _clone(bench, MINUTE)
    bench.clock.sleep(3 * MINUTE)
    bench.datacentre.settle()
    assert any(one.startswith("zlh-lease.") for one in bench.datacentre.containers[5900].config.tags)
    assert [claim.place.vmid for claim in find_claims(bench.datacentre.list_guests())] == [8001]


def test_a_worker_that_starts_again_while_the_template_is_cloned_goes_on_at_once_with_the_claim_that_stands() -> None:
    bench = Bench().furnish(1)
    stands = _lock(bench, "one-ab12").take()
    bench.clock.sleep(2 * MINUTE)
    _clone(bench, 5 * MINUTE)
    began = bench.clock.monotonic()
    assert _lock(bench, "one-ab12").take() == stands
    assert bench.clock.monotonic() == began


def test_what_is_said_of_a_claim_is_what_its_tag_says() -> None:
    bench = Bench().furnish(1)
    bench.clock.sleep(timedelta(seconds=42))
    until = _lock(bench, "one-ab12").take()
    assert [claim.until for claim in find_claims(bench.datacentre.list_guests())] == [until]


def test_who_has_no_claim_yet_waits_while_the_template_is_cloned() -> None:
    bench = Bench().furnish(1)
    _clone(bench, MINUTE)
    assert _seconds_to_take(bench, _lock(bench, "one-ab12")) >= MINUTE.total_seconds()


@pytest.mark.parametrize("age", [timedelta(minutes=9, seconds=1), timedelta(minutes=11)])
def test_a_claim_that_has_run_out_or_is_about_to_is_not_kept(age: timedelta) -> None:
    bench = Bench().furnish(1)
    _lock(bench, "one-ab12").take()
    bench.clock.sleep(age)
    _clone(bench, MINUTE)
    assert _seconds_to_take(bench, _lock(bench, "one-ab12")) >= MINUTE.total_seconds()


def test_the_claim_of_another_is_never_kept_nor_waited_for_while_its_template_is_cloned() -> None:
    bench = Bench().furnish(1)
    _lock(bench, "two-cd34").take()
    _clone(bench, 5 * MINUTE)
    with pytest.raises(NotAllowed, match="two-cd34"):
        _lock(bench, "one-ab12").take()


def test_a_claim_that_another_took_over_is_not_kept_though_the_listing_shows_ours() -> None:
    """Ours ran out; another took it and somebody cloned its template, all between our listing and our look."""
    bench = Bench().furnish(1)
    _lock(bench, "one-ab12").take()
    bench.clock.sleep(11 * MINUTE)

    def take_over() -> None:
        _lock(bench, "two-cd34").take()
        _clone(bench, 5 * MINUTE)

    bench.datacentre.faults.meanwhile("read_config", take_over)
    with pytest.raises(NotAllowed, match="two-cd34"):
        _lock(bench, "one-ab12").take()


def test_of_two_who_wait_for_a_template_that_is_cloned_one_gets_the_claim() -> None:
    bench = Bench().furnish(1)
    _lock(bench, "one-ab12").take()
    bench.clock.sleep(timedelta(minutes=9, seconds=30))
    _clone(bench, MINUTE)
    bench.datacentre.faults.meanwhile("write_config", _lock(bench, "two-cd34").take, nth=40)
    with pytest.raises(NotAllowed, match="two-cd34"):
        _lock(bench, "one-ab12").take()
    assert [claim.holder for claim in find_claims(bench.datacentre.list_guests())] == ["two-cd34"]


@pytest.mark.parametrize("cloning", range(0, 24 * 60, 97))
def test_two_controllers_never_both_hold_it_whenever_its_template_is_cloned(cloning: int) -> None:
    """One extends its claim every three minutes until it dies in the ninth; another tries twice a minute."""
    bench, one, two = Bench().furnish(1), "one-ab12", "two-cd34"
    until = {one: bench.clock.now(), two: bench.clock.now()}
    for second in range(0, 30 * 60, 30):
        if second <= cloning < second + 30:
            _clone(bench, 7 * MINUTE)
        for name in [one] * (second % 180 == 0 and second < 9 * 60) + [two]:
            with suppress(NotAllowed, GuestLocked):
                until[name] = _lock(bench, name).take()
            assert sum(end > bench.clock.now() for end in until.values()) <= 1
        bench.clock.sleep(timedelta(seconds=30))
    assert until[two] > bench.clock.now()
