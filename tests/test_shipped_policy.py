"""Rules of the policy that is shipped: complete, in the order that its reasons give, and true to the command line."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.command_line import UsageError, find_commands, parse
from zlh_hooks.domain.component_rule import may_run_together, order_components
from zlh_hooks.domain.deferral import find_room
from zlh_hooks.domain.impact import Impact
from zlh_hooks.domain.window import decide, list_hints, list_occurrences
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

POLICY = load_policy(SHIPPED_POLICY)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 25, tzinfo=UTC)
HOSTS = (Component.PVE_HOST, Component.PBS, Component.OPNSENSE)
TEXT = SHIPPED_POLICY.read_text()


def test_nothing_of_it_is_hardly_meant() -> None:
    assert list_hints(POLICY, NOW) == []


def test_every_system_has_its_runbook_and_templates_and_agents_are_carried_out_by_themselves() -> None:
    assert set(POLICY.components) == set(Component)
    by_itself = {name for name, rule in POLICY.components.items() if rule.driver != "manual"}
    assert by_itself == {Component.TEMPLATE, Component.AGENT}


@pytest.mark.parametrize("component", Component)
def test_work_on_guests_is_on_tuesdays_and_on_hosts_and_routers_on_first_wednesdays(component: Component) -> None:
    spans = list_occurrences(POLICY, component, NOW, NOW + timedelta(days=365))
    starts = {f"{one.local_start:%A %H:%M} {one.end - one.start}" for one in spans if one.effect == "allow"}
    assert starts == {"Wednesday 04:00 4:00:00" if component in HOSTS else "Tuesday 04:00 2:00:00"}
    if component in HOSTS:
        assert all(one.local_start.day <= 7 for one in spans if one.effect == "allow")


@pytest.mark.parametrize("day", ["2026-11-27", "2026-11-28", "2026-11-29", "2027-10-31"])
@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_from_friday_to_sunday_nothing_starts_and_the_weekend_is_the_reason(day: str, hour: int) -> None:
    now = datetime.fromisoformat(f"{day}T{hour:02}:30").replace(tzinfo=UTC)
    at_home = now - timedelta(hours=1)  # Berlin's Sunday is over at 23:00 UTC
    assert "weekend" in decide(POLICY, "template", at_home, timedelta(0)).rule


def test_holidays_stop_all_but_security() -> None:
    tuesday = datetime(2026, 12, 29, 3, 30, tzinfo=UTC)
    assert not decide(POLICY, "template", tuesday, timedelta(0)).allowed
    assert decide(POLICY, "template", tuesday, timedelta(0), security=True).allowed


@pytest.mark.parametrize("component", Component)
def test_what_a_component_may_take_fits_into_its_window_with_time_for_the_way_back(component: Component) -> None:
    window = next(rule for rule in POLICY.windows if rule.effect == "allow" and component in rule.components)
    usable = window.length - timedelta(minutes=window.cutoff_minutes)
    assert POLICY.components[component].time_limit <= usable
    assert POLICY.interruption_of(component) <= POLICY.components[component].time_limit


def test_backups_come_first_and_hosts_last_and_the_three_of_them_never_together() -> None:
    order = order_components(POLICY.components)
    assert (order[0], order[-1]) == (Component.PBS, Component.PVE_HOST)
    pairs = [(one, other) for one in HOSTS for other in HOSTS if one is not other]
    assert not any(may_run_together(POLICY.components, *pair) for pair in pairs)


def test_nothing_is_in_work_while_monitoring_is() -> None:
    others = [one for one in Component if one is not Component.MONITORING]
    assert not any(may_run_together(POLICY.components, Component.MONITORING, one) for one in others)


@pytest.mark.parametrize("component", Component)
def test_every_component_says_what_is_live_in_it_and_its_reason(component: Component) -> None:
    rule = POLICY.components[component]
    assert any(one.impact is Impact.LIVE for one in rule.consequences)
    assert rule.reason


def test_each_of_the_three_symptoms_is_decided_by_whoever_is_on_call() -> None:
    assert set(POLICY.symptoms) == {"provisioning", "networking", "workloads"}
    assert {one.decides for one in POLICY.symptoms.values()} == {"on-call"}


def test_long_interruptions_are_told_a_week_before_and_short_ones_three_days() -> None:
    assert POLICY.notices is not None
    promised = [POLICY.notices.ladder_for(timedelta(minutes=minutes)).promise.days for minutes in (3, 15, 16)]
    assert promised == [3, 3, 7]


def test_windows_freezes_ladders_deferral_and_emergencies_say_why() -> None:
    assert POLICY.notices is not None and POLICY.emergency is not None and POLICY.deferral is not None
    lists = (*POLICY.windows, *POLICY.freezes, *POLICY.notices.ladders)
    assert all(one.reason for one in (*lists, POLICY.deferral, POLICY.emergency))


@pytest.mark.parametrize(("security", "tuesdays"), [(False, 3), (True, 1)])
def test_a_date_can_be_moved_by_as_many_tuesdays_as_the_caps_say(security: bool, tuesdays: int) -> None:
    first = datetime(2027, 3, 23, 3, 0, tzinfo=UTC)  # before clocks change
    assert POLICY.deferral is not None
    room = find_room(POLICY, [first], POLICY.deferral.limit_for(security), first + HOUR, HOUR, security)
    assert [one.start.isoformat() for one in room.offers] == [
        f"2027-{day}T02:00:00+00:00" for day in ("03-30", "04-06", "04-13")[:tuesdays]
    ]


def test_what_we_cannot_know_is_left_to_be_confirmed() -> None:
    assert {"time_zone", "contact", "people"} <= set(POLICY.to_confirm)


STEPS = (
    *(step for rule in POLICY.components.values() for step in rule.all_steps()),
    *(step for symptom in POLICY.symptoms.values() for step in symptom.steps),
)
COMMANDS = find_commands("\n".join(step.command for step in STEPS if step.command) + "\n" + TEXT)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_it_names_is_one_of_the_command_line(command: str) -> None:
    parse(command)


@pytest.mark.parametrize(
    "command",
    ["zlh-hooks rolout start", "zlh-hooks plan game-base", "zlh-hooks recover VM", "zlh-hooks plan x --to 1 --now"],
)
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    with pytest.raises(UsageError):
        parse(command)


def test_by_hand_means_without_zlh_hooks() -> None:
    assert [step.do for step in STEPS if "zlh-hooks " in step.by_hand] == []
