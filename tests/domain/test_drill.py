"""Rules of drills: when one is set, who can do it, and whose counts until when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from zlh_hooks.domain.drill import DRILL, choose_start, describe_drill, find_gap, find_trainee, read_drills
from zlh_hooks.domain.emergency_rules import EmergencyRules
from zlh_hooks.domain.entry import Entry, Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PEOPLE = {
    "ada": {"name": "Ada", "roles": ["duty"], "mail": "ada@example.com"},
    "bob": {"name": "Bob", "roles": ["office"], "mail": "bob@example.com"},
}
ROLES = {name: {"title": name, "duty": "answers"} for name in ("duty", "office")}
SYMPTOM = {
    "title": "dark",
    "signal": "none",
    "time_limit": "5m",
    "decides": "duty",
    "steps": [{"do": "look", "by_hand": "look", "expect": "light"}],
}


def make_policy(**tables: Any) -> Policy:
    known = {"time_zone": "Europe/Berlin", "people": PEOPLE, "roles": ROLES, "emergency": {}}
    return Policy.model_validate({**known, **tables})


def drilled(
    person: str = "ada",
    age_days: int = 0,
    played_through: bool = False,
    ending: RolloutState = RolloutState.SUCCEEDED,
    **rules: Any,
) -> Entry:
    policy = make_policy(emergency=rules)
    data = describe_drill(policy, person, "ada@desk", ending, played_through)
    return Entry(1, NOW - timedelta(days=age_days), Kind.EVIDENCE, DRILL, "", None, data, "", "")


def gap(*entries: Entry, rules: EmergencyRules | None = None) -> str:
    return find_gap(rules or EmergencyRules(), read_drills(entries).get("ada"), NOW)


def test_a_fresh_one_under_the_rules_in_force_counts() -> None:
    assert gap(drilled()) == ""


def test_whoever_has_not_done_it_has_it_before_them() -> None:
    assert gap(drilled("bob")) == "not done yet"


@pytest.mark.parametrize(("age", "counts"), [(180, True), (181, False)])
def test_it_counts_as_long_as_the_policy_says(age: int, counts: bool) -> None:
    assert (gap(drilled(age_days=age)) == "") is counts


def test_the_policy_may_ask_for_it_more_often() -> None:
    rules = EmergencyRules.model_validate({"drill_every": "30d"})
    assert gap(drilled(age_days=31), rules=rules) == "done on 2026-10-25: more than 30 days ago"
    assert gap(drilled(age_days=29), rules=rules) == "", "how often it is done is no rule of the emergency itself"


def test_it_counts_no_more_when_the_rules_of_an_emergency_changed() -> None:
    assert "[emergency] changed since" in gap(drilled(), rules=EmergencyRules.model_validate({"limit": "2h"}))
    assert gap(drilled(), rules=EmergencyRules(reason="in other words")) == ""


def test_one_that_was_played_through_counts_for_nobody_and_takes_no_real_one_away() -> None:
    assert "which drills nobody" in gap(drilled(played_through=True))
    assert gap(drilled(age_days=3), drilled(played_through=True)) == ""
    assert gap(drilled(age_days=3, played_through=True), drilled()) == ""


def test_one_that_came_to_no_proof_counts_for_nobody_and_one_that_went_back_does() -> None:
    assert "its rollout ended ABORTED" in gap(drilled(ending=RolloutState.ABORTED))
    assert gap(drilled(ending=RolloutState.REVERTED)) == ""


def test_the_latest_is_the_one_that_counts() -> None:
    assert gap(drilled(age_days=400), drilled(age_days=3)) == ""


def test_other_entries_are_none() -> None:
    other = Entry(1, NOW, Kind.COMMAND, DRILL, "", None, {}, "", "")
    assert read_drills([other]) == {}


def test_only_who_is_on_call_can_do_it_and_the_refusal_names_them() -> None:
    policy = make_policy(symptoms={"dark": SYMPTOM})
    assert find_trainee(policy, "ada").name == "Ada"
    with pytest.raises(NotAllowed, match=r"'adda' is not on call under this policy; who is: ada; did you mean ada\?"):
        find_trainee(policy, "adda")
    with pytest.raises(NotAllowed, match="who is: ada"):
        find_trainee(policy, "bob")
    with pytest.raises(NotAllowed, match=r"nobody yet: name people in \[people\]"):
        find_trainee(make_policy(people={}), "ada")


# --- when it is set


def test_it_is_set_on_the_next_saturday_night() -> None:
    assert choose_start(make_policy(), NOW) == datetime(2026, 11, 28, 21, tzinfo=UTC)
    assert choose_start(make_policy(), datetime(2026, 11, 28, 23, 30, tzinfo=UTC)) == datetime(
        2026, 12, 5, 21, tzinfo=UTC
    )


def test_where_saturday_night_is_a_window_it_is_set_after_it() -> None:
    night = {"name": "night", "rule": "FREQ=WEEKLY;BYDAY=SA", "start": "21:00", "length_minutes": 180}
    assert choose_start(make_policy(windows=[night]), NOW) == datetime(2026, 11, 28, 23, tzinfo=UTC)


def test_where_windows_are_always_open_it_stays_the_night() -> None:
    always = {"name": "always", "rule": "FREQ=DAILY", "start": "00:00", "length_minutes": 1500}
    assert choose_start(make_policy(windows=[always]), NOW) == datetime(2026, 11, 28, 21, tzinfo=UTC)
