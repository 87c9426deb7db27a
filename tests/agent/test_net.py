"""The shell nets by themselves: what each does with what it finds. No Python of the plugin runs."""

import subprocess
from pathlib import Path

import pytest

NET = Path(__file__).parents[2] / "agent_plugin" / "net"
OLD, NEW, OTHER = "1.0-00000000", "2.0-11111111", "0.9-22222222"


class Trial:
    """A guest whose release NEW is on trial, flipped and not proved."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home, self.state = root / "opt/zlh-agent", root / "var/lib/zlh-agent-plugin"
        self.state.mkdir(parents=True)
        for release in (OLD, NEW, OTHER):
            (self.home / "releases" / release).mkdir(parents=True)
            (self.home / "releases" / release / ".complete").touch()
        self.link("current", NEW)
        self.link("previous", OTHER)
        self.link("back", OLD)
        (self.state / "attempt-0").touch()
        (self.state / "pending").write_text(f"{NEW}\n{OLD}\nold-start\n")

    def link(self, name: str, release: str) -> None:
        (self.home / name).unlink(missing_ok=True)
        (self.home / name).symlink_to(f"releases/{release}")

    def current(self) -> str:
        return (self.home / "current").readlink().name

    def names(self) -> "set[str]":
        return {path.name for path in self.state.iterdir()}

    def run(self, net: str, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        command = [NET / net, *words, self.root]
        return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "", **environment})


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_two_starts_are_granted_and_the_third_goes_back(trial: Trial) -> None:
    for count in (1, 2):
        assert trial.run("pre-start").returncode == 0
        assert trial.current() == NEW
        assert trial.names() == {"pending", f"attempt-{count}"}
    assert trial.run("pre-start").returncode == 0
    assert trial.current() == OLD
    assert trial.names() == {"reverted-pre-start", "attempt-2"}
    assert (trial.state / "reverted-pre-start").read_text() == f"{NEW}\n{OLD}\nold-start\n"


def test_a_count_that_is_lost_goes_back_at_once(trial: Trial) -> None:
    (trial.state / "attempt-0").unlink()
    trial.run("pre-start")
    assert trial.current() == OLD


def test_without_a_trial_no_net_does_anything(trial: Trial) -> None:
    (trial.state / "pending").unlink()
    trial.run("pre-start")
    trial.run("post-stop", SERVICE_RESULT="exit-code")
    assert trial.run("revert", "deadline").returncode == 0
    assert (trial.current(), trial.names()) == (NEW, {"attempt-0"})


@pytest.mark.parametrize("result", ["exit-code", "signal", "core-dump", "timeout", "watchdog", "protocol"])
def test_a_release_on_trial_that_fails_goes_back_and_its_end_is_noted(trial: Trial, result: str) -> None:
    trial.run("pre-start")
    assert trial.run("post-stop", SERVICE_RESULT=result, EXIT_CODE="killed", EXIT_STATUS="KILL").returncode == 0
    assert trial.current() == OLD
    assert (trial.state / "last-exit").read_text() == f"{result} killed KILL\n"
    assert "reverted-on-failure" in trial.names()


def test_an_orderly_stop_in_the_trial_is_no_failure(trial: Trial) -> None:
    trial.run("pre-start")
    trial.run("post-stop", SERVICE_RESULT="success", EXIT_CODE="exited", EXIT_STATUS="0")
    assert (trial.current(), "pending" in trial.names()) == (NEW, True)


def test_the_old_releases_bad_end_is_not_the_new_ones_fault(trial: Trial) -> None:
    trial.run("post-stop", SERVICE_RESULT="timeout", INVOCATION_ID="old-start")
    assert (trial.current(), "pending" in trial.names()) == (NEW, True)


def test_a_failure_before_the_flip_is_not_the_new_ones_fault(trial: Trial) -> None:
    trial.link("current", OLD)
    trial.run("post-stop", SERVICE_RESULT="signal", INVOCATION_ID="another-start")
    assert (trial.current(), "pending" in trial.names()) == (OLD, True)


def test_the_net_after_the_stop_needs_no_net_before_the_start(trial: Trial) -> None:
    trial.run("post-stop", SERVICE_RESULT="signal", INVOCATION_ID="new-start")
    assert (trial.current(), "pending" in trial.names()) == (OLD, False)


@pytest.mark.parametrize("who", ["plugin", "deadline", "on-failure", "pre-start"])
def test_going_back_may_be_repeated(trial: Trial, who: str) -> None:
    for _ in range(3):
        assert trial.run("revert", who).returncode == 0
        assert (trial.current(), trial.names()) == (OLD, {"attempt-0", f"reverted-{who}"})


def test_a_revert_that_was_cut_after_the_flip_is_finished(trial: Trial) -> None:
    (trial.home / "back").rename(trial.home / "current")
    assert trial.run("revert", "deadline").returncode == 0
    assert (trial.current(), "pending" in trial.names()) == (OLD, False)


def test_a_commit_that_was_cut_before_the_mark_was_dropped_is_never_taken_back(trial: Trial) -> None:
    (trial.home / "back").rename(trial.home / "previous")
    assert trial.run("revert", "deadline").returncode == 0
    assert trial.current() == NEW


def test_without_the_link_made_in_advance_it_is_made_anew(trial: Trial) -> None:
    (trial.home / "back").unlink()
    assert trial.run("revert", "deadline").returncode == 0
    assert trial.current() == OLD


@pytest.mark.parametrize("content", ["", "x\n", f"{NEW}\n../../etc\n", f"{NEW}\n$(reboot)\n", f"{NEW}\n3.0-33333333\n"])
def test_no_way_back_is_said_and_nothing_is_changed(trial: Trial, content: str) -> None:
    (trial.home / "back").unlink()
    (trial.state / "pending").write_text(content)
    done = trial.run("revert", "deadline")
    assert (done.returncode, trial.current()) == (1, NEW)
    assert "there is no way back" in done.stderr


def test_an_unknown_caller_is_refused(trial: Trial) -> None:
    done = trial.run("revert", "somebody")
    assert (done.returncode, trial.current()) == (2, NEW)
    assert "unknown caller somebody" in done.stderr


def test_a_damaged_current_release_gives_way_to_the_previous_one_also_without_a_trial(trial: Trial) -> None:
    (trial.state / "pending").unlink()
    (trial.home / "releases" / NEW / ".complete").unlink()
    assert trial.run("pre-start").returncode == 0
    assert trial.current() == OTHER


def test_nothing_keeps_the_agent_from_starting(tmp_path: Path) -> None:
    bare = subprocess.run([NET / "pre-start", tmp_path / "nothing"], capture_output=True, check=False)
    assert bare.returncode == 0
