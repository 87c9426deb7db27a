"""Of a rollout of packages only guests are proof to which something was brought; what others did there says nothing."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.application.agent_rollout_bench import CRASHES, GOOD, ILL, make_agent_policy
from tests.application.patch_rollout_bench import BY_HAND, FELT, PatchBench
from tests.datacentre import Crash, Datacentre
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.steps import RolloutState, TargetState

THREE = (5001, 5002, 5003)
"""One is the canary, and two make the only wave."""


@pytest.fixture
def bench(tmp_path: Path) -> PatchBench:
    return PatchBench(tmp_path, guests=3)


def show_canary(plan: Plan) -> int:
    """Its number."""
    return plan.waves[0][0].vmid


# ------------------------------------------------------------------ who had nothing to bring


def test_a_canary_that_had_nothing_to_bring_is_no_proof_and_a_person_lets_the_next_wave_stand_in(
    bench: PatchBench,
) -> None:
    plan = bench.submit_patches()
    canary = show_canary(plan)
    bench.give_all(canary)
    bench.answers = [bench.order("resume")]
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.list_pauses(plan) == [
        f"guest {canary} had nothing to bring, so that nobody is proved on it: resume shows it to wave 1 (2 guests) as"
        " the first; abort ends it"
    ]
    assert bench.series.shown == ["wave-0", "wave-1", "end"]
    row = bench.progress(plan).of(canary)
    assert (row.state, row.reason, row.unchanged) == (TargetState.HEALTHY, "had nothing to bring", True)


def test_nobody_else_sees_it_if_that_person_ends_it(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    bench.give_all(show_canary(plan))
    bench.answers = [bench.order("abort")]
    assert bench.work(plan).state is RolloutState.ABORTED
    assert bench.series.shown == ["wave-0"]


def test_who_stands_in_for_the_canary_takes_all_back_as_a_canary_does(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3, policy=make_agent_policy(max_failures=2))
    plan = bench.submit_patches()
    bench.give_all(show_canary(plan))
    for target in plan.waves[1]:
        bench.guests[target.vmid].outcome = CRASHES
    bench.answers = [bench.order("resume")]
    assert bench.work(plan).state is RolloutState.REVERTED
    assert bench.series.shown == ["wave-0", "wave-1", "back"]


def test_each_wave_that_had_nothing_to_bring_asks_anew_until_somebody_is_proved(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=4, policy=make_agent_policy(waves=["25%"]))
    plan = bench.submit_patches()
    bench.give_all(*(wave[0].vmid for wave in plan.waves[:2]))
    bench.answers = [bench.order("resume")] * 2
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    first, second = (wave[0].vmid for wave in plan.waves[:2])
    asked = [pause.partition(",")[0] for pause in bench.list_pauses(plan)]
    assert asked == [f"guest {first} had nothing to bring", f"guests {first} and {second} had nothing to bring"]


def test_who_is_ill_without_anything_brought_takes_all_back_as_ever(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    bench.give_all(show_canary(plan))
    bench.series.afterwards["wave-0"] = lambda: bench.guests[show_canary(plan)].outcomes.update({"1.4.0": ILL})
    assert bench.work(plan).state is RolloutState.STUCK
    assert bench.series.shown == ["wave-0", "back"]


def test_where_others_may_still_be_proved_a_guest_that_had_nothing_lets_nobody_else_see_it(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=4, policy=make_agent_policy(canary=2))
    plan = bench.submit_patches()
    bench.give_all(plan.waves[0][0].vmid)
    waiting = bench.guests[plan.waves[0][1].vmid]
    waiting.outcome = FELT

    def play_no_more() -> None:
        waiting.outcome = GOOD
        bench.order("resume")()

    bench.answers = [play_no_more]
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    (pause,) = bench.list_pauses(plan)
    assert pause.startswith("nobody could be proved on it") and "resume waits once more" in pause


@pytest.mark.parametrize("guests", [1, 3])
def test_a_rollout_of_which_everybody_had_all_succeeds_and_says_so(tmp_path: Path, guests: int) -> None:
    bench = PatchBench(tmp_path, guests=guests, policy=make_agent_policy(auto_promote=False))
    plan = bench.submit_patches()
    bench.give_all(*bench.guests)
    bench.answers = [bench.order("resume")] * (len(plan.waves) - 1)
    progress = bench.work(plan)
    assert (progress.state, progress.reason) == (RolloutState.SUCCEEDED, "nothing was to be brought to anybody")
    assert bench.series.shown[-1] == "end"


def test_whoever_would_be_the_first_in_the_end_is_named_and_shown_nothing_unasked(bench: PatchBench) -> None:
    bench.guests[5001].answers = False
    plan = bench.submit_patches()
    bench.give_all(5002, 5003)
    bench.answers = [bench.order("resume"), bench.order("abort")]
    assert bench.work(plan).state is RolloutState.ABORTED
    assert bench.list_pauses(plan)[1] == (
        "guests 5002 and 5003 had nothing to bring, so that nobody is proved on it: resume shows it to whoever was left"
        " out of the plan (5001) as the first; abort ends it"
    )
    assert "end" not in bench.series.shown


def test_when_a_person_lets_them_be_the_first_they_are_and_the_end_says_who_had_nothing(bench: PatchBench) -> None:
    bench.guests[5001].answers = False
    plan = bench.submit_patches()
    bench.give_all(5002, 5003)
    bench.answers = [bench.order("resume")] * 2
    progress = bench.work(plan)
    assert (progress.state, progress.reason) == (
        RolloutState.SUCCEEDED,
        "nothing was to be brought to anybody of the plan",
    )
    bench.pass_time(timedelta(minutes=30))
    assert bench.acts()[5001] == ["brought"]


def leave_it_open(bench: PatchBench, vmid: int) -> None:
    """An older plugin, after a patch by hand that came before anybody looked."""
    bench.guests[vmid].tells_ends = False
    patch_by_hand(bench, vmid)


def test_a_road_that_breaks_when_the_end_is_shown_does_not_keep_it_from_being_told(
    bench: PatchBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RoadError("no road to Proxmox")

    plan = bench.submit_patches()
    bench.series.afterwards["end"] = lambda: monkeypatch.setattr(Datacentre, "list_guests", refuse)
    assert bench.work(plan).state is RolloutState.SUCCEEDED


def test_a_guest_that_does_not_say_whether_anything_was_brought_is_no_proof(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    canary = show_canary(plan)
    leave_it_open(bench, canary)
    bench.answers = [bench.order("abort")]
    bench.work(plan)
    (pause,) = bench.list_pauses(plan)
    assert pause.startswith(f"guest {canary} does not say whether anything was brought, so that nobody is proved on it")


def test_where_nobody_says_what_was_brought_the_end_does_not_say_that_nothing_was(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=1)
    plan = bench.submit_patches()
    leave_it_open(bench, 5001)
    progress = bench.work(plan)
    assert (progress.state, progress.reason) == (
        RolloutState.SUCCEEDED,
        "nobody was proved on anything that was brought",
    )


def test_a_worker_that_dies_after_the_question_was_answered_has_a_successor_who_does_not_ask_again(
    bench: PatchBench,
) -> None:
    plan = bench.submit_patches()
    bench.give_all(show_canary(plan))
    bench.answers = [bench.order("resume")]
    bench.series.dies = ("before", 2)
    with pytest.raises(Crash):
        bench.work(plan)
    bench.datacentre.faults.restart()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert len(bench.list_pauses(plan)) == 1


def test_taken_back_by_a_person_who_had_nothing_is_back_too(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    bench.give_all(show_canary(plan))
    bench.answers = [bench.order("resume")]
    bench.work(plan)
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    assert bench.acts()[show_canary(plan)] == []


# ------------------------------------------------------------------ what a person does there meanwhile


def patch_by_hand(bench: PatchBench, vmid: int) -> None:
    """As soon as the rollout's own patch has ended."""
    guest = bench.guests[vmid]

    def has_ended() -> bool:
        return guest.open_until is not None and bench.clock.now() >= guest.open_until

    bench.clock.when(has_ended, lambda: setattr(guest, "patch", BY_HAND))


def test_a_patch_by_hand_after_ours_leaves_ours_the_proof_that_it_is(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    patch_by_hand(bench, show_canary(plan))
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.list_pauses(plan) == []


def test_a_guest_that_went_back_by_itself_is_back_whatever_a_person_brought_since(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3, policy=make_agent_policy(max_failures=1))
    plan = bench.submit_patches()
    last = plan.targets[-1].vmid
    bench.guests[last].outcome = CRASHES
    patch_by_hand(bench, last)
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert bench.states(plan)[last] is TargetState.REVERTED


def test_a_patch_by_hand_that_is_under_way_excuses_no_failure_of_ours(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3, policy=make_agent_policy(max_failures=1))
    plan = bench.submit_patches()
    last = plan.targets[-1].vmid
    bench.guests[last].outcome = CRASHES
    bench.clock.when(
        lambda: bench.guests[last].open_until is not None,
        lambda: setattr(bench.guests[last], "open_until", None),
    )
    bench.clock.when(
        lambda: bench.guests[last].patch is not None,
        lambda: setattr(bench.guests[last], "patch", replace(BY_HAND, step="PROVE", outcome="")),
    )
    progress = bench.work(plan)
    assert (progress.state, progress.of(last).state) == (RolloutState.SUCCEEDED, TargetState.REVERTED)
