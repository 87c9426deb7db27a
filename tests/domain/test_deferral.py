"""Rules of deferral: the cap on the policy's clock, the windows that can be had, and what a typed date means."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from zlh_hooks.domain.deferral import Offer, Wish, find_latest, find_room, list_offers
from zlh_hooks.domain.deferral_rules import DeferralRules
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window import decide

BERLIN = ZoneInfo("Europe/Berlin")
TUESDAY = {"name": "tuesday", "rule": "FREQ=WEEKLY;BYDAY=TU", "start": "04:00", "length_minutes": 120}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NEEDS = timedelta(minutes=6)
YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def make_policy(*windows: dict[str, Any], **more: Any) -> Policy:
    return Policy.model_validate({"time_zone": "Europe/Berlin", "windows": list(windows or (TUESDAY,)), **more})


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def offered(policy: Policy, after: str, latest: str, security: bool = False) -> list[str]:
    offers = list_offers(policy, local(after), local(latest), NEEDS, security)
    return [f"{one.start.astimezone(BERLIN):%Y-%m-%dT%H:%M}" for one in offers]


# --- the cap


@pytest.mark.parametrize("first", ["2027-03-23T04:00", "2027-10-26T04:00"])
def test_a_week_later_is_the_same_hour_also_where_clocks_change_in_between(first: str) -> None:
    latest = find_latest(local(first), 7 * DAY, "Europe/Berlin").astimezone(BERLIN)
    assert (latest.date() - local(first).date(), latest.hour) == (7 * DAY, 4)
    assert offered(make_policy(), f"{first[:8]}{int(first[8:10]) + 1}T00:00", f"{latest:%Y-%m-%dT%H:%M}")


def test_the_cap_of_several_guests_is_that_of_the_first_announced() -> None:
    firsts = [local("2026-12-08T04:00"), local("2026-12-01T04:00")]
    room = find_room(make_policy(), firsts, 7 * DAY, local("2026-12-02T00:00"), NEEDS, False)
    assert (room.first, room.latest) == (firsts[1], local("2026-12-08T04:00"))
    assert [one.start for one in room.offers] == [local("2026-12-08T04:00")]


def test_security_has_its_own_cap_which_is_not_the_longer_one() -> None:
    rules = DeferralRules.model_validate({"limit": "21d", "security_limit": "7d"})
    assert (rules.limit_for(False), rules.limit_for(True)) == (21 * DAY, 7 * DAY)
    with pytest.raises(ValidationError, match=r"security_limit.*at most limit \(7d\)"):
        DeferralRules.model_validate({"limit": "7d", "security_limit": "21d"})
    with pytest.raises(ValidationError, match=r"the default\).*at most limit \(1d\)"):
        DeferralRules.model_validate({"limit": "1d"})


# --- windows


def test_every_window_up_to_the_cap_is_offered_its_last_day_included() -> None:
    assert offered(make_policy(), "2026-12-02T00:00", "2026-12-22T04:00") == [
        "2026-12-08T04:00",
        "2026-12-15T04:00",
        "2026-12-22T04:00",
    ]
    assert offered(make_policy(), "2026-12-02T00:00", "2026-12-22T03:59")[-1] == "2026-12-15T04:00"


def test_a_window_that_is_open_already_is_none_to_be_deferred_to() -> None:
    assert offered(make_policy(), "2026-12-08T04:01", "2026-12-15T05:00") == ["2026-12-15T04:00"]


def test_a_frozen_window_is_offered_to_security_fixes_alone() -> None:
    freeze = {"name": "holidays", "first": "2026-12-10", "last": "2027-01-06", "stops": "all-but-security"}
    policy = make_policy(freezes=[freeze])
    assert offered(policy, "2026-12-02T00:00", "2026-12-22T04:00") == ["2026-12-08T04:00"]
    assert len(offered(policy, "2026-12-02T00:00", "2026-12-22T04:00", security=True)) == 3


def test_of_a_window_that_begins_denied_the_open_part_is_offered() -> None:
    night = {"name": "backup", "effect": "deny", "rule": "FREQ=DAILY", "start": "03:30", "length_minutes": 60}
    assert offered(make_policy(TUESDAY, night), "2026-12-02T00:00", "2026-12-08T06:00") == ["2026-12-08T04:30"]


def test_windows_over_each_other_are_offered_each_by_its_start_and_those_of_the_same_start_once() -> None:
    twin = TUESDAY | {"name": "twin", "length_minutes": 60}
    all_day = {"name": "day", "rule": "FREQ=DAILY", "start": "00:00", "length_minutes": 1440}
    assert offered(make_policy(TUESDAY, twin, all_day), "2026-12-08T00:00", "2026-12-09T00:00") == [
        "2026-12-08T00:00",
        "2026-12-08T04:00",
        "2026-12-09T00:00",
    ]


def test_after_the_cap_nothing_is_offered() -> None:
    assert offered(make_policy(), "2026-12-02T00:00", "2026-12-01T00:00") == []


@given(
    after=st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: YEAR + timedelta(minutes=minutes)),
    days=st.integers(0, 40),
    minutes=st.integers(0, 90),
)
def test_whatever_is_offered_may_start_then_within_the_cap_and_not_before(
    after: datetime, days: int, minutes: int
) -> None:
    denied = {"name": "x", "effect": "deny", "rule": "FREQ=MONTHLY;BYDAY=2TU", "start": "03:00", "length_minutes": 90}
    policy, begin, needs = make_policy(TUESDAY, denied), after, timedelta(minutes=minutes)
    for one in list_offers(policy, begin, begin + days * DAY, needs, False):
        assert begin <= one.start <= begin + days * DAY
        assert decide(policy, "template", one.start, needs).allowed
        assert one.start < one.end


# --- what is typed


NIGHTS = [
    Offer(local(f"2026-12-0{day}T22:00").astimezone(UTC), local(f"2026-12-0{day + 1}T02:00").astimezone(UTC))
    for day in (7, 8)
]


@pytest.mark.parametrize(
    ("typed", "night"),
    [
        ("2026-12-07T00:00", 0),
        ("2026-12-08T00:00", 1),
        ("2026-12-08T22:00", 1),
        ("2026-12-08T01:59", 0),
        ("2026-12-08T02:00", None),
        ("2026-12-09T00:00", None),
    ],
)
def test_a_date_means_the_window_that_begins_on_it_and_a_time_the_one_that_is_open_then(
    typed: str, night: int | None
) -> None:
    assert Wish(local(typed)).choose(NIGHTS) == (None if night is None else NIGHTS[night])


def test_where_windows_lie_over_each_other_the_one_that_begins_at_the_time_is_meant() -> None:
    day = Offer(local("2026-12-08T00:00"), local("2026-12-09T00:00"))
    noon = Offer(local("2026-12-08T12:00"), local("2026-12-09T12:00"))
    assert Wish(local("2026-12-08T12:00")).choose([day, noon]) == noon
    assert Wish(local("2026-12-08T00:00")).choose([day, noon]) == day
