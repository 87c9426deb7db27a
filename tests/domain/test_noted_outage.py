"""What notes of a guest's phases say of its downtime: what no owner can have wanted, what nobody knows, and no more."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.noted_outage import BACKED_UP, BY_ITSELF, SOON, UNNOTED, fold_notes
from zlh_hooks.domain.outage import Gap, Outage

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
NOW = 100_000
HOUR = int(SOON.total_seconds())
ASK, OFF, BOOT, UP = "pre-stop", "post-stop", "pre-start", "post-start"
Told = tuple[float, float, str]


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def note(second: float, phase: str, node: str = "a", lock: str = "", **more: Any) -> GuestNote:
    values = {"kind": GuestKind.LXC, "migrated_from": "", "vetoed": False} | more
    return GuestNote(guest=5001, phase=GuestPhase(phase), at=at(second), node=node, lock=lock, **values)


def backed_up(*phases: tuple[float, str]) -> list[GuestNote]:
    return [note(second, phase, lock="backup") for second, phase in phases]


def tell(*notes: GuestNote, now: float = NOW) -> tuple[list[Told], list[Told]]:
    """Outages and gaps: seconds from and to, and why."""
    found = fold_notes(notes)[5001].tell(at(now))
    told = [(one, (one.span.begin - START).total_seconds(), (one.span.end - START).total_seconds()) for one in found]
    outages = [(begin, end, one.cause) for one, begin, end in told if isinstance(one, Outage)]
    gaps = [(begin, end, one.cause) for one, begin, end in told if isinstance(one, Gap)]
    return outages, gaps


def restart(begin: float, node: str = "a", target: str = "") -> list[GuestNote]:
    """All four phases, ten seconds apart."""
    there = target or node
    stop = [note(begin, ASK, node), note(begin + 10, OFF, node)]
    return [*stop, note(begin + 20, BOOT, there), note(begin + 30, UP, there)]


# --- by somebody's will


def test_a_stop_that_was_asked_for_is_its_owners_or_a_rollouts_and_not_counted_here() -> None:
    assert tell(*restart(0)) == ([], [])
    assert tell(note(0, ASK), note(10, OFF)) == ([], [])
    assert tell(note(0, ASK), note(10, OFF), note(50_000, BOOT), note(50_010, UP)) == ([], [])


@pytest.mark.parametrize("second", [-5, 5, 15, 25, 35, 50_005])
def test_that_a_backup_has_ended_says_nothing_of_whether_the_guest_runs(second: int) -> None:
    stopped = [*backed_up((0, ASK), (10, OFF)), note(50_000, BOOT), note(50_010, UP)]
    assert tell(*stopped, note(second, "backup-end", lock="backup")) == tell(*stopped)


def test_a_stop_that_was_asked_for_and_not_noted_is_taken_for_that_too() -> None:
    assert tell(note(0, UP), note(100, ASK), note(110, BOOT), note(120, UP)) == ([], [])


def test_a_guest_that_ends_by_itself_was_perhaps_switched_off_inside_and_nobody_knows() -> None:
    assert tell(note(0, UP), note(100, OFF), note(300, BOOT), note(310, UP)) == ([], [(100, 310, BY_ITSELF)])
    assert tell(note(100, OFF)) == ([], [(100, NOW, BY_ITSELF)])


def test_a_stop_long_after_it_was_asked_for_in_vain_is_one_by_itself() -> None:
    asked = [note(0, UP), note(100, ASK)]
    assert tell(*asked, note(100 + HOUR, OFF)) == ([], [])
    assert tell(*asked, note(101 + HOUR, OFF)) == ([], [(101 + HOUR, NOW, BY_ITSELF)])


def test_a_post_stop_that_comes_twice_changes_nothing() -> None:
    for stop in ([note(10, ASK), note(20, OFF), note(25, OFF)], [note(20, OFF), note(25, OFF)]):
        once = [one for one in stop if one.at != at(25)]
        assert tell(*stop, note(50, UP)) == tell(*once, note(50, UP))


def test_a_guest_that_comes_up_though_nobody_noted_its_stop_was_off_since_nobody_knows_when() -> None:
    up_twice = [note(0, UP), note(5000, BOOT), note(5010, UP)]
    assert tell(*up_twice) == ([], [(0, 5010, UNNOTED)])
    assert tell(note(0, UP), note(5010, UP, "b")) == ([], [(0, 5010, UNNOTED)])
    asked_long_ago = [note(0, UP), note(100, ASK), note(101 + HOUR, BOOT), note(110 + HOUR, UP)]
    assert tell(*asked_long_ago) == ([], [(100, 110 + HOUR, UNNOTED)])


def test_a_first_start_says_nothing_of_the_time_before() -> None:
    assert tell(note(100, BOOT), note(110, UP)) == ([], [])


def test_a_start_that_was_vetoed_changes_nothing() -> None:
    stopped = [note(0, ASK), note(10, OFF)]
    assert tell(*stopped, note(100, BOOT, vetoed=True), note(200, BOOT), note(210, UP)) == ([], [])
    assert tell(note(0, UP), note(100, BOOT, vetoed=True)) == ([], [])


# --- backups


def test_a_backup_that_stops_the_guest_is_downtime_from_the_order_to_the_start() -> None:
    phases = backed_up((100, ASK), (110, OFF), (400, BOOT), (410, UP))
    assert tell(note(0, UP), *phases) == ([(100, 410, BACKED_UP)], [])
    assert tell(*phases[:2]) == ([(100, NOW, BACKED_UP)], [])


def test_a_backup_whose_stop_was_not_noted_is_downtime_all_the_same() -> None:
    phases = backed_up((100, ASK), (400, BOOT), (410, UP))
    assert tell(note(0, UP), *phases) == ([(100, 410, BACKED_UP)], [])


def test_a_guest_that_a_backup_left_off_is_down_until_somebody_starts_it() -> None:
    stopped = backed_up((100, ASK), (110, OFF))
    assert tell(note(0, UP), *stopped, note(900, BOOT), note(910, UP)) == ([(100, 910, BACKED_UP)], [])


def test_a_backup_of_a_guest_that_is_off_starts_nothing() -> None:
    reading = backed_up((200, BOOT), (210, UP), (300, OFF))
    end = [note(500, BOOT), note(510, UP)]
    assert tell(note(10, OFF), *reading, *end) == ([], [(10, 510, BY_ITSELF)])
    assert tell(note(0, ASK), note(10, OFF), *reading, *end) == ([], [])
    assert tell(*reading, *end) == ([], [])


def test_a_guest_that_ends_by_itself_during_a_backup_is_nobodys_known_will() -> None:
    assert tell(note(0, UP), *backed_up((100, OFF)), note(200, UP)) == ([], [(100, 200, BY_ITSELF)])


# --- moves


def test_a_migration_by_restart_is_downtime() -> None:
    assert tell(*restart(100, "a", "b")) == ([(100, 130, "moved from a to b by a restart")], [])


def test_a_guest_that_comes_up_elsewhere_much_later_may_have_been_off_by_will() -> None:
    stop, start = restart(0)[:2], [note(HOUR, BOOT, "b"), note(HOUR + 1, UP, "b")]
    outages, ((begin, end, cause),) = tell(*stop, *start)
    assert (outages, begin, end) == ([], 0, HOUR + 1)
    assert "off by its owner's will" in cause


def test_a_virtual_machine_that_moves_while_it_runs_is_never_away() -> None:
    arriving = [note(100 + n, phase, "b", "migrate", migrated_from="a") for n, phase in enumerate((BOOT, UP))]
    late = [note(103, OFF, "a"), note(104, OFF, "a", "migrate")]
    assert tell(note(0, UP), *arriving, *late) == ([], [])
    assert tell(note(0, UP), *arriving, *late, note(500, OFF, "b")) == ([], [(500, NOW, BY_ITSELF)])


def test_a_clock_that_is_behind_on_the_other_node_makes_no_other_story() -> None:
    skewed = [note(0, UP), note(100, ASK), note(105, BOOT, "b"), note(110, OFF), note(130, UP, "b")]
    assert tell(*skewed) == ([(100, 130, "moved from a to b by a restart")], [])
    earlier_still = [note(0, UP), note(100, ASK), note(101, BOOT, "b"), note(105, UP, "b"), note(110, OFF)]
    assert tell(*earlier_still) == ([(100, 105, "moved from a to b by a restart")], [])


# --- in any order


@pytest.mark.parametrize("node", ["", "a"])
def test_a_node_whose_name_could_not_be_read_is_no_other_one(node: str) -> None:
    assert tell(*restart(0, "a", node)) == ([], [])
    assert tell(note(0, UP, node), note(100, OFF, "a"), note(200, UP, node)) == ([], [(100, 200, BY_ITSELF)])


NOTES = st.builds(
    note,
    st.integers(0, 50).map(lambda number: number * 300),
    st.sampled_from([ASK, OFF, BOOT, UP]),
    st.sampled_from(["a", "b", ""]),
    st.sampled_from(["", "backup", "migrate"]),
    vetoed=st.booleans(),
)


@given(st.lists(NOTES, min_size=1, max_size=12, unique_by=lambda one: one.at), st.randoms())
def test_whatever_was_noted_the_order_of_arrival_decides_nothing_and_no_time_is_told_twice(
    notes: list[GuestNote], random: Any
) -> None:
    told = fold_notes(notes)[5001].tell(at(NOW))
    random.shuffle(notes)
    assert fold_notes(notes)[5001].tell(at(NOW)) == told
    for one, other in pairwise(told):
        assert one.span.end <= other.span.begin
    assert all(one.span.end <= at(NOW) for one in told)


def test_each_guest_has_its_own() -> None:
    other = GuestNote(5002, GuestPhase.POST_STOP, at(5), "a", GuestKind.LXC, "", "", False)
    found = fold_notes([note(0, UP), other])
    assert found[5001].tell(at(NOW)) == ()
    assert [one.vmid for one in found[5002].tell(at(NOW))] == [5002]
