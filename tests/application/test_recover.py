"""With the ledger lost: what a dead rollout left is found on Proxmox alone and goes back or forward."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.datacentre import Crash, MemoryLedger, assert_data_untouched, assert_no_leftovers, assert_power_as_left
from zlh_hooks.application.journal import Journal, Patience
from zlh_hooks.application.recover import Mode, Recovery, Remnant
from zlh_hooks.application.retag import CANARY_TAG
from zlh_hooks.domain.busy import is_busy
from zlh_hooks.domain.errors import HeldUp, NotAllowed

STAGING = [("clone", 4), ("write_config", 10), ("move_volume", 1), ("move_volume", 2), ("destroy", 4)]
EXCHANGING = [("exchange", 5), ("exchange", 6), ("reboot", 1), ("reboot", 2)]


def _dead(method: str, nth: int) -> Bench:
    """The worker died after that call, and nobody has its ledger."""
    return _kill(Bench().furnish(3), method, nth)


def _kill(bench: Bench, method: str, nth: int) -> Bench:
    bench.datacentre.faults.die_after(method, nth)
    plan = bench.submit("2")
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.datacentre.faults.clear()
    bench.clock.sleep(timedelta(minutes=5))
    bench.ledger = MemoryLedger(bench.clock, bench.datacentre.faults)
    return bench


def _put_data_elsewhere(bench: Bench, vmid: int) -> str:
    """The customer's data lies on another storage, in a volume that is called like the root; returns its id."""
    container = bench.datacentre.containers[vmid]
    bench.datacentre.add_storage("fast", container.node)
    root, data = container.config.rootfs.volume, container.config.data_mounts[0].volume
    moved = root.replace("local:", "fast:")
    volume = bench.datacentre.stores[container.node, "local"].volumes.pop(data)
    bench.datacentre.stores[container.node, "fast"].volumes[moved] = replace(volume, volid=moved, number=0)
    container.values["mp0"] = container.values["mp0"].replace(data, moved)
    bench.datacentre.remember(container)
    return moved


@pytest.mark.parametrize("way", ["back", "forward"])
@pytest.mark.parametrize(("method", "nth"), [("destroy", 4), ("exchange", 3), ("reboot", 1)])
def test_data_on_another_storage_that_is_called_like_the_root_is_never_taken_for_one(
    method: str, nth: int, way: str
) -> None:
    bench = Bench().furnish(3)
    data = _put_data_elsewhere(bench, 5001)
    bench = _kill(bench, method, nth)
    recovery, journal = _recovery(bench), _journal(bench)
    left = set()
    for remnant in recovery.list_remnants():
        assert data not in (remnant.old, remnant.new)
        forward = way == "forward" and way in remnant.ways
        go = recovery.go_forward if forward else recovery.take_back
        left |= {remnant.ref.vmid} if go(remnant, journal) else set()
    assert data in bench.datacentre.stores["n1", "fast"].volumes
    _assert_as_before(bench, left)


@pytest.mark.parametrize("way", ["back", "forward"])
@pytest.mark.parametrize(("method", "nth"), [("clone", 5), ("destroy", 5)])
def test_a_volume_that_a_customer_detached_is_never_taken_for_what_was_staged(method: str, nth: int, way: str) -> None:
    bench = _dead(method, nth)
    vmid = next(one.ref.vmid for one in _recovery(bench).list_remnants() if one.mode in (Mode.MARKED, Mode.STAGED))
    data = bench.detach_new_data(vmid)
    recovery, journal = _recovery(bench), _journal(bench)
    for remnant in recovery.list_remnants():
        forward = way == "forward" and way in remnant.ways
        (recovery.go_forward if forward else recovery.take_back)(remnant, journal)
    assert bench.datacentre.volume(bench.datacentre.containers[vmid].node, data) is not None


def test_an_old_root_whose_name_a_customers_volume_has_by_now_is_left_alone_on_the_way_forward() -> None:
    bench = Bench().furnish(3)
    bench.work(bench.submit("2"))
    bench.ledger = MemoryLedger(bench.clock, bench.datacentre.faults)
    data = bench.reuse_name(5001, "unused0")
    recovery, journal = _recovery(bench), _journal(bench)
    said = {one.ref.vmid: recovery.go_forward(one, journal) for one in recovery.list_remnants()}
    assert "left alone" in said.pop(5001)
    assert set(said.values()) == {""}
    assert bench.datacentre.volume("n1", data) is not None
    assert not [one for one in bench.datacentre.containers[5001].config.tags if "rollout" in one or "kept" in one]


def _recovery(bench: Bench) -> Recovery:
    return Recovery(bench.datacentre.cluster, bench.clock, bench.policy)


def _journal(bench: Bench) -> Journal:
    patience = Patience(timedelta(minutes=10), timedelta(minutes=15))
    return Journal(
        ledger=bench.ledger,
        tasks=bench.datacentre,
        clock=bench.clock,
        rollout="recover",
        target=None,
        patience=patience,
        may_wait=lambda: True,
    )


def _assert_as_before(bench: Bench, left: Collection[int] = ()) -> None:
    """As before the rollout, but for the one unused volume of each guest in ``left``."""
    assert _recovery(bench).list_remnants() == ()
    assert not _list_offered(bench)
    assert_no_leftovers(bench.datacentre, left)
    assert_data_untouched(bench.datacentre)
    assert_power_as_left(bench.datacentre)


def _list_offered(bench: Bench) -> list[int]:
    return [guest.vmid for guest in bench.datacentre.list_guests() if guest.template and CANARY_TAG in guest.tags]


def test_a_candidate_that_new_guests_are_still_cloned_from_is_found_and_withdrawn() -> None:
    bench = _dead("reboot", 2)
    assert _list_offered(bench) == [8002, 8102]
    offered = [one for one in _recovery(bench).list_remnants() if one.mode is Mode.OFFERED]
    assert [one.ref.vmid for one in offered] == [8002, 8102]
    with pytest.raises(NotAllowed, match="only go back"):
        _recovery(bench).go_forward(offered[0], _journal(bench))
    for one in offered:
        _recovery(bench).take_back(one, _journal(bench))
    assert not _list_offered(bench)


@pytest.mark.parametrize(("method", "nth"), STAGING + EXCHANGING)
def test_everything_goes_back_whenever_the_worker_died(method: str, nth: int) -> None:
    bench = _dead(method, nth)
    recovery, journal = _recovery(bench), _journal(bench)
    remnants = recovery.list_remnants()
    assert remnants
    left = {remnant.ref.vmid for remnant in remnants if recovery.take_back(remnant, journal)}
    assert {bench.runs(vmid) for vmid in (5001, 5002, 5003)} == {"1"}
    assert len(left) == (method == "move_volume")  # staged, and not yet marked as that
    _assert_as_before(bench, left)


@pytest.mark.parametrize(("method", "nth"), EXCHANGING)
def test_an_exchanged_guest_can_go_forward_and_the_others_back(method: str, nth: int) -> None:
    bench = _dead(method, nth)
    recovery, journal = _recovery(bench), _journal(bench)
    left = set()
    for remnant in recovery.list_remnants():
        go = recovery.go_forward if "forward" in remnant.ways else recovery.take_back
        left |= {remnant.ref.vmid} if go(remnant, journal) else set()
    assert bench.runs(5001) in ("1", "2")
    assert len(left) == (method == "reboot")  # exchanged, and not yet proved
    _assert_as_before(bench, left)


def test_a_guest_that_is_only_staged_cannot_go_forward() -> None:
    bench = _dead("destroy", 4)
    recovery = _recovery(bench)
    staged = next(one for one in recovery.list_remnants() if one.mode is not Mode.SCRATCH)
    with pytest.raises(NotAllowed, match="only go back"):
        recovery.go_forward(staged, _journal(bench))


def test_a_customer_with_a_number_of_ours_is_never_destroyed() -> None:
    bench = Bench().furnish(1)
    bench.datacentre.add_guest(890500, "n1")
    assert _recovery(bench).list_remnants() == ()


# ------------------------------------------------------------------------------- beside what others do

GUEST = 5001
MINUTE = timedelta(minutes=1)


def _left(mode: Mode, **interlock: str) -> tuple[Bench, Remnant]:
    """The first guest was left like that, half an hour ago."""
    bench = Bench(make_policy(interlock=interlock)).furnish(3)
    bench.datacentre.faults.die_after("reboot" if mode is Mode.EXCHANGED else "exchange", vmid=GUEST)
    plan = bench.submit("2")
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    bench.datacentre.faults.clear()
    bench.clock.sleep(30 * MINUTE)
    bench.ledger = MemoryLedger(bench.clock, bench.datacentre.faults)
    (remnant,) = [one for one in _recovery(bench).list_remnants() if one.ref.vmid == GUEST]
    assert remnant.mode is mode
    return bench, remnant


WAYS = pytest.mark.parametrize(("mode", "way"), [(Mode.EXCHANGED, "back"), (Mode.PENDING, "forward")])


def _go(bench: Bench, remnant: Remnant, way: str, *, insists: bool = False) -> list[str]:
    """What was said."""
    said: list[str] = []
    recovery = Recovery(bench.datacentre.cluster, bench.clock, bench.policy, insists, said.append)
    (recovery.take_back if way == "back" else recovery.go_forward)(remnant, _journal(bench))
    return said


def _busy(bench: Bench) -> bool:
    return is_busy(bench.datacentre.containers[GUEST].config.tags, bench.clock.now())


@WAYS
@pytest.mark.parametrize("lock", ["", "backup"])
def test_a_guest_that_is_restarted_says_that_it_is_in_work_and_says_so_no_more_when_it_runs(
    mode: Mode, way: str, lock: str
) -> None:
    bench, remnant = _left(mode)
    if lock:
        bench.datacentre.lock(GUEST, lock, 2 * MINUTE)
    seen: list[bool] = []
    bench.datacentre.faults.meanwhile("reboot", lambda: seen.append(_busy(bench)), vmid=GUEST)
    assert _go(bench, remnant, way) == []
    assert (seen, _busy(bench)) == ([True], False)


@WAYS
def test_work_of_others_on_the_guest_itself_keeps_it_from_being_restarted_unless_a_person_insists(
    mode: Mode, way: str
) -> None:
    bench, remnant = _left(mode)
    bench.datacentre.work_on(GUEST, "vzsnapshot", 5 * MINUTE)
    before = dict(bench.datacentre.containers[GUEST].values)
    with pytest.raises(HeldUp, match="vzsnapshot; again when that is over, or at once with --now"):
        _go(bench, remnant, way)
    assert bench.datacentre.containers[GUEST].values == before
    (said,) = _go(bench, remnant, way, insists=True)
    assert "vzsnapshot" in said and f"guest {GUEST}" in said
    assert bench.runs(GUEST) == ("1" if way == "back" else "2")


def test_a_guest_goes_back_beside_a_backup_of_its_node_and_that_is_told() -> None:
    bench, remnant = _left(Mode.EXCHANGED)
    bench.datacentre.back_up_several(GUEST, 300 * MINUTE)
    (said,) = _go(bench, remnant, "back")
    assert "a backup of several guests" in said
    assert bench.runs(GUEST) == "1"


@pytest.mark.parametrize("answer", ["wait", "skip", "refuse"])
def test_a_guest_does_not_go_forward_beside_a_backup_of_its_node_unless_a_person_insists(answer: str) -> None:
    bench, remnant = _left(Mode.PENDING, backup=answer)
    bench.datacentre.back_up_several(GUEST, 300 * MINUTE)
    with pytest.raises(HeldUp, match=r"a backup of several guests.*--now"):
        _go(bench, remnant, "forward")
    assert bench.runs(GUEST) == "1"
    assert len(_go(bench, remnant, "forward", insists=True)) == 1
    assert bench.runs(GUEST) == "2"


def test_what_policy_ignores_keeps_nobody_from_going_forward() -> None:
    bench, remnant = _left(Mode.PENDING, backup="ignore")
    bench.datacentre.back_up_several(GUEST, 300 * MINUTE)
    assert _go(bench, remnant, "forward") == []


@WAYS
def test_a_guest_that_is_marked_down_is_not_restarted_for_it_would_stay_off(mode: Mode, way: str) -> None:
    bench, remnant = _left(mode)
    tags = ";".join((*bench.datacentre.containers[GUEST].config.tags, "zlh-down.20991231t0000z"))
    bench.datacentre.edit_config(GUEST, tags=tags)
    with pytest.raises(HeldUp, match="marked down"):
        _go(bench, remnant, way, insists=True)


def test_what_others_do_is_nothing_to_a_guest_that_is_not_restarted() -> None:
    bench, remnant = _left(Mode.PENDING)
    bench.datacentre.work_on(GUEST, "vzsnapshot", 5 * MINUTE)
    assert _go(bench, remnant, "back") == []
    assert not _busy(bench)
