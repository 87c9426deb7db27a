"""Downtime that guest hooks have noted, beside what rollouts and the watcher know."""

from datetime import datetime, timedelta

from tests.application.downtime_bench import DowntimeBench, make_promising_policy
from zlh_hooks.domain.downtime import Verdict
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.note_book import draft_note
from zlh_hooks.domain.noted_outage import BACKED_UP, BY_ITSELF

GUEST, OTHER = 5001, 5002
MINUTE = timedelta(minutes=1)
STOP, START = ("pre-stop", "post-stop"), ("pre-start", "post-start")


def open_bench(**more: object) -> DowntimeBench:
    bench = DowntimeBench(make_promising_policy(**more)).furnish(2)  # type: ignore[arg-type]
    bench.clock.sleep(MINUTE)
    return bench  # type: ignore[return-value]


def record(bench: DowntimeBench, phase: str, at: datetime | None = None, guest: int = GUEST, lock: str = "") -> None:
    """What the intake writes."""
    instant = at or bench.clock.now()
    note = GuestNote(guest, GuestPhase(phase), instant, "n1", GuestKind.LXC, lock, "", False)
    bench.ledger.append(draft_note(f"{instant.isoformat()}-{guest}-{phase}", note, ""))


def pass_through(bench: DowntimeBench, *phases: str, lock: str = "") -> None:
    """One phase a minute."""
    for phase in phases:
        record(bench, phase, lock=lock)
        bench.clock.sleep(MINUTE)


def test_a_backup_that_stops_a_guest_is_unplanned_downtime_of_that_guest_alone() -> None:
    bench = open_bench()
    pass_through(bench, *STOP, lock="backup")
    bench.clock.sleep(7 * MINUTE)
    pass_through(bench, *START, lock="backup")
    assert bench.seconds(GUEST) == (0, 600, 0)
    assert bench.seconds(OTHER) == (0, 0, 0)
    account = bench.account(GUEST)
    assert ([one.cause for one in account.outages], account.verdict) == ([BACKED_UP], Verdict.MISSED)


def test_a_backup_that_has_not_ended_is_told_as_open() -> None:
    bench = open_bench()
    pass_through(bench, *STOP, lock="backup")
    assert bench.account(GUEST).notes[-1].startswith(f"not ended: {BACKED_UP}, since ")
    assert bench.seconds(GUEST) == (0, 120, 0)


def test_a_guest_whose_owner_stops_it_has_no_downtime() -> None:
    bench = open_bench()
    pass_through(bench, *STOP)
    bench.clock.sleep(10 * MINUTE)
    pass_through(bench, *START)
    assert bench.seconds(GUEST) == (0, 0, 0)


def test_a_guest_that_stops_by_itself_is_unknown_and_that_is_told() -> None:
    bench = open_bench()
    pass_through(bench, "post-stop")
    bench.clock.sleep(8 * MINUTE)
    pass_through(bench, *START)
    assert bench.seconds(GUEST) == (0, 0, 600)
    account, report = bench.account(GUEST), bench.report()
    assert (account.available, account.verdict, account.credit_percent) == (100, Verdict.UNKNOWN, 0)
    assert [(cause, guests) for _, cause, guests in report.list_gaps()] == [(BY_ITSELF, 1)]


def test_our_own_restart_that_was_noted_too_is_planned_and_counted_once() -> None:
    quiet, noted = open_bench(), open_bench()
    for bench in (quiet, noted):
        bench.run("2")
    expected = quiet.seconds(GUEST)
    (outage,) = noted.account(GUEST).outages
    for phase, at in zip((*STOP, *START), (outage.span.begin,) * 3 + (outage.span.end,), strict=True):
        record(noted, phase, at)
    assert expected[0] > 0
    assert noted.seconds(GUEST) == expected == (expected[0], 0, 0)


def test_a_backup_that_falls_into_an_announced_restart_is_unplanned_and_counted_once() -> None:
    bench = open_bench()
    bench.run("2")
    (outage,) = bench.account(GUEST).outages
    planned = bench.seconds(GUEST)[0]
    for phase, at in (
        ("pre-stop", outage.span.begin),
        ("post-stop", outage.span.begin),
        ("post-start", outage.span.end),
    ):
        record(bench, phase, at, lock="backup")
    assert bench.seconds(GUEST) == (0, planned, 0)


def test_what_began_in_the_month_before_counts_from_its_first_moment_in_this_one() -> None:
    bench = open_bench()
    begin = bench.report().within.begin
    record(bench, "post-stop", begin - 60 * MINUTE)
    record(bench, "post-start", begin + 3 * MINUTE)
    assert bench.seconds(GUEST) == (0, 0, 180)
