"""Rules of ``zlh-hooks plan`` and ``rollout start``: what is typed stands in the plan."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from tests.application.rollout_bench import Bench
from zlh_hooks import wiring
from zlh_hooks.cli.app import app
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.plan import Plan
from zlh_hooks.domain.window_rule import Component


@pytest.fixture
def bench() -> Bench:
    return Bench().furnish(2)


@pytest.fixture
def submitted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Plans that were ordered; no worker takes them up."""
    plans = list[Plan]()
    desk = SimpleNamespace(refuse_second=lambda: None)

    def make_plan(line: str, version: str, *, security: bool, emergency: bool) -> Plan:
        declared = bench.emergency_desk().require_open(Component.TEMPLATE) if emergency else None
        return bench.planner().plan_rollout(line, version, "ada", security=security, emergency=declared)

    site = SimpleNamespace(
        make_plan=make_plan,
        foresee=lambda plan: bench.engine().foresee(plan),
        desk=lambda: desk,
        submit=lambda prepared, _ask, _holder: plans.append(prepared.plan),
        emergency_desk=bench.emergency_desk,
        policy=bench.policy,
        author="ada",
        summon_worker=lambda: None,
    )
    monkeypatch.setattr(wiring, "open_site", lambda config, policy: site)
    monkeypatch.setattr("zlh_hooks.cli.rollout._follow", lambda *_: None)
    return plans


@pytest.mark.parametrize(("options", "security"), [([], False), (["--security"], True)])
def test_a_plan_says_whether_it_closes_a_hole(submitted: list[Plan], options: list[str], security: bool) -> None:
    shown = CliRunner().invoke(app, ["plan", "game-base", "--to", "2", "--json", *options])
    assert json.loads(shown.stdout)["security"] is security
    started = CliRunner().invoke(app, ["rollout", "start", "game-base", "--to", "2", "--yes", *options])
    assert started.exit_code == 0, started.output
    assert [plan.security for plan in submitted] == [security]


def start(*options: str) -> Result:
    return CliRunner().invoke(app, ["rollout", "start", "game-base", "--to", "2", "--yes", *options])


def test_a_rollout_of_an_emergency_needs_one_that_is_open(submitted: list[Plan]) -> None:
    done = start("--emergency")
    assert isinstance(done.exception, NotAllowed)
    assert "declare one (emergency declare template)" in str(done.exception)
    assert submitted == []


def test_a_rollout_of_an_emergency_names_it_in_its_plan(bench: Bench, submitted: list[Plan]) -> None:
    declared = bench.declare()
    done = start("--emergency")
    assert done.exit_code == 0, done.output
    assert [(plan.emergency, plan.without_canary) for plan in submitted] == [(declared.id, False)]


def test_a_second_reason_spares_the_canary_of_a_rollout_that_was_ordered_for_it(
    bench: Bench, submitted: list[Plan]
) -> None:
    bench.declare(without_canary="all are attacked")
    start("--emergency")
    start()
    assert [plan.without_canary for plan in submitted] == [True, False]


def test_whoever_starts_any_rollout_while_an_emergency_is_open_is_told_that_nothing_is_waited_for(
    bench: Bench, submitted: list[Plan]
) -> None:
    declared = bench.declare()
    assert f"emergency {declared.id} is open until" in start().output
    assert submitted[0].emergency is None


def test_a_plan_of_an_emergency_is_shown_without_the_canary_that_it_spares(bench: Bench, submitted: list[Plan]) -> None:
    bench.declare(without_canary="all are attacked")
    shown = CliRunner().invoke(app, ["plan", "game-base", "--to", "2", "--emergency"])
    assert "wave 1" in shown.stdout and "canary" not in shown.stdout


def test_a_plan_says_of_whom_it_would_skip_and_why(bench: Bench, submitted: list[Plan]) -> None:
    bench.datacentre.containers[5002].values["protection"] = "1"
    shown = CliRunner().invoke(app, ["plan", "game-base", "--to", "2"])
    assert "would be skipped: protected" in shown.stdout
    assert shown.stdout.count("would be skipped") == 1
    told = CliRunner().invoke(app, ["plan", "game-base", "--to", "2", "--json"])
    assert list(json.loads(told.stdout)["foreseen"]) == ["5002"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["agent", "--to", "1.5.0"], "needs --sign HOLDER"),
        (["game-base", "--to", "2", "--sign", "anna"], "needs --sign HOLDER"),
        (["game-base", "--to", "2", "--line", "game-base"], "--line is for a rollout of the agent"),
    ],
)
def test_what_belongs_to_a_rollout_of_the_agent_is_asked_of_no_other(
    submitted: list[Plan], words: list[str], told: str
) -> None:
    done = CliRunner().invoke(app, ["rollout", "start", *words, "--yes"], env={"COLUMNS": "300"})
    assert (done.exit_code, told in done.output) == (2, True), done.output
    assert submitted == []
