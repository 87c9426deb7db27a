"""A swap of the agent and a patch of packages in one guest: never at once, and each finished in the order that is safe."""

import configparser
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_plugin import __main__ as command
from agent_plugin import packages, patch, patch_command, update
from agent_plugin.fault import NotNow
from agent_plugin.patch_act import PatchHands, Patching
from agent_plugin.patch_state import find_patch
from agent_plugin.patch_wanted import PatchWanted
from agent_plugin.place import Place
from agent_plugin.setting import TIMER_SECONDS, Settings
from agent_plugin.state import find_transaction
from agent_plugin.swap import Swap
from tests.agent.patch_world import FolderGuest, make_hands
from tests.agent.swap_world import World, build, hurry

OLD, NEW = build("1.4.2"), build("1.5.1")
SECURITY = PatchWanted(security=True)
UNITS = Path(__file__).parents[2] / "agent_plugin" / "units"


class Power(BaseException):
    """It is gone."""


class Both:
    """A guest that runs 1.4.2, with two packages that have fixes; nothing but files."""

    def __init__(self, root: Path, patched: pytest.MonkeyPatch) -> None:
        hurry()
        self.world, self._patched = World(root), patched
        self.world.begin(OLD)
        self.guest = FolderGuest(root / "guest.json")
        self.guest.begin()
        patched.setattr(command, "_hands", self.world.hands)
        patched.setattr(patch_command, "make_hands", self._make_hands)

    def _make_hands(self, _place: Place, _settings: Settings) -> PatchHands:
        return self.patch_hands

    @property
    def patch_hands(self) -> PatchHands:
        return make_hands(self.world.root)

    def swap(self) -> str:
        return self.world.install(NEW).outcome

    def patch(self) -> str:
        return patch.bring(self.patch_hands, SECURITY).outcome

    def state(self) -> "tuple[str, str]":
        """What answers, and the version of a package that has a fix."""
        return self.world.answered()[1], str(self.guest.read()["installed"]["aa"])

    def meanwhile(self, kind: type, act: str, what: "Callable[[], object]", story: "Callable[[], object]") -> None:
        """Somebody does something just before an act of a story."""

        def do(self_: object) -> object:
            what()
            return real(self_)

        real = getattr(kind, act)
        with self._patched.context() as patched:
            patched.setattr(kind, act, do)
            story()

    def dies(self, kind: type, act: str, story: "Callable[[], object]") -> None:
        with pytest.raises(Power):
            self.meanwhile(kind, act, _lose_power, story)

    def dies_in_patch(self) -> None:
        self.dies(Patching, "_restart", self.patch)

    def dies_on_trial(self) -> None:
        self.dies(Swap, "_watch", self.swap)


def _lose_power() -> None:
    raise Power


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    made = Both(tmp_path, monkeypatch)
    yield made
    made.world.close()


@pytest.mark.parametrize("verb", ["check", "update"])
def test_an_interrupted_patch_is_finished_by_the_timers_check_and_by_hand(
    both: Both, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    both.dies_in_patch()
    assert command.main([verb]) == 0
    assert both.state() == ("1.4.2", "2")
    told = capsys.readouterr().out
    assert (": installed" in told, "nothing to do" in told) == (True, False)


def test_an_interrupted_patch_waits_neither_for_a_server_nor_for_its_root(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = both.world.hands()
    settings = replace(hands.settings, url="http://127.0.0.1:9", line="game-base", vmid="5001")
    monkeypatch.setattr(command, "_hands", lambda: replace(hands, settings=settings))
    both.dies_in_patch()
    assert command.main(["check"]) != 0
    assert both.state() == ("1.4.2", "2")


@pytest.mark.parametrize("verb", ["check", "update"])
def test_a_trial_is_judged_before_the_patch_that_is_open_beside_it(both: Both, verb: str) -> None:
    """As an older plugin may have left it: today neither is begun over the other."""
    both.dies_in_patch()
    aside = both.world.place.patch.rename(both.world.root / "aside")
    both.dies_on_trial()
    aside.rename(both.world.place.patch)
    assert command.main([verb]) == 0
    assert both.state() == ("1.5.1", "2")
    assert not both.world.place.pending.exists()


def test_the_end_of_what_was_begun_is_the_exit_code(both: Both) -> None:
    both.dies_in_patch()
    both.guest.write(faults=["helper-falls"])
    assert command.main(["update"]) == 1
    assert both.state() == ("1.4.2", "1")
    both.dies_on_trial()
    both.world.systemd.go_back("deadline")
    assert command.main(["update"]) == 1
    assert both.state() == ("1.4.2", "1")


def test_over_an_interrupted_patch_no_release_is_brought_or_left(both: Both) -> None:
    both.swap()
    both.dies_in_patch()
    for move in (lambda: both.world.install(build("1.6.0")), lambda: update.take_back(both.world.hands())):
        with pytest.raises(NotNow, match="a patch of packages was interrupted"):
            move()
    assert both.state() == ("1.5.1", "2")
    assert command.main(["update"]) == 0
    assert update.take_back(both.world.hands()).outcome == "installed"


def test_a_download_that_was_begun_waits_for_an_interrupted_patch(both: Both) -> None:
    both.dies_in_patch()
    aside = both.world.place.patch.rename(both.world.root / "aside")
    both.dies(Swap, "_download", both.swap)
    aside.rename(both.world.place.patch)
    with pytest.raises(NotNow, match="a patch of packages was interrupted"):
        both.swap()
    assert command.main(["update"]) == 1  # nobody brings the release again
    assert both.state() == ("1.4.2", "2")


@pytest.mark.parametrize("net_was_first", [False, True])
def test_over_a_trial_whose_plugin_died_no_package_moves(both: Both, *, net_was_first: bool) -> None:
    both.dies_on_trial()
    if net_was_first:  # nothing is pending any more, and the old release is not proved yet
        both.world.systemd.go_back("deadline")
    for move in (both.patch, lambda: patch.take_back(both.patch_hands)):
        with pytest.raises(NotNow, match="a release of the agent is on trial"):
            move()
    assert both.state()[1] == "1"
    command.main(["update"])
    assert both.patch() == "installed"


def test_a_swap_and_a_patch_never_run_at_once(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    """One lock, also for what the timer and a person begin."""

    def somebody_else() -> None:
        for words in (["check"], ["update"], ["revert"], ["patch", "--security"], ["patch", "revert"]):
            assert command.main(words) == 1
            assert "another plugin is at work" in capsys.readouterr().err

    both.meanwhile(Swap, "_watch", somebody_else, both.swap)
    both.meanwhile(Patching, "_prove", somebody_else, both.patch)
    assert both.state() == ("1.5.1", "2")
    last, swapped = find_patch(both.world.place.patch), find_transaction(both.world.place.transaction)
    assert (last and last.outcome, swapped and swapped.outcome) == ("installed", "installed")


def test_the_timers_service_has_the_time_to_bring_a_patch_and_to_take_it_back() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read_string((UNITS / "zlh-agent-update.service").read_text())
    hours = unit["Service"]["TimeoutStartSec"]
    assert hours.endswith("h")
    configure_bring_and_back = 3 * packages.INSTALL_SECONDS
    assert int(hours.removesuffix("h")) * 3600 > configure_bring_and_back + 2 * TIMER_SECONDS + Settings().lock_seconds
    assert unit["Service"]["ExecStart"].endswith("zlh-agent-plugin check")
