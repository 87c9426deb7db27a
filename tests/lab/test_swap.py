"""The agent is swapped in real guests, under load: nobody is refused, the game runs on, and bad releases go back."""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from agent_plugin.steps import Step
from tests.agent.release import Release
from tests.lab.condition import until
from tests.lab.image import Debian
from tests.lab.lab import Lab
from tests.lab.load import Load
from tests.lab.network import inside
from tests.lab.swap_bench import DOOM, SETTINGS, STATE, SwapGuest, build_release

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]
CRASHES = 30
EVERY = 15
_OTHERS = [
    *(("garbage", 10), ("no-python", 10), ("unreadable", 10)),
    *(("wrong-version", 15), ("sick", 15), ("exit-later", 15)),
]
"""What is wrong with a release, and within how many seconds the old one is back and proved."""
_ALONE = {
    "count before start": ("OnFailure=", "ExecStopPost="),
    "after stop": ("OnFailure=", "ExecStartPre="),
    "OnFailure": ("ExecStartPre=", "ExecStopPost="),
}
"""What is taken out of the agent's unit, so that one net is left."""


@pytest.fixture(scope="module", params=list(Debian))
def guest(request: pytest.FixtureRequest, lab: Lab) -> Iterator[SwapGuest]:
    made = SwapGuest(lab, request.param)
    yield made
    lab.containers.stop(made.vmid)


@pytest.fixture(autouse=True)
def _one_release_answers(guest: SwapGuest) -> Iterator[None]:
    """After each test too: the agent answers, nothing is on trial, nothing is left behind, the game is the same process."""
    game, guest.was_off = guest.game(), False
    yield
    current = guest.run("readlink", "/opt/zlh-agent/current").strip().removeprefix("releases/")
    assert guest.version() == current.rpartition("-")[0]
    names = set(guest.run("ls", "-A", f"/{STATE}").split())
    assert names & {"pending", "attempt-0", "attempt-1", "attempt-2"} == set()
    assert guest.run("ls", f"/{STATE}/download") == ""
    assert guest.game() == game or guest.was_off


def install(guest: SwapGuest, release: Release) -> None:
    done = guest.install(release)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_release_goes_in_and_out_under_load_and_no_request_fails(guest: SwapGuest) -> None:
    two = build_release("2.0.0")
    with inside(guest.lab.place), Load(guest.address) as load:
        install(guest, two)
        assert guest.version() == "2.0.0"
        assert "installed" in guest.run("zlh-agent-plugin", "revert")
        assert guest.version() == "1.0.0"
    seen = load.read()
    assert (seen.failed, seen.faults) == (0, [])
    assert seen.total > 500
    assert guest.status().blocked[two.name] == "a person took it back"


def test_a_release_that_cannot_start_goes_back_within_ten_seconds_and_nobody_is_refused(guest: SwapGuest) -> None:
    assert_goes_back(guest, "exit", 10)


@pytest.mark.matrix
@pytest.mark.parametrize(("fault", "seconds"), _OTHERS)
def test_other_bad_releases_go_back_as_well(guest: SwapGuest, fault: str, seconds: float) -> None:
    assert_goes_back(guest, fault, seconds)


@pytest.mark.matrix
@pytest.mark.parametrize("fault", ["hang", "freeze"])
def test_a_release_that_hangs_goes_back_within_55_seconds(guest: SwapGuest, fault: str) -> None:
    assert_goes_back(guest, fault, 55)


def assert_goes_back(guest: SwapGuest, fault: str, seconds: float) -> None:
    bad, before = build_release(f"3.{time.monotonic_ns()}", fault), guest.version()
    with inside(guest.lab.place), Load(guest.address) as load:
        began = time.monotonic()
        done = guest.install(bad)
        assert (done.returncode, guest.version()) == (1, before), done.stdout + done.stderr
        assert time.monotonic() - began < seconds
    assert load.read().refused == 0
    told = guest.status()
    assert told.failure is not None
    assert (told.outcome, told.failure.release, bad.name in told.blocked) == ("reverted", bad.name, True)
    if fault == "exit":
        assert told.failure.exit == "exit-code exited 1"
        assert "secret-free last words" in told.failure.log


def test_thirty_crashes_leave_the_socket_listening(guest: SwapGuest) -> None:
    with inside(guest.lab.place), Load(guest.address, clients=4) as load:
        began, seen = time.monotonic(), {""}
        for _ in range(CRASHES):
            pid = until(lambda: next(iter({main_pid(guest)} - seen - {"0"}), ""), 10, "the agent's next process")
            seen.add(pid)
            guest.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "zlh-agent.service")
        lasted = time.monotonic() - began
        guest.wait_version(guest.status().current.rpartition("-")[0], 10)
    assert (load.read().refused, guest.run("systemctl", "is-active", "zlh-agent.socket").strip()) == (0, "active")
    assert lasted < 20
    install(guest, build_release(f"2.{time.monotonic_ns()}"))  # restarts of the past are not held against it


def main_pid(guest: SwapGuest) -> str:
    return guest.run("systemctl", "show", "--property=MainPID", "--value", "zlh-agent.service").strip()


def test_an_agent_with_a_workload_in_its_control_group_is_not_swapped(guest: SwapGuest) -> None:
    group = "/sys/fs/cgroup/system.slice/zlh-agent.service/cgroup.procs"
    guest.run("systemd-run", "--unit=workload", "sh", "-c", f"echo $$$$ >{group}; exec sleep 600")
    pid = until(lambda: guest.run("cat", group).split()[1:], 5, "workload in the agent's control group")
    before = main_pid(guest)
    done = guest.install(build_release("4.0.0"))
    assert done.returncode == 1
    assert f"sleep ({pid[0]}) would die with the agent" in done.stdout
    assert "systemd-run --unit=zlh-game" in done.stdout
    assert main_pid(guest) == before
    guest.run("sh", "-c", f"kill {pid[0]}")


@pytest.mark.matrix
@pytest.mark.parametrize("net", _ALONE)
def test_each_net_alone_takes_back_a_release_that_cannot_start(guest: SwapGuest, net: str) -> None:
    """``OnFailure=`` alone is silent before systemd 254, while restarts are left: there the deadline is the one that acts."""
    old = "systemd 252" in guest.run("systemctl", "--version")
    expected = {"count before start": "pre-start", "after stop": "on-failure", "OnFailure": "on-failure"}[net]
    before = guest.version()
    guest.drop_in("zlh-agent-revert.timer", "[Timer]\nOnActiveSec=\nOnActiveSec=6\n")
    with guest.unit_without("zlh-agent.service", _ALONE[net]):
        guest.begin_and_kill(build_release(f"5.{time.monotonic_ns()}", "exit"), "WATCH")
        guest.wait_version(before, 20)
        until(lambda: guest.status().step == "END", 15, "the report: the net calls the plugin")
    guest.drop_in("zlh-agent-revert.timer", "")
    failure = guest.status().failure
    assert failure is not None
    assert failure.net == ("deadline" if old and net == "OnFailure" else expected)


def resume(guest: SwapGuest) -> None:
    """The plugin comes again; what it says about the interrupted swap is in the status document."""
    guest.run("sh", "-c", "zlh-agent-plugin update || [ $? -eq 1 ]")


@pytest.mark.matrix
@pytest.mark.parametrize("fault", ["", "wrong-version"])
def test_a_plugin_killed_at_any_act_in_a_real_guest_is_finished_or_taken_back(
    guest: SwapGuest, fault: str, record_property: Callable[[str, object], None]
) -> None:
    """Every so many acts of a whole install; the next plugin follows at once."""
    guest.put("/root/doom.py", DOOM.read_bytes())
    acts = int(run_doomed(guest, 0, fault).stderr.split()[-1])
    for life in range(1, acts, EVERY):
        assert run_doomed(guest, life, fault).returncode == 137
        resume(guest)
        told = guest.status()
        assert (told.on_trial, told.step) in ((False, "END"), (False, "")), life
        assert guest.version() == told.current.rpartition("-")[0], life
        assert (told.outcome == "installed") == (told.wanted == told.current), life
    record_property("points", len(range(1, acts, EVERY)))


def run_doomed(guest: SwapGuest, life: int, fault: str) -> "subprocess.CompletedProcess[str]":
    """137, because the shell says so of a child that was killed; nsenter would kill itself."""
    words = guest.install_words(build_release(f"9.{time.monotonic_ns()}", fault))[1:]
    command = guest.command("sh", "-c", 'python3 /root/doom.py "$@"; exit $?', "doom", str(life), *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.matrix
def test_the_deadline_takes_back_a_release_that_runs_and_that_nobody_proves(guest: SwapGuest) -> None:
    before = guest.version()
    guest.drop_in("zlh-agent-revert.timer", "[Timer]\nOnActiveSec=\nOnActiveSec=6\n")
    guest.begin_and_kill(build_release(f"6.{time.monotonic_ns()}"), "WATCH")
    until(lambda: guest.version().startswith("6."), 10, "the release on trial")
    assert guest.wait_version(before, 15) > 2
    guest.drop_in("zlh-agent-revert.timer", "")
    until(lambda: guest.status().step == "END", 15, "the report: the net calls the plugin")
    failure = guest.status().failure
    assert failure is not None
    assert failure.net == "deadline"


@pytest.mark.matrix
def test_arming_again_and_again_never_reaches_a_start_limit(guest: SwapGuest) -> None:
    for number in range(7):
        done = guest.install(build_release(f"7.{number}.{time.monotonic_ns()}", "exit"))
        assert "reverted" in done.stdout, done.stdout


@pytest.mark.matrix
@pytest.mark.parametrize("step", [step for step in Step if step is not Step.END])
@pytest.mark.parametrize("go_down", [SwapGuest.lose_power, SwapGuest.reboot])
def test_a_guest_that_goes_down_once_a_step_is_done_comes_back_with_one_whole_release(
    guest: SwapGuest, go_down: "Callable[[SwapGuest], None]", step: Step
) -> None:
    """What was interrupted blames no good release, and no bad one stays."""
    is_bad = step in (Step.REVERT, Step.DISCARD)
    release = build_release(f"8.{time.monotonic_ns()}", "wrong-version" if is_bad else "")
    if step is Step.FOUND:
        forget_releases(guest)
    guest.begin_until(step.value, *guest.install_words(release))
    go_down(guest)
    guest.resume()
    told = guest.status()
    assert (told.step, told.outcome) in {("END", outcome) for outcome in ("installed", "reverted", "failed")}, told
    assert (told.outcome == "installed") == (told.current == release.name), told
    assert (release.name in told.blocked) == is_bad, told.blocked


def forget_releases(guest: SwapGuest) -> None:
    """As in a guest that never had an agent."""
    guest.run("systemctl", "stop", "zlh-agent.socket", "zlh-agent.service")
    guest.run("sh", "-c", "rm -r /opt/zlh-agent/*")


@pytest.mark.matrix
def test_an_agent_that_takes_no_passed_socket_is_swapped_all_the_same_and_it_costs_refused_connections(
    guest: SwapGuest,
) -> None:
    guest.run("systemctl", "stop", "zlh-agent.socket")
    done = guest.install(build_release(f"10.{time.monotonic_ns()}"))
    assert "zlh-agent.socket is not active" in done.stdout
    guest.run("systemctl", "mask", "zlh-agent.socket")
    guest.put("/etc/zlh-agent-plugin.conf", f"[agent]\nhandover = restart\n{SETTINGS}".encode())
    guest.run("systemctl", "restart", "zlh-agent.service")
    with inside(guest.lab.place), Load(guest.address) as load:
        install(guest, build_release(f"10.{time.monotonic_ns()}"))
    seen = load.read()
    assert (seen.refused > 0, seen.wrong) == (True, 0)
    guest.put("/etc/zlh-agent-plugin.conf", SETTINGS.encode())
    guest.run("systemctl", "unmask", "zlh-agent.socket")
    guest.run("systemctl", "stop", "zlh-agent.service")
    guest.run("systemctl", "start", "zlh-agent.socket", "zlh-agent.service")
