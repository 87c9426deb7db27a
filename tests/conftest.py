"""Rules for every test run: in CI nothing is skipped for want of a tool, and real containers were really used."""

import os
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter  # public only since pytest 8.4; Debian 13 has 8.3

from tests.missing import TESTS, list_missing

FEWEST_LAB_TESTS = 5
"""So many tests on real containers must run in CI, so that none can get lost unseen."""
MAY_SKIP = ("this machine has no IPv6 on loopback",)
"""Reasons for which a test may be skipped in CI: what the machine is, never what it lacks."""


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Audit(lab=config.option.markexpr.startswith("lab")))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs a library that ``ZLH_TEST_WITHOUT`` says is not there."""
    return True if list_missing(collection_path) else None


def pytest_report_header() -> list[str]:
    """Say what is left out."""
    found = {path: list_missing(path) for path in sorted(TESTS.rglob("test_*.py"))}
    return [
        f"left out without {' and '.join(sorted(names))}: {path.relative_to(TESTS.parent)}"
        for path, names in found.items()
        if names
    ]


class Audit:
    """Fails a run that skipped what it should have tested."""

    def __init__(self, lab: bool) -> None:
        self.lab, self.lab_tests, self.skipped = lab, 0, dict[str, str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note_skip(report)
        self.lab_tests += report.when == "call" and "lab" in report.keywords and not report.skipped

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note_skip(report)

    def _note_skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        assert isinstance(report.longrepr, tuple)
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in MAY_SKIP:
            self.skipped[report.nodeid] = reason

    def list_offences(self) -> list[str]:
        """One sentence for each reason to fail the run."""
        found = [f"skipped in CI: {test}: {reason}" for test, reason in self.skipped.items()]
        if self.lab and self.lab_tests < FEWEST_LAB_TESTS:
            found.append(f"{self.lab_tests} tests on real containers ran; {FEWEST_LAB_TESTS} must")
        return found

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.list_offences() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        for offence in self.list_offences():
            terminalreporter.write_line(offence, red=True)
