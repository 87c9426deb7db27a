"""In CI a skip is no pass: rules of the audit in conftest, tried on runs of pytest in a folder of their own."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import FEWEST_LAB_TESTS

REPOSITORY = Path(__file__).parents[1]
PASSES = "def test_one(): pass\n"
LAB = "import pytest\npytestmark = pytest.mark.lab\n"


def run(folder: Path, source: str, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    (folder / "conftest.py").write_text("from tests.conftest import *  # noqa: F403\n")
    (folder / "test_sample.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    lab\n")
    variables = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**variables, "PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SKIPS = {
    "in a test": "import pytest\ndef test_one(): pytest.skip('no such tool')\n",
    "by a mark": "import pytest\n@pytest.mark.skip(reason='no such tool')\ndef test_one(): pass\n",
    "of a whole file": "import pytest\npytest.skip('no such tool', allow_module_level=True)\n",
}


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "1")], ids=["one process", "workers"])
def test_a_skip_fails_a_run_in_ci_and_is_named(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert_refused(tmp_path, SKIPS["in a test"], *options)


@pytest.mark.parametrize("source", [SKIPS["by a mark"], SKIPS["of a whole file"]], ids=["by a mark", "of a whole file"])
def test_a_skip_fails_a_run_in_ci_however_it_is_said(tmp_path: Path, source: str) -> None:
    assert_refused(tmp_path, source)


def assert_refused(tmp_path: Path, source: str, *options: str) -> None:
    (tmp_path / "test_other.py").write_text(PASSES)
    done = run(tmp_path, source, *options, CI="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "skipped in CI: test_sample.py" in done.stdout
    assert "no such tool" in done.stdout


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPS["in a test"]).returncode == 0


def test_what_the_machine_is_may_be_a_reason_to_skip_in_ci_too(tmp_path: Path) -> None:
    source = SKIPS["in a test"].replace("no such tool", "this machine has no IPv6 on loopback")
    assert run(tmp_path, source, CI="true").returncode == 0


@pytest.mark.parametrize(("count", "passes"), [(FEWEST_LAB_TESTS - 1, False), (FEWEST_LAB_TESTS, True)])
def test_in_ci_so_many_tests_on_real_containers_must_run(tmp_path: Path, count: int, passes: bool) -> None:
    source = LAB + "".join(f"def test_{number}(): pass\n" for number in range(count))
    done = run(tmp_path, source, "-m", "lab", CI="true")
    assert (done.returncode == 0) is passes, done.stdout
    assert passes or f"{count} tests on real containers ran; {FEWEST_LAB_TESTS} must" in done.stdout


def test_what_needs_a_library_that_is_declared_absent_is_skipped_in_ci_too(tmp_path: Path) -> None:
    source = "import xmlrpc.client\ndef test_one(): pass\n"
    (tmp_path / "test_other.py").write_text(PASSES)
    done = run(tmp_path, source, "--absent=other,xmlrpc", CI="true")
    assert done.returncode == 0
    assert "1 passed, 1 skipped" in done.stdout
    assert "2 passed" in run(tmp_path, source, "--absent=other", CI="true").stdout


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "1")], ids=["one process", "workers"])
def test_calls_of_a_hook_that_were_repeated_for_lateness_are_counted_and_the_slowest_answer_is_told(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    source = """
import pytest
@pytest.mark.parametrize(("late", "slowest"), [([0.5, 0.75], 0.2), ([], 0.3)])
def test_one(record_property, late, slowest):
    record_property("late seconds", late)
    record_property("slowest seconds", [slowest, f"point {slowest}"])
"""
    said = run(tmp_path, source, *options).stdout
    assert "2 calls of a hook were late and repeated, which took up to 0.750 s" in said
    assert "slowest answer that counted: 0.300 s, point 0.3" in said
    assert "of a hook" not in run(tmp_path, PASSES).stdout


@pytest.mark.parametrize(("pin", "ends"), [("1.0", 4), (pytest.__version__, 0)])
def test_other_versions_than_the_constraints_are_refused(tmp_path: Path, pin: str, ends: int) -> None:
    (tmp_path / "pins.txt").write_text(f"# pins\npytest=={pin}  # a comment\nnobody-has-this==1\n")
    done = run(tmp_path, PASSES, "--constraints=pins.txt")
    assert done.returncode == ends
    assert ("pytest==1.0 is wanted" in done.stderr) == (ends == 4)


@pytest.mark.parametrize("files", [("newest.txt",), ("debian13.txt", "debian13-venv.txt")])
def test_every_library_that_the_product_and_its_tests_name_is_pinned(files: tuple[str, ...]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["test"]]
    text = "".join((REPOSITORY / "constraints" / file).read_text() for file in files)
    lines = [line.partition("#")[0].strip() for line in text.splitlines() if not line.startswith("-c ")]
    pins = {canonicalize_name(pin.name): pin.specifier for pin in map(Requirement, filter(None, lines))}
    for requirement in wanted:
        (pin,) = pins[canonicalize_name(requirement.name)]
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), requirement
