"""A guest follows what was signed for it: from the server to the agent's port, or with the refusal's name in its status."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_plugin import update
from agent_plugin.desired import Build
from agent_plugin.desired_wire import render_state
from agent_plugin.fault import BadInput, NotNow
from agent_plugin.opening import Opening
from agent_plugin.state import MOST_TRIES, Transaction, load_transaction
from agent_plugin.steps import Step
from agent_plugin.swap import Swap
from agent_plugin.wanted import Wanted
from agent_plugin.wire import Check, parse_status
from tests.agent.conftest import need_guests_client
from tests.agent.release import Release
from tests.agent.repository_bench import RepositoryBench, always, now
from tests.agent.swap_world import World, build, hurry
from tests.agent.test_kill import FEW, run, snapshot
from tests.agent.update_server import Trick, UpdateServer, break_off, says

need_guests_client()

from agent_plugin import follow  # noqa: E402 (needs tuf 7, which is not there everywhere)
from agent_plugin.trust import Trust  # noqa: E402

OLD, NEW, SICK, OTHER = build("1.4.2"), build("1.5.1"), build("1.5.1", "sick"), build("1.6.0")


class Following:
    """A guest that runs 1.4.2, beside a server on which operators pin things."""

    def __init__(self, world: World, bench: RepositoryBench, server: UpdateServer) -> None:
        self.world, self.bench, self.server = world, bench, server
        world.begin(OLD)
        world.place.first_root.parent.mkdir(exist_ok=True)
        world.place.first_root.write_bytes(bench.repository.read_root())

    def check(self, **settings: str) -> "Check | Transaction":
        hands = self.world.hands()
        source = {"url": self.server.url, "line": "game-base", "vmid": "5001", **settings}
        update.judge_trial(hands)  # as the command does, before anything that may be missing
        return follow.check(replace(hands, settings=replace(hands.settings, **source))).agent  # type: ignore[arg-type]

    def swap(self) -> Transaction:
        """A check that must bring something."""
        done = self.check()
        assert isinstance(done, Transaction)
        return done

    def told(self) -> "tuple[str, bool]":
        """How the last check ended, and whether a person must look, as the status document says it."""
        check = parse_status(self.world.place.status.read_bytes()).check
        assert check is not None
        return check.outcome, check.suspicious

    def pin(self, release: Release, number: int, **changes: object) -> None:
        """Something that is released already, for everybody."""
        self.bench.want(release.version, Build(release.sha256, len(release.archive)), number=number, **changes)
        self.bench.publish()


@pytest.fixture
def following(tmp_path: Path, bench: RepositoryBench, server: UpdateServer) -> Iterator[Following]:
    hurry()
    folder = tmp_path / "root"
    folder.mkdir()
    world = World(folder)
    yield Following(world, bench, server)
    world.close()


def test_what_is_pinned_is_brought_proved_and_told(following: Following) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    assert (following.swap().outcome, following.world.answered()) == ("installed", (200, "1.5.1"))
    assert isinstance(following.check(), Check)
    assert following.told() == ("current", False)
    assert following.world.list_leftovers() == []


def test_a_bad_version_goes_back_by_itself_and_is_tried_again_under_a_new_pin_only(following: Following) -> None:
    following.bench.roll_out("1.5.1", SICK.archive)
    first = following.swap()
    assert (first.outcome, following.world.answered()) == ("reverted", (200, "1.4.2"))
    following.check()
    assert following.told() == ("failed-here", False)
    following.pin(SICK, number=2)
    second = following.swap()
    assert (second.outcome, second.txn != first.txn) == ("reverted", True)
    following.check()
    assert following.told() == ("failed-here", False)


@pytest.mark.parametrize("pinned_anew", [False, True])
def test_what_a_person_took_back_is_brought_again_under_a_pin_only_that_came_afterwards(
    following: Following, *, pinned_anew: bool
) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    following.swap()
    if pinned_anew:
        following.pin(NEW, number=2)
        following.check()
    update.take_back(following.world.hands())
    following.check()
    assert (following.told(), following.world.answered()) == (("failed-here", False), (200, "1.4.2"))
    following.pin(NEW, number=3)
    assert following.swap().outcome == "installed"


def test_a_guest_is_led_back_only_when_the_pin_says_so(following: Following) -> None:
    following.bench.release("1.4.2", OLD.archive)
    following.bench.roll_out("1.5.1", NEW.archive)
    following.swap()
    following.pin(OLD, number=2)
    following.check()
    assert (following.told(), following.world.answered()) == (("downgrade", False), (200, "1.5.1"))
    following.pin(OLD, number=3, downgrade=True)
    assert (following.swap().outcome, following.world.answered()) == ("installed", (200, "1.4.2"))


def test_a_version_that_this_guest_may_not_come_to_is_no_alarm_and_counts_for_nothing(following: Following) -> None:
    following.bench.want("1.5.1", following.bench.release("1.5.1", NEW.archive, come_from=">=1.5"), number=2)
    following.bench.publish()
    for _ in range(4):
        following.check()
        assert following.told() == ("not-from-here", False)
    following.pin(NEW, number=3, back_to=("1.5.0",))
    for _ in range(4):
        following.check()
        assert following.told() == ("not-from-here", False)
    assert parse_status(following.world.place.status.read_bytes()).blocked == {}


def test_a_guest_whose_server_is_away_keeps_what_it_has_and_says_so(following: Following) -> None:
    following.check(url="http://127.0.0.1:9")
    assert following.told() == ("unreachable", False)
    assert following.world.answered() == (200, "1.4.2")


def test_an_old_state_after_a_wiped_cache_is_refused_by_name_and_a_person_is_called(following: Following) -> None:
    metadata, kept = following.bench.public / "metadata", following.bench.home / "kept"
    shutil.copytree(metadata, kept)
    following.bench.roll_out("1.5.1", NEW.archive)
    following.swap()
    shutil.rmtree(following.world.place.trust / "cache")
    shutil.rmtree(metadata)
    kept.rename(metadata)
    following.check()
    assert following.told() == ("replayed", True)
    assert following.world.answered() == (200, "1.5.1")


def test_a_download_that_breaks_off_again_and_again_goes_on_while_each_attempt_brings_more(
    following: Following,
) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    following.server.tricks["releases/"] = break_off(0)
    for _ in range(MOST_TRIES + 2):  # a server that is ill for hours blocks nothing
        assert "DOWNLOAD: broken-off at" in following.swap().reason
    assert (following.told(), following.world.answered()) == (("broken-off", False), (200, "1.4.2"))
    following.server.tricks["releases/"] = break_off(50)
    assert following.swap().outcome == "installed"
    assert [asked for asked in following.server.ranges if asked][:2] == ["bytes=50-", "bytes=100-"]


def break_off_once(size: int) -> Trick:
    """A server that goes away in the middle, and does not come back."""
    sizes = iter([size])
    return lambda handler, data: break_off(next(sizes, 0))(handler, data)


def test_what_came_before_the_server_went_away_is_not_asked_for_again_at_the_next_check(following: Following) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    following.server.tricks["releases/"] = break_off_once(50)
    assert following.swap().outcome == "failed"
    following.server.tricks.clear()
    following.server.ranges.clear()
    assert following.swap().outcome == "installed"
    assert "bytes=50-" in following.server.ranges
    assert following.world.list_leftovers() == []


@pytest.mark.parametrize("wanted", [OLD, OTHER], ids=["nothing", "another release"])
def test_what_came_of_a_release_goes_when_something_else_is_wanted(following: Following, wanted: Release) -> None:
    following.bench.release(OTHER.version, OTHER.archive)
    following.bench.release(OLD.version, OLD.archive)
    following.bench.roll_out("1.5.1", NEW.archive)
    following.server.tricks["releases/"] = break_off_once(50)
    assert following.swap().outcome == "failed"
    following.pin(wanted, number=2)
    following.server.tricks["releases/"] = break_off(0)
    following.check()
    assert list(following.world.place.download.glob(f"{NEW.name}*")) == []


def test_what_came_stays_while_a_window_is_waited_for(following: Following) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    following.server.tricks["releases/"] = break_off_once(50)
    following.swap()
    opens = now() + timedelta(hours=1)
    build = Build(NEW.sha256, len(NEW.archive))
    state = replace(always("1.5.1", {"all": build}), windows=(Opening("later", opens, opens + timedelta(hours=1)),))
    following.bench.repository.write_state(render_state(state), now())
    following.bench.sign("anna")
    following.bench.publish()
    following.check()
    assert following.told()[0] == "waits"
    (part,) = following.world.place.download.iterdir()
    assert part.stat().st_size == 50


def test_a_disk_that_cannot_take_a_release_is_not_left_full_of_it(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Trust, _url: str, wanted: Wanted, part: Path) -> None:
        part.write_bytes(NEW.archive[:10])
        raise OSError(28, "No space left on device")

    following.bench.roll_out("1.5.1", NEW.archive)
    monkeypatch.setattr(Trust, "_receive", full)
    assert "DOWNLOAD: disk at" in following.swap().reason
    assert following.world.list_leftovers() == []


def test_a_release_that_is_pinned_anew_while_it_comes_goes_on_under_the_new_pin(following: Following) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    _die_downloading(following)
    following.pin(NEW, number=2)
    following.server.ranges.clear()
    ended = following.swap()
    assert (ended.outcome, ended.wanted.pin) == ("installed", 2)
    assert "bytes=10-" in following.server.ranges


def test_while_another_plugin_is_at_work_its_status_is_left_alone(following: Following) -> None:
    following.check()
    before = following.world.place.status.read_bytes()
    with update.hold(following.world.place), pytest.raises(NotNow, match="another plugin is at work"):
        following.check(url="http://127.0.0.1:9")
    assert following.world.place.status.read_bytes() == before


def test_a_server_that_breaks_off_after_each_byte_is_left_for_the_next_check(following: Following) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    following.server.tricks["releases/"] = break_off(1)
    assert following.swap().outcome == "failed"
    assert len([path for path in following.server.asked if "zlh-agent" in path]) == follow.ATTEMPTS


def test_a_road_that_held_in_the_end_is_not_told_as_the_reason_of_a_release_that_failed(following: Following) -> None:
    following.bench.roll_out("1.5.1", SICK.archive)
    following.server.tricks["releases/"] = break_off(len(SICK.archive) // 2)
    assert following.swap().outcome == "reverted"
    assert following.told() == ("install", False)


def test_bytes_that_nobody_signed_call_a_person(following: Following) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    following.server.tricks["releases/"] = says(200, b"x" * len(NEW.archive))
    assert following.swap().outcome == "failed"
    assert following.told() == ("altered", True)


def test_what_a_net_took_back_is_told_though_the_server_is_away(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Swap) -> None:
        raise Power

    following.bench.roll_out("1.5.1", NEW.archive)
    with monkeypatch.context() as patched, pytest.raises(Power):
        patched.setattr(Swap, "_watch", die)
        following.check()
    following.world.systemd.go_back("deadline")
    following.check(url="http://127.0.0.1:9")
    told = parse_status(following.world.place.status.read_bytes())
    assert (told.step, told.outcome, following.told()) == ("END", "reverted", ("unreachable", False))


class Power(BaseException):
    """It is gone."""


class Dying:
    """Dies in the middle of its download."""

    def download(self, wanted: Wanted, to: Path) -> None:
        to.with_name(f"{to.name}.part").write_bytes(NEW.archive[:10])
        raise Power


def test_a_download_in_which_the_guest_died_goes_on_at_the_next_check(following: Following) -> None:
    following.bench.roll_out("1.5.1", NEW.archive)
    _die_downloading(following)
    assert (following.swap().outcome, following.server.ranges[-1]) == ("installed", "bytes=10-")


def test_what_was_begun_and_is_wanted_no_more_is_dropped(following: Following) -> None:
    following.bench.release("1.4.2", OLD.archive)
    following.bench.roll_out("1.5.1", NEW.archive)
    _die_downloading(following)
    following.pin(OLD, number=2)
    following.check()
    last = load_transaction(following.world.place.transaction)
    assert last is not None
    assert (last.step, last.outcome) == (Step.END, "failed")
    assert (following.told(), following.world.list_leftovers()) == (("current", False), [])


def _die_downloading(following: Following) -> None:
    hands = following.world.hands()
    settings = replace(hands.settings, url=following.server.url, line="game-base", vmid="5001")
    wanted = follow.open_trust(hands.place, settings).check(follow.read_guest(hands.place, settings), now())
    assert isinstance(wanted, Wanted)
    with pytest.raises(Power):
        update.install(replace(hands, source=Dying()), wanted)


def test_a_window_that_is_shut_is_told_with_the_time_at_which_it_opens(following: Following) -> None:
    build = following.bench.release("1.5.1", NEW.archive)
    opens = now() + timedelta(hours=1)
    state = replace(always("1.5.1", {"all": build}), windows=(Opening("later", opens, opens + timedelta(hours=1)),))
    following.bench.repository.write_state(render_state(state), now())
    following.bench.sign("anna")
    following.bench.publish()
    told = following.check()
    assert isinstance(told, Check)
    assert (told.outcome, told.opens) == ("waits", opens.isoformat())
    assert following.world.answered() == (200, "1.4.2")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.matrix), FEW])
@pytest.mark.parametrize("release", [NEW, SICK], ids=["good", "sick"])
def test_a_check_killed_at_any_act_is_finished_by_the_next_one(
    following: Following, tmp_path: Path, release: Release, every: int, record_property: Callable[[str, object], None]
) -> None:
    """A process of its own, killed before each of its acts on disk and each program it starts."""
    following.bench.roll_out(release.version, release.archive)
    restore = snapshot(following.world, tmp_path / "before")
    url = following.server.url
    acts = int(run(following.world, "check", 0, url).stdout.split()[-1])
    lives = range(1, acts + 1, every)
    ends = {"installed": (200, "1.5.1"), "reverted": (200, "1.4.2")}
    for life in lives:
        restore()
        assert run(following.world, "check", life, url).returncode == -9
        run(following.world, "check", 0, url)
        last = load_transaction(following.world.place.transaction)
        assert last is not None
        assert (last.step, following.world.answered()) == (Step.END, ends[last.outcome]), life
        assert following.world.list_leftovers() == [], life
        assert (release is NEW) >= (last.outcome == "installed"), life
    record_property("points", len(lives))


@pytest.mark.parametrize(
    ("wanted", "hostname", "vmid"),
    [("5001", "anything", 5001), ("hostname", "mc-vanilla-5002", 5002), ("hostname", "dev-6001.example.net", 6001)],
)
def test_a_guest_knows_its_number(wanted: str, hostname: str, vmid: int) -> None:
    assert follow.find_vmid(wanted, hostname) == vmid


@pytest.mark.parametrize("hostname", ["game", "web01", "5001-game"])
def test_a_host_whose_name_has_no_guests_number_at_its_end_must_be_told(hostname: str) -> None:
    with pytest.raises(BadInput, match="vmid = 5001 is wanted"):
        follow.find_vmid("hostname", hostname)


def test_a_guest_without_the_first_root_says_what_is_missing(following: Following) -> None:
    following.world.place.first_root.unlink()
    with pytest.raises(BadInput, match=r"zlh-agent-plugin\.root\.json: No such file .* zlh-hooks agent root"):
        following.check()


def test_the_plugin_was_made_when_its_newest_file_was(tmp_path: Path) -> None:
    for name, hours in (("one.py", 1), ("two.py", 2), ("two.pyc", 3)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (3600 * hours, 3600 * hours))
    assert follow.read_built(tmp_path) == datetime(1970, 1, 1, 2, tzinfo=UTC)
    assert follow.read_built() <= now()


def test_an_address_that_is_none_is_wrong_input(following: Following) -> None:
    with pytest.raises(BadInput, match=r"\[source\] url: found 'ftp://x'"):
        following.check(url="ftp://x")
