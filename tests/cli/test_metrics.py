"""``zlh-hooks metrics`` as a timer types it, and as Prometheus reads it."""

import stat
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner, Result

from tests.cli.site_file import write_site
from tests.prometheus import find_program
from zlh_hooks.cli.app import app
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.settings import load_settings


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return write_site(tmp_path, 'time_zone = "Europe/Berlin"\n[emergency]\n')


def type_in(files: list[str], *words: str) -> Result:
    return CliRunner().invoke(app, [*words, *files])


def read(text: str) -> dict[tuple[str, ...], float]:
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(one.name.removeprefix("zlh_hooks_"), *one.labels.values()): one.value for one in samples}


def declare(files: list[str]) -> None:
    words = ("emergency", "declare", "pbs", "--reason", "a hole", "--reference", "CVE-1", "--yes")
    assert type_in(files, *words).exit_code == 0


def test_an_emergency_is_up_while_it_is_open_and_its_debt_after_it(files: list[str]) -> None:
    declare(files)
    found = read(type_in(files, "metrics").stdout)
    assert (found["emergency_open", "pbs"], found["emergency_open", "edge"]) == (1, 0)
    assert type_in(files, "emergency", "end", "--reason", "patched").exit_code == 0
    found = read(type_in(files, "metrics").stdout)
    assert (found["emergency_open", "pbs"], found["emergency_debts", "review"]) == (0, 1)
    assert found["emergency_debt_due_timestamp_seconds", "review"] > 1.7e9


def test_a_file_is_replaced_whole_readable_by_all_and_nothing_is_printed(files: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "collector"
    path = folder / "zlh-hooks.prom"
    for debts in (0, 1):
        done = type_in(files, "metrics", "--output", str(path))
        assert (done.exit_code, done.output) == (0, "")
        assert read(path.read_text())["emergency_debts", "review"] == debts
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        if not debts:
            declare(files)
    assert [one.name for one in folder.iterdir()] == ["zlh-hooks.prom"]


def test_a_name_that_node_exporter_passes_over_is_refused_with_the_reason(files: list[str], tmp_path: Path) -> None:
    done = type_in(files, "metrics", "--output", str(tmp_path / "zlh-hooks.txt"))
    assert done.exit_code == 2
    said = " ".join(word for word in done.output.split() if word != "│")
    assert "expected a file whose name ends in .prom: node_exporter reads no other" in said
    assert not (tmp_path / "zlh-hooks.txt").exists()


def test_in_the_settings_it_is_refused_by_its_key(files: list[str], tmp_path: Path) -> None:
    config = tmp_path / "zlh-hooks.toml"
    config.write_text(f'{config.read_text()}[metrics]\ntextfile = "/srv/zlh-hooks.txt"\n')
    with pytest.raises(SettingsError, match=r"ends in \.prom") as refused:
        load_settings(config)
    assert refused.value.key == "metrics.textfile"


def test_a_place_that_cannot_be_written_is_named(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = type_in(files, "metrics", "--output", str(tmp_path / "file" / "zlh-hooks.prom"))
    assert isinstance(done.exception, SettingsError)
    assert done.exception.expected == "a place that can be written"


def test_who_only_looks_makes_no_ledger(files: list[str], tmp_path: Path) -> None:
    assert set(read(type_in(files, "metrics").stdout).values()) == {0}
    assert not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.peer
def test_promtool_finds_nothing_to_say_about_all_of_it(files: list[str]) -> None:
    declare(files)
    text = type_in(files, "metrics").stdout
    command = [find_program("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
