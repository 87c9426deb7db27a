"""The alert rules of docs/monitoring, by Prometheus' own checker: they are sound, and go off when they should."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import find_commands, find_missing_units, parse
from tests.clock import START
from tests.prometheus import find_program
from zlh_hooks.domain.emergency_rules import EmergencyRules
from zlh_hooks.domain.metric import draw_gauges
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import RolloutState

FOLDER = Path(__file__).parents[1] / "docs" / "monitoring"
RULES = FOLDER / "zlh-hooks.rules.yml"
POLICY = Policy(time_zone="UTC", emergency=EmergencyRules())
NAMES = {gauge.name for gauge in draw_gauges((), None, POLICY, START)}
HEALTHY = {"zlh_hooks_rollouts": 0}
"""That monitoring reads anything at all."""


def promtool(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([find_program("promtool"), *words], capture_output=True, text=True, timeout=60, check=False)


def test_the_page_and_the_rules_name_the_metrics_that_there_are() -> None:
    assert set(re.findall(r"zlh_hooks_\w+", (FOLDER / "metrics.md").read_text())) == NAMES
    assert set(re.findall(r"zlh_hooks_\w+", RULES.read_text())) <= NAMES


ACTIONS = re.findall(r'^ +action: "(.+)"$', RULES.read_text(), re.MULTILINE)


def test_every_rule_says_what_to_do() -> None:
    assert len(ACTIONS) == RULES.read_text().count("- alert:")


@pytest.mark.parametrize("action", ACTIONS)
def test_what_a_rule_says_to_type_is_marked_and_can_be_typed(action: str) -> None:
    outside = re.sub(r"`[^`]+`", "", action)
    assert not re.search(r"zlh-hooks|systemctl", outside)
    assert find_missing_units(action) == []
    for command in find_commands(action):
        parse(command)


def test_nobody_is_told_to_start_a_worker_by_watching() -> None:
    """As root it would run beside the service, with files that the service may not read."""
    assert "rollout watch" not in RULES.read_text()


@pytest.mark.peer
def test_the_rules_are_sound() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.peer
@pytest.mark.parametrize(
    ("alert", "series", "value", "other"),
    [
        ("ZlhHooksEmergencyDebtOverdue", 'zlh_hooks_emergency_debt_due_timestamp_seconds{kind="review"}', 1800, 9000),
        ("ZlhHooksCustomerNotTold", 'zlh_hooks_emergency_debts{kind="notice"}', 1, 0),
        ("ZlhHooksEmergencyOpen", 'zlh_hooks_emergency_open{component="template"}', 1, 0),
        ("ZlhHooksGuestStuck", "zlh_hooks_targets_stuck", 1, 0),
        ("ZlhHooksOldRootKept", "zlh_hooks_targets_kept", 1, 0),
        ("ZlhHooksRolloutPaused", 'zlh_hooks_rollouts{state="PAUSED"}', 1, 0),
        ("ZlhHooksNoticesUndelivered", 'zlh_hooks_notices_undelivered{state="refused"}', 1, 0),
        (
            "ZlhHooksAgentDocumentEndsSoon",
            'zlh_hooks_agent_document_renewal_timestamp_seconds{document="timestamp"}',
            1800,
            9000,
        ),
        ("ZlhHooksAgentDocumentOver", 'zlh_hooks_agent_document_expiry_timestamp_seconds{document="root"}', 1800, 9000),
        ("ZlhHooksGuestChanged", 'zlh_hooks_guest_changes{what="node"}', "0+1", 5),
        ("ZlhHooksWorkerDead", "zlh_hooks_worker_lease_expiry_timestamp_seconds", 1800, 9000),
        ("ZlhHooksWorkerMissing", 'zlh_hooks_rollouts{state="RUNNING"}', 1, 0),
        ("ZlhHooksWorkerMissing", 'zlh_hooks_rollouts{state="REVERTING"}', 1, 0),
        ("ZlhHooksMetricsStale", 'node_textfile_mtime_seconds{file="/srv/zlh-hooks.prom"}', 1800, 3500),
    ],
)
def test_an_alert_goes_off_when_it_should_and_only_then(
    tmp_path: Path, alert: str, series: str, value: float | str, other: float
) -> None:
    """Looked at after an hour: moments before that have passed."""
    assert_alert(tmp_path, alert, {**HEALTHY, series: value}, goes_off=True)
    assert_alert(tmp_path, alert, {**HEALTHY, series: other}, goes_off=False)


@pytest.mark.peer
@pytest.mark.parametrize(
    "series",
    [
        {'zlh_hooks_rollouts{state="RUNNING"}': 1, "zlh_hooks_worker_lease_expiry_timestamp_seconds": 9000},
        {'zlh_hooks_rollouts{state="REVERTED"}': 1, 'zlh_hooks_rollouts{state="SUCCEEDED"}': 1},
    ],
)
def test_no_worker_is_missed_where_one_holds_the_lease_or_nothing_is_begun(
    tmp_path: Path, series: dict[str, float]
) -> None:
    assert_alert(tmp_path, "ZlhHooksWorkerMissing", {**HEALTHY, **series}, goes_off=False)


def test_every_state_that_the_rules_name_is_one() -> None:
    named = {state for states in re.findall(r'state=~?"([^"]+)"', RULES.read_text()) for state in states.split("|")}
    assert named <= {state.value for state in RolloutState}


@pytest.mark.peer
def test_where_nothing_is_read_any_more_somebody_is_told(tmp_path: Path) -> None:
    assert_alert(tmp_path, "ZlhHooksMetricsStale", {}, goes_off=True)
    assert_alert(tmp_path, "ZlhHooksMetricsStale", HEALTHY, goes_off=False)


def assert_alert(folder: Path, alert: str, series: Mapping[str, float | str], *, goes_off: bool) -> None:
    """``series``: to a value that stays, or ``0+1``, which grows.

    promtool compares labels and words too; only whether there is an alert is asked here, of the ALERTS series."""
    expected = [{"labels": "{}", "value": 1}] if goes_off else []
    question = {"expr": f'sum(ALERTS{{alertname="{alert}", alertstate="firing"}})', "eval_time": "1h"}
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{value}x60"} for name, value in series.items()],
        "promql_expr_test": [{**question, "exp_samples": expected}],
    }
    file = folder / "test.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
