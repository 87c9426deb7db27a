"""What would die with the agent is found by its control group; the test's own processes are the example."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_plugin.fault import NotNow
from agent_plugin.systemd import UnitLook
from agent_plugin.workload import _is_in, find_foreign, refuse_foreign, render_refusal


@pytest.fixture
def child() -> "Iterator[subprocess.Popen[bytes]]":
    started = subprocess.Popen(["sleep", "600"])
    while Path(f"/proc/{started.pid}/comm").read_text() != "sleep\n":  # not our own name any more
        assert started.poll() is None
    yield started
    started.kill()
    started.wait()


def test_a_process_in_the_agents_group_is_found_with_its_name(
    child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_plugin.workload._is_in", lambda process, group: process.name == str(child.pid))
    look = UnitLook(True, pid=os.getpid(), group="/system.slice/zlh-agent.service")
    assert dict(find_foreign(look, ())) == {child.pid: "sleep"}
    assert dict(find_foreign(look, ("sleep",))) == {}
    with pytest.raises(NotNow, match=rf"sleep \({child.pid}\) would die with the agent"):
        refuse_foreign(look, (), patience=0)


def test_an_agent_that_does_not_run_has_no_group_to_look_into() -> None:
    assert list(find_foreign(UnitLook(False), ())) == []
    assert list(find_foreign(UnitLook(False, group="/"), ())) == []


@pytest.mark.parametrize(
    ("lines", "inside"),
    [
        ("0::/system.slice/a.service\n", True),
        ("0::/system.slice/a.service/sub\n", True),
        ("0::/system.slice/a.service-other\n", False),
        ("3:cpu:/system.slice/a.service\n0::/other\n", False),
        ("1:name=systemd:/system.slice/a.service\n0::/\n", True),
        ("0::/with:colon\n", False),
    ],
)
def test_a_group_is_the_agents_own_or_below_it(tmp_path: Path, lines: str, inside: bool) -> None:
    (tmp_path / "cgroup").write_text(lines)
    assert _is_in(tmp_path, "/system.slice/a.service") is inside


def test_the_refusal_says_how_the_workload_is_split() -> None:
    words = render_refusal({7: "java"}, "/g")
    assert "java (7) would die with the agent: in its control group /g" in words
    assert "systemd-run --unit=zlh-game" in words
