"""A published repository, its server, and a guest that trusts it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from agent_plugin.desired import Guest
from agent_plugin.road import Limits
from tests.agent.repository_bench import RepositoryBench, make, now
from tests.agent.update_server import UpdateServer, update_server
from tests.conftest import GUEST_ONLY


def need_guests_client() -> None:
    """Skip a module whose guests read with the plugin's own tuf, where the host's is tested."""
    if Version(version("tuf")) < Version("7"):
        pytest.skip(GUEST_ONLY, allow_module_level=True)


GUEST = Guest(5001, "game-base", "1.4.2")
QUICK = Limits(silence_seconds=0.5, check_seconds=3, download_seconds=3, grace_seconds=0.3, least_rate=1024)


@pytest.fixture
def bench(tmp_path: Path) -> RepositoryBench:
    return make(tmp_path / "host")


@pytest.fixture
def server(bench: RepositoryBench) -> Iterator[UpdateServer]:
    with update_server(bench.public) as state:
        yield state


@dataclass
class GuestBench:
    """One guest's plugin; ``trust`` is a new process's view of the same folder."""

    folder: Path
    url: str
    root: bytes

    def trust(self, url: str | None = None, limits: Limits = QUICK, root: bytes | None = None):  # type: ignore[no-untyped-def]
        from agent_plugin.trust import Origin, Trust

        origin = Origin(url or self.url, self.root if root is None else root, now() - timedelta(days=10))
        return Trust(self.folder, origin, limits)

    def check(self, guest: Guest = GUEST, at: datetime | None = None):  # type: ignore[no-untyped-def]
        return self.trust().check(guest, at or now())


@pytest.fixture
def guest(bench: RepositoryBench, server: UpdateServer, tmp_path: Path) -> GuestBench:
    return GuestBench(tmp_path / "guest", server.url, bench.repository.read_root())
