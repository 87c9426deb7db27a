"""What becomes of a guest when a release is brought: the whole story on real files and the real shell nets."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_plugin.fault import BadInput, Interrupted, NotNow
from agent_plugin.slot import COMPLETE, Slots
from agent_plugin.state import MOST_BLOCKS, BlockList, begin, save_transaction
from agent_plugin.steps import Step
from agent_plugin.story import LONGEST
from agent_plugin.update import hold, install, resume, take_back
from agent_plugin.wanted import Wanted
from agent_plugin.wire import parse_status
from tests.agent.release import Release
from tests.agent.swap_world import OLD_WORDS, World, build, hurry, open_folder

ONE, TWO, THREE = build("1.0"), build("2.0"), build("3.0")


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
    hurry()
    made = World(folder)
    yield made
    made.close()


def current(world: World) -> str:
    return Slots(world.place).find_current()


def test_the_first_release_is_linked_and_started_by_whoever_starts_the_unit(world: World) -> None:
    ended = world.install(ONE)
    assert (ended.outcome, current(world)) == ("installed", ONE.name)
    assert world.systemd.read_running() == {}
    assert world.list_leftovers() == []


def test_a_good_release_is_installed_and_the_one_before_it_stays_as_previous(world: World) -> None:
    world.begin(ONE, TWO, THREE)
    assert world.answered() == (200, "3.0")
    assert Slots(world.place).find_previous() == TWO.name
    assert {path.name for path in world.place.releases.iterdir()} == {TWO.name, THREE.name}
    assert world.list_leftovers() == []
    assert not world.systemd.deadline.exists()


@pytest.mark.parametrize(
    ("fault", "net", "reason"),
    [
        ("exit", "on-failure", "exit-code exited 1"),
        ("wrong-version", "plugin", "the socket is answered by '0', not '2.0'"),
        ("sick", "plugin", "503"),
    ],
)
def test_a_release_that_fails_is_taken_back_blocked_and_explained(
    world: World, fault: str, net: str, reason: str
) -> None:
    world.begin(ONE)
    bad = build("2.0", fault)
    ended = world.install(bad)
    assert (ended.outcome, current(world), world.answered()) == ("reverted", ONE.name, (200, "1.0"))
    assert world.list_leftovers() == []
    told = parse_status(world.place.status.read_bytes())
    assert told.failure is not None
    assert (told.failure.release, told.failure.net, told.failure.log) == (bad.name, net, OLD_WORDS)
    assert reason in told.failure.reason
    assert reason in told.blocked[bad.name]
    with pytest.raises(NotNow, match=r"is blocked here: WATCH: .* install it with --again"):
        world.install(bad)


def test_a_release_that_fails_its_own_test_touches_nothing_that_runs(world: World) -> None:
    world.begin(ONE)
    before = world.systemd.read_running()
    ended = world.install(build("2.0", "self-test"))
    assert (ended.outcome, ended.step) == ("refused", Step.END)
    assert ended.reason.startswith("SELFTEST: ")
    assert ended.reason.endswith("/zlh-agent --self-test ended with 3: I am bad")
    assert (world.systemd.read_running(), world.list_leftovers()) == (before, [])


@pytest.mark.parametrize("change", ["byte", "shorter"])
def test_an_archive_that_is_not_the_signed_one_is_refused_before_it_is_unpacked(world: World, change: str) -> None:
    world.begin(ONE)
    wrong = TWO.archive[:-1] if change == "shorter" else bytes([TWO.archive[0] ^ 1, *TWO.archive[1:]])
    ended = install(world.hands(Release("2.0", wrong)), TWO.wanted)
    assert (ended.outcome, ended.reason.partition(":")[0]) == ("refused", "VERIFY")
    assert world.list_leftovers() == []


def test_a_release_for_which_there_is_no_room_may_be_tried_ten_times(world: World) -> None:
    world.begin(ONE)
    hands = world.hands(TWO, reserve_mb=10**9)
    outcomes = [install(hands, TWO.wanted).outcome for _ in range(10)]
    assert set(outcomes) == {"failed"}
    with pytest.raises(NotNow, match=r"failed 10 times, last: [A-Z]+: "):
        install(hands, TWO.wanted)


def test_a_person_goes_back_and_what_was_left_is_not_brought_again(world: World) -> None:
    world.begin(ONE, TWO)
    ended = take_back(world.hands())
    assert (ended.outcome, world.answered(), Slots(world.place).find_previous()) == (
        "installed",
        (200, "1.0"),
        TWO.name,
    )
    with pytest.raises(NotNow, match="a person took it back"):
        world.install(TWO)


def test_a_release_that_could_not_be_taken_back_is_not_begun(world: World) -> None:
    world.begin(ONE)
    ended = install(world.hands(TWO), replace(TWO.wanted, back_to=("0.9", "0.8")))
    assert (ended.outcome, ended.reason) == ("failed", "PLAN: 2.0 cannot be taken back to 1.0, only to 0.9, 0.8")


def test_a_person_may_go_back_only_where_the_release_can_be_taken_back_to(world: World) -> None:
    world.begin(ONE)
    assert install(world.hands(TWO), replace(TWO.wanted, back_to=("1.0",))).outcome == "installed"
    assert install(world.hands(THREE), replace(THREE.wanted, back_to=("2.0",))).outcome == "installed"
    assert take_back(world.hands()).outcome == "installed"
    with pytest.raises(NotNow, match=r"2\.0 cannot be taken back to 3\.0, only to 1\.0"):
        take_back(world.hands())


def test_the_list_of_blocks_does_not_grow_for_ever(world: World) -> None:
    blocks = BlockList(world.place.state / "blocked.json")
    world.begin(ONE)
    for number in range(MOST_BLOCKS + 3):
        blocks.block(f"{number}-00000000", "it failed " * 100)
    assert set(blocks.read()) == {f"{number}-00000000" for number in range(3, MOST_BLOCKS + 3)}
    world.install(TWO)
    assert len(parse_status(world.place.status.read_bytes()).blocked) == 20


def test_a_block_that_is_lifted_lets_the_release_in_again(world: World) -> None:
    world.begin(ONE)
    BlockList(world.place.blocked).block(TWO.name, "it failed")
    BlockList(world.place.blocked).lift(TWO.name)
    assert world.install(TWO).outcome == "installed"


def test_there_is_nothing_to_go_back_to_after_the_first_release(world: World) -> None:
    world.begin(ONE)
    with pytest.raises(NotNow, match="names no whole release to go back to"):
        take_back(world.hands())


def test_a_release_that_runs_is_not_brought_again(world: World) -> None:
    world.begin(ONE)
    with pytest.raises(NotNow, match="runs already"):
        world.install(ONE)


def test_two_plugins_do_not_work_at_once(world: World) -> None:
    world.begin(ONE)
    code = (
        "import sys; from pathlib import Path; from agent_plugin.place import Place; from agent_plugin.update import hold\n"
        f"with hold(Place(Path({str(world.root)!r}))): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(NotNow, match="another plugin is at work"):
        world.install(TWO)
    other.communicate()
    assert world.install(TWO).outcome == "installed"


WRONG = b'{"txn": "1", "origin": "", "step": "PLAN", "before": {"answered": [], "reached": []}, "wanted": {"version": "../1", "sha256": "", "size": 1, "back_to": []}}'


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"txn": 1}', b"\xff\xfe", b'{"wanted": {}, "before": {}}', WRONG]
)
def test_a_state_that_cannot_be_read_is_no_reason_to_leave_a_whole_release(world: World, content: bytes) -> None:
    world.begin(ONE)
    world.place.transaction.write_bytes(content)
    assert resume(world.hands()) is None
    assert (current(world), world.answered()) == (ONE.name, (200, "1.0"))
    assert world.install(TWO).outcome == "installed"


def test_a_reason_holds_nothing_that_a_terminal_would_obey(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in the agent's control group calls itself as it likes."""
    world.begin(ONE)

    def refuse(*_: object) -> None:
        raise NotNow("\x1b[2Jgame would die with the agent")

    monkeypatch.setattr("agent_plugin.swap.refuse_foreign", refuse)
    assert world.install(TWO).reason == "ARM: ?[2Jgame would die with the agent"


def test_a_trial_that_nobody_remembers_is_taken_back(world: World) -> None:
    world.begin(ONE, TWO)
    world.place.pending.write_text(f"{TWO.name}\n{ONE.name}\n")
    (world.place.state / "attempt-1").touch()
    world.place.back.symlink_to(f"releases/{ONE.name}")
    resume(world.hands())
    assert (current(world), world.answered()) == (ONE.name, (200, "1.0"))


def test_what_stops_answering_in_a_shutdown_is_judged_after_it(world: World) -> None:
    world.begin(ONE)
    (world.root / "stopping").touch()
    bad = build("2.0", "sick")
    with pytest.raises(Interrupted):
        world.install(bad)
    assert not BlockList(world.place.blocked).find(bad.name).holds
    (world.root / "stopping").unlink()
    ended = resume(world.hands())
    assert ended is not None
    assert (ended.outcome, world.answered(), world.list_leftovers()) == ("reverted", (200, "1.0"), [])


def test_a_swap_that_is_interrupted_without_end_goes_back(world: World) -> None:
    world.begin(ONE)
    worn = replace(begin(TWO.wanted, ONE.name, existed=False), step=Step.WATCH, transitions=LONGEST)
    save_transaction(world.place.transaction, worn)
    ended = resume(world.hands())
    assert ended is not None
    assert (ended.outcome, current(world)) == ("reverted", ONE.name)
    assert "given up after 29 steps, in WATCH" in ended.reason


def test_a_home_that_others_may_write_is_refused(world: World) -> None:
    world.begin(ONE)
    world.place.releases.chmod(0o777)
    with pytest.raises(NotNow, match="must be a folder that belongs to root"):
        world.install(TWO)


def test_an_old_release_that_is_not_whole_is_no_way_back_so_nothing_is_flipped(world: World) -> None:
    world.begin(ONE)
    (world.place.releases / ONE.name / COMPLETE).unlink()
    ended = world.install(TWO)
    assert (ended.outcome, current(world)) == ("reverted", ONE.name)
    assert "there is no way back" in ended.reason
    assert not BlockList(world.place.blocked).find(TWO.name).holds


def test_another_archive_under_a_name_that_is_taken_is_refused(world: World) -> None:
    world.begin(ONE, TWO)
    same_name = Wanted("1.0", ONE.sha256[:8] + "0" * 56, 1)
    ended = install(world.hands(TWO), same_name)
    assert (ended.outcome, current(world)) == ("refused", TWO.name)
    assert "another archive" in ended.reason


def test_the_lock_is_free_again_whatever_happened_inside(world: World) -> None:
    with pytest.raises(ValueError, match="inside"), hold(world.place):
        raise ValueError("inside")
    with hold(world.place):
        pass


@pytest.mark.parametrize(
    ("version", "sha256", "size"),
    [
        ("../x", "0" * 64, 1),
        ("", "0" * 64, 1),
        ("1/2", "0" * 64, 1),
        ("1", "0" * 63, 1),
        ("1", "G" * 64, 1),
        ("1", "0" * 64, 0),
    ],
)
def test_what_could_name_no_folder_is_bad_input(version: str, sha256: str, size: int) -> None:
    with pytest.raises(BadInput):
        Wanted(version, sha256, size)


def test_a_guest_needs_no_library_beside_pythons_own_to_swap_and_to_go_back() -> None:
    script = (
        "import sys; import agent_plugin.__main__; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    here = Path(__file__).parents[2]
    bare = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True, cwd=here)
    assert set(bare.stdout.split()) - sys.stdlib_module_names <= {"agent_plugin", "__main__"}
