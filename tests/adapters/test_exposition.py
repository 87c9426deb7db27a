"""Gauges as Prometheus reads them: by its own parser, and by its own checker."""

import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.prometheus import find_program
from zlh_hooks.adapters.exposition import render_exposition
from zlh_hooks.domain.metric import Gauge

GAUGES = (
    Gauge("zlh_hooks_emergency_debts", "What is owed.", "kind", (("notice", 2.0), ("review", 0.0))),
    Gauge("zlh_hooks_targets_stuck", "Guests.", "", (("", 1.0),)),
    Gauge("zlh_hooks_worker_lease_expiry_timestamp_seconds", "When.", "", ((("", 1795579200.25)),)),
    Gauge("zlh_hooks_nothing_seconds", "Not there.", "kind", ()),
)


def read(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    families = text_string_to_metric_families(text)
    return {one.name: [(sample.labels, sample.value) for sample in one.samples] for one in families}


def test_prometheus_reads_names_labels_and_values_as_they_were() -> None:
    assert read(render_exposition(GAUGES)) == {
        "zlh_hooks_emergency_debts": [({"kind": "notice"}, 2.0), ({"kind": "review"}, 0.0)],
        "zlh_hooks_targets_stuck": [({}, 1.0)],
        "zlh_hooks_worker_lease_expiry_timestamp_seconds": [({}, 1795579200.25)],
        "zlh_hooks_nothing_seconds": [],
    }


def test_a_label_with_quotes_and_lines_stays_one_label() -> None:
    text = render_exposition([Gauge("zlh_hooks_x", "x", "name", (('a "b"\nc\\', 1.0),))])
    assert read(text) == {"zlh_hooks_x": [({"name": 'a "b"\nc\\'}, 1.0)]}


@pytest.mark.peer
def test_promtool_finds_nothing_to_say_about_it() -> None:
    command = [find_program("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=render_exposition(GAUGES), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
