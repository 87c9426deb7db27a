"""Rules of ``zlh-hooks plan`` and ``rollout start``: what is typed stands in the plan."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests.application.rollout_bench import Bench
from zlh_hooks import wiring
from zlh_hooks.cli.app import app
from zlh_hooks.domain.plan import Plan


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Plans that were ordered; no worker takes them up."""
    bench, plans = Bench().furnish(1), list[Plan]()
    desk = SimpleNamespace(refuse_second=lambda: None, submit=plans.append)
    site = SimpleNamespace(planner=bench.planner, desk=lambda: desk, author="ada", ensure_worker=lambda: None)
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
