"""Packages wished by signed word: every bad form has a name, and which wish decides for a guest follows the rings of pins."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_plugin.desired import Desired, Ring, WishRuling, decide_wish
from agent_plugin.desired_wire import MalformedState, parse_state, render_state
from agent_plugin.opening import Opening
from agent_plugin.patch_wanted import MOST_PACKAGES, Package, PatchWanted
from agent_plugin.wish import Wish, WishFault, choose_packages

SAMPLE = Path(__file__).parents[1] / "samples" / "wire" / "desired-1-wishes.json"
BACK_SAMPLE = SAMPLE.with_name("desired-1-back.json")
NOW = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPEN = Opening("tuesday", NOW - HOUR, NOW + HOUR)
SECURITY, EXACT = PatchWanted(security=True), PatchWanted(packages=(Package("openssl", "3.0.15-1"),))
WISH = Wish(7, "game-base", "all", SECURITY)
STATE = Desired(NOW, windows=(OPEN,), rings=(Ring("all", percent=100),), wishes=(WISH,), last_wish=7)
FIRST = "wishes/0"

FORMS: "dict[WishFault, list[tuple[str, Any]]]" = {
    WishFault.TABLE: [(FIRST, value) for value in ([], "security", None, 3)],
    WishFault.NUMBER: [(f"{FIRST}/number", value) for value in (0, -1, True, "3", 3.0, None, ...)],
    WishFault.LINE: [(f"{FIRST}/line", value) for value in ("", None, 5, "a" * 129, "a\x1b[2J", "a\nb", ...)],
    WishFault.RING: [(f"{FIRST}/ring", value) for value in ("", None, ["all"], "r" * 129, "a\x00", ...)],
    WishFault.PATCHES: [(f"{FIRST}/patches", value) for value in ([], "security", None, ...)],
    WishFault.SECURITY: [(f"{FIRST}/patches/security", value) for value in (0, 1, "true", None, ...)],
    WishFault.PACKAGES: [
        (f"{FIRST}/patches/packages", value)
        for value in ([], "openssl=3", None, {"openssl": 3}, {"openssl": None}, {"openssl": ["3.0"]}, ...)
    ],
    WishFault.REVERT: [
        (f"{FIRST}/patches/revert", value)
        for value in ("", None, 7, True, "5b0d", "A" * 64, "0" * 65, f"{'0' * 63}g", [f"{'0' * 64}"], f"{'0' * 64}\n")
    ],
    WishFault.BOTH: [(f"{FIRST}/patches/security", True), (f"{FIRST}/patches/revert", "0" * 64)],
    WishFault.NAME: [
        (f"{FIRST}/patches/packages", {name: "1.0"})
        for name in ("", "a", "Openssl", "-o", "--purge", "open ssl", "open;ssl", "../x", "x" * 129, "öl", "a=b", "a\n")
    ],
    WishFault.VERSION: [
        (f"{FIRST}/patches/packages", {"openssl": version})
        for version in (
            "",
            "v1",
            "1.0 now",
            "1.0+",
            "1.0-",
            "1.0;x",
            "$(x)",
            "1/stable",
            "1" * 129,
            "1.0\n",
            "1.0\u0660",
        )
    ],
    WishFault.MANY: [(f"{FIRST}/patches/packages", {f"package-{n}": "1" for n in range(MOST_PACKAGES + 1)})],
    WishFault.OPENING: [
        *((f"{FIRST}/also_open", value) for value in ({}, None, "now", [5], [{"name": "now"}], ...)),
        (f"{FIRST}/also_open/0/start", "tomorrow"),
    ],
    WishFault.TWICE: [("wishes/1/ring", "canary"), ("wishes/1/number", 3)],
    WishFault.AHEAD: [("last_wish", 2), (f"{FIRST}/number", 5)],
}


def change(place: str, value: Any) -> bytes:
    """The sample with another value at a place; ``...``: without it."""
    document = json.loads(SAMPLE.read_text())
    *way, last = place.split("/")
    table = document
    for part in way:
        table = table[int(part) if part.isdigit() else part]
    if value is ...:
        del table[last]
    else:
        table[int(last) if last.isdigit() else last] = value
    return json.dumps(document).encode()


def test_every_fault_has_a_form_that_shows_it() -> None:
    assert FORMS.keys() == set(WishFault)


@pytest.mark.parametrize(
    ("fault", "place", "value"), [(fault, *form) for fault, forms in FORMS.items() for form in forms]
)
def test_a_bad_form_is_refused_by_its_name_and_with_its_place(fault: WishFault, place: str, value: Any) -> None:
    with pytest.raises(MalformedState) as refused:
        parse_state(change(place, value))
    assert str(refused.value).startswith(f"{fault.value}: wishes")
    assert "; expected " in str(refused.value)
    assert len(str(refused.value)) < 500


def test_the_sample_with_wishes_is_understood_and_what_is_unknown_in_it_is_kept() -> None:
    state = parse_state(SAMPLE.read_bytes())
    exact, security = state.wishes
    assert (exact.number, exact.line, exact.ring, state.last_wish) == (3, "game-base", "canary", 4)
    assert exact.words == "libssl3=3.0.15-1~deb12u1 openssl=3.0.15-1~deb12u1"
    assert exact.also_open[0].name == "emergency e1126-ab12"
    assert security.patches == PatchWanted(security=True)
    assert json.loads(render_state(state)) == json.loads(SAMPLE.read_bytes())


def test_the_sample_with_a_way_back_is_understood_and_what_is_unknown_in_it_is_kept() -> None:
    state = parse_state(BACK_SAMPLE.read_bytes())
    back, forth = state.wishes
    assert (back.patches, back.words) == (PatchWanted(revert=WISH.id), "back from wish 8dd608098c65")
    assert (forth.patches, decide_wish(state, 5001, "game-base", NOW).wish) == (SECURITY, back)
    assert json.loads(render_state(state)) == json.loads(BACK_SAMPLE.read_bytes())


@pytest.mark.parametrize("field", ["wishes", "last_wish"])
def test_wishes_and_their_highest_number_come_together_or_not_at_all(field: str) -> None:
    with pytest.raises(MalformedState, match=rf"{field}: found None"):
        parse_state(change(field, ...))


def test_one_field_twice_in_one_table_is_refused_because_readers_would_choose() -> None:
    text = SAMPLE.read_text().replace('"security": true', '"security": false, "security": true')
    with pytest.raises(MalformedState, match="'security' stands twice in one table"):
        parse_state(text.encode())


NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,20}", fullmatch=True)
VERSIONS = st.from_regex(r"([0-9]:)?[0-9][0-9A-Za-z.+~]{0,9}[0-9a-z](-[0-9a-z]{1,9})?", fullmatch=True)
PACKAGES = st.dictionaries(NAMES, VERSIONS, max_size=4).map(
    lambda found: tuple(Package(*one) for one in sorted(found.items()))
)
IDS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
PATCHES = st.one_of(
    st.builds(PatchWanted, st.booleans()),
    st.builds(PatchWanted, st.just(False), PACKAGES),
    st.builds(PatchWanted, revert=IDS),
)
PLACES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


@given(st.lists(st.tuples(PLACES, PLACES), unique=True, max_size=3), st.data())
def test_no_wish_is_lost_on_the_way(places: "list[tuple[str, str]]", data: st.DataObject) -> None:
    wishes = tuple(Wish(n + 1, *place, data.draw(PATCHES), (OPEN,) * (n % 2)) for n, place in enumerate(places))
    state = replace(STATE, wishes=wishes, last_wish=9)
    assert parse_state(render_state(state)) == state


def test_the_same_thing_wished_anew_is_another_wish_and_nothing_else_makes_it_one() -> None:
    assert replace(WISH, number=8).id != WISH.id
    others = [replace(WISH, line="dev-base"), replace(WISH, ring="canary"), replace(WISH, patches=EXACT)]
    assert len({WISH.id, *(other.id for other in others)}) == 4
    assert replace(WISH, also_open=(OPEN,), extra={"ticket": 1}).id == WISH.id


def test_an_id_never_changes_because_guests_would_bring_again_what_failed() -> None:
    assert WISH.id == "8dd608098c65352edcca414936a8dfef5b73a55e9ddcad3d44560bd49df5f915"


# --- which wish decides


def rule(now: datetime = NOW, wish: Wish = WISH, vmid: int = 5001, line: str = "game-base") -> "tuple[str, str]":
    decision = decide_wish(replace(STATE, wishes=(wish,)), vmid, line, now)
    return decision.ruling.value, decision.rule


def test_a_long_list_does_not_drown_the_rule() -> None:
    many = PatchWanted(packages=tuple(Package(f"package-{number}", "1") for number in range(200)))
    said = rule(wish=replace(WISH, patches=many))[1]
    assert "package-0=1 package-1=1 package-2=1 and 197 more; a window is open" in said


def test_in_a_window_all_is_brought_and_the_rule_names_wish_line_ring_and_packages() -> None:
    said = "wish 7: line game-base, ring all (within the first 100 %), security fixes; a window is open"
    assert rule() == ("bring", said)


@pytest.mark.parametrize(
    ("now", "opens"), [(NOW - 2 * HOUR, NOW - HOUR), (NOW + HOUR, None)], ids=["before", "after the last"]
)
def test_outside_of_windows_only_what_nobody_feels_is_brought(now: datetime, opens: "datetime | None") -> None:
    decision = decide_wish(STATE, 5001, "game-base", now)
    assert (decision.ruling, decision.opens) == (WishRuling.BRING_LIVE, opens)
    assert ("never" in decision.rule) == (opens is None)


def test_an_emergency_opens_a_time_for_one_wish() -> None:
    now = NOW + 5 * HOUR
    assert rule(now, replace(WISH, also_open=(Opening("emergency", now - HOUR, now + HOUR),)))[0] == "bring"


def test_a_guest_without_a_ring_or_of_another_line_is_wished_nothing() -> None:
    assert rule(line="dev-base") == ("unwished", "no ring that guest 5001 is in has a wish for line dev-base")


def test_a_ring_that_shall_keep_its_packages_is_not_reached_by_the_wish_for_all() -> None:
    rings = (Ring("canary", ((5001, 5003),)), Ring("all", percent=100))
    state = replace(STATE, rings=rings, wishes=(WISH, Wish(8, "game-base", "canary", PatchWanted())))
    assert decide_wish(state, 5001, "game-base", NOW).ruling is WishRuling.NOTHING
    assert decide_wish(state, 5004, "game-base", NOW).ruling is WishRuling.BRING


BACK = replace(WISH, number=8, patches=PatchWanted(revert=WISH.id))


@pytest.mark.parametrize("now", [NOW - 2 * HOUR, NOW, NOW + HOUR], ids=["before", "in the window", "after the last"])
def test_a_way_back_waits_for_no_window(now: datetime) -> None:
    said = f"wish 8: line game-base, ring all (within the first 100 %), back from wish {WISH.id[:12]}"
    assert rule(now, BACK) == ("bring", f"{said}; the way back waits for no window")


def test_a_plugin_that_knows_no_ways_back_finds_what_it_does_not_know_and_calls_the_wish_by_the_same_id() -> None:
    older = replace(BACK, patches=PatchWanted(extra={"revert": WISH.id}))
    assert (rule(wish=older)[0], older.id) == ("newer-wish", BACK.id)


def test_an_id_of_a_way_back_never_changes_because_guests_would_not_know_what_they_have_done() -> None:
    assert BACK.id == "594aeed2de8c6f42641c50833c794c0471e1c03519a05c45bcd1528988deb351"


def test_a_wish_that_says_more_than_this_program_understands_is_not_guessed_at() -> None:
    newer = replace(WISH, patches=PatchWanted(security=True, extra={"except": ["openssl"]}))
    ruling, said = rule(wish=newer)
    assert (ruling, "what this program does not know: except" in said) == ("newer-wish", True)


def test_a_field_of_any_name_neither_paints_a_terminal_nor_silences_the_guests_report() -> None:
    newer = replace(WISH, patches=PatchWanted(extra={"\x1b[2J": 1, "\ud800": 2}))
    assert "what this program does not know: ?[2J, ?" in rule(wish=newer)[1]


@given(st.integers(100, 999_999_999))
def test_everybody_has_a_turn_within_the_window(vmid: int) -> None:
    state = replace(STATE, jitter=HOUR * 5)
    opens = decide_wish(state, vmid, "game-base", NOW - 2 * HOUR).opens
    assert opens is not None and OPEN.start <= opens < OPEN.last_start


# --- what a person types


def test_what_a_person_wishes_is_checked_as_what_is_read() -> None:
    assert choose_packages(False, ("openssl=3.0.15-1",)) == EXACT
    for words in (("openssl",), ("openssl=",), ("Openssl=1",), ("a=1", "a=1"), ("openssl=1 libc6-",)):
        with pytest.raises(ValueError, match=r"package|version|once"):
            choose_packages(False, words)
    with pytest.raises(ValueError, match="not both"):
        choose_packages(True, ("openssl=3.0.15-1",))
