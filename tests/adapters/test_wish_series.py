"""The signed states of a rollout of packages: what each act means for whom, and what stays of it when others sign."""

from datetime import UTC, datetime, timedelta

import pytest

from agent_plugin.desired import Desired, decide_wish
from agent_plugin.desired_wire import parse_state
from zlh_hooks.adapters.desired_state import DesiredStates
from zlh_hooks.domain.agent_release import Members, Span, Surroundings
from zlh_hooks.domain.agent_series import PatchSeriesOrder, WishSeries
from zlh_hooks.domain.agent_wish import WishOrder

NOW = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)
RINGS = (Members("kept", ((5009, 5009),), 0), Members("all", (), 100))
AROUND = Surroundings(RINGS, (Span("night", NOW, NOW + timedelta(hours=1)),), 0, NOW)
LINES = ("game-base", "dev-base")
STATES = DesiredStates()


def make(before: bytes | None = None, lines: tuple[str, ...] = LINES, rollout: str = "p1") -> WishSeries:
    """Guest 5001 is the canary, 5002 and 5003 follow; 5004 has no part in it."""
    return STATES.patch_series(before, PatchSeriesOrder(rollout, lines, (), {0: [5001], 1: [5002, 5003]}), AROUND)


def find(made: WishSeries, act: str, vmid: int, line: str = "game-base") -> str:
    """The id of the guest's wish; empty if it has none."""
    wish = decide_wish(parse_state(made.series.states[act]), vmid, line, NOW).wish
    return wish.id if wish else ""


def test_each_wave_adds_its_guests_the_end_everybody_and_the_way_back_leads_all_back() -> None:
    made = make()
    forth, back = made.wishes["game-base"], made.ways_back["game-base"]
    seen = {act: [find(made, act, vmid) for vmid in (5001, 5002, 5004)] for act in made.series.states}
    assert seen == {
        "wave-0": [forth, "", ""],
        "wave-1": [forth, forth, ""],
        "end": [forth] * 3,
        "back": [back] * 3,
    }
    assert parse_state(made.series.states["back"]).wishes[-1].patches.revert == made.wishes["dev-base"]


def test_lines_have_wishes_of_their_own_and_no_number_is_given_twice_whichever_act_was_the_last() -> None:
    made = make(STATES.wish(None, WishOrder("game-base", "all", security=True), AROUND))
    assert len({*made.wishes.values(), *made.ways_back.values()}) == 4
    for state in made.series.states.values():
        later = parse_state(STATES.wish(state, WishOrder("game-base", "all", security=True), AROUND))
        assert (parse_state(state).last_wish, later.last_wish) == (5, 6)


def test_other_lines_keep_what_they_were_wished_and_so_do_rings_that_keep_their_packages() -> None:
    before = STATES.wish(None, WishOrder("dev-base", "all", security=True), AROUND)
    before = STATES.wish(before, WishOrder("game-base", "kept", nothing=True), AROUND)
    made = make(before, lines=("game-base",))
    for act in made.series.states:
        assert find(made, act, 5004, "dev-base") == find_in(before, 5004, "dev-base")
    assert find(made, "end", 5009) == find_in(before, 5009)


def find_in(state: bytes, vmid: int, line: str = "game-base") -> str:
    wish = decide_wish(parse_state(state), vmid, line, NOW).wish
    assert wish is not None
    return wish.id


def names(state: Desired) -> list[str]:
    return [ring.name for ring in state.rings]


@pytest.mark.parametrize(
    ("act", "rings"),
    [
        ("wave-1", ["kept", "all"]),
        ("end", ["kept", "all", "rollout:p1"]),
        ("back", ["rollout:p1/back", "kept", "all"]),
    ],
)
def test_what_others_sign_later_ends_waves_and_keeps_the_end_and_the_way_back(act: str, rings: list[str]) -> None:
    state = parse_state(STATES.refresh(make().series.states[act], AROUND))
    assert names(state) == rings
    assert len(state.wishes) == (0 if act == "wave-1" else 2)


def test_the_next_rollout_takes_the_place_of_what_the_last_one_left() -> None:
    for act in ("end", "back"):
        first = make()
        second = make(first.series.states[act], rollout="p2")
        assert names(parse_state(second.series.states["end"])) == ["kept", "all", "rollout:p2"]
        assert find(second, "wave-0", 5004) == (first.wishes["game-base"] if act == "end" else "")


def test_whoever_wishes_after_a_way_back_has_the_last_word_for_that_line_alone() -> None:
    made = make()
    state = STATES.wish(made.series.states["back"], WishOrder("game-base", "all", security=True), AROUND)
    assert parse_state(state).wishes[-1].id == find_in(state, 5001)
    assert find_in(state, 5001, "dev-base") == made.ways_back["dev-base"]
