"""Rules of what a rollout costs a guest: from the request that stops it to its first healthy answer, and whose act it was."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.rollout_outage import (
    AFTER,
    BACK,
    BASELINE,
    EXAMINED_SINCE,
    HEALTHY_SINCE,
    NOT_RUNNING,
    REFUSED,
    SAID_TO_RUN,
    UNANSWERED,
    fold_guest_logs,
)

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
NOW = 10_000
RESTART = "exchange.restart"


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def write(second: float, kind: Kind, name: str, rollout: str = "r1", target: int | None = 5001, **data: Any) -> Entry:
    return Entry(1, at(second), kind, name, rollout, target, data, "", "")


def task(second: int) -> str:
    return f"UPID:pve1:000A:000B:{int(at(second).timestamp()):08X}:vzreboot:5001:zlh@pve!hooks:"


def begun(second: float = 10, began: int = 11, answered: float = 12) -> list[Entry]:
    """An exchange whose restart was meant, asked for and answered."""
    return [
        write(second - 1, Kind.EVENT, "exchange_began"),
        write(second, Kind.INTENT, RESTART),
        write(answered, Kind.REQUESTED, RESTART, upid=task(began)),
    ]


def proof(second: float, name: str = AFTER, *, running: bool = True, **since: float) -> Entry:
    times = {key: at(value).isoformat() for key, value in since.items()}
    return write(second, Kind.EVIDENCE, name, running=running, **times)


def healthy(second: float, since: float, name: str = AFTER) -> Entry:
    return proof(second, name, **{EXAMINED_SINCE: since - 5, HEALTHY_SINCE: since})


def outages(*entries: Entry, now: float = NOW) -> list[tuple[float, float]]:
    """Seconds from and to; an open one ends now."""
    log = fold_guest_logs(entries)[5001]
    found = [one.span for one in log.list_outages(at(now))]
    return [((one.begin - START).total_seconds(), (one.end - START).total_seconds()) for one in found]


def test_it_lasts_from_the_tasks_start_to_the_first_healthy_answer_and_not_to_the_end_of_the_proof() -> None:
    entries = [*begun(), healthy(100, 40), write(101, Kind.EVENT, "proved")]
    assert outages(*entries) == [(11, 40)]


def test_a_ledger_that_does_not_know_the_first_answer_counts_to_the_proof() -> None:
    assert outages(*begun(), proof(100), write(101, Kind.EVENT, "proved")) == [(11, 101)]


@pytest.mark.parametrize(("began", "counted"), [(5, 10), (11, 11), (500, 12)])
def test_another_clocks_time_is_taken_only_between_intent_and_answer(began: int, counted: int) -> None:
    assert outages(*begun(began=began), healthy(100, 40)) == [(counted, 40)]


def test_a_lock_that_is_waited_for_is_no_downtime() -> None:
    assert outages(*begun(10, began=400, answered=401), healthy(500, 450)) == [(400, 450)]


def test_a_task_that_was_refused_for_a_lock_has_stopped_nothing() -> None:
    refused = [*begun(), write(13, Kind.NOTE, REFUSED, step=RESTART)]
    again = write(60, Kind.REQUESTED, RESTART, upid=task(60))
    assert outages(*refused, again, healthy(120, 90)) == [(60, 90)]
    assert outages(*refused, write(99, Kind.FAILED, RESTART, reason="locked", lock="backup")) == []


def test_a_restart_that_was_never_asked_for_is_none() -> None:
    entries = [write(10, Kind.INTENT, RESTART), write(20, Kind.FAILED, RESTART, reason="no such root")]
    assert outages(*entries) == []


def test_somebody_elses_restart_in_place_of_ours_is_not_ours() -> None:
    assert outages(write(10, Kind.INTENT, RESTART), write(20, Kind.DONE, RESTART), healthy(60, 30)) == []


def test_a_request_whose_answer_was_lost_counts_from_when_it_was_meant() -> None:
    lost = [write(10, Kind.INTENT, RESTART), write(15, Kind.NOTE, UNANSWERED, step=RESTART)]
    assert outages(*lost, write(20, Kind.DONE, RESTART), healthy(60, 30)) == [(10, 30)]


def test_while_nobody_knows_whether_it_was_asked_for_it_is_a_gap() -> None:
    log = fold_guest_logs([write(10, Kind.INTENT, RESTART)])[5001]
    assert log.list_outages(at(NOW)) == ()
    assert [(one.span.begin, one.span.end) for one in log.list_gaps(at(99))] == [(at(10), at(99))]
    assert fold_guest_logs(begun())[5001].list_gaps(at(99)) == ()


def test_a_gap_ends_when_the_guest_is_seen_well_again_or_a_person_says_so() -> None:
    intent = write(10, Kind.INTENT, RESTART)
    seen = fold_guest_logs([intent, write(500, Kind.EVIDENCE, BASELINE, rollout="r2", running=True)])[5001]
    word = write(999, Kind.COMMAND, SAID_TO_RUN, rollout="", at=at(300).isoformat())
    assert [one.span.end for one in seen.list_gaps(at(NOW))] == [at(500)]
    assert [one.span.end for one in fold_guest_logs([intent, word])[5001].list_gaps(at(NOW))] == [at(300)]
    assert (seen.find_unresolved(at(NOW)), fold_guest_logs([intent])[5001].find_unresolved(at(NOW))) == (None, at(10))


def test_a_failed_proof_goes_on_to_the_first_healthy_answer_on_the_old_root() -> None:
    entries = [
        *begun(),
        proof(100, **{EXAMINED_SINCE: 20}),
        write(101, Kind.EVENT, "revert_began", reason="unhealthy"),
        write(102, Kind.INTENT, "revert-7.restart"),
        write(103, Kind.REQUESTED, "revert-7.restart", upid=task(103)),
        healthy(200, 140, BACK),
        write(201, Kind.EVENT, "revert_proved"),
    ]
    assert outages(*entries) == [(11, 140)]


def test_a_way_back_that_people_order_later_is_an_outage_of_its_own() -> None:
    entries = [
        *begun(),
        healthy(100, 40),
        write(101, Kind.EVENT, "proved"),
        write(1000, Kind.EVENT, "revert_began", reason="customers complain"),
        write(1001, Kind.INTENT, "revert-7.restart"),
        write(1002, Kind.REQUESTED, "revert-7.restart", upid=task(1002)),
        healthy(1100, 1030, BACK),
    ]
    assert outages(*entries) == [(11, 40), (1002, 1030)]


def test_a_guest_that_is_well_again_and_stuck_for_another_reason_is_not_down() -> None:
    stuck = write(210, Kind.EVENT, "revert_unproved", reason="config differs")
    assert outages(*begun(), write(101, Kind.EVENT, "revert_began"), healthy(200, 140, BACK), stuck) == [(11, 140)]


def test_one_that_is_not_proved_on_its_old_root_stays_down_until_a_person_says_otherwise() -> None:
    stuck = [*begun(), write(101, Kind.EVENT, "revert_began"), write(210, Kind.EVENT, "revert_unproved")]
    assert outages(*stuck) == [(11, NOW)]
    assert fold_guest_logs(stuck)[5001].list_outages(at(NOW))[0].is_open
    word = write(999, Kind.COMMAND, SAID_TO_RUN, rollout="", at=at(300).isoformat())
    assert outages(*stuck, word) == [(11, 300)]


def test_a_healthy_answer_before_a_later_rollout_ends_what_nothing_else_ended() -> None:
    stuck = [*begun(), write(101, Kind.EVENT, "revert_began"), write(210, Kind.EVENT, "revert_unproved")]
    assert outages(*stuck, write(500, Kind.EVIDENCE, BASELINE, rollout="r2", running=True)) == [(11, 500)]


def test_a_guest_that_is_deleted_has_no_downtime_any_more() -> None:
    assert outages(*begun(), write(50, Kind.EVENT, "vanished")) == [(11, 50)]


def test_what_somebody_else_stopped_during_the_proof_is_theirs_from_then_on() -> None:
    deferred = write(60, Kind.NOTE, "deferred", reason="somebody else stopped it")
    assert outages(*begun(), deferred, write(900, Kind.EVENT, "proved")) == [(11, 60)]


def test_a_lock_that_holds_up_the_way_back_does_not_end_it() -> None:
    entries = [*begun(), write(50, Kind.EVENT, "revert_began"), write(60, Kind.NOTE, "deferred", reason="locked")]
    assert outages(*entries, healthy(300, 250, BACK)) == [(11, 250)]


@pytest.mark.parametrize("evidence", [AFTER, NOT_RUNNING])
def test_a_bad_root_that_a_customers_restart_brings_counts_from_when_we_began_to_ask(evidence: str) -> None:
    entries = [
        write(5, Kind.EVENT, "exchange_began"),
        write(6, Kind.EVENT, "exchanged"),
        proof(90, evidence, running=False, **{EXAMINED_SINCE: 70}),
        write(91, Kind.EVENT, "revert_began", reason="unhealthy"),
        healthy(200, 140, BACK),
    ]
    assert outages(*entries) == [(70, 140)]


def test_an_ordered_way_back_of_a_guest_that_its_owner_stopped_is_no_downtime() -> None:
    entries = [write(5, Kind.EVENT, "exchange_began"), write(6, Kind.EVENT, "exchanged")]
    assert outages(*entries, write(90, Kind.EVENT, "revert_began"), proof(99, BACK, running=False)) == []


def test_a_recovery_without_a_ledger_counts_until_the_guest_runs_for_it_proves_no_more() -> None:
    name = "recover-back-5001.restart"
    steps = ((10, Kind.INTENT, {}), (11, Kind.REQUESTED, {"upid": task(11)}), (30, Kind.DONE, {}))
    entries = [write(second, kind, name, rollout="", target=None, **data) for second, kind, data in steps]
    assert outages(*entries) == [(11, 30)]


def test_other_guests_entries_are_not_its_own() -> None:
    other = write(20, Kind.EVIDENCE, BASELINE, target=5002, running=True)
    assert outages(*begun(), other, healthy(100, 40)) == [(11, 40)]
