"""What a customer reads has the facts of a good notice, in the customer's own time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from zlh_hooks.domain.deferral import Offer, Room
from zlh_hooks.domain.deferral_rules import DeferralRules
from zlh_hooks.domain.deferral_text import OtherDate, render_mail_link
from zlh_hooks.domain.notice import OPERATOR, Customer, Message, Return, Round, Stage
from zlh_hooks.domain.notice_plan import Due, Outcome
from zlh_hooks.domain.notice_text import Change, Imprint, render_message

START = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
CHANGE = Change(
    "r1125-ab12", "template", "game-base 2", "guest-restart", timedelta(minutes=2), {5001: "mc-5001", 5002: "x"}
)
ROUND = Round(1, 0, START, START + timedelta(hours=2), timedelta(hours=72), {"ann": (5001,), OPERATOR: (5002,)}, START)
IMPRINT = Imprint("Europe/Berlin", "help@example.net", "https://status.example.net")


def write(stage: Stage, zone: str | None = None, **more: object) -> Message:
    ann = Customer("ann", "Ann", frozenset({5001}), time_zone=zone)
    return render_message(Due("ann", stage, ROUND, **more), CHANGE, ann, IMPRINT, START)  # type: ignore[arg-type]


def test_an_announcement_names_time_servers_interruption_data_way_back_and_contact() -> None:
    text = write(Stage.ANNOUNCED).text
    for fact in (
        "Hello Ann,",
        "on Tue 01 Dec 2026 between 04:00 and 06:00 CET (03:00 to 05:00 UTC)",
        "mc-5001",
        "about 2m for each server",
        "Your data stays as it is",
        "goes back",
        "You need to do nothing",
        "https://status.example.net",
        "help@example.net (please name r1125-ab12)",
    ):
        assert fact in text
    assert "5002" not in text


def test_times_are_the_customers_own_where_they_have_said_so() -> None:
    assert "between 22:00 and Tue 01 Dec, 00:00 EST" in write(Stage.ANNOUNCED, "America/New_York").text


def test_servers_without_an_owner_are_named_to_the_operator_as_such() -> None:
    due = Due(OPERATOR, Stage.ANNOUNCED, ROUND)
    text = render_message(due, CHANGE, Customer(OPERATOR, "", frozenset()), IMPRINT, START).text
    assert "have no owner in the customer directory" in text
    assert "mc-5001" not in text


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.UPDATED, "run the new version"),
        (Outcome.TAKEN_BACK, "run the one from before again"),
        (Outcome.UNDECIDED, "we are working on it"),
    ],
)
def test_the_end_says_how_it_went(outcome: Outcome, words: str) -> None:
    assert words in write(Stage.FINISHED, outcome=outcome).text


def test_an_overrun_is_called_unplanned_downtime() -> None:
    assert "unplanned downtime" in write(Stage.OVERRUN).text


def test_a_cancellation_takes_the_event_out_of_the_calendar() -> None:
    announced, cancelled = write(Stage.ANNOUNCED).event, write(Stage.CANCELLED).event
    assert announced is not None and cancelled is not None
    assert (announced.uid, announced.sequence, announced.cancelled) == (cancelled.uid, 0, False)
    assert (cancelled.sequence, cancelled.cancelled) == (1, True)


def test_what_changes_no_date_carries_no_event() -> None:
    assert [write(stage).event for stage in (Stage.REMINDER, Stage.STARTED, Stage.OVERRUN)] == [None] * 3


def test_the_same_notice_has_the_same_name_and_another_one_has_not() -> None:
    names = {write(stage).id for stage in Stage if stage is not Stage.FINISHED}
    assert len(names) == len(Stage) - 1
    assert write(Stage.STARTED).id == write(Stage.STARTED, "UTC").id


def take_back(begin: timedelta, outcome: Outcome = Outcome.TAKEN_BACK) -> Message:
    """So long after the window began, for ten minutes."""
    back = Return(START + begin, START + begin + timedelta(minutes=10), (5001,))
    return write(Stage.TAKEN_BACK, outcome=outcome, back=back)


def test_what_is_taken_back_later_is_told_with_its_time_and_what_it_meant() -> None:
    message = take_back(timedelta(hours=6))
    assert message.subject.endswith("Maintenance of Tue 01 Dec 2026, 04:00 CET was taken back")
    for fact in (
        "we have taken its change back",
        "They have the version from before again. Your data stays as it is.",
        "Taken back:   on Tue 01 Dec 2026 between 10:00 and 10:10 CET (09:00 to 09:10 UTC)",
        "once more about 2m for each server that was running",
        "a server that was off stays off",
        "counts as unplanned downtime",
    ):
        assert fact in message.text
    assert message.facts["taken_back"] == {"start": "2026-12-01T09:00:00+00:00", "end": "2026-12-01T09:10:00+00:00"}
    assert write(Stage.FINISHED, outcome=Outcome.UPDATED).facts["taken_back"] is None


def test_what_is_taken_back_within_the_announced_window_is_not_called_unplanned() -> None:
    assert "unplanned" not in take_back(timedelta(minutes=30)).text


def test_what_was_taken_back_keeps_its_event_in_the_calendar_and_what_is_not_proved_does_not_touch_it() -> None:
    announced, back = write(Stage.ANNOUNCED).event, take_back(timedelta(hours=6)).event
    assert announced is not None and back is not None
    assert (back.uid, back.sequence, back.start, back.cancelled) == (announced.uid, 1, announced.start, False)
    assert "Taken back on Tue 01 Dec 2026 between 09:00 and 09:10 UTC" in back.description
    assert take_back(timedelta(hours=6), Outcome.UNDECIDED).event is None


URGENT = replace(ROUND, emergency="e1201-ab12", because="a hole is being used", lead=timedelta(0))


def write_urgent(stage: Stage, **more: object) -> Message:
    due = Due("ann", stage, URGENT, **more)  # type: ignore[arg-type]
    return render_message(due, CHANGE, Customer("ann", "Ann", frozenset({5001})), IMPRINT, START)


@pytest.mark.parametrize("stage", [Stage.ANNOUNCED, Stage.MOVED, Stage.STARTED])
def test_in_an_emergency_whoever_hears_first_reads_why_and_that_data_stays(stage: Stage) -> None:
    message = write_urgent(stage)
    assert "] Emergency maintenance " in message.subject
    for fact in (
        "this is an emergency",
        "Why now: a hole is being used",
        "the date cannot be moved",
        "Your data stays as it is",
        "Questions: help@example.net",
    ):
        assert fact in message.text
    assert message.facts["emergency"] == "e1201-ab12"


def test_no_notice_of_an_emergency_calls_it_planned_or_offers_another_date() -> None:
    texts = [(write_urgent(stage).subject + write_urgent(stage).text).lower() for stage in Stage]
    assert not any("planned" in text.replace("unplanned", "") or "or another date" in text for text in texts)


# --- other dates

RULES = DeferralRules()
LATER = tuple(Offer(START + timedelta(days=7 * n), START + timedelta(days=7 * n, hours=2)) for n in range(1, 5))
ROOM = Room(START, START + timedelta(days=21), LATER)


def write_other(other: OtherDate, contact: str = IMPRINT.contact) -> str:
    ann = Customer("ann", "Ann", frozenset({5001}))
    imprint = replace(IMPRINT, contact=contact)
    return render_message(Due("ann", Stage.ANNOUNCED, ROUND), CHANGE, ann, imprint, START, other).text


def test_a_notice_says_both_caps_until_when_the_next_dates_and_how_to_choose_one() -> None:
    text = write_other(OtherDate(RULES, False, ROOM, "https://portal.example/date?token=x.y"))
    for fact in (
        "up to 21 days, for a security fix up to 7 days",
        "until Tue 22 Dec 2026, 04:00 CET",
        "on Tue 08 Dec 2026 between 04:00 and 06:00 CET (03:00 to 05:00 UTC)",
        "Choose one: https://portal.example/date?token=x.y\n",
        "mailto:help@example.net?subject=Another%20date%20for%20r1125-ab12%3A%20mc-5001",
    ):
        assert fact in text
    assert text.count("between") == 2 + 3


def test_without_a_page_the_address_is_the_way_and_without_an_address_the_link() -> None:
    text = write_other(OtherDate(RULES, False, ROOM))
    assert "Write to us which one: mailto:help@example.net" in text and "Choose one" not in text
    alone = write_other(OtherDate(RULES, False, ROOM, "https://portal.example/date?token=x.y"), contact="")
    assert "Choose one" in alone and "mailto" not in alone


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (OtherDate(None, False, None), "This date cannot be moved."),
        (OtherDate(DeferralRules.model_validate({"limit": "0s", "security_limit": "0s"}), True, None), "be moved."),
        (OtherDate(DeferralRules.model_validate({"security_limit": "0s"}), True, None), "it closes a security hole."),
        (OtherDate(RULES, False, replace(ROOM, offers=())), "this date cannot be moved any more."),
    ],
)
def test_a_date_that_stands_is_said_to_stand_and_nothing_is_offered(other: OtherDate, words: str) -> None:
    text = write_other(other)
    assert words in text
    assert "mailto" not in text and "next ones" not in text


def test_the_subject_of_a_mail_names_five_servers_and_counts_the_others() -> None:
    link = render_mail_link("help@example.net", "r1", [f"mc-{number}" for number in range(8)])
    assert link.endswith("mc-4%20and%203%20more") and "mc-5" not in link


def test_programs_get_dates_and_link_as_facts() -> None:
    ann = Customer("ann", "Ann", frozenset({5001}))
    other = OtherDate(RULES, False, ROOM, "https://portal.example/date?token=x.y")
    facts = render_message(Due("ann", Stage.ANNOUNCED, ROUND), CHANGE, ann, IMPRINT, START, other).facts["deferral"]
    assert facts["link"] == "https://portal.example/date?token=x.y"
    assert [one["start"] for one in facts["dates"]] == [one.start.isoformat() for one in LATER]
    assert write(Stage.ANNOUNCED).facts["deferral"] is None
