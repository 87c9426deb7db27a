"""When a release on trial is proved, when it has failed, and when that is still open."""

from agent_plugin.health import NOT_ACTIVE, Look
from agent_plugin.trial import MOST_FAULTS, Trial

GOOD, SICK, DOWN = Look("", "new"), Look("503", "new"), Look(NOT_ACTIVE, "new")


def trial(**changes: float) -> Trial:
    return Trial("old", 0.0, **{"bake_seconds": 10.0, "deadline_seconds": 60.0, **changes})  # type: ignore[arg-type]


def test_a_release_is_proved_when_it_was_well_for_the_whole_bake() -> None:
    judge = trial().judge
    assert [judge(GOOD, second) for second in (1, 5, 10.9, 11)] == [None, None, None, ""]


def test_the_agent_from_before_the_restart_proves_nothing() -> None:
    judge = trial().judge
    assert {judge(Look("", "old"), second) for second in range(60)} == {None}
    assert judge(Look("", "old"), 61) == "not proved within 60 s: it did not start"


def test_three_faults_in_a_row_are_a_failure_and_fewer_are_not() -> None:
    judge = trial().judge
    assert [judge(look, n) for n, look in enumerate([GOOD, SICK, SICK, GOOD, SICK, SICK])] == [None] * MOST_FAULTS * 2
    assert judge(SICK, 6) == "503"


def test_a_fault_begins_the_bake_anew() -> None:
    judge = trial().judge
    assert [judge(look, second) for look, second in ((GOOD, 1), (SICK, 10), (GOOD, 11), (GOOD, 20.9), (GOOD, 21))] == [
        *[None] * 4,
        "",
    ]


def test_a_start_may_take_its_time_until_the_deadline() -> None:
    judge = trial().judge
    assert {judge(DOWN, second) for second in range(60)} == {None}
    assert judge(DOWN, 61) == f"not proved within 60 s: {NOT_ACTIVE}"


def test_an_agent_that_somebody_stops_is_waited_for_and_bakes_anew() -> None:
    judge = trial().judge
    looks = [(GOOD, 1), *[(DOWN, 2)] * 5, (GOOD, 11), (GOOD, 20), (GOOD, 21)]
    assert [judge(look, second) for look, second in looks] == [*[None] * 8, ""]


def test_a_restart_that_nobody_asked_for_is_a_failure() -> None:
    assert trial().judge(Look("", "new", restarts=1), 1) == "it ended by itself and was restarted 1 times"


def test_an_orderly_restart_by_somebody_else_begins_the_bake_anew() -> None:
    judge = trial().judge
    assert [
        judge(Look("", name), second) for name, second in (("new", 1), ("newer", 10), ("newer", 19), ("newer", 20))
    ] == [
        *[None] * 3,
        "",
    ]


def test_on_the_way_back_restarts_by_systemd_are_expected() -> None:
    judge = Trial("", 0.0, 1.0, 60.0, may_restart=True).judge
    assert [judge(Look("", "new", restarts=1), second) for second in (1, 2)] == [None, ""]
