"""Packages of guests go out in waves; what people signed at the start carries them forward and back."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent_plugin.desired import decide_wish
from agent_plugin.desired_wire import parse_state
from tests.application.agent_rollout_bench import CRASHES, GOOD, ILL, LINE, STUCK, make_agent_policy
from tests.application.patch_rollout_bench import BEGUN, FELT, GOES, NO_ROOM, SECURITY, PatchBench
from tests.datacentre import Crash
from zlh_hooks.domain.agent_report import AgentPatch
from zlh_hooks.domain.agent_wish import PatchOrder, WishOrder
from zlh_hooks.domain.errors import NotAllowed, SettingsError
from zlh_hooks.domain.plan import Plan, dump_plan, parse_plan
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState, TargetState
from zlh_hooks.domain.window_rule import Component

ALL = (5001, 5002, 5003)


@pytest.fixture
def bench(tmp_path: Path) -> PatchBench:
    return PatchBench(tmp_path, guests=3)


def everybody(*acts: str) -> dict[int, list[str]]:
    return {vmid: [*acts] for vmid in ALL}


# ------------------------------------------------------------------ forward


def test_good_packages_go_from_the_canary_to_the_whole_line_and_come_to_each_guest_once(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    assert set(bench.states(plan).values()) == {TargetState.HEALTHY}
    assert bench.series.shown == ["wave-0", "wave-1", "end"]
    bench.pass_time(timedelta(hours=2))
    assert bench.acts() == everybody("brought")


@pytest.mark.parametrize(("outcome", "end"), [(GOOD, "installed"), (CRASHES, "reverted")])
def test_what_a_guest_reports_of_its_patch_is_kept_in_the_ledger(bench: PatchBench, outcome: str, end: str) -> None:
    for guest in bench.guests.values():
        guest.outcome = outcome
    plan = bench.submit_patches()
    bench.work(plan)
    kept = {e.target: e.data for e in bench.ledger.read(plan.id) if e.name == "agent.brought"}
    touched = {vmid for vmid, acts in bench.acts().items() if acts}
    assert set(kept) == touched
    for data in kept.values():
        assert (data["outcome"], data["impact"], data["packages"], data["previous"]) == (
            end,
            "live",
            {"aa": "2"},
            {"aa": "1"},
        )


def test_who_is_not_in_the_wave_sees_no_wish(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    seen: dict[str, dict[int, bool]] = {}

    def remember(_: object) -> None:
        act = bench.series.find_shown(plan.id)
        if act is not None:
            seen[act] = bench.brought()

    bench.clock.on_sleep.append(remember)
    bench.work(plan)
    waves = {target.vmid: target.wave for target in plan.targets}
    for act, brought in seen.items():
        last = int(act.rpartition("-")[2]) if act.startswith("wave") else 99
        assert brought == {vmid: wave <= last for vmid, wave in waves.items()}


def test_exact_packages_are_wished_as_they_were_typed(bench: PatchBench) -> None:
    plan = bench.submit_patches(PatchOrder(packages=("openssl=3.0.15-1", "libssl3=3.0.15-1")))
    assert (plan.release.line, plan.release.version) == ("packages", "libssl3=3.0.15-1 openssl=3.0.15-1")
    bench.work(plan)
    (wish,) = parse_state(bench.read_state()).wishes
    assert (wish.words, wish.id) == (plan.release.version, bench.guests[5001].brought)


def test_a_plan_of_packages_follows_windows_of_agents_and_is_read_back_as_it_was(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    assert (plan.component, parse_plan(dump_plan(plan))) == (Component.AGENT, plan)


def test_a_guest_that_comes_later_gets_the_packages_too_and_the_operators_next_wish_has_the_last_word(
    bench: PatchBench,
) -> None:
    plan = bench.submit_patches()
    bench.work(plan)
    state = parse_state(bench.read_state())
    assert decide_wish(state, 5999, LINE, bench.clock.now()).wish == state.wishes[0]
    bench.agent_desk().refresh()
    bench.repository.sign("anna")
    bench.agent_desk().publish()
    assert [wish.id for wish in parse_state(bench.read_state()).wishes] == [state.wishes[0].id]
    bench.wish(WishOrder(LINE, "all", nothing=True))
    now = decide_wish(parse_state(bench.read_state()), 5001, LINE, bench.clock.now())
    assert (now.ruling.value, now.wish and now.wish.number) == ("none", 3)


def make_policy_that_keeps(vmids: str) -> Policy:
    policy = make_agent_policy()
    rings = [{"name": "kept", "vmids": [vmids]}, {"name": "all", "percent": 100}]
    agents = policy.agents.model_validate({"jitter": "0s", "rings": rings})
    return policy.model_copy(update={"agents": agents})


def open_with_kept_ring(home: Path, vmids: str = "5003") -> PatchBench:
    """The ring that shall keep its packages has these guests."""
    bench = PatchBench(home, guests=3, policy=make_policy_that_keeps(vmids))
    bench.wish(WishOrder(LINE, "kept", nothing=True))
    return bench


def assert_only_5003_is_kept_out(bench: PatchBench, plan: Plan) -> None:
    assert [(one.vmid, "it shall keep its packages: wish 1" in one.reason) for one in plan.left_out] == [
        (5003, True),
    ]
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    bench.pass_time(timedelta(hours=1))
    assert bench.brought() == {vmid: vmid < 5003 for vmid in ALL}


def test_a_ring_that_shall_keep_its_packages_is_left_out_and_keeps_them(tmp_path: Path) -> None:
    bench = open_with_kept_ring(tmp_path)
    assert_only_5003_is_kept_out(bench, bench.submit_patches())


def test_who_shall_keep_its_packages_keeps_them_also_in_the_rollout_after_one_that_went_back(tmp_path: Path) -> None:
    bench = open_with_kept_ring(tmp_path)
    first = bench.submit_patches()
    bench.work(first)
    bench.order("revert")()
    assert bench.work(first).state is RolloutState.REVERTED
    assert_only_5003_is_kept_out(bench, bench.submit_patches())


def test_a_guest_that_the_policy_lists_anew_in_a_kept_ring_keeps_its_packages(tmp_path: Path) -> None:
    bench = open_with_kept_ring(tmp_path, "5009")
    bench.policy = make_policy_that_keeps("5003")
    assert_only_5003_is_kept_out(bench, bench.submit_patches())


# ------------------------------------------------------------------ back


def test_packages_that_the_canary_itself_takes_back_go_no_further(bench: PatchBench) -> None:
    for guest in bench.guests.values():
        guest.outcome = CRASHES
    plan = bench.submit_patches()
    progress = bench.work(plan)
    canary = plan.waves[0][0].vmid
    assert progress.state is RolloutState.REVERTED
    assert progress.reason == f"guest {canary} failed: PROVE: the probe ended with 1"
    assert bench.states(plan)[canary] is TargetState.REVERTED
    assert bench.acts() == {vmid: ["brought"] if vmid == canary else [] for vmid in ALL}
    assert bench.series.shown == ["wave-0", "back"]


def test_what_only_probes_see_takes_all_back(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    bench.guests[plan.targets[-1].vmid].outcome = ILL
    progress = bench.work(plan)
    assert progress.state is RolloutState.REVERTED and "the game says no" in progress.reason
    assert set(bench.states(plan).values()) == {TargetState.REVERTED}
    assert bench.acts() == everybody("brought", "taken back")


def test_within_the_budget_a_guest_that_went_back_stays_alone_and_does_not_try_again(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3, policy=make_agent_policy(max_failures=1))
    plan = bench.submit_patches()
    last = plan.targets[-1].vmid
    bench.guests[last].outcome = CRASHES
    assert bench.work(plan).state is RolloutState.SUCCEEDED
    bench.pass_time(timedelta(hours=2))
    assert (bench.states(plan)[last], bench.acts()[last]) == (TargetState.REVERTED, ["brought"])
    assert bench.brought() == {vmid: vmid != last for vmid in ALL}


def test_beyond_the_budget_all_go_back(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3, policy=make_agent_policy(max_failures=1))
    plan = bench.submit_patches()
    bad = [target.vmid for target in plan.targets[-2:]]
    for vmid in bad:
        bench.guests[vmid].outcome = CRASHES
    assert bench.work(plan).state is RolloutState.REVERTED
    assert bench.brought() == dict.fromkeys(ALL, False)


def test_a_guest_that_found_no_way_back_is_stuck_and_named(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3, policy=make_agent_policy(max_failures=1))
    plan = bench.submit_patches()
    last = plan.targets[-1].vmid
    bench.guests[last].outcome = STUCK
    progress = bench.work(plan)
    assert (progress.state, progress.of(last).state) == (RolloutState.SUCCEEDED, TargetState.STUCK)
    assert progress.of(last).reason == "it failed, and has not gone back: its patch is stuck"


def test_a_person_takes_all_back_also_whoever_followed_only_in_the_end(bench: PatchBench) -> None:
    bench.guests[5001].answers = False
    plan = bench.submit_patches()
    assert [(one.vmid, "nothing answers" in one.reason) for one in plan.left_out] == [(5001, True)]
    bench.work(plan)
    bench.guests[5001].answers = True
    bench.pass_time(timedelta(minutes=30))
    assert bench.brought()[5001]
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.REVERTED
    bench.pass_time(timedelta(minutes=30))
    assert bench.acts() == everybody("brought", "taken back")
    assert set(bench.states(plan).values()) == {TargetState.REVERTED}


@pytest.mark.parametrize(("verb", "end"), [("revert", RolloutState.REVERTED), ("abort", RolloutState.ABORTED)])
def test_what_nobody_was_shown_leaves_nobody_stuck(
    bench: PatchBench, monkeypatch: pytest.MonkeyPatch, verb: str, end: RolloutState
) -> None:
    def refuse(*_: object) -> None:
        raise NotAllowed("the online key's password is not there")

    monkeypatch.setattr(bench.series, "publish", refuse)
    plan = bench.submit_patches()
    bench.answers.append(bench.order(verb))
    assert bench.work(plan).state is end
    assert set(bench.states(plan).values()) == {TargetState.SKIPPED}
    assert bench.acts() == everybody()


def test_a_guest_that_cannot_take_them_back_is_stuck_with_its_own_reason(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    bench.work(plan)
    last = plan.targets[-1].vmid
    bench.guests[last].outcome = GOES
    bench.order("revert")()
    progress = bench.work(plan)
    assert (progress.state, progress.of(last).state) == (RolloutState.STUCK, TargetState.STUCK)
    assert progress.of(last).reason == "it cannot take the packages back: REVERT: dpkg ended with 1"


def test_a_guest_that_was_off_when_all_went_back_still_goes_whatever_others_sign_meanwhile(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    bench.work(plan)
    off = plan.targets[0].vmid
    bench.datacentre.power_off(off)
    bench.order("revert")()
    assert bench.work(plan).state is RolloutState.STUCK
    bench.agent_desk().block("==1.6.0", "it deletes saves")
    bench.repository.sign("anna")
    bench.agent_desk().publish()
    bench.datacentre.power_on(off)
    bench.pass_time(timedelta(minutes=30))
    assert bench.acts() == everybody("brought", "taken back")


def test_after_a_way_back_the_same_is_brought_anew_under_another_number(bench: PatchBench) -> None:
    first = bench.submit_patches()
    bench.work(first)
    bench.order("revert")()
    bench.work(first)
    second = bench.submit_patches()
    assert bench.work(second).state is RolloutState.SUCCEEDED
    bench.pass_time(timedelta(hours=1))
    assert bench.acts() == everybody("brought", "taken back", "brought")


def test_a_way_back_keeps_older_wishes_from_guests_that_were_off_until_somebody_ends_it(bench: PatchBench) -> None:
    bench.datacentre.power_off(5003)
    bench.work(bench.submit_patches())
    for guest in bench.guests.values():
        guest.outcome = CRASHES
    second = bench.submit_patches()
    assert bench.work(second).state is RolloutState.REVERTED
    bench.guests[5003].outcome = "good"
    bench.datacentre.power_on(5003)
    bench.pass_time(timedelta(hours=1))
    assert bench.acts()[5003] == []
    bench.agent_desk().unwish(LINE, f"rollout:{second.id}/back")
    bench.repository.sign("anna")
    bench.agent_desk().publish()
    bench.pass_time(timedelta(hours=1))
    assert bench.acts()[5003] == ["brought"]


def test_what_was_wished_since_is_not_taken_back_by_an_old_rollout(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    bench.work(plan)
    bench.wish(WishOrder(LINE, "all", security=True))
    bench.order("revert")()
    progress = bench.work(plan)
    assert progress.state is RolloutState.STUCK
    assert "others have changed the desired state" in progress.reason
    assert "by agent wish which packages" in progress.reason


def test_nobody_wishes_while_a_rollout_of_packages_is_under_way(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    with pytest.raises(NotAllowed, match=f"rollout {plan.id} of packages is PLANNED"):
        bench.wish(WishOrder(LINE, "all", security=True))


def test_a_rollout_of_the_agent_leaves_what_packages_are_wished_as_it_is(bench: PatchBench) -> None:
    bench.work(bench.submit_patches())
    wishes = parse_state(bench.read_state()).wishes
    prepared = bench.prepare("1.5.0")
    assert prepared.series is not None
    for state in map(parse_state, prepared.series.states.values()):
        assert state.wishes == wishes
        assert [ring.name for ring in state.rings][-1] == wishes[0].ring


# ------------------------------------------------------------------ guests that do something else


def test_a_guest_whose_players_would_feel_it_waits_and_that_is_neither_failure_nor_error(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3, policy=make_agent_policy(max_errors=0))
    plan = bench.submit_patches()
    last = plan.targets[-1].vmid
    bench.guests[last].outcome = FELT
    progress = bench.work(plan)
    assert (progress.state, progress.failures, progress.errors) == (RolloutState.SUCCEEDED, 0, 0)
    assert (progress.of(last).state, progress.of(last).reason) == (TargetState.APPLYING, "wish 1: waits")
    bench.guests[last].outcome = "good"
    assert bench.tend(plan, timedelta(minutes=30)).of(last).state is TargetState.HEALTHY


def test_a_guest_without_room_is_an_error_and_no_failure_and_is_proved_when_it_has_room(tmp_path: Path) -> None:
    bench = PatchBench(tmp_path, guests=3)
    plan = bench.submit_patches()
    last = plan.targets[-1].vmid
    bench.guests[last].outcome = NO_ROOM
    progress = bench.work(plan)
    assert (progress.state, progress.failures, progress.errors) == (RolloutState.SUCCEEDED, 0, 1)
    assert "again (PLAN: the patch needs more free bytes)" in progress.of(last).reason
    bench.guests[last].outcome = "good"
    assert bench.tend(plan, timedelta(minutes=30)).of(last).state is TargetState.HEALTHY


def test_a_guest_whose_full_disk_took_no_word_of_the_good_end_has_not_failed(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    last = bench.guests[plan.targets[-1].vmid]
    assert plan.patches is not None
    wish = plan.patches.wishes[LINE]

    def forget() -> None:
        last.brought, last.patch = wish, AgentPatch("END", "installed", "live", "", (), "patch-1")
        last.book[wish] = ("failed", "packages were touched, and how that ended is not known")
        last.ends[wish] = ("patch-1", BEGUN)
        bench.later(timedelta(minutes=12), lambda: last.book.update({wish: ("done", "")}))

    bench.series.afterwards["wave-1"] = forget
    progress = bench.work(plan)
    assert (progress.state, progress.failures) == (RolloutState.SUCCEEDED, 0)
    assert set(bench.states(plan).values()) == {TargetState.HEALTHY}


def test_a_guest_that_never_answers_again_holds_up_nobody(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    late = plan.targets[-1].vmid
    bench.series.afterwards["wave-1"] = lambda: setattr(bench.guests[late], "answers", False)
    progress = bench.work(plan)
    assert (progress.state, progress.errors) == (RolloutState.SUCCEEDED, 1)
    assert progress.of(late).state is TargetState.APPLYING
    bench.guests[late].answers = True
    assert bench.tend(plan, timedelta(minutes=20)).of(late).state is TargetState.HEALTHY


def test_nobody_else_sees_what_a_silent_canary_was_never_proved_on(bench: PatchBench) -> None:
    plan = bench.submit_patches()
    canary = plan.waves[0][0].vmid
    bench.series.afterwards["wave-0"] = lambda: setattr(bench.guests[canary], "answers", False)
    bench.answers = [bench.order("abort")]
    assert bench.work(plan).state is RolloutState.ABORTED
    assert bench.series.shown == ["wave-0"]


def test_a_plugin_that_knows_no_way_back_is_left_out(bench: PatchBench) -> None:
    bench.guests[5003].takes_back = False
    plan = bench.submit_patches()
    assert [(one.vmid, one.reason.partition(":")[0]) for one in plan.left_out] == [
        (5003, "its plugin knows no way back by signed word")
    ]


def test_a_guest_on_hold_is_left_out(bench: PatchBench) -> None:
    until = bench.clock.now() + timedelta(hours=9)
    bench.datacentre.edit_config(5001, tags=f"zlh-hold.{until:%Y%m%dt%H%Mz}")
    assert [one.vmid for one in bench.plan().plan.left_out] == [5001]


def test_a_line_without_guests_is_promised_nothing_that_nobody_was_proved_on(bench: PatchBench) -> None:
    lines = bench.policy.lines
    bench.policy = bench.policy.model_copy(update={"lines": {**lines, "dev-base": lines[LINE]}})
    plan = bench.submit_patches()
    assert plan.patches is not None and set(plan.patches.wishes) == {LINE}


@pytest.mark.parametrize(("security", "packages"), [(False, ()), (True, ("openssl=3",))])
def test_one_thing_is_brought(security: bool, packages: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="--security, or --package NAME=VERSION"):
        PatchOrder(security=security, packages=packages)


@pytest.mark.parametrize("word", ["openssl", "Openssl=1", "openssl=1 now", "openssl=1+"])
def test_words_that_are_no_packages_are_refused_before_anything_is_signed(bench: PatchBench, word: str) -> None:
    with pytest.raises(SettingsError, match="NAME=VERSION"):
        bench.plan(PatchOrder(packages=(word,)))


def test_a_line_that_the_policy_does_not_have_is_named(bench: PatchBench) -> None:
    with pytest.raises(NotAllowed, match="line 'dev' is not in the policy; it has game-base"):
        bench.plan(PatchOrder(line="dev", security=True))


# ------------------------------------------------------------------ deaths


@pytest.mark.parametrize("outcome", ["good", CRASHES, ILL])
@pytest.mark.parametrize("every", [24, pytest.param(1, marks=pytest.mark.matrix)], ids=["sample", "all"])
def test_a_worker_that_dies_anywhere_is_succeeded_by_one_that_ends_the_same(
    tmp_path: Path, outcome: str, every: int
) -> None:
    def furnish(name: str) -> PatchBench:
        (tmp_path / name).mkdir()
        bench = PatchBench(tmp_path / name, guests=2)
        for guest in bench.guests.values():
            guest.outcome = outcome
        return bench

    undisturbed = furnish("undisturbed")
    plan = undisturbed.submit_patches(SECURITY)
    before = len(undisturbed.ledger.read())
    ended = undisturbed.work(plan).state
    entries, showings = len(undisturbed.ledger.read()) - before, len(undisturbed.series.shown)
    points = [("entry", number) for number in range(1, entries + 1)]
    points += [(when, number) for number in range(1, showings + 1) for when in ("before", "after")]
    for when, number in points[::every]:
        bench = furnish(f"{when}-{number}")
        anew = bench.submit_patches(SECURITY)
        if when == "entry":
            bench.datacentre.faults.die_after("append", number)
        else:
            bench.series.dies = (when, number)
        with pytest.raises(Crash):
            bench.work(anew)
        bench.datacentre.faults.restart()
        bench.datacentre.faults.clear()
        assert bench.work(anew).state is ended
        assert list(bench.states(anew).values()) == list(undisturbed.states(plan).values())
        assert (bench.brought(), bench.acts()) == (undisturbed.brought(), undisturbed.acts())
        assert bench.series.shown == undisturbed.series.shown
