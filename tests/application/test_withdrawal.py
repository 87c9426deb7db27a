"""A new root stays pending only as long as it may come: then it is withdrawn, and put again when its turn comes again."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest

from tests.application.notice_bench import TellingBench, make_telling_policy
from tests.application.rollout_bench import Bench, make_policy
from tests.application.test_customer_change import stop_server
from tests.application.test_interlock import PLAYERS, before_third, plan_job
from tests.clock import FakeClock
from tests.datacentre import Behaviour, Crash, boots_slowly, good, turns_unhealthy
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestLocked
from zlh_hooks.domain.interlock import BackupJob
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.notice_plan import is_astray
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.progress import RESTART
from zlh_hooks.domain.steps import RolloutState, TargetEvent, TargetState
from zlh_hooks.domain.window_rule import Freeze
from zlh_hooks.simulation.container import Container

CANARY, LAST, GUESTS = 5001, 5003, 3
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
FIRST = {"name": "first", "rule": "FREQ=DAILY", "start": "04:00", "length_minutes": 20}
SECOND_WINDOW = FIRST | {"name": "second", "start": "04:30", "length_minutes": 40}
LATER = FIRST | {"name": "later", "start": "04:40", "length_minutes": 60}
DENIED = FIRST | {"name": "no", "start": "04:20", "length_minutes": 5, "effect": "deny"}
NEED = 2 * MINUTE
ILL = turns_unhealthy("1", after=0)
LOOK = 15 * SECOND
"""Within which the worker looks at what is pending."""


def at(clock: str) -> datetime:
    """That time of the bench's first day."""
    return datetime.fromisoformat(f"2026-11-23T{clock}").replace(tzinfo=UTC)


def playing(**rules: object) -> Bench:
    """Two windows; on the canary somebody plays, and is waited for."""
    policy = make_policy((FIRST, SECOND_WINDOW), line=PLAYERS, wait_until_empty="4h", **rules)
    bench = Bench(policy).furnish(GUESTS)
    bench.datacentre.set_players(CANARY, 7)
    return bench


def by_day(
    *freezes: Freeze, windows: Sequence[Mapping[str, object]] = (LATER,), clock: FakeClock | None = None
) -> Bench:
    """Roots are pending at any time; the window opens after two hours."""
    policy = make_policy(windows, exchange_pending="any-time").model_copy(update={"freezes": freezes})
    return Bench(policy, clock or FakeClock()).furnish(GUESTS)


def leave(bench: Bench) -> None:
    """The last player leaves."""
    bench.datacentre.set_players(CANARY, 0)


def is_pending(bench: Bench, vmid: int = CANARY) -> bool:
    return "rootfs" in bench.datacentre.containers[vmid].pending


def hold(bench: Bench, until: str) -> None:
    """Somebody wants no work of ours on the canary."""
    bench.datacentre.edit_config(CANARY, tags=f"{_tags(bench)};zlh-hold.{until}")


def join_ha(bench: Bench) -> Container:
    """The canary is the HA manager's."""
    container = bench.datacentre.containers[CANARY]
    container.ha_state = "started"
    bench.datacentre.remember(container)
    return container


def watch(bench: Bench, *moments: datetime) -> list[bool]:
    """Whether the root is pending at each moment."""
    seen: list[bool] = []
    for moment in moments:
        bench.later(moment - bench.clock.now(), lambda: seen.append(is_pending(bench)))
    return seen


def events(bench: Bench) -> list[str]:
    entries = bench.ledger.read()
    return [entry.name for entry in entries if entry.kind is Kind.EVENT and entry.target == CANARY]


def withdrawn(bench: Bench) -> list[tuple[datetime, str]]:
    """When, and why."""
    return [(e.at, str(e.data["reason"])) for e in bench.entries(Kind.EVENT, TargetEvent.WITHDRAWN, CANARY)]


# ------------------------------------------------------------------ in a window


def test_while_its_players_are_waited_for_in_its_window_a_new_root_is_pending_and_afterwards_it_is_not() -> None:
    bench = playing()
    seen = watch(bench, at("04:10"), at("04:17"), at("04:19"), at("04:25"), at("04:35"))
    bench.later(at("04:40") - bench.clock.now(), partial(leave, bench))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert seen == [True, True, False, False, True]
    assert [name for name in events(bench) if name != TargetEvent.EXCHANGED] == [
        TargetEvent.STAGED,
        TargetEvent.EXCHANGE_BEGAN,
        TargetEvent.WITHDRAWN,
        TargetEvent.EXCHANGE_BEGAN,
        TargetEvent.PROVED,
    ]
    ((when, why),) = withdrawn(bench)
    assert at("04:20") - NEED <= when <= at("04:20") - NEED + LOOK
    assert "window 'first'" in why
    assert bench.executed("reboot") == {("reboot", vmid): 1 for vmid in range(5001, 5001 + GUESTS)}
    bench.assert_clean(plan)


@pytest.mark.parametrize("bad", [False, True])
def test_a_customer_who_restarts_meanwhile_brings_it_and_it_is_proved_or_goes_back_by_itself(bad: bool) -> None:
    bench = playing(max_failures=2)
    if bad:
        bench.spoil(CANARY, behaviour=turns_unhealthy("2"))
    bench.later(8 * MINUTE, partial(bench.datacentre.restart_inside, CANARY))
    plan = bench.submit("2")
    row = bench.work(plan).of(CANARY)
    assert row.state is (TargetState.REVERTED if bad else TargetState.HEALTHY)
    assert not bench.entries(Kind.REQUESTED, RESTART, CANARY)
    ended = bench.entries(Kind.EVENT, "revert_proved" if bad else "proved", CANARY)[-1]
    assert ended.at < at("04:13"), "its players are not waited for any more"
    bench.assert_clean(plan)


def test_a_long_proof_of_another_guest_delays_no_withdrawal() -> None:
    """One worker's thread does both: the second was off when its root came, and is proved when it runs."""
    bench = playing(healthy_deadline="10m").spoil(5002, behaviour=boots_slowly("2", 300))
    bench.datacentre.set_players(CANARY, 0)
    for vmid in (5002, LAST):
        bench.datacentre.set_players(vmid, 3)
    bench.later(4 * MINUTE, partial(bench.datacentre.power_off, 5002))
    bench.later(16 * MINUTE, partial(bench.datacentre.power_on, 5002))
    seen: list[bool] = []
    for minutes in (15, 20):
        bench.later(minutes * MINUTE, lambda: seen.append(is_pending(bench, LAST)))
    bench.later(40 * MINUTE, partial(bench.datacentre.set_players, LAST, 0))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert seen == [True, False]
    bench.assert_clean(plan)


@pytest.mark.parametrize(
    ("edit", "said"),
    [({"features": "nesting=1"}, "changes by somebody else wait"), ({"protection": "1"}, "protected")],
    ids=["pending", "protection"],
)
def test_what_somebody_edits_while_a_root_is_pending_keeps_us_from_restarting_the_guest(
    edit: Mapping[str, str], said: str
) -> None:
    bench = playing(lock_wait="1m")
    guest = bench.datacentre.containers[CANARY]
    bench.later(8 * MINUTE, lambda: bench.datacentre.write_config(guest.ref, edit, guest.digest))
    bench.later(9 * MINUTE, partial(leave, bench))
    plan = bench.submit("2")
    row = bench.work(plan).of(CANARY)
    assert (row.state, said in row.reason) == (TargetState.SKIPPED, True)
    assert not is_pending(bench)
    assert not bench.executed("reboot").get(("reboot", CANARY))


def test_what_has_nothing_to_wait_for_is_begun_as_ever() -> None:
    usual, never = Bench().furnish(GUESTS), Bench(make_policy(exchange_pending="never")).furnish(GUESTS)
    for bench in (usual, never):
        assert bench.run("2").count(TargetState.HEALTHY) == GUESTS
    assert usual.datacentre.faults.executed == never.datacentre.faults.executed
    assert len(usual.ledger.read()) == len(never.ledger.read())


def test_where_policy_says_never_no_root_is_pending_while_players_are_waited_for() -> None:
    bench = playing(exchange_pending="never")
    seen = watch(bench, at("04:05"), at("04:10"), at("04:15"))
    bench.later(16 * MINUTE, partial(leave, bench))
    assert bench.run("2").count(TargetState.HEALTHY) == GUESTS
    assert seen == [False] * 3


def test_while_what_others_do_on_its_node_is_waited_for_the_new_root_is_pending() -> None:
    bench = before_third(plan_job(MINUTE))
    seen: list[bool] = []
    bench.datacentre.faults.afterwards(
        "reboot", lambda: bench.later(5 * MINUTE, lambda: seen.append(is_pending(bench, LAST))), vmid=CANARY
    )
    bench.later(9 * MINUTE, bench.datacentre.backup_jobs.clear)
    assert bench.run("2").count(TargetState.HEALTHY) == GUESTS
    assert seen == [True]


def test_what_interlock_rules_leave_out_is_withdrawn_and_left_out() -> None:
    bench = playing(interlock={"backup_due": "skip"})
    bench.datacentre.containers[CANARY].pool = "customers"
    job = BackupJob("nightly", at("04:11"), pool="customers")
    bench.later(10 * MINUTE, partial(bench.datacentre.backup_jobs.append, job))
    seen = watch(bench, at("04:09"), at("04:10:30"))
    plan = bench.submit("2")
    bench.later(14 * MINUTE, partial(leave, bench))
    bench.later(at("04:12") - bench.clock.now(), bench.datacentre.backup_jobs.clear)
    bench.work(plan)
    assert seen == [True, False]
    assert "nightly" in withdrawn(bench)[0][1]
    bench.assert_clean(plan)


def test_a_hold_withdraws_it_at_once_and_leaves_the_guest_out() -> None:
    bench = playing()
    bench.later(10 * MINUTE, partial(hold, bench, "20261123t1400z"))
    seen = watch(bench, at("04:09"), at("04:10:30"))
    bench.later(14 * MINUTE, partial(leave, bench))
    plan = bench.submit("2")
    row = bench.work(plan).of(CANARY)
    assert seen == [True, False]
    assert (row.state, "on hold" in row.reason) == (TargetState.SKIPPED, True)
    bench.assert_clean(plan)


def test_a_pause_withdraws_it_and_it_is_put_again_when_the_rollout_goes_on() -> None:
    bench = playing()
    bench.answers = [lambda: bench.later(5 * MINUTE, bench.order("resume"))]
    bench.later(8 * MINUTE, bench.order("pause"))
    seen = watch(bench, at("04:07"), at("04:09"), at("04:12:30"), at("04:15"))
    bench.later(16 * MINUTE, partial(leave, bench))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert seen == [True, False, False, True]
    bench.assert_clean(plan)


@pytest.mark.parametrize("verb", ["revert", "abort"])
@pytest.mark.parametrize("is_ill", [False, True])
def test_an_order_that_ends_the_rollout_takes_it_back_without_a_restart_and_the_guest_proves_nothing(
    verb: str, is_ill: bool
) -> None:
    bench = playing()
    if is_ill:
        bench.later(7 * MINUTE, partial(_behave, bench, ILL))
    bench.later(8 * MINUTE, bench.order(verb))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert not is_pending(bench) and not bench.executed("reboot")
    assert (progress.has_ended, progress.of(CANARY).state) == (True, TargetState.SKIPPED)
    assert progress.state is not RolloutState.STUCK
    bench.assert_clean(plan)


def _behave(bench: Bench, behaviour: Behaviour) -> None:
    """The canary does so on its old root, whatever that is."""
    container = bench.datacentre.containers[CANARY]
    root = bench.datacentre.volume(container.node, container.config.rootfs.volume)
    assert root is not None
    root.behaviour = behaviour


def test_a_freeze_that_begins_in_its_window_withdraws_it_before() -> None:
    bench = playing()
    deny = FIRST | {"name": "no", "start": "04:10", "length_minutes": 3, "effect": "deny"}
    bench.policy = make_policy((FIRST, SECOND_WINDOW, deny), line=PLAYERS, wait_until_empty="4h")
    seen = watch(bench, at("04:07"), at("04:09"), at("04:12:30"), at("04:14"))
    bench.later(16 * MINUTE, partial(leave, bench))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert seen == [True, False, False, True]
    bench.assert_clean(plan)


def test_a_guest_stays_with_the_ha_manager_through_a_withdrawal() -> None:
    bench = playing(ha="ignore")
    container = join_ha(bench)
    states: list[str | None] = []
    for minutes in (10, 25, 35):
        bench.later(minutes * MINUTE, lambda: states.append(container.ha_state))
    bench.later(40 * MINUTE, partial(leave, bench))
    assert bench.run("2").count(TargetState.HEALTHY) == GUESTS
    assert [*states, container.ha_state] == ["started"] * 4


def test_a_storage_that_is_away_when_players_begin_to_be_waited_for_costs_no_guest_its_turn_and_pauses_nobody() -> None:
    bench = playing()
    bench.datacentre.set_players(CANARY, 0)
    store = bench.datacentre.store("n1", "local")

    def go_away() -> None:
        bench.datacentre.set_players(LAST, 3)
        store.active = False
        bench.later(MINUTE, lambda: setattr(store, "active", True))
        bench.later(3 * MINUTE, partial(bench.datacentre.set_players, LAST, 0))

    bench.datacentre.faults.afterwards("reboot", lambda: bench.later(14 * SECOND, go_away), vmid=5002)
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


# ----------------------------------------------------------- under a lock, late


def test_a_root_that_waits_for_our_restart_under_a_lock_is_withdrawn_when_its_window_is_over() -> None:
    """The restart was refused: the guest is given back to the HA manager at once, unsigned when that can be written, and
    comes in the next window.
    """
    bench = Bench(make_policy((FIRST, SECOND_WINDOW), lock_wait="30m", ha="ignore")).furnish(GUESTS)
    join_ha(bench)
    bench.clock.sleep(12 * MINUTE)
    lock = partial(bench.datacentre.lock, CANARY, "backup", 12 * MINUTE)
    bench.datacentre.faults.afterwards("exchange", lock, vmid=CANARY)
    seen = watch(bench, at("04:20"), at("04:28"))
    states: list[tuple[str | None, bool]] = []
    for minutes in (9, 16):
        bench.later(
            minutes * MINUTE,
            lambda: states.append((bench.datacentre.containers[CANARY].ha_state, "zlh-busy" in _tags(bench))),
        )
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert (seen, states) == ([True, False], [("started", True), ("started", False)])
    told = [str(entry.data["reason"]) for entry in bench.entries(Kind.NOTE, "deferred", CANARY)]
    assert any("withdrawn (outside every window" in text and "locked (backup)" in text for text in told)
    assert events(bench).count(TargetEvent.EXCHANGE_BEGAN) == 2
    bench.assert_clean(plan)


def _tags(bench: Bench) -> str:
    return str(bench.datacentre.containers[CANARY].values["tags"])


@pytest.mark.parametrize("pauses", [False, True])
def test_a_guest_that_a_lock_kept_from_its_write_until_its_turn_was_over_comes_in_its_next_one(pauses: bool) -> None:
    bench = Bench(make_policy((FIRST, SECOND_WINDOW), lock_wait="30m", ha="ignore")).furnish(1)
    guest = join_ha(bench)
    lock = partial(bench.datacentre.lock, CANARY, "backup", 25 * MINUTE)
    bench.datacentre.faults.meanwhile("exchange", lock, vmid=CANARY)
    if pauses:
        bench.answers = [lambda: bench.later(MINUTE, bench.order("resume"))]
        bench.later(5 * MINUTE, bench.order("pause"))
    states: list[str | None] = []
    bench.later((6 if pauses else 19) * MINUTE, lambda: states.append(guest.ha_state))
    plan = bench.submit("2")
    assert bench.work(plan).of(CANARY).state is TargetState.HEALTHY
    assert (len(withdrawn(bench)), states) == (1, ["started"])
    bench.assert_clean(plan)


def test_a_lock_that_comes_in_the_moment_of_the_write_leaves_the_guest_staged() -> None:
    bench = playing()
    bench.datacentre.faults.refuse("exchange", GuestLocked("CT is locked (backup)", "backup"), vmid=CANARY)
    bench.later(10 * MINUTE, partial(leave, bench))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


def test_when_all_go_back_a_root_that_is_pending_is_taken_back_before_the_others_are_restarted() -> None:
    bench = Bench(make_policy(lock_wait="1m")).furnish(GUESTS)
    lock = partial(bench.datacentre.lock, 5002, "backup", 2 * MINUTE)
    bench.datacentre.faults.afterwards("exchange", lock, vmid=5002)
    plan = bench.submit("2")
    assert bench.work(plan).of(5002).state is TargetState.APPLYING
    bench.clock.sleep(2 * MINUTE)
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    (left,) = bench.entries(Kind.EVENT, TargetEvent.SKIPPED, 5002)
    assert left.at < min(entry.at for entry in bench.entries(Kind.EVENT, TargetEvent.REVERT_PROVED))
    bench.assert_clean(plan)


# ------------------------------------------------------------------ at any time


def test_at_any_time_it_is_pending_outside_of_windows_but_not_where_one_denies_it() -> None:
    bench = by_day(windows=(LATER, DENIED))
    seen = watch(bench, at("04:10"), at("04:17"), at("04:19"), at("04:24:30"), at("04:26"))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert seen == [True, True, False, False, True]
    ((when, why),) = withdrawn(bench)
    assert at("04:20") - NEED <= when <= at("04:20") - NEED + LOOK
    assert "deny window 'no' from" in why
    bench.assert_clean(plan)


def test_at_any_time_a_freeze_withdraws_it_before_it_begins() -> None:
    tomorrow = date(2026, 11, 24)
    bench = by_day(Freeze(name="sale", first=tomorrow, last=tomorrow), clock=FakeClock(at("23:40")))
    midnight = at("00:00") + DAY
    seen = watch(bench, midnight - 3 * MINUTE, midnight - MINUTE, midnight + 10 * MINUTE)
    bench.later(40 * MINUTE, bench.order("abort"))
    plan = bench.submit("2")
    bench.work(plan)
    assert seen == [True, False, False]
    assert "freeze 'sale' from" in withdrawn(bench)[0][1]
    bench.assert_clean(plan)


def test_at_any_time_a_restart_outside_of_windows_brings_it_and_it_is_proved() -> None:
    bench = by_day()
    bench.later(10 * MINUTE, partial(bench.datacentre.restart_inside, CANARY))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert bench.entries(Kind.EVENT, "proved", CANARY)[0].at < at("04:12:30")
    bench.assert_clean(plan)


def test_at_any_time_a_hold_outside_of_windows_withdraws_it_and_it_comes_when_the_hold_is_over() -> None:
    bench = by_day()
    bench.later(10 * MINUTE, partial(hold, bench, "20261123t0415z"))
    seen = watch(bench, at("04:09"), at("04:11"), at("04:16"))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert seen == [True, False, True]
    bench.assert_clean(plan)


def test_at_any_time_a_guest_whose_restart_a_lock_prevented_goes_back_to_the_ha_manager_when_its_turn_is_over() -> None:
    """Its root is pending again then, as before."""
    window = FIRST | {"start": "04:10"}
    bench = Bench(make_policy((window, LATER), exchange_pending="any-time", ha="ignore", lock_wait="30m")).furnish(1)
    guest = join_ha(bench)
    lock = partial(bench.datacentre.lock, CANARY, "backup", 24 * MINUTE)
    bench.datacentre.faults.meanwhile("write_ha_state", lock, vmid=CANARY)
    seen: list[tuple[str | None, bool]] = []
    for minutes in (12, 36):
        bench.later(minutes * MINUTE, lambda: seen.append((guest.ha_state, is_pending(bench))))
    plan = bench.submit("2")
    assert bench.work(plan).of(CANARY).state is TargetState.HEALTHY
    assert seen == [("ignored", True), ("started", True)]
    assert guest.ha_state == "started"
    bench.assert_clean(plan)


@pytest.mark.parametrize("is_ill", [False, True], ids=["stopped", "ill"])
def test_a_customer_who_restarts_a_server_that_was_stopped_or_ill_for_a_while_condemns_no_version(is_ill: bool) -> None:
    """What it is by then is what is expected of it; while it is ill no root is pending that could not be proved."""
    bench = by_day()
    change = partial(_behave, bench, ILL) if is_ill else partial(stop_server, bench, CANARY)
    bench.later(8 * MINUTE, change)
    seen = watch(bench, at("04:09:30"), at("04:12"))
    bench.later(12 * MINUTE + SECOND, partial(bench.datacentre.restart_inside, CANARY))
    if is_ill:
        bench.later(14 * MINUTE, partial(_behave, bench, good("1")))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert (seen, bench.revoked()) == ([True, not is_ill], [])
    assert (bench.entries(Kind.EVENT, TargetEvent.EXCHANGED, CANARY)[0].at > at("04:13")) is is_ill
    assert "its server is not what it was" in withdrawn(bench)[0][1]


@pytest.mark.parametrize("is_ill", [False, True])
def test_a_server_that_was_ill_when_its_customers_restart_brought_the_new_root_condemns_no_version_by_that(
    is_ill: bool,
) -> None:
    bench = by_day().spoil(CANARY, behaviour=turns_unhealthy("2", after=0))
    if is_ill:
        bench.later(8 * MINUTE, partial(_behave, bench, ILL))
    bench.later(9 * MINUTE, partial(bench.datacentre.restart_inside, CANARY))
    bench.later(9 * MINUTE + 30 * SECOND, partial(_recover, bench))
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.of(CANARY).state, bench.revoked()) == (TargetState.REVERTED, [] if is_ill else ["2"])
    assert (progress.failures, progress.count(TargetState.HEALTHY)) == ((0, GUESTS - 1) if is_ill else (1, 0))


def _recover(bench: Bench) -> None:
    """The canary is well again on its old root."""
    for volume in bench.datacentre.volumes_of(bench.datacentre.containers[CANARY]):
        if volume.behaviour is not None and volume.behaviour.version == "1":
            volume.behaviour = good("1")


def test_at_any_time_a_guest_that_is_not_well_outside_of_windows_is_not_left_out_for_that() -> None:
    bench = by_day()
    _behave(bench, ILL)
    bench.later(10 * MINUTE, partial(_behave, bench, good("1")))
    seen = watch(bench, at("04:09"), at("04:11"))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert seen == [False, True]


# ------------------------------------------------------------------- successors


class WorkerDied(BaseException):
    """Raised by the clock, wherever the worker waits."""


def _die() -> None:
    raise WorkerDied


def _die_at(bench: Bench, plan: Plan, moment: datetime) -> None:
    bench.later(moment - bench.clock.now(), _die)
    with pytest.raises(WorkerDied):
        bench.work(plan)


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_successor_withdraws_at_once_what_a_dead_worker_left_pending_and_whose_time_is_over(is_paused: bool) -> None:
    bench = playing()
    plan = bench.submit("2")
    _die_at(bench, plan, at("04:10"))
    bench.clock.sleep(at("04:22") - bench.clock.now())
    assert is_pending(bench)
    if is_paused:
        bench.order("pause")()
        bench.answers = [lambda: bench.later(3 * MINUTE, bench.order("resume"))]
    bench.later(at("04:35") - bench.clock.now(), partial(leave, bench))
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    ((when, _),) = withdrawn(bench)
    assert when - at("04:22") <= LOOK
    bench.assert_clean(plan)


def test_a_successor_withdraws_too_what_was_to_be_restarted_at_once_when_its_worker_died() -> None:
    bench = Bench(make_policy((FIRST, SECOND_WINDOW), exchange_pending="never")).furnish(GUESTS)
    plan = bench.submit("2")
    bench.datacentre.faults.afterwards("exchange", _die, vmid=CANARY)
    with pytest.raises(WorkerDied):
        bench.work(plan)
    bench.clock.sleep(at("04:22") - bench.clock.now())
    seen = watch(bench, at("04:23"))
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    assert seen == [False]
    bench.assert_clean(plan)


def test_a_successor_proves_a_pending_root_that_came_on_a_node_without_the_release() -> None:
    bench = playing()
    plan = bench.submit("2")
    _die_at(bench, plan, at("04:10"))
    bench.datacentre.add_node("n3")
    bench.datacentre.add_storage("local", "n3")
    bench.datacentre.migrate_guest(CANARY, "n3")
    assert bench.work(plan).count(TargetState.HEALTHY) == GUESTS
    bench.assert_clean(plan)


def test_a_restart_in_the_moment_of_the_withdrawal_wins_and_is_proved() -> None:
    bench = playing()
    restart = partial(bench.datacentre.restart_inside, CANARY)

    def arm() -> None:
        bench.datacentre.faults.meanwhile("write_config", restart, vmid=CANARY)

    bench.later(16 * MINUTE, arm)
    plan = bench.submit("2")
    progress = bench.work(plan)
    assert (progress.state, progress.of(CANARY).state) == (RolloutState.SUCCEEDED, TargetState.HEALTHY)
    assert not withdrawn(bench)
    assert bench.executed("reboot").get(("reboot", CANARY), 0) == 0
    bench.assert_clean(plan)


# ---------------------------------------------------------------------- notices


def _told_and_playing() -> TellingBench:
    policy = make_telling_policy(line=PLAYERS, wait_until_empty="1h", exchange_pending="any-time")
    bench = TellingBench(policy).furnish(4)
    bench.datacentre.set_players(CANARY, 3)
    return bench


def _is_kept(bench: Bench, plan: Plan) -> bool:
    """Whether the canary's owner felt nothing but in the window that was told last."""
    return not is_astray(bench.progress(plan).of(CANARY), NoticeBook().add(bench.ledger.read(plan.id)))


def test_where_dates_are_told_a_root_is_pending_in_its_window_only_and_a_restart_in_it_keeps_the_date() -> None:
    bench = _told_and_playing()
    seen = watch(bench, at("04:09"), at("04:12"))
    bench.later(13 * MINUTE, partial(bench.datacentre.restart_inside, CANARY))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == 4
    assert seen == [False, True]
    assert _is_kept(bench, plan)
    assert "moved" not in bench.mail.stages("ann@example.com")


def test_a_guest_whose_root_is_withdrawn_gets_another_date_and_its_owner_is_told() -> None:
    bench = _told_and_playing()
    seen = watch(bench, at("04:15:30"), at("04:17"))
    bench.later(30 * MINUTE, partial(leave, bench))
    plan = bench.submit("2")
    assert bench.work(plan).count(TargetState.HEALTHY) == 4
    assert seen == [True, False]
    assert "window 'at 04:10'" in withdrawn(bench)[0][1]
    assert _is_kept(bench, plan)
    assert "moved" in bench.mail.stages("ann@example.com")


@pytest.mark.parametrize("point", ["write_ha_state", "exchange"])
def test_a_worker_that_comes_up_outside_of_a_window_gives_the_guest_back_to_ha_at_once(point: str) -> None:
    """The one before died in the middle of an exchange, before its restart."""
    bench = Bench(make_policy((FIRST, SECOND_WINDOW), ha="ignore")).furnish(1)
    guest = bench.datacentre.containers[CANARY]
    guest.ha_state = "started"
    bench.datacentre.remember(guest)
    bench.deadline += 2 * DAY
    plan = bench.submit("2")
    bench.datacentre.faults.die_after(point, 1, vmid=CANARY)
    with pytest.raises(Crash):
        bench.work(plan)
    assert guest.ha_state == "ignored"
    bench.datacentre.faults.restart()
    bench.datacentre.faults.clear()
    bench.clock.sleep(at("08:00") - bench.clock.now())
    seen: list[str] = []
    bench.later(LOOK, lambda: seen.append(guest.ha_state))
    assert bench.work(plan).of(CANARY).state is TargetState.HEALTHY
    assert (seen, guest.ha_state) == (["started"], "started")
    assert len(bench.executed("reboot")) == 1
