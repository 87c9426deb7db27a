"""Real guests follow what operators pin: their own timer's service asks, brings, proves, and goes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_plugin.desired import Build
from tests.agent.conftest import need_guests_client
from tests.agent.release import Release
from tests.agent.repository_bench import RepositoryBench
from tests.agent.update_server import UpdateServer, update_server
from tests.lab.image import Debian
from tests.lab.lab import Lab
from tests.lab.network import HOST, inside
from tests.lab.swap_bench import SETTINGS, SwapGuest, build_release, fetch_libraries

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
need_guests_client()

SERVICE = "zlh-agent-update.service"


@pytest.fixture
def bench(tmp_path: Path) -> RepositoryBench:
    made = RepositoryBench(tmp_path / "host")
    made.found()
    return made


@pytest.fixture
def server(bench: RepositoryBench, lab: Lab) -> Iterator[UpdateServer]:
    fetch_libraries()
    with inside(lab.place), update_server(bench.public, str(HOST.ip)) as state:
        yield state


@pytest.fixture(params=list(Debian))
def guest(
    request: pytest.FixtureRequest, lab: Lab, bench: RepositoryBench, server: UpdateServer
) -> Iterator[SwapGuest]:
    settings = f"[source]\nurl = {server.url}\nline = game-base\n{SETTINGS}"
    made = SwapGuest(lab, request.param, settings)
    made.put("/etc/zlh-agent-plugin.root.json", bench.repository.read_root())
    yield made
    lab.containers.stop(made.vmid)


def pin(bench: RepositoryBench, release: Release, number: int) -> None:
    bench.want(release.version, Build(release.sha256, len(release.archive)), number=number)
    bench.publish()


def test_a_guest_follows_its_pin_and_leaves_a_bad_version_by_itself_until_it_is_pinned_anew(
    guest: SwapGuest, bench: RepositoryBench
) -> None:
    game = guest.game()
    good, bad = build_release("2.0.0"), build_release("3.0.0", "exit")
    bench.release(good.version, good.archive)
    bench.release(bad.version, bad.archive)

    pin(bench, good, 1)
    guest.run("systemctl", "start", SERVICE)
    assert (guest.version(), guest.status().outcome) == ("2.0.0", "installed")

    pin(bench, bad, 2)
    guest.run("systemctl", "start", SERVICE)
    failed = guest.status()
    assert (guest.version(), failed.outcome, failed.wanted) == ("2.0.0", "reverted", bad.name)
    guest.run("systemctl", "start", SERVICE)
    assert (guest.version(), guest.status().txn) == ("2.0.0", failed.txn)

    pin(bench, bad, 3)
    guest.run("systemctl", "start", SERVICE)
    assert guest.status().txn != failed.txn
    pin(bench, good, 4)
    guest.run("systemctl", "start", SERVICE)
    told = guest.status().check
    assert told is not None
    assert (guest.version(), told.outcome, guest.game()) == ("2.0.0", "current", game)
