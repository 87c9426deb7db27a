"""What goes wrong around a rollout of the agent: others' acts, broken roads, deaths; and what each may cost."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent_plugin.desired_wire import parse_state
from tests.agent.repository_bench import now as real_now
from tests.application.agent_rollout_bench import CRASHES, ILL, STUCK, AgentBench, make_agent_policy
from tests.datacentre import Crash
from zlh_hooks.application.emergency_desk import EmergencyDesk
from zlh_hooks.application.pull_driver import PROOF
from zlh_hooks.application.signed_planning import order_rollout
from zlh_hooks.domain.agent_trust import Purpose, TrustRole
from zlh_hooks.domain.component_rule import ComponentRule
from zlh_hooks.domain.entry import Draft, Entry, Kind
from zlh_hooks.domain.errors import NotAllowed, SettingsError
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.domain.window_rule import Component

pytestmark = pytest.mark.matrix


def end_within(bench: AgentBench, length: timedelta) -> None:
    """Fails the story that is still at work then."""
    end = bench.clock.now() + length

    def look(now: datetime) -> None:
        if now >= end:
            stage = [entry.data["text"] for entry in bench.ledger.read() if entry.name == "stage"]
            raise AssertionError(f"it does not end within {length}: {stage[-1:]}")

    bench.clock.on_sleep.append(look)


def move(bench: AgentBench, vmid: int) -> None:
    """To the other node."""
    node = bench.datacentre.containers[vmid].node
    bench.datacentre.migrate_guest(vmid, "n2" if node == "n1" else "n1")


def work_while_last_is_off(bench: AgentBench, version: str = "1.5.0") -> tuple[Plan, int]:
    """A rollout whose last guest is switched off as soon as it could follow; which one that is."""
    plan = bench.submit(version)
    last = plan.targets[-1]
    bench.series.afterwards[f"wave-{last.wave}"] = lambda: bench.datacentre.power_off(last.vmid)
    bench.work(plan)
    bench.series.afterwards.clear()
    return plan, last.vmid


def at_first_measurement(
    bench: AgentBench, act: Callable[[], object], condition: Callable[[], bool] = lambda: True
) -> None:
    """Once, while a probe is being asked."""
    real, done = bench.measure, []

    def measure(probe: object, guest: object, address: object) -> Measurement:
        if not done and condition():
            done.append(1)
            act()
        return real(probe, guest, address)  # type: ignore[arg-type]

    bench.measure = measure  # type: ignore[method-assign]


def pauses(bench: AgentBench, plan: object) -> list[str]:
    return [str(entry.data["reason"]) for entry in bench.ledger.read(plan.id) if entry.name == "paused"]  # type: ignore[attr-defined]


# ------------------------------------------------------------------ a bad release does not spread


def test_the_time_of_a_guest_runs_from_when_it_is_shown_something(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path)
    for agent in bench.agents.values():
        agent.outcomes["1.5.0"] = ILL
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    bench.series.broken = 1
    bench.answers = [lambda: bench.later(timedelta(minutes=20), bench.order("resume"))]
    end_within(bench, timedelta(hours=4))
    bench.work(plan)
    assert {vmid: agent.swaps for vmid, agent in bench.agents.items() if vmid != canary and agent.swaps} == {}


def test_after_a_canary_that_was_skipped_nobody_else_sees_what_nobody_has_proved(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path)
    for agent in bench.agents.values():
        agent.outcomes["1.5.0"] = ILL
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    bench.agents[canary].outcomes["1.4.0"] = ILL
    bench.answers = [bench.order("abort")]
    end_within(bench, timedelta(hours=4))
    bench.work(plan)
    assert sum(agent.swaps > 0 for vmid, agent in bench.agents.items() if vmid != canary) <= 1


# ------------------------------------------------------------------ the way back works, and is told as it is


def test_who_followed_only_in_the_end_goes_back_too(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=3)
    bench.agents[5001].answers = False
    plan = bench.submit()
    bench.work(plan)
    bench.agents[5001].answers = True
    bench.pass_time(timedelta(minutes=30))
    assert bench.versions()[5001] == "1.5.0"
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    bench.pass_time(timedelta(hours=1))
    assert bench.versions()[5001] == "1.4.0"


def test_a_version_that_was_blocked_meanwhile_is_a_way_back_all_the_same(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    bench.agent_desk().block("==1.4.0", "it has a hole")
    bench.repository.sign("anna")
    bench.repository.publish(bench.clock.now())
    for agent in bench.agents.values():
        agent.outcomes["1.5.0"] = ILL
    with suppress(NotAllowed):
        bench.work(bench.submit())
    assert set(bench.versions().values()) == {"1.4.0"}


def test_nobody_is_called_reverted_before_it_has_seen_the_way_back(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    agent = bench.agents[canary]
    agent.outcomes["1.5.0"] = STUCK
    swap, begun = agent._swap, []

    def bring_slowly(release: str, pin: int, now: datetime) -> None:
        begun.append(now)
        bench.later(timedelta(minutes=4), lambda: swap(release, pin, bench.clock.now()))

    agent._swap = bring_slowly  # type: ignore[method-assign]
    bench.clock.when(lambda: bool(begun), bench.order("revert"))
    end_within(bench, timedelta(hours=4))
    progress = bench.work(plan)
    bench.pass_time(timedelta(minutes=30))
    assert (progress.state, bench.versions()[canary]) != (RolloutState.REVERTED, "")


def test_once_a_guest_is_settled_nobody_goes_back_by_this_rollout(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=3)
    plan = bench.submit()
    late, settled = plan.targets[-1].vmid, plan.targets[0].vmid
    bench.agents[late].outcomes["1.5.0"] = ILL
    bench.series.afterwards[f"wave-{plan.targets[-1].wave}"] = lambda: bench.datacentre.power_off(late)
    bench.work(plan)
    bench.datacentre.power_on(late)
    bench.tend(plan, timedelta(hours=3))
    assert bench.states(plan)[late] is TargetState.STUCK
    assert bench.states(plan)[settled] is TargetState.SETTLED
    bench.datacentre.power_off(settled)
    with suppress(NotAllowed):
        bench.order("revert")()
        progress = bench.work(plan)
        assert (progress.state, bench.versions()[settled]) != (RolloutState.REVERTED, "1.5.0")


def test_measurements_that_fail_on_the_way_back_leave_nobody_stuck(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    bench.work(plan)
    bench.order("revert")()
    real, first = bench.measure, []

    def measure(probe: object, guest: object, address: object) -> Measurement:
        found = real(probe, guest, address)  # type: ignore[arg-type]
        first.append(bench.clock.now())
        is_away = bench.clock.now() - first[0] < timedelta(minutes=1)
        return replace(found, verdict=Verdict.ERROR, detail="no route to host") if is_away else found

    bench.measure = measure  # type: ignore[method-assign]
    assert bench.work(plan).state is RolloutState.REVERTED


def test_a_release_that_lets_nobody_go_back_to_what_a_guest_has_leaves_that_guest_out(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    bench.repository.release("1.7.0", back_to=">=1.5")
    bench.repository.publish(bench.clock.now())
    prepared = bench.prepare("1.7.0")
    assert prepared.series is not None
    back = [(pin.version, pin.downgrade) for pin in parse_state(prepared.series.states["back"]).pins if pin.downgrade]
    assert prepared.plan.targets == () or back == []


def test_a_change_of_keys_that_nobody_has_signed_does_not_stop_the_way_back(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    bench.work(plan)
    bench.repository.keys.make("elsewhere", (Purpose.ONLINE,))
    (private,) = (tmp_path / "online").glob("elsewhere*.key")
    bench.repository.repository.replace_online("elsewhere", real_now())
    private.unlink()
    bench.order("revert")()
    end_within(bench, timedelta(hours=2))
    assert bench.work(plan).state is RolloutState.REVERTED


def test_a_guest_that_moves_in_its_proof_on_the_way_back_is_found_where_it_is(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    bench.work(plan)
    bench.order("revert")()
    real, moved = bench.measure, []

    def measure(probe: object, guest: object, address: object) -> Measurement:
        found = real(probe, guest, address)  # type: ignore[arg-type]
        if moved:
            return found
        moved.append(1)
        move(bench, guest.vmid)  # type: ignore[attr-defined]
        return replace(found, verdict=Verdict.ERROR, detail="it is being moved")

    bench.measure = measure  # type: ignore[method-assign]
    end_within(bench, timedelta(hours=2))
    assert bench.work(plan).state is RolloutState.REVERTED


def test_nobody_pins_while_an_ordered_way_back_waits_for_its_worker(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    bench.work(plan)
    bench.order("revert")()
    with suppress(NotAllowed):
        bench.agent_desk().refresh()
        bench.repository.sign("anna")
        bench.agent_desk().publish()
    assert bench.work(plan).state is RolloutState.REVERTED


def test_while_a_rollout_is_under_way_the_newest_is_said_anew_and_changes_of_its_states_wait(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    bench.repository.repository.renew([TrustRole.TARGETS], bench.clock.now())
    bench.repository.sign("anna", "ben")
    plan = bench.submit()
    done = bench.agent_desk().publish()
    assert done.written == ("metadata/timestamp.json",)
    assert [one.why for one in done.waiting] == [f"rollout {plan.id} of agent is PLANNED"]


def test_no_new_rollout_overtakes_a_way_back_that_was_ordered_before_it(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    first = bench.submit()
    bench.work(first)
    bench.order("revert")()
    with pytest.raises(NotAllowed):
        bench.submit("1.6.0")


def test_a_way_back_whose_signatures_have_ended_is_told_and_blocks_no_other_rollout(
    tmp_path: Path,
) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    bench.work(plan)
    bench.clock.advance(timedelta(days=91))
    bench.order("revert")()
    end_within(bench, timedelta(hours=6))
    assert bench.work(plan).state is RolloutState.STUCK


def test_a_guest_that_nobody_looked_at_is_named_when_all_go_back(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=3)
    plan = bench.submit()
    last = plan.targets[-1].vmid
    bench.agents[last].outcomes["1.4.0"] = ILL
    bench.work(plan)
    bench.pass_time(timedelta(minutes=20))
    assert (bench.versions()[last], bench.states(plan)[last]) == ("1.5.0", TargetState.SKIPPED)
    bench.datacentre.power_off(last)
    bench.order("revert")()
    progress = bench.work(plan)
    assert progress.reason == f"revert by a person; nobody looked at {last}, for which the same is signed"


# ------------------------------------------------------------------ what was signed is what is there


def test_what_is_published_between_the_plan_and_the_yes_is_not_taken_back(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    prepared = bench.prepare("1.5.0")
    bench.agent_desk().block("==1.6.0", "it deletes saves")
    bench.repository.sign("anna")
    bench.repository.publish(bench.clock.now())
    with suppress(NotAllowed):
        order_rollout(prepared, bench.series, "anna", bench.desk())
        bench.series.publish(prepared.plan.id, "wave-0")
    assert [block.versions for block in parse_state(bench.read_state()).blocked] == ["==1.6.0"]


# ------------------------------------------------------------------ it ends


def test_a_proof_that_cannot_be_measured_pauses_the_rollout(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    real = bench.measure

    def measure(probe: object, guest: object, address: object) -> Measurement:
        found = real(probe, guest, address)  # type: ignore[arg-type]
        is_new = bench.versions()[canary] == "1.5.0"
        return replace(found, verdict=Verdict.ERROR, detail="no route to host") if is_new else found

    bench.measure = measure  # type: ignore[method-assign]
    bench.answers = [bench.order("abort")]
    end_within(bench, timedelta(hours=2))
    bench.work(plan)


def test_while_another_rollout_waits_an_owed_proof_comes_to_its_end(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=3)
    first, late = work_while_last_is_off(bench)
    second = bench.submit("1.6.0")
    bench.datacentre.power_on(late)
    bench.later(timedelta(seconds=1), bench.order("pause"))
    bench.answers = [lambda: bench.later(timedelta(minutes=30), bench.order("abort"))]
    end_within(bench, timedelta(hours=3))
    bench.work(second)
    proofs = [e for e in bench.ledger.read(first.id) if (e.kind, e.name, e.target) == (Kind.EVIDENCE, PROOF, late)]
    assert (bench.states(first)[late], len(proofs)) == (TargetState.HEALTHY, 1)


# ------------------------------------------------------------------ guests and orders


def test_a_guest_that_is_restored_from_a_backup_in_its_proof_condemns_nothing(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    agent = bench.agents[canary]
    kept = {"current": agent.current, "swaps": agent.swaps, "tried": agent.tried, "check": agent.check}

    def restore() -> None:
        for name, value in kept.items():
            setattr(agent, name, value)
        agent.trial_until = None

    bench.clock.when(lambda: bench.states(plan)[canary] is TargetState.PROVING, restore)
    bench.answers = [bench.order("abort")]
    end_within(bench, timedelta(hours=3))
    bench.work(plan)
    assert parse_state(bench.read_state()).blocked == ()


def test_what_was_staged_before_a_pause_is_looked_at_again(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    canary = plan.waves[0][0].vmid

    def break_it() -> None:
        bench.agents[canary].outcomes.update({"1.4.0": ILL, "1.5.0": ILL})
        bench.order("resume")()

    at_first_measurement(bench, lambda: bench.order("pause")())
    bench.answers = [break_it, bench.order("abort")]
    end_within(bench, timedelta(hours=3))
    bench.work(plan)
    assert parse_state(bench.read_state()).blocked == ()


def test_a_hold_that_is_claimed_while_the_wave_is_staged_is_heard(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    until = bench.clock.now() + timedelta(hours=9)
    claim = f"zlh-hold.{until:%Y%m%dt%H%Mz}"
    at_first_measurement(bench, lambda: bench.datacentre.edit_config(canary, tags=claim))
    bench.answers = [bench.order("abort")]
    end_within(bench, timedelta(hours=3))
    bench.work(plan)
    assert bench.series.shown == []


def test_a_guest_that_moves_to_another_node_in_its_proof_pauses_nothing(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    bench.clock.when(lambda: bench.states(plan)[canary] is TargetState.PROVING, lambda: move(bench, canary))
    bench.answers = [bench.order("resume")]
    end_within(bench, timedelta(hours=3))
    bench.work(plan)
    assert pauses(bench, plan) == []


def test_a_repository_folder_that_cannot_be_read_pauses_the_rollout(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    real, asked = bench.series.find_shown, []

    def find_shown(rollout: str) -> str | None:
        asked.append(rollout)
        if len(asked) == 1:
            raise SettingsError("metadata/timestamp.json", "file", "Stale file handle", "a place that can be written")
        return real(rollout)

    bench.series.find_shown = find_shown  # type: ignore[method-assign]
    bench.answers = [bench.order("resume")]
    end_within(bench, timedelta(hours=3))
    assert bench.work(plan).state is RolloutState.SUCCEEDED


def test_no_wave_is_shown_when_no_guest_may_start_any_more(tmp_path: Path) -> None:
    policy = make_agent_policy()
    limits = {Component.AGENT: ComponentRule.model_construct(time_limit=timedelta(hours=2))}
    bench = AgentBench(tmp_path, policy=policy.model_copy(update={"components": limits}))
    bench_day = bench.clock.now().date()
    bench.clock.advance(timedelta(hours=19, minutes=20))
    plan = bench.submit()
    bench.work(plan)
    shown = next(e for e in bench.ledger.read(plan.id) if e.kind is Kind.DONE and e.name == "show.wave-0")
    assert (shown.at.date() - bench_day).days == 1


def test_after_finalize_a_guest_that_is_off_keeps_no_way_back_open(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=3)
    plan, late = work_while_last_is_off(bench)
    bench.clock.when(lambda: bench.states(plan)[late] is TargetState.PROVING, lambda: bench.datacentre.power_off(late))
    bench.datacentre.power_on(late)
    bench.tend(plan, timedelta(minutes=20))
    assert bench.states(plan)[late] is TargetState.PROVING
    bench.order("finalize")()
    bench.tend(plan, timedelta(hours=4))
    assert not bench.progress(plan).is_soaking
    with pytest.raises(NotAllowed):
        bench.order("revert")()


def test_a_guest_that_a_later_rollout_has_brought_further_is_let_go_by_the_earlier_one(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=3)
    first, late = work_while_last_is_off(bench)
    bench.datacentre.power_on(late)
    bench.pass_time(timedelta(minutes=15))
    second = bench.submit("1.6.0")
    end_within(bench, timedelta(hours=5))
    assert bench.work(second).state is RolloutState.SUCCEEDED
    bench.tend(first, timedelta(minutes=40))
    assert bench.versions()[late] == "1.6.0"
    assert bench.states(first)[late] is not TargetState.STUCK


def test_a_worker_that_dies_after_one_failure_counts_it_once(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, policy=make_agent_policy(max_failures=1))
    plan = bench.submit()
    last = plan.targets[-1].vmid
    bench.agents[last].outcomes["1.5.0"] = CRASHES
    real, died = bench.ledger.append, []

    def append(draft: Draft) -> Entry:
        entry = real(draft)
        if draft.name == "failure" and not died:
            died.append(1)
            raise Crash("after the note")
        return entry

    bench.ledger.append = append  # type: ignore[method-assign]
    with pytest.raises(Crash):
        bench.work(plan)
    assert bench.work(plan).state is RolloutState.SUCCEEDED


def test_a_clock_that_is_set_shows_no_wave_to_anybody(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path)
    for agent in bench.agents.values():
        agent.outcomes["1.5.0"] = ILL
    plan = bench.submit()
    bench.series.afterwards["wave-0"] = lambda: bench.clock.set_by(timedelta(hours=1))
    bench.answers = [bench.order("resume"), bench.order("resume")]
    end_within(bench, timedelta(hours=5))
    bench.work(plan)
    assert bench.series.shown == ["wave-0", "condemn"]


def test_a_guest_that_moves_in_a_soak_is_found_where_it_is(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=3)
    plan, late = work_while_last_is_off(bench)
    bench.clock.when(lambda: bench.states(plan)[late] is TargetState.PROVING, lambda: move(bench, late))
    bench.datacentre.power_on(late)
    assert bench.tend(plan, timedelta(minutes=30)).of(late).state is TargetState.HEALTHY


def test_an_emergency_that_is_declared_after_the_start_shows_no_wave(
    tmp_path: Path,
) -> None:
    window = {"name": "night", "rule": "FREQ=DAILY", "start": "08:00", "length_minutes": 120}
    bench = AgentBench(tmp_path, policy=make_agent_policy([window]))
    plan = bench.submit()
    desk = EmergencyDesk(bench.ledger, bench.clock, bench.policy, "tester")
    desk.declare(desk.propose(Component.AGENT, "another hole is being used", "CVE-2026-1", timedelta(hours=3), None))
    bench.answers = [bench.order("abort")]
    end_within(bench, timedelta(hours=3))
    with suppress(AssertionError):
        bench.work(plan)
    assert bench.series.shown in ([], ["wave-0"])


def test_no_other_order_takes_the_way_back_from_guests_that_are_still_to_come(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path, guests=2)
    plan = bench.submit()
    bench.work(plan)
    off = plan.targets[0].vmid
    bench.datacentre.power_off(off)
    bench.order("revert")()
    bench.work(plan)
    assert "it goes back by itself as soon as it can" in bench.progress(plan).of(off).reason
    bench.agent_desk().block("==1.6.0", "it deletes saves")
    bench.repository.sign("anna")
    bench.agent_desk().publish()
    bench.datacentre.power_on(off)
    bench.pass_time(timedelta(hours=1))
    assert bench.versions()[off] == "1.4.0"


def test_an_abort_waits_for_no_proof(tmp_path: Path) -> None:
    bench = AgentBench(
        tmp_path,
        guests=2,
        policy=make_agent_policy(min_healthy_time="50m", healthy_deadline="60m", progress_deadline="2h"),
    )
    plan = bench.submit()
    canary = plan.waves[0][0].vmid
    ordered: list[datetime] = []

    def abort() -> None:
        ordered.append(bench.clock.now())
        bench.order("abort")()

    bench.clock.when(lambda: bench.states(plan)[canary] is TargetState.PROVING, abort)
    bench.work(plan)
    ended = bench.progress(plan).ended_at
    assert ended is not None and ended - ordered[0] < timedelta(minutes=5)
