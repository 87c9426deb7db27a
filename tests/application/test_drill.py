"""A drill is the real engine under the site's policy, on servers that do not exist: what it shows is what would happen."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.application.notice_bench import make_telling_policy
from tests.application.rollout_bench import make_policy
from tests.cli.command_line import parse
from tests.clock import FakeClock
from tests.datacentre.ledger import MemoryLedger
from zlh_hooks.application.drill import EmergencyDrill, note_drill
from zlh_hooks.domain.drill import Moment, Question, read_drills
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState
from zlh_hooks.drill_wiring import open_drill
from zlh_hooks.settings import SHIPPED_POLICY, load_policy
from zlh_hooks.simulation.cluster import SimulatedCluster
from zlh_hooks.simulation.site import FIXED, WITH_HOLE

SHIPPED = load_policy(SHIPPED_POLICY)
THURSDAY = datetime(2026, 11, 26, 12, tzinfo=UTC)
EVENING = ({"name": "evening", "rule": "FREQ=DAILY", "start": "06:00", "length_minutes": 120},)


@dataclass
class Learner:
    """Answers with the example, and remembers what was seen and asked."""

    moments: list[Moment] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)

    def see(self, moment: Moment) -> None:
        self.moments.append(moment)

    def answer(self, question: Question) -> str:
        self.asked.append(question.option)
        return question.example

    def confirm(self) -> None:
        self.confirmed.append(self.moments[-1].command)

    def find(self, words: str) -> Moment:
        return next(one for one in self.moments if words in one.what)


@dataclass
class Played:
    learner: Learner
    drill: EmergencyDrill
    ending: RolloutState

    def versions(self) -> set[str]:
        cluster = self.drill.engine.cluster.inventory
        assert isinstance(cluster, SimulatedCluster)
        guests = [one for one in cluster.containers.values() if not one.config.flag("template")]
        return {behaviour.version for one in guests if (behaviour := cluster.behaviour(one))}


def play(policy: Policy = SHIPPED, *, bad: bool = False, now: datetime = THURSDAY) -> Played:
    learner = Learner()
    drill = open_drill(policy, now, "ada", learner, bad=bad)
    return Played(learner, drill, drill.play())


def change(policy: Policy, **tables: Any) -> Policy:
    return Policy.model_validate({**policy.model_dump(mode="json", exclude_none=True), **tables})


def test_a_good_version_reaches_every_server_outside_every_window_and_nothing_is_owed_in_the_end() -> None:
    played = play()
    assert (played.ending, played.versions()) == (RolloutState.SUCCEEDED, {FIXED})
    learner = played.learner
    assert learner.moments[0].at == datetime(2026, 11, 28, 21, tzinfo=UTC), "Saturday 22:00 in Berlin"
    assert "deny window 'weekend'" in learner.find("would wait until Tue 2026-12-01 04:00 CET").rule
    assert "not before 2026-12-08 04:00 CET" in learner.find("with the promise to them").what
    begun = learner.find("gets its new root")
    assert begun.at < learner.moments[0].at + timedelta(minutes=5)
    assert begun.rule == "[rollout] canary = 1"
    assert learner.find("Nothing is owed any more").command.startswith("zlh-hooks emergency review e1128-")


def test_a_bad_version_goes_back_after_its_canary_and_no_other_server_gets_it() -> None:
    played = play(bad=True)
    assert (played.ending, played.versions()) == (RolloutState.REVERTED, {WITH_HOLE})
    assert sum("gets its new root" in one.what for one in played.learner.moments) == 1
    assert "500 the world cannot be loaded" in played.learner.find("game-5000 goes back").what
    assert "a failed canary condemns" in played.learner.find("It goes back").rule


@pytest.mark.parametrize("bad", [False, True])
def test_the_debt_is_a_notice_to_whom_no_mail_reaches_and_a_review_and_both_are_paid_in_it(bad: bool) -> None:
    learner = play(bad=bad).learner
    owed = [one.what for one in learner.moments if one.what.startswith("Owed: ")]
    assert ["customer ann was not told" in owed[0], "to be reviewed, by 2026-12-01 22:" in owed[1]] == [True, True]
    assert len(owed) == 2
    assert learner.find("ann knows").command == "zlh-hooks notice vouch ann --reason 'told by phone'"
    assert "reaches bob" in learner.find("Notice 'announced' reaches").what


def test_the_timeline_is_in_the_order_of_its_times() -> None:
    times = [one.at for one in play().learner.moments]
    assert times == sorted(times)


def test_every_command_that_it_shows_is_one_that_the_command_line_takes() -> None:
    commands = [one.command for bad in (False, True) for one in play(bad=bad).learner.moments if one.command]
    assert {command.split()[1] for command in commands} == {"plan", "emergency", "rollout", "notice"}
    for command in commands:
        parse(command)


def test_who_does_it_says_reason_reference_how_it_went_and_what_was_learnt_and_carries_out_each_order() -> None:
    learner = play().learner
    assert learner.asked == ["--reason", "--reference", "--reason", "--reason", "--text"]
    assert [command.split()[1:3] for command in learner.confirmed] == [["emergency", "declare"], ["rollout", "start"]]
    assert "--reference DRILL-1" in learner.confirmed[0]


def test_it_is_told_whose_word_was_recorded() -> None:
    entries = play().drill.engine.ledger.read("")
    assert {entry.data["author"] for entry in entries if entry.name.startswith("emergency.")} == {"ada"}


# --- whatever the policy says


def test_without_a_promise_nobody_is_told_and_only_the_review_is_owed() -> None:
    learner = play(make_policy(EVENING)).learner
    assert not [one for one in learner.moments if "Notice" in one.what]
    assert [one.what[:22] for one in learner.moments if one.what.startswith("Owed:")] == ["Owed: to be reviewed, "]


def test_where_a_window_is_always_open_it_says_so() -> None:
    learner = play(make_policy()).learner
    assert learner.find("need not wait for one").rule.startswith("window 'always' is open")


def test_where_no_window_ever_opens_it_says_so() -> None:
    learner = play(make_telling_policy(())).learner
    assert "no window allows it" in learner.find("wait for ever").what
    assert "no window of the policy ever allows template" in learner.find("could not even be told").what


def test_a_policy_that_asks_before_it_promotes_lets_the_person_resume() -> None:
    played = play(make_policy(EVENING, auto_promote=False))
    assert played.ending is RolloutState.SUCCEEDED
    assert played.learner.confirmed[-1] == "zlh-hooks rollout resume --reason 'looked at it'"


def test_an_emergency_that_is_too_short_ends_it_and_says_that_by_the_limit() -> None:
    played = play(change(make_policy(EVENING, min_healthy_time="1m", healthy_deadline="5m"), emergency={"limit": "2m"}))
    assert played.ending is RolloutState.ABORTED
    assert played.learner.find("The emergency has expired").rule == "[emergency] limit: 2 minutes"
    assert played.learner.find("has ended by itself")
    assert played.learner.find("Nothing is owed any more")


def test_one_server_and_a_tag_that_its_kind_asks_for_are_enough() -> None:
    policy = change(make_policy(EVENING), kinds={"game": {"vmids": ["700"], "tags": ["paid"], "line": "game-base"}})
    assert play(policy).versions() == {FIXED}


def test_nobody_is_told_of_its_version_outside(tmp_path: Path) -> None:
    hooks = [{"kind": "file", "path": str(tmp_path / "stable.json")}]
    assert play(make_policy(EVENING, {"after_promote": hooks})).ending is RolloutState.SUCCEEDED
    assert list(tmp_path.iterdir()) == []


def test_without_emergencies_it_is_refused_before_anything_is_asked() -> None:
    policy = change(make_policy(EVENING))
    policy = policy.model_copy(update={"emergency": None})
    learner = Learner()
    with pytest.raises(NotAllowed, match=r"the policy has no \[emergency\]"):
        open_drill(policy, THURSDAY, "ada", learner, bad=False).play()
    assert (learner.asked, learner.moments) == ([], [])


def test_without_servers_whose_roots_are_exchanged_there_is_nothing_to_drill() -> None:
    kinds = {"dev": {"vmids": ["6000-6999"], "line": "game-base"}}
    with pytest.raises(NotAllowed, match="no kind of"):
        play(change(make_policy(EVENING), kinds=kinds))


# --- the record


def test_the_sites_own_ledger_gets_the_fact_and_nothing_else() -> None:
    ledger = MemoryLedger(FakeClock())
    note_drill(ledger, SHIPPED, "ada", "ada@desk", play().ending, played_through=False)
    (entry,) = ledger.read()
    assert (entry.rollout, entry.name, entry.data["person"]) == ("", "emergency.drilled", "ada")
    assert read_drills([entry])["ada"].ending is RolloutState.SUCCEEDED
