"""The dead man's switch beside a real worker that is killed by SIGKILL, with a real mail server and real web servers."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.dead_man_bench import SECRET, Duty, on_duty
from tests.platform.site import kill_workers, open_site
from tests.platform.test_command_line import LINE, Terminal

pytestmark = [pytest.mark.process, pytest.mark.matrix]


@pytest.fixture
def duty(tmp_path: Path) -> Iterator[Duty]:
    with on_duty(tmp_path) as opened:
        yield opened


@pytest.fixture
def terminal(tmp_path: Path, worker_id: str, duty: Duty) -> Iterator[Terminal]:
    network = 200 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 200
    with open_site(tmp_path, guests=2, network=network) as site:
        site.settings.write_text(site.settings.read_text() + duty.settings)
        yield Terminal(site)


def test_a_worker_that_was_killed_is_told_once_by_each_way_and_once_that_all_is_well_again(
    terminal: Terminal, duty: Duty
) -> None:
    assert terminal.type("dead-man").returncode == 0
    assert [asked.path for asked in duty.service.asked] == [f"/{SECRET}"]

    terminal.ask_for_health("18s")
    terminal.type("rollout", "start", LINE, "--to", "2", "--yes", "--detach")
    terminal.wait_for(lambda status: status["state"] == "RUNNING")
    assert terminal.type("dead-man").returncode == 0  # the worker lives
    kill_workers(terminal.site.settings)
    while (done := terminal.type("dead-man")).returncode == 0:  # its lease of a second runs out
        assert not duty.post.taken
    assert "gave no sign of life since" in done.stderr
    beats = len(duty.service.asked)

    for _ in range(3):
        duty.let_pass(timedelta(minutes=1))
        terminal.type("dead-man")
    assert (len(duty.service.asked), duty.subjects()) == (beats, ["nobody looks after the work"] * 2)
    assert [asked.method for asked in duty.hook.asked] == ["POST"]
    assert "is RUNNING" in str(duty.post.read_mails()[0].get_content())
    assert duty.recipients() == ["ada@example.com", "bob@example.com"]

    with terminal.begin("rollout", "watch") as watching:  # starts the next one, which goes on
        while terminal.type("dead-man").returncode != 0:
            assert watching.poll() is None
        watching.kill()
    duty.let_pass(timedelta(minutes=11))
    for _ in range(2):
        assert terminal.type("dead-man").returncode == 0
    assert duty.subjects()[2:] == ["all is well again"] * 2
    assert len(duty.hook.asked) == 2
