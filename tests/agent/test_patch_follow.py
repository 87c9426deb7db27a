"""A guest brings the packages that were wished for it by signed word: once, in its time, and never what failed here."""

import configparser
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_plugin import packages, patch
from agent_plugin.desired import Build, Ring, WishDecision, WishRuling
from agent_plugin.desired_wire import render_state
from agent_plugin.fault import NotNow
from agent_plugin.opening import Opening
from agent_plugin.patch_act import PatchHands, Patching
from agent_plugin.patch_wanted import Package, PatchWanted
from agent_plugin.road import Limits
from agent_plugin.setting import TIMER_SECONDS, Settings
from agent_plugin.update import hold
from agent_plugin.wire import Wished
from agent_plugin.wish import Wish
from agent_plugin.wish_book import MOST_WISHES, WishBook
from tests.agent.conftest import need_guests_client
from tests.agent.patch_world import GAME, HELPER, make_hands
from tests.agent.repository_bench import RepositoryBench, always, now
from tests.agent.swap_world import build
from tests.agent.update_server import UpdateServer, says
from tests.agent.wish_bench import OLD, SECURITY, WishGuest, wish

need_guests_client()

from agent_plugin import follow, patch_follow  # noqa: E402 (needs tuf 7, which is not there everywhere)

EXACT = PatchWanted(packages=(Package("aa", "2"),))
ONE, TWO = {"aa": "1", "bb": "1"}, {"aa": "2", "bb": "2"}
HOUR = timedelta(hours=1)
UNITS = Path(__file__).parents[2] / "agent_plugin" / "units"


@pytest.fixture
def guest(tmp_path: Path, bench: RepositoryBench, server: UpdateServer) -> Iterator[WishGuest]:
    made = WishGuest(tmp_path / "guest", bench, server)
    yield made
    made.world.close()


class Power(BaseException):
    """It is gone."""


def lose_power(*_: object) -> None:
    raise Power


# --- once for each wish


@pytest.mark.parametrize(("patches", "after"), [(SECURITY, TWO), (EXACT, {"aa": "2", "bb": "1"})], ids=["all", "one"])
def test_what_is_wished_is_brought_once(
    guest: WishGuest, patches: PatchWanted, after: "dict[str, str]", capsys: pytest.CaptureFixture[str]
) -> None:
    assert guest.wish(wish(1, patches)) == 0
    told, txn = guest.told(), guest.last().txn
    assert (guest.versions(), told.state, told.number, told.txn) == (after, "done", 1, txn)
    assert "bring: wish 1: line game-base, ring all (within the first 100 %)" in capsys.readouterr().out
    guest.packages.write(offered={"aa": "3", "bb": "3"})
    assert guest.check() == 0
    assert (guest.last().txn, guest.versions()) == (txn, after)


def test_a_guest_that_has_it_all_already_is_done(guest: WishGuest) -> None:
    guest.packages.write(offered={})
    assert guest.wish(wish(1)) == 0
    assert (guest.told().state, guest.told().outcome, guest.last().outcome) == ("done", "nothing", "nothing")


def test_how_a_wish_ended_is_told_whatever_a_person_does_afterwards(guest: WishGuest) -> None:
    guest.wish(wish(1))
    assert guest.told().outcome == "installed"
    patch.bring(hands(guest), PatchWanted())
    guest.check()
    assert (guest.last().outcome, guest.told().outcome) == ("nothing", "installed")
    assert guest.last().txn != guest.told().txn


def test_what_failed_here_is_tried_again_under_a_new_wish_only(guest: WishGuest) -> None:
    guest.packages.write(faults=["helper-falls"])
    assert guest.wish(wish(1)) == 1
    txn, told = guest.last().txn, guest.told()
    assert (guest.versions(), told.state, told.txn) == (ONE, "failed", txn)
    assert told.reason.startswith("RESTART: helper.service does not come up again")
    guest.packages.write(faults=[])
    assert guest.check() == 1
    assert (guest.last().txn, guest.versions()) == (txn, ONE)
    assert guest.wish(wish(2)) == 0
    assert (guest.last().txn != txn, guest.versions(), guest.told().state) == (True, TWO, "done")


def test_a_probe_of_the_guests_own_settings_decides_and_a_wish_brings_no_command(guest: WishGuest) -> None:
    script = guest.root / "probe"
    script.write_text(f'#!/bin/sh\ngrep -q \'"aa": "1"\' {guest.packages.file}\n')
    script.chmod(0o755)
    guest.probe = str(script)
    assert guest.wish(replace(wish(1), extra={"probe": ["/bin/true"]})) == 1
    assert (guest.versions(), guest.told().state) == (ONE, "failed")
    assert guest.told().reason.startswith(f"PROVE: {script} ended with 1")


def test_what_a_person_took_back_does_not_come_again_under_the_same_wish(guest: WishGuest) -> None:
    guest.wish(wish(1))
    patch.take_back(hands(guest))
    assert guest.check() == 1
    assert (guest.versions(), guest.told().state) == (ONE, "failed")


def hands(guest: WishGuest) -> PatchHands:
    return replace(make_hands(guest.root), settings=guest.settings)


def test_what_is_wished_no_more_is_left_as_it_is_and_told_no_more(guest: WishGuest) -> None:
    guest.wish(wish(1))
    txn = guest.last().txn
    assert guest.wish() == 0
    assert (guest.versions(), guest.last().txn, guest.status().wish) == (TWO, txn, None)


def test_a_ring_that_shall_keep_its_packages_keeps_them(guest: WishGuest) -> None:
    rings = (Ring("canary", ((5001, 5001),)), Ring("all", percent=100))
    assert guest.wish(wish(1), wish(2, PatchWanted(), "canary"), rings=rings) == 0
    assert (guest.versions(), guest.told().ruling, guest.told().state) == (ONE, "none", "")


def test_a_wish_for_another_line_is_not_this_guests(guest: WishGuest) -> None:
    assert guest.wish(Wish(1, "dev-base", "all", SECURITY)) == 0
    assert (guest.versions(), guest.status().wish) == (ONE, None)


# --- in its time


def test_what_nobody_feels_is_brought_outside_of_windows(guest: WishGuest) -> None:
    assert guest.wish(wish(1), windows=()) == 0
    assert (guest.versions(), guest.told().ruling, guest.last().impact) == (TWO, "bring-live", "reload")
    assert guest.last().restarted == (HELPER,)


def test_what_the_game_feels_waits_for_the_window_and_touches_nothing_until_then(guest: WishGuest) -> None:
    guest.packages.write(touches=[GAME])
    opens = now() + HOUR
    assert guest.wish(wish(1), windows=(Opening("later", opens, opens + HOUR),)) == 0
    last, told = guest.last(), guest.told()
    assert (guest.versions(), last.outcome, last.impact, last.waits) == (ONE, "waits", "restart", (GAME,))
    assert (told.state, told.opens) == ("waits", opens.isoformat())
    assert not guest.place.patched.exists()
    assert guest.wish(wish(1), windows=(Opening("now", now() - HOUR, now() + HOUR),)) == 0
    assert (guest.versions(), guest.told().state, guest.last().waits) == (TWO, "done", (GAME,))
    assert guest.packages.read()["running"][GAME] == "game-1"


def test_what_waited_for_a_window_comes_when_the_game_has_ended(guest: WishGuest) -> None:
    guest.packages.write(touches=[GAME])
    guest.wish(wish(1), windows=())
    guest.packages.write(running={HELPER: "helper-1"})
    assert guest.check() == 0
    assert (guest.versions(), guest.told().state) == (TWO, "done")


def decide(ruling: WishRuling = WishRuling.BRING, number: int = 1) -> WishDecision:
    return WishDecision(ruling, "as it was signed", wish(number))


def follow_at(guest: WishGuest, later: timedelta, ruling: WishRuling = WishRuling.BRING) -> "Wished | None":
    return patch_follow.follow_wish(hands(guest), decide(ruling), datetime.now(UTC) + later)


@pytest.mark.parametrize("ruling", [WishRuling.BRING, WishRuling.BRING_LIVE])
def test_an_end_that_changed_nothing_is_tried_again_at_the_next_check_and_then_rarer(
    guest: WishGuest, ruling: WishRuling
) -> None:
    guest.packages.write(faults=["road"])
    seen = []
    for minutes in (0, 1, 2, 19, 25, 26, 60, 70, 10_000):
        follow_at(guest, timedelta(minutes=minutes), ruling)
        seen.append(guest.told().tries)
    assert seen == [1, 2, 2, 2, 3, 3, 4, 4, 5]
    told = guest.told()
    assert (told.state, guest.versions()) == ("again", ONE)
    guest.packages.write(faults=[])
    follow_at(guest, timedelta(days=2), ruling)
    assert (guest.told().state, guest.versions()) == ("done", TWO)


def test_a_clock_that_was_set_back_does_not_hold_a_wish_up(guest: WishGuest) -> None:
    guest.packages.write(faults=["road"])
    for _ in range(3):
        follow_at(guest, timedelta(0))
    tries = guest.told().tries
    follow_at(guest, timedelta(days=-300))
    assert guest.told().tries == tries + 1


# --- what is not believed brings nothing


def test_while_the_server_is_away_nothing_is_brought_and_the_last_wish_is_still_told(guest: WishGuest) -> None:
    guest.wish(wish(1))
    guest.bench.wish(wish(2))
    guest.packages.write(offered={"aa": "3"})
    guest.url = "http://127.0.0.1:9"
    assert guest.check() == 1
    assert (guest.versions(), guest.told().number) == (TWO, 1)


@pytest.mark.parametrize("where", ["desired/", "metadata/timestamp", "desired.json", "snapshot.json"])
def test_a_wish_whose_documents_were_altered_is_none(guest: WishGuest, server: UpdateServer, where: str) -> None:
    guest.check()
    guest.bench.wish(wish(1))
    server.tricks[where] = says(200, b"{}")
    assert guest.check() == 1
    assert (guest.versions(), guest.status().wish) == (ONE, None)
    server.tricks.clear()
    assert guest.check() == 0
    assert guest.versions() == TWO


def test_a_wish_that_no_operator_signed_is_none(guest: WishGuest) -> None:
    """The web server is the attacker's: it shows a state with a wish of its own under the name that was signed."""
    guest.check()
    build = Build(OLD.sha256, len(OLD.archive))
    forged = replace(always("1.4.2", {"all": build}), wishes=(wish(1),), last_wish=1)
    for shown in guest.bench.public.glob("targets/desired/*.state.json"):
        shown.write_bytes(render_state(forged))
    shutil.rmtree(guest.place.trust / "cache")
    assert guest.check() == 1
    assert (guest.versions(), guest.status().wish) == (ONE, None)
    check = guest.status().check
    assert check is not None
    assert (check.outcome, check.suspicious) == ("too-long", True)


def test_a_malformed_wish_is_refused_by_its_name_and_calls_a_person(guest: WishGuest) -> None:
    bad = Wish(1, "game-base", "\x1b[2J", SECURITY)
    guest.bench.wish(bad)
    assert guest.check() == 1
    check = guest.status().check
    assert check is not None
    assert (check.outcome, check.suspicious) == ("malformed", True)
    assert "desired/state.json: wish-ring: wishes[0].ring: found '\\x1b[2J'" in check.said
    assert guest.versions() == ONE


def test_what_this_program_does_not_understand_is_told_and_not_brought(guest: WishGuest) -> None:
    assert guest.wish(wish(1, PatchWanted(security=True, extra={"except": ["aa"]}))) == 0
    assert (guest.versions(), guest.told().ruling) == (ONE, "newer-wish")


# --- beside the agent's releases, and other plugins


def test_a_check_that_moves_the_agent_leaves_packages_to_the_next_one(guest: WishGuest) -> None:
    new = build("1.5.1")
    guest.bench.wish(wish(1))
    state = guest.bench.repository
    built = guest.bench.release("1.5.1", new.archive)
    both = replace(always("1.5.1", {"all": built}), wishes=(wish(1),), last_wish=1)
    state.write_state(render_state(both), now())
    guest.bench.sign("anna")
    guest.bench.publish()
    assert guest.check() == 0
    assert (guest.world.answered(), guest.versions()) == ((200, "1.5.1"), ONE)
    assert guest.check() == 0
    assert guest.versions() == TWO


def test_a_check_that_has_finished_a_patch_leaves_the_wish_to_the_next_one(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two patches in one run of the service might outlast its time, and dpkg would be ended in the middle."""
    guest.check()
    with monkeypatch.context() as patched, pytest.raises(Power):
        patched.setattr(Patching, "_restart", lose_power)
        patch.bring(hands(guest), EXACT)
    guest.wish(wish(1))
    assert (guest.versions(), guest.status().wish) == ({"aa": "2", "bb": "1"}, None)
    guest.check()
    assert (guest.versions(), guest.told().state) == (TWO, "done")


def test_the_timers_service_has_the_time_for_a_download_that_fails_and_a_wish() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read_string((UNITS / "zlh-agent-update.service").read_text())
    hours = int(unit["Service"]["TimeoutStartSec"].removesuffix("h"))
    wished = 3 * packages.INSTALL_SECONDS + 2 * TIMER_SECONDS + Settings().lock_seconds
    assert hours * 3600 > follow.DOWNLOAD_SECONDS + Limits().check_seconds + wished


def test_a_release_that_cannot_be_brought_keeps_no_fix_away(guest: WishGuest, server: UpdateServer) -> None:
    guest.bench.roll_out("1.5.1", build("1.5.1").archive)
    server.tricks["releases/"] = says(503, b"")
    assert guest.wish(wish(1)) == 1
    assert (guest.world.answered(), guest.versions()) == ((200, "1.4.2"), TWO)


def test_while_a_release_is_on_trial_or_another_plugin_at_work_no_wish_is_followed(guest: WishGuest) -> None:
    guest.check()
    with hold(guest.place), pytest.raises(NotNow, match="another plugin is at work"):
        follow_at(guest, timedelta(0))
    guest.place.pending.write_text("1.5.1-00000000\n")
    with pytest.raises(NotNow, match="a release of the agent is on trial"):
        follow_at(guest, timedelta(0))
    assert guest.versions() == ONE


# --- interrupted, and a disk that takes nothing


def test_what_was_interrupted_before_it_touched_anything_is_not_brought_when_it_is_wished_no_more(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Power):
        patched.setattr(Patching, "_keep", lose_power)
        guest.wish(wish(1))
    guest.wish()
    assert (guest.versions(), guest.last().outcome) == (ONE, "failed")
    assert guest.last().reason == "KEEP: interrupted, nothing was touched"


def test_what_was_interrupted_in_a_window_waits_for_the_next_one_if_the_game_feels_it(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.packages.write(touches=[GAME])
    with monkeypatch.context() as patched, pytest.raises(Power):
        patched.setattr(Patching, "_keep", lose_power)
        guest.wish(wish(1))
    guest.wish(wish(1), windows=())
    assert (guest.versions(), guest.told().state) == (ONE, "waits")


def test_what_was_interrupted_while_packages_moved_is_finished_though_it_is_wished_no_more(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Power):
        patched.setattr(Patching, "_restart", lose_power)
        guest.wish(wish(1))
    guest.wish()
    assert (guest.versions(), guest.last().outcome) == (TWO, "installed")


def test_a_book_that_took_no_word_of_the_end_learns_it_from_the_patch(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    guest.packages.write(faults=["helper-falls"])
    with monkeypatch.context() as patched:
        patched.setattr(WishBook, "end", full)
        assert guest.wish(wish(1)) == 1
    assert guest.told().reason == "packages were touched, and how that ended is not known"
    txn = guest.last().txn
    assert guest.check() == 1
    assert (guest.last().txn, guest.told().state, guest.versions()) == (txn, "failed", ONE)
    assert guest.told().reason.startswith("RESTART: helper.service does not come up")


def test_of_what_may_have_been_touched_and_nobody_knows_how_it_ended_no_second_try_is_made(guest: WishGuest) -> None:
    WishBook(guest.place.wishes).begin(wish(1).id, "0123456789ab")
    assert guest.wish(wish(1)) == 1
    assert (guest.versions(), guest.told().state) == (ONE, "failed")


def test_a_disk_that_cannot_take_the_word_that_packages_are_touched_keeps_them_untouched(
    guest: WishGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(WishBook, "begin", full)
        assert guest.wish(wish(1)) == 1
    assert (guest.versions(), guest.told().state) == (ONE, "again")
    assert guest.check() == 0
    assert guest.versions() == TWO


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"txn": "", "outcome": "", "at": "yesterday"}}'])
def test_a_damaged_book_lets_nothing_be_tried_and_says_what_helps(guest: WishGuest, text: str) -> None:
    guest.check()
    guest.place.wishes.write_text(text)
    assert guest.wish(wish(1)) == 1
    assert (guest.versions(), guest.told().state) == (ONE, "failed")
    assert "wishes.json does not hold what is kept there" in guest.told().reason
    guest.place.wishes.unlink()
    assert guest.check() == 0
    assert guest.versions() == TWO


def test_a_guest_forgets_old_wishes_before_its_book_fills_the_disk(guest: WishGuest) -> None:
    guest.check()
    book = WishBook(guest.place.wishes)
    for number in range(MOST_WISHES + 5):
        book.end(f"{number}", "txn", "reverted", "it fell")
    assert (book.find("4"), book.find("5") is not None) == (None, True)


def test_a_patch_that_a_person_begins_is_no_wish(guest: WishGuest) -> None:
    guest.check()
    patch.bring(hands(guest), SECURITY)
    assert (guest.versions(), guest.place.wishes.exists(), guest.last().wish) == (TWO, False, "")
