"""The story of a patch in a guest made of files: how it ends, what it says, and what it leaves; killed at every act."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent_plugin import state
from agent_plugin.fault import NotNow
from agent_plugin.patch import bring, resume, take_back
from agent_plugin.patch_act import PatchHands, Patching
from agent_plugin.patch_state import begin, load_patch, save_patch
from agent_plugin.patch_steps import Step
from agent_plugin.patch_wanted import Package, PatchWanted
from agent_plugin.report import write_status
from agent_plugin.state import BlockList
from agent_plugin.wanted import Wanted
from agent_plugin.wire import parse_status
from tests.agent.patch_world import GAME, HELPER, FolderGuest, list_leftovers, make_hands
from tests.agent.swap_world import open_folder
from tests.forked import run_module

SECURITY = PatchWanted(security=True)
FEW = 13
"""Without the mark ``matrix`` every thirteenth act is a death."""


@pytest.fixture
def root() -> Iterator[Path]:
    with open_folder() as made:
        (made / "guest").mkdir()
        yield made / "guest"


@pytest.fixture
def guest(root: Path) -> FolderGuest:
    made = FolderGuest(root / "guest.json")
    made.begin()
    return made


@pytest.fixture
def hands(root: Path, guest: FolderGuest) -> PatchHands:
    return make_hands(root)


def versions(guest: FolderGuest) -> "dict[str, str]":
    found = guest.read()
    return {name: version for name, version in found["installed"].items() if found["status"][name] == "ii"}


def test_packages_are_brought_and_what_is_not_workload_is_restarted(hands: PatchHands, guest: FolderGuest) -> None:
    ended = bring(hands, SECURITY)
    assert (ended.outcome, ended.impact, ended.restarted, ended.waits) == ("installed", "reload", (HELPER,), ())
    assert versions(guest) == {"aa": "2", "bb": "2"}
    assert guest.read()["running"][GAME] == "game-1"
    assert guest.read()["auto"] == ["bb"]
    assert list_leftovers(hands, keeps=True) == []


def test_the_game_is_never_restarted_and_what_needs_that_waits(hands: PatchHands, guest: FolderGuest) -> None:
    guest.write(touches=[GAME])
    ended = bring(hands, SECURITY)
    assert (ended.outcome, ended.impact, ended.waits) == ("installed", "restart", (GAME,))
    assert guest.read()["running"] == {GAME: "game-1", HELPER: "helper-1"}


def test_with_nothing_wanted_only_what_waits_is_told(hands: PatchHands, guest: FolderGuest) -> None:
    guest.write(outdated=[GAME, HELPER])
    ended = bring(hands, PatchWanted())
    assert (ended.outcome, ended.waits) == ("nothing", (GAME,))
    assert guest.read()["running"] == {GAME: "game-1", HELPER: "helper-1"}


def test_a_guest_that_is_up_to_date_is_left_alone(hands: PatchHands, guest: FolderGuest) -> None:
    guest.write(offered={})
    assert bring(hands, SECURITY).outcome == "nothing"
    assert list_leftovers(hands, keeps=False) == []


@pytest.mark.parametrize(
    ("fault", "outcome", "words"),
    [
        ("road", "failed", "PLAN: apt-get update ended with 100"),
        ("big", "failed", "free bytes, reserve_mb among them"),
        ("owns-the-game", "failed", f"aa would restart {GAME}, which is workload here"),
        ("old-gone", "failed", "KEEP: the .deb of aa=1 cannot be had"),
        ("script-fails", "reverted", "BRING: apt-get ended with 100: the script of bb failed"),
        ("full", "reverted", "BRING: apt-get ended with 100: No space left"),
        ("helper-falls", "reverted", f"RESTART: {HELPER} does not come up again"),
        ("game-falls", "reverted", f"PROVE: {GAME} ran before the patch, and does not run any more"),
    ],
)
def test_a_patch_that_fails_leaves_the_guest_as_it_was(
    hands: PatchHands, guest: FolderGuest, fault: str, outcome: str, words: str
) -> None:
    guest.write(faults=[fault])
    ended = bring(hands, SECURITY)
    assert (ended.outcome, words in ended.reason) == (outcome, True), ended.reason
    assert ended.blame == (fault in ("script-fails", "helper-falls", "game-falls"))
    assert versions(guest) == {"aa": "1", "bb": "1"}
    assert guest.read()["auto"] == ["bb"]
    assert not guest.file.with_name("a.conf.dpkg-dist").exists()
    assert list_leftovers(hands, keeps=False) == []


def test_a_probe_that_fails_before_the_patch_is_no_reason_to_bring_it(hands: PatchHands, guest: FolderGuest) -> None:
    ended = bring(hands, SECURITY, ("/bin/false",))
    assert (ended.outcome, versions(guest)) == ("failed", {"aa": "1", "bb": "1"})
    assert "the probe fails already before the patch: /bin/false ended with 1" in ended.reason


def test_what_somebody_left_half_configured_is_finished_first_or_nothing_is_begun(
    hands: PatchHands, guest: FolderGuest
) -> None:
    guest.write(status={"aa": "ii", "bb": "iU"})
    assert bring(hands, SECURITY).outcome == "installed"
    guest.begin()
    guest.write(status={"aa": "ii", "bb": "iF"})
    ended = bring(hands, SECURITY)
    assert (ended.outcome, "packages are half installed" in ended.reason) == ("failed", True)
    assert guest.read()["installed"] == {"aa": "1", "bb": "1"}


def test_a_way_back_that_fails_is_stuck_keeps_the_old_packages_and_can_be_tried_again(
    hands: PatchHands, guest: FolderGuest
) -> None:
    guest.write(faults=["script-fails", "no-way-back"])
    assert bring(hands, SECURITY).outcome == "stuck"
    guest.write(faults=[])
    ended = take_back(hands)
    assert (ended.outcome, versions(guest)) == ("reverted", {"aa": "1", "bb": "1"})
    assert list_leftovers(hands, keeps=False) == []


def test_a_disk_that_is_full_on_the_way_back_does_not_stop_it(
    hands: PatchHands, guest: FolderGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(work: Patching) -> None:
        if work.now.step is Step.REVERT:
            raise OSError(28, "No space left on device")
        save_patch(hands.place.patch, work.now)

    monkeypatch.setattr(Patching, "save", save)
    guest.write(faults=["script-fails"])
    assert (bring(hands, SECURITY).outcome, versions(guest)) == ("reverted", {"aa": "1", "bb": "1"})


def test_a_person_goes_back_once_and_not_over_what_came_later(hands: PatchHands, guest: FolderGuest) -> None:
    with pytest.raises(NotNow, match="there is no patch to go back from"):
        take_back(hands)
    bring(hands, PatchWanted(packages=(Package("aa", "2"),)))
    guest.set_version("aa", "3")
    with pytest.raises(NotNow, match="aa changed since the patch"):
        take_back(hands)
    guest.set_version("aa", "2")
    assert take_back(hands).outcome == "reverted"
    with pytest.raises(NotNow, match="there is no patch to go back from"):
        take_back(hands)


def test_a_game_that_was_stopped_meanwhile_does_not_keep_a_person_from_going_back(
    hands: PatchHands, guest: FolderGuest
) -> None:
    bring(hands, SECURITY)
    guest.write(running={HELPER: "helper-2"})
    assert take_back(hands).outcome == "reverted"


def test_only_the_newest_patch_has_a_way_back(hands: PatchHands, guest: FolderGuest) -> None:
    bring(hands, SECURITY)
    guest.write(offered={"aa": "3"})
    bring(hands, SECURITY)
    assert list_leftovers(hands, keeps=True) == []
    take_back(hands)
    assert versions(guest) == {"aa": "2", "bb": "2"}


def test_while_a_release_of_the_agent_is_on_trial_no_package_moves(hands: PatchHands, guest: FolderGuest) -> None:
    hands.place.state.mkdir(parents=True)
    hands.place.pending.write_text("1.0-00000000\n")
    for move in (lambda: bring(hands, SECURITY), lambda: take_back(hands)):
        with pytest.raises(NotNow, match="a release of the agent is on trial"):
            move()
    assert versions(guest) == {"aa": "1", "bb": "1"}


def test_a_state_that_cannot_be_read_is_forgotten_and_the_next_patch_goes_on(hands: PatchHands) -> None:
    bring(hands, PatchWanted())
    hands.place.patch.write_text('{"txn": 1}')
    assert resume(hands) is None
    assert bring(hands, SECURITY).outcome == "installed"


def test_what_is_remembered_is_read_back_as_it_was(hands: PatchHands) -> None:
    ended = bring(hands, SECURITY, ("/bin/true",))
    save_patch(hands.place.patch, ended)
    assert load_patch(hands.place.patch) == ended


def test_the_status_document_tells_of_the_patch(hands: PatchHands) -> None:
    bring(hands, SECURITY)
    told = parse_status(hands.place.status.read_bytes()).patch
    assert told is not None
    assert (told.step, told.outcome, told.impact) == ("END", "installed", "reload")
    assert (told.packages, told.previous) == ({"aa": "2", "bb": "2"}, {"aa": "1", "bb": "1"})


def run(root: Path, verb: str, life: int) -> "CompletedProcess[str]":
    return run_module("tests.agent.patch_doomed", root, verb, life)


STORIES: "dict[str, tuple[str, list[str]]]" = {
    "good": ("bring", []),
    "script fails": ("bring", ["script-fails"]),
    "helper falls": ("bring", ["helper-falls"]),
    "old is gone": ("bring", ["old-gone"]),
    "taken back": ("revert", []),
}


def kill_at_acts(root: Path, guest: FolderGuest, story: str, every: int) -> int:
    verb, faults = STORIES[story]
    if verb == "revert":
        bring(make_hands(root), SECURITY)
    guest.write(faults=faults)
    before = root.with_name("before")
    shutil.copytree(root, before)
    acts = int(run(root, verb, 0).stdout.split()[-1])
    for life in range(1, acts + 1, every):
        shutil.rmtree(root)
        shutil.copytree(before, root)
        assert run(root, verb, life).returncode == -9
        again = run(root, "update", 0)
        assert again.returncode == 0, again.stderr
        assert_explained(root, guest, f"{story}, act {life}", verb)
    return len(range(1, acts + 1, every))


def assert_explained(root: Path, guest: FolderGuest, where: str, verb: str) -> None:
    """All old or all new, whole, and told as such; nothing that is not needed for going back is left."""
    hands = make_hands(root)
    now, ended = versions(guest), load_patch(hands.place.patch)
    assert now in ({"aa": "1", "bb": "1"}, {"aa": "2", "bb": "2"}), where
    is_new = now["aa"] == "2"
    assert ended is None or not ended.is_open, where
    if ended is not None and verb == "bring":
        assert (ended.outcome == "installed") == is_new, where
        told = parse_status(hands.place.status.read_bytes()).patch
        assert (told and told.outcome) == ended.outcome, where
    assert guest.read()["running"][GAME] == "game-1", where
    assert guest.read()["outdated"] == [], where
    assert guest.read()["auto"] == ["bb"], where
    assert list_leftovers(hands, keeps=is_new) == [], where


@pytest.mark.parametrize("story", STORIES)
def test_a_plugin_killed_at_an_act_is_finished_or_taken_back_by_the_next_one(
    root: Path, guest: FolderGuest, story: str, record_property: "Callable[[str, object], None]"
) -> None:
    record_property("points", kill_at_acts(root, guest, story, FEW))


@pytest.mark.matrix
@pytest.mark.timeout(900)
@pytest.mark.parametrize("story", STORIES)
def test_after_death_at_every_act_packages_are_all_old_or_all_new(
    root: Path, guest: FolderGuest, story: str, record_property: "Callable[[str, object], None]"
) -> None:
    record_property("points", kill_at_acts(root, guest, story, 1))


def test_a_status_never_outgrows_what_its_readers_take(hands: PatchHands, guest: FolderGuest) -> None:
    """Names that strangers give to files, and what an agent logs of them, must not silence a guest."""
    long = "\U0001f600" * 4000
    waits = tuple(f"PID: {number} {long}" for number in range(200))
    bring(hands, SECURITY)
    hands.place.failed_log.write_text(long)
    blocks = BlockList(hands.place.blocked)
    for number in range(30):
        blocks.block(f"1.{number}-00000000", long[:500])
    patch = replace(begin(SECURITY), waits=waits, restarted=waits, beside=waits, reason=long[:500])
    failed = state.begin(Wanted("1.5.0", "0" * 64, 1), "", existed=False)
    write_status(hands.place, replace(failed, blame=True, reason=long[:500]), patch)
    told = parse_status(hands.place.status.read_bytes())
    assert (told.patch and told.patch.txn, told.failure and told.failure.release) == (patch.txn, "1.5.0-00000000")


def test_a_status_that_outgrew_its_document_is_shortened(hands: PatchHands, guest: FolderGuest) -> None:
    names = {f"package-{number}": "1" for number in range(500)}
    guest.write(installed=names, status=dict.fromkeys(names, "ii"), offered=dict.fromkeys(names, "2"), auto=[])
    assert bring(hands, SECURITY).outcome == "installed"
    assert len(json.loads(hands.place.status.read_text())["patch"]["packages"]) == 100
