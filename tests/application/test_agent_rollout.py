"""A release of the agent goes out in waves; what people signed at the start carries it forward and back."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent_plugin.desired_wire import parse_state
from tests.application.agent_rollout_bench import CRASHES, ILL, STUCK, AgentBench, make_agent_policy
from tests.datacentre import Crash
from zlh_hooks.application.signed_planning import order_rollout
from zlh_hooks.domain.agent_release import PinOrder
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.steps import RolloutState, TargetState


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    return AgentBench(tmp_path)


def test_a_good_release_goes_from_the_canary_to_the_whole_line(bench: AgentBench) -> None:
    plan = bench.submit()
    progress = bench.work(plan)
    assert progress.state is RolloutState.SUCCEEDED
    assert set(bench.states(plan).values()) == {TargetState.HEALTHY}
    assert set(bench.versions().values()) == {"1.5.0"}
    assert bench.series.shown == ["wave-0", "wave-1", "wave-2", "end"]
    assert all(agent.swaps == 1 for agent in bench.agents.values())
    state = parse_state(bench.read_state())
    assert [(pin.ring, pin.version) for pin in state.pins] == [("all", "1.5.0")]
    assert [ring.name for ring in state.rings] == ["all"]


def test_a_version_is_that_build_and_a_guest_with_a_local_one_is_led_nowhere(bench: AgentBench) -> None:
    bench.repository.release("1.5.0+2")
    bench.repository.publish(bench.clock.now())
    bench.agents[5001].current = bench.name_release("1.5.0+2")
    plan = bench.submit("1.5.0")
    assert plan.release.version == "1.5.0"
    assert [(one.vmid, "newer" in one.reason) for one in plan.left_out] == [(5001, True)]
    bench.work(plan)
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    bench.pass_time(timedelta(hours=1))
    assert bench.versions() == {vmid: "1.5.0+2" if vmid == 5001 else "1.4.0" for vmid in bench.agents}


def test_who_is_not_in_the_wave_sees_what_was_pinned_before(bench: AgentBench) -> None:
    plan = bench.submit()
    seen: dict[str, dict[int, str]] = {}

    def remember(_: object) -> None:
        act = bench.series.find_shown(plan.id)
        if act is not None:
            seen[act] = bench.versions()

    bench.clock.on_sleep.append(remember)
    bench.work(plan)
    waves = {target.vmid: target.wave for target in plan.targets}
    for act, versions in seen.items():
        last = int(act.rpartition("-")[2]) if act.startswith("wave") else 99
        assert versions == {vmid: "1.5.0" if wave <= last else "1.4.0" for vmid, wave in waves.items()}


def test_a_release_that_the_canary_itself_leaves_goes_no_further(bench: AgentBench) -> None:
    for agent in bench.agents.values():
        agent.outcomes["1.5.0"] = CRASHES
    plan = bench.submit()
    progress = bench.work(plan)
    canary = plan.waves[0][0].vmid
    assert (progress.state, progress.reason) == (
        RolloutState.REVERTED,
        f"guest {canary} failed: it does not start",
    )
    assert bench.states(plan)[canary] is TargetState.REVERTED
    assert {vmid: agent.swaps for vmid, agent in bench.agents.items()} == {
        vmid: int(vmid == canary) for vmid in bench.agents
    }
    assert bench.series.shown == ["wave-0", "condemn"]
    blocked = parse_state(bench.read_state()).blocked
    assert [block.versions for block in blocked] == ["===1.5.0"]
    with pytest.raises(NotAllowed, match="blocked"):
        bench.submit()


def test_what_only_probes_see_takes_all_back(bench: AgentBench) -> None:
    last = bench.submit().targets[-1].vmid
    bench.agents[last].outcomes["1.5.0"] = ILL
    plan = bench.desk().find(None).plan
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED
    assert "the game says no" in progress.reason
    assert set(bench.states(plan).values()) == {TargetState.REVERTED}
    assert set(bench.versions().values()) == {"1.4.0"}
    assert bench.series.shown[-1] == "condemn"


def test_within_the_budget_a_guest_that_went_back_stays_alone_and_is_not_asked_again(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, policy=make_agent_policy(max_failures=1))
    plan = bench.submit()
    last = plan.targets[-1].vmid
    bench.agents[last].outcomes["1.5.0"] = CRASHES
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    bench.pass_time(timedelta(hours=2))
    assert (bench.states(plan)[last], bench.agents[last].swaps) == (TargetState.REVERTED, 1)
    assert bench.versions() == {vmid: "1.4.0" if vmid == last else "1.5.0" for vmid in bench.agents}


def test_a_guest_that_found_no_way_back_is_stuck_and_named(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, policy=make_agent_policy(max_failures=1))
    plan = bench.submit()
    last = plan.targets[-1].vmid
    bench.agents[last].outcomes["1.5.0"] = STUCK
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.states(plan)[last] is TargetState.STUCK


def test_a_person_takes_all_back_after_it_has_succeeded_and_nothing_is_blocked(bench: AgentBench) -> None:
    plan = bench.submit()
    bench.work(plan)
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert set(bench.versions().values()) == {"1.4.0"}
    assert set(bench.states(plan).values()) == {TargetState.REVERTED}
    assert bench.series.shown[-1] == "back"
    assert parse_state(bench.read_state()).blocked == ()


def test_after_a_way_back_the_same_release_is_brought_anew_under_another_number(bench: AgentBench) -> None:
    first = bench.submit()
    bench.work(first)
    bench.order("revert")()
    bench.work(first)
    second = bench.submit()
    assert bench.work(second).state is RolloutState.SUCCEEDED
    assert first.agents is not None and second.agents is not None and second.agents.pin > first.agents.pin
    assert set(bench.versions().values()) == {"1.5.0"}


def test_the_way_back_does_not_wait_for_a_window(tmp_path: Path) -> None:
    window = {"name": "night", "rule": "FREQ=DAILY", "start": "05:00", "length_minutes": 120}
    bench = AgentBench(tmp_path, policy=make_agent_policy([window]))
    plan = bench.submit()
    bench.work(plan)
    first = bench.ledger.read(plan.id)
    shown = next(entry.at for entry in first if entry.kind is Kind.DONE and entry.name == "show.wave-0")
    assert (shown.hour, shown.minute) == (5, 0)
    bench.pass_time(timedelta(hours=4))
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert 9 <= bench.clock.now().hour < 12


def test_a_silent_guest_is_left_out_and_one_that_falls_silent_holds_up_nobody(bench: AgentBench) -> None:
    bench.agents[5001].answers = False
    plan = bench.submit()
    assert [(one.vmid, "nothing answers" in one.reason) for one in plan.left_out] == [(5001, True)]
    late = plan.targets[-1].vmid
    bench.series.afterwards["wave-2"] = lambda: setattr(bench.agents[late], "answers", False)
    progress = bench.work(plan)
    assert (progress.state, progress.errors) == (RolloutState.SUCCEEDED, 1)
    assert bench.states(plan)[late] is TargetState.APPLYING
    bench.agents[late].answers = True
    assert bench.tend(plan, timedelta(minutes=20)).of(late).state is TargetState.HEALTHY


def test_nobody_else_sees_what_the_canary_was_never_proved_on(bench: AgentBench) -> None:
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    shown_at_pause: list[str] = []

    def look() -> None:
        shown_at_pause.extend(bench.series.shown)
        bench.agents[canary].answers = True
        bench.order("resume")()

    bench.series.afterwards["wave-0"] = lambda: setattr(bench.agents[canary], "answers", False)
    bench.answers = [bench.order("resume"), look]
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert shown_at_pause == ["wave-0"]
    pauses = [entry.data["reason"] for entry in bench.ledger.read(plan.id) if entry.name == "paused"]
    assert pauses == ["nobody could be proved on it: abort or revert, and plan anew; resume waits once more"] * 2


def test_a_customer_who_restarts_a_guest_during_its_proof_condemns_nothing(bench: AgentBench) -> None:
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    done = []

    def restart(_: object) -> None:
        if not done and bench.states(plan)[canary] is TargetState.PROVING:
            done.append(canary)
            bench.datacentre.restart_inside(canary)

    bench.clock.on_sleep.append(restart)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert done == [canary]
    assert bench.agents[canary].swaps == 1


def test_a_guest_that_its_customer_switched_off_is_proved_when_it_runs(bench: AgentBench) -> None:
    plan = bench.submit()
    off = plan.targets[-1].vmid
    bench.series.afterwards["wave-2"] = lambda: bench.datacentre.power_off(off)
    bench.work(plan)
    assert bench.states(plan)[off] in (TargetState.APPLYING, TargetState.PROVING)
    bench.datacentre.power_on(off)
    assert bench.tend(plan, timedelta(minutes=30)).of(off).state is TargetState.HEALTHY


def test_a_guest_that_its_customer_switches_off_during_its_proof_holds_up_nobody(bench: AgentBench) -> None:
    plan = bench.submit()
    off = plan.waves[1][-1].vmid

    def switch_off(_: object) -> None:
        if bench.states(plan)[off] is TargetState.PROVING:
            bench.clock.on_sleep.remove(switch_off)
            bench.datacentre.power_off(off)

    bench.clock.on_sleep.append(switch_off)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert (bench.states(plan)[off], bench.progress(plan).failures) == (TargetState.PROVING, 0)
    bench.datacentre.power_on(off)
    assert bench.tend(plan, timedelta(minutes=30)).of(off).state is TargetState.HEALTHY


def test_a_deleted_guest_is_told_and_holds_up_nobody(bench: AgentBench) -> None:
    plan = bench.submit()
    gone = plan.targets[-1].vmid
    bench.series.afterwards["wave-2"] = lambda: bench.datacentre.delete_guest(gone)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.states(plan)[gone] is TargetState.SKIPPED


def test_a_guest_on_hold_is_left_out_and_one_that_comes_on_hold_holds_up_its_wave(bench: AgentBench) -> None:
    until = bench.clock.now() + timedelta(hours=9)
    bench.datacentre.edit_config(5001, tags=f"zlh-hold.{until:%Y%m%dt%H%Mz}")
    plan = bench.submit()
    assert [(one.vmid, "on hold until" in one.reason) for one in plan.left_out] == [(5001, True)]
    late = plan.targets[-1].vmid
    shown_at_pause: list[str] = []

    def release() -> None:
        shown_at_pause.extend(bench.series.shown)
        bench.datacentre.edit_config(late, tags="")
        bench.order("resume")()

    def wait_for_the_end() -> None:
        bench.clock.sleep(timedelta(hours=9))
        bench.order("resume")()

    bench.series.afterwards["wave-0"] = lambda: bench.datacentre.edit_config(
        late, tags=f"zlh-hold.{until:%Y%m%dt%H%Mz}"
    )
    bench.answers = [release, wait_for_the_end]
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert shown_at_pause == ["wave-0", "wave-1"]
    pauses = [entry.data["reason"] for entry in bench.ledger.read(plan.id) if entry.name == "paused"]
    assert [reason.split(",")[0] for reason in pauses] == [f"guest {late}", "guest 5001"]


def test_what_was_pinned_since_is_not_taken_back_by_an_old_rollout(bench: AgentBench) -> None:
    plan = bench.submit()
    bench.work(plan)
    bench.pin("all", "1.6.0")
    bench.order("revert")()
    progress = bench.work(plan)
    assert progress.state is RolloutState.STUCK
    assert "others have changed the desired state" in progress.reason
    assert [pin.version for pin in parse_state(bench.read_state()).pins] == ["1.6.0"]


def test_nobody_pins_while_a_rollout_is_under_way(bench: AgentBench) -> None:
    plan = bench.submit()
    with pytest.raises(NotAllowed, match=f"rollout {plan.id} of agent is PLANNED"):
        bench.pin("all", "1.6.0")


def test_a_change_that_waits_for_its_publication_comes_first(bench: AgentBench) -> None:
    bench.agent_desk().pin(PinOrder("game-base", "all", "1.6.0"))
    with pytest.raises(NotAllowed, match="a change of desired is not published yet"):
        bench.submit("1.5.0")


def test_a_release_that_no_guest_can_see_yet_is_not_brought(bench: AgentBench) -> None:
    bench.repository.release("1.7.0")
    with pytest.raises(NotAllowed, match="a change of releases is not published yet"):
        bench.submit("1.7.0")


def test_a_broken_road_on_the_way_back_is_tried_until_it_works(bench: AgentBench) -> None:
    plan = bench.submit()
    bench.work(plan)
    bench.order("revert")()
    bench.series.broken = 3
    assert bench.work(plan).state is RolloutState.REVERTED
    assert set(bench.versions().values()) == {"1.4.0"}


def test_nothing_that_was_not_signed_is_taken_up(bench: AgentBench) -> None:
    prepared = bench.prepare("1.5.0")
    with pytest.raises(NotAllowed, match="sealed has no operator's key"):
        order_rollout(prepared, bench.series, "sealed", bench.desk())
    assert [entry for entry in bench.ledger.read() if entry.kind is Kind.PLAN] == []
    assert bench.series.count_missing(prepared.plan.id) == 1
    with pytest.raises(NotAllowed, match="lacks 1 of its signatures"):
        bench.series.publish(prepared.plan.id, "wave-0")


@pytest.mark.parametrize("outcome", ["good", CRASHES, ILL])
@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.matrix)], ids=["sample", "all"])
def test_a_worker_that_dies_anywhere_is_succeeded_by_one_that_ends_the_same(
    tmp_path: Path, outcome: str, every: int
) -> None:
    def furnish(name: str) -> AgentBench:
        (tmp_path / name).mkdir()
        bench = AgentBench(tmp_path / name, guests=3)
        for agent in bench.agents.values():
            agent.outcomes["1.5.0"] = outcome
        return bench

    undisturbed = furnish("undisturbed")
    plan = undisturbed.submit()
    before = len(undisturbed.ledger.read())
    undisturbed.work(plan)
    entries, showings = len(undisturbed.ledger.read()) - before, len(undisturbed.series.shown)
    points = [("entry", number) for number in range(1, entries + 1)]
    points += [(when, number) for number in range(1, showings + 1) for when in ("before", "after")]
    for when, number in points[::every]:
        bench = furnish(f"{when}-{number}")
        plan = bench.submit()
        if when == "entry":
            bench.datacentre.faults.die_after("append", number)
        else:
            bench.series.dies = (when, number)
        with pytest.raises(Crash):
            bench.work(plan)
        bench.datacentre.faults.restart()
        bench.datacentre.faults.clear()
        bench.work(plan)
        assert list(bench.states(plan).values()) == list(
            undisturbed.states(undisturbed.desk().find(None).plan).values()
        )
        assert bench.progress(plan).state is undisturbed.progress(undisturbed.desk().find(None).plan).state
        assert bench.versions() == undisturbed.versions()
        assert [agent.swaps for agent in bench.agents.values()] == [a.swaps for a in undisturbed.agents.values()]
        assert bench.series.shown == undisturbed.series.shown
