"""What is said to whoever orders something of a rollout: what it leads to, and never what another order does."""

import pytest

from tests.application.rollout_bench import Bench, make_policy
from tests.cli.command_line import make_runner
from tests.cli.test_finalize import BenchSite
from zlh_hooks import wiring
from zlh_hooks.cli.app import app
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.steps import RolloutEvent


def order(bench: Bench, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What is printed; no worker hears of it."""
    monkeypatch.setattr(wiring, "open_site", lambda config, policy: BenchSite(bench))
    monkeypatch.setattr(BenchSite, "summon_worker", lambda self: None)
    done = make_runner().invoke(app, ["rollout", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_revert_that_nobody_watches_is_told_as_a_revert_and_not_as_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(make_policy()).furnish(1)
    rollout = bench.run("2").plan.id
    said = order(bench, monkeypatch, "revert", "--detach")
    assert said == f"revert ordered for {rollout}; watch it with: zlh-hooks rollout watch {rollout}\n"


def test_a_rollout_that_is_ended_before_its_beginning_is_told_who_stays_where(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(make_policy()).furnish(1)
    plan = bench.submit("2")
    said = order(bench, monkeypatch, "abort")
    assert said.startswith(f"abort ordered for {plan.id}; it ends as soon as what has begun is at its end")


def test_whoever_pauses_reads_that_nothing_more_begins_and_whoever_resumes_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(make_policy()).furnish(1)
    plan = bench.submit("2")
    bench.ledger.append(Draft(Kind.EVENT, RolloutEvent.STARTED, plan.id, None, {}))
    assert "no further guest is begun" in order(bench, monkeypatch, "pause")
    bench.ledger.append(Draft(Kind.EVENT, RolloutEvent.PAUSED, plan.id, None, {}))
    said = order(bench, monkeypatch, "resume")
    assert "it goes on" in said and "guest" not in said
