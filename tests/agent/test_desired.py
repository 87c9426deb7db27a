"""Which rule decides for a guest: rings, pins, windows and what the state forbids."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_plugin.desired import (
    Block,
    Build,
    Desired,
    Guest,
    Pin,
    Ring,
    Ruling,
    decide,
    find_start,
    place_of,
)
from agent_plugin.opening import Opening, delay_of

NOW = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPEN = Opening("tuesday", NOW - HOUR, NOW + HOUR)
BUILD = Build("ab" * 32, 1000)
PIN = Pin(7, "game-base", "all", "1.5.0", "~=1.5", {"all": BUILD}, ">=1.3", ("1.4.2",))
STATE = Desired(NOW, windows=(OPEN,), rings=(Ring("all", percent=100),), pins=(PIN,))
GUEST = Guest(5001, "game-base", "1.4.2")
VMIDS = st.integers(100, 999_999_999)


def rule(guest: Guest = GUEST, now: datetime = NOW, pin: Pin = PIN, **changes: object) -> tuple[Ruling, str]:
    decision = decide(replace(STATE, pins=(pin,), **changes), guest, now)  # type: ignore[arg-type]
    return decision.ruling, decision.rule


def test_a_pinned_version_is_installed_in_the_window_and_the_rule_names_pin_line_ring_and_what_was_asked() -> None:
    ruling, said = rule()
    assert ruling is Ruling.INSTALL
    assert said == "pin 7: line game-base, ring all (within the first 100 %), ~=1.5 is 1.5.0; a window is open"


@pytest.mark.parametrize(
    ("guest", "ruling", "said"),
    [
        (Guest(5001, "game-base", "1.5.0"), Ruling.CURRENT, "it is installed"),
        (Guest(5001, "game-base", "1.5"), Ruling.CURRENT, "it is installed"),
        (Guest(5001, "game-base", "1.2.9"), Ruling.TOO_OLD, "only >=1.3 may come to it, and 1.2.9 is installed"),
        (Guest(5001, "game-base", "1.6.0"), Ruling.DOWNGRADE, "1.6.0 is newer, and this pin does not lead back"),
        (Guest(5001, "game-base", "banana"), Ruling.UNREADABLE, "'banana' is none that can be compared"),
        (Guest(5001, "dev-base", "1.4.2"), Ruling.UNPINNED, "has a pin for line dev-base"),
        (Guest(5001, "game-base", None), Ruling.INSTALL, "a window is open"),
    ],
)
def test_what_is_installed_decides_too(guest: Guest, ruling: Ruling, said: str) -> None:
    found = rule(guest)
    assert found[0] is ruling and said in found[1]


def test_a_downgrade_happens_only_when_the_pin_says_so() -> None:
    newer = replace(GUEST, installed="1.6.0")
    assert rule(newer, pin=replace(PIN, downgrade=True))[0] is Ruling.INSTALL


def test_a_blocked_version_is_not_installed_and_the_reason_is_told() -> None:
    ruling, said = rule(blocked=(Block(">=1.5,<1.5.2", "loses saves"),))
    assert ruling is Ruling.BLOCKED and ">=1.5,<1.5.2 is blocked: loses saves" in said


def test_a_build_for_the_guests_machine_is_taken_before_the_one_for_all_and_none_is_said() -> None:
    special = Build("cd" * 32, 2000)
    both = replace(PIN, builds={"all": BUILD, "arm64": special})
    assert decide(replace(STATE, pins=(both,)), replace(GUEST, machine="arm64"), NOW).build == special
    only = replace(PIN, builds={"arm64": special})
    assert rule(replace(GUEST, machine="amd64"), pin=only)[0] is Ruling.NO_BUILD


def test_the_first_ring_with_a_pin_for_the_line_decides() -> None:
    canary = replace(PIN, number=8, ring="canary", version="1.6.0")
    rings = (Ring("empty", percent=100), Ring("canary", ((5001, 5003),)), Ring("all", percent=100))
    state = replace(STATE, rings=rings, pins=(PIN, canary))
    assert "pin 8: line game-base, ring canary (listed)" in decide(state, GUEST, NOW).rule
    assert "pin 7:" in decide(state, replace(GUEST, vmid=5004), NOW).rule


@given(VMIDS, st.integers(0, 100), st.integers(0, 100))
def test_a_share_that_grows_keeps_whom_it_had(vmid: int, one: int, other: int) -> None:
    less, more = sorted((one, other))
    if Ring("canary", percent=less).find_reason(vmid):
        assert Ring("canary", percent=more).find_reason(vmid)
    assert Ring("none", percent=0).find_reason(vmid) is None and Ring("all", percent=100).find_reason(vmid)


def test_a_share_of_five_percent_is_about_five_percent() -> None:
    members = sum(place_of(vmid) < 500 for vmid in range(5000, 15000))
    assert 400 < members < 600


def test_places_never_change_because_guests_would_change_rings() -> None:
    assert [place_of(vmid) for vmid in (100, 5001, 5002, 999_999_999)] == PLACES


PLACES = [9094, 8966, 2203, 1650]


@pytest.mark.parametrize(
    ("now", "ruling", "opens"),
    [
        (NOW - 2 * HOUR, Ruling.WAITS, NOW - HOUR),
        (NOW - HOUR, Ruling.INSTALL, None),
        (NOW + HOUR - timedelta.resolution, Ruling.INSTALL, None),
        (NOW + HOUR, Ruling.WAITS, None),
    ],
)
def test_a_window_is_half_open_and_after_the_last_one_the_rule_says_never(
    now: datetime, ruling: Ruling, opens: datetime | None
) -> None:
    decision = decide(STATE, GUEST, now)
    assert (decision.ruling, decision.opens) == (ruling, opens)
    assert ("never" in decision.rule) == (ruling is Ruling.WAITS and opens is None)


def test_an_emergency_opens_a_time_for_one_pin_only() -> None:
    now = NOW + 5 * HOUR
    hasty = replace(PIN, also_open=(Opening("emergency e1", now - HOUR, now + HOUR),))
    assert rule(now=now, pin=hasty)[0] is Ruling.INSTALL
    assert rule(now=now)[0] is Ruling.WAITS


@given(VMIDS, st.integers(0, 10_000))
def test_everybody_has_a_turn_within_the_window_however_long_the_jitter(vmid: int, seconds: int) -> None:
    state = replace(STATE, jitter=timedelta(seconds=seconds))
    start = find_start(state, PIN, vmid, NOW - 2 * HOUR)
    assert start is not None and OPEN.start <= start < OPEN.last_start
    assert start - OPEN.start < max(timedelta(seconds=seconds), timedelta(seconds=1))


def test_jitter_spreads_guests_and_differs_from_version_to_version() -> None:
    delays = {delay_of(vmid, "1.5.0", HOUR) for vmid in range(5000, 5100)}
    assert len(delays) > 80
    assert [delay_of(vmid, "1.5.1", HOUR) for vmid in (5000, 5001)] != [
        delay_of(v, "1.5.0", HOUR) for v in (5000, 5001)
    ]
