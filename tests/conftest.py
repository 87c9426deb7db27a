"""Rules for every test run: in CI nothing is skipped for want of a tool, and real containers were really used."""

import os
import re
import sys
from collections.abc import Iterable
from importlib.abc import MetaPathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from _pytest.terminal import TerminalReporter  # public only since pytest 8.4; Debian 13 has 8.3
from packaging.requirements import Requirement
from packaging.version import Version

FEWEST_LAB_TESTS = 78
"""So many tests on real containers must run in CI, so that none can get lost unseen."""
ABSENT = "absent here (--absent): "
GUEST_ONLY = "the guest's client needs tuf 7, which the plugin carries; hosts have 5.1"
MAY_SKIP = (ABSENT, GUEST_ONLY, "this machine has no IPv6 on loopback")
"""How the reasons begin for which a test may be skipped in CI: what the machine is, never what it lacks unsaid."""


# How long an example takes says how busy the machine is, not whether the rule holds.
hypothesis.settings.register_profile("workshop", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("workshop")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a run is told about what it tests, and with which libraries."""
    parser.addoption("--constraints", type=Path, help="refuse to run with other versions than this file's")
    parser.addoption("--absent", default="", help="libraries, by commas, whose tests are skipped")
    parser.addoption("--packages", type=Path, help="built Debian packages, and in root/ what a machine needs for them")


def pytest_configure(config: pytest.Config) -> None:
    if file := config.getoption("--constraints"):
        refuse_other_versions(file)
    if names := config.getoption("--absent"):
        sys.meta_path.insert(0, Absence(frozenset(names.split(","))))
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Audit(lab=config.option.markexpr.startswith("lab")))


def refuse_other_versions(file: Path) -> None:
    """The libraries under test are those that the file names, or nothing is tested."""
    pins = [Requirement(text) for line in file.read_text().splitlines() if (text := line.partition("#")[0].strip())]
    others = [f"{pin} is wanted, {found} is installed" for pin in pins if (found := find_other_version(pin))]
    if others:
        raise pytest.UsageError(f"{file}: {'; '.join(others)}")


def find_other_version(pin: Requirement) -> str | None:
    """The installed version, if it is another one than the pin's; None also if nothing is installed."""
    try:
        installed = version(pin.name)
    except PackageNotFoundError:
        return None
    (wanted,) = pin.specifier
    upstream = re.sub(r".*\+really", "", installed)  # so Debian calls an older release that replaced a newer one
    return installed if Version(upstream).base_version != Version(wanted.version).base_version else None


class Absence(MetaPathFinder):
    """Skips whoever imports one of these libraries."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname.partition(".")[0] in self.names:
            pytest.skip(ABSENT + fullname, allow_module_level=True)


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
        if not reason.startswith(MAY_SKIP):
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


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Generated tests say how many points they have tried, and calls of hooks how long they took."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    if points := sum(collect_property(reports, "points")):
        terminalreporter.write_line(f"{points} generated points")
    if slowest := collect_property(reports, "slowest seconds"):
        late = [seconds for some in collect_property(reports, "late seconds") for seconds in some]
        seconds, point = max(slowest)
        repeated = f", which took up to {max(late):.3f} s" if late else ""
        terminalreporter.write_line(f"{len(late)} calls of a hook were late and repeated{repeated}")
        terminalreporter.write_line(f"slowest answer that counted: {seconds:.3f} s, {point}")


def collect_property(reports: Iterable[pytest.TestReport], name: str) -> list[Any]:
    """What tests have recorded by that name."""
    return [value for report in reports for one, value in report.user_properties if one == name]
