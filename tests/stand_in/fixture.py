"""A served stand-in for one test: one template, a running guest and a stopped one; import ``stand_in`` to use it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stand_in.pve import StandInPve
from tests.stand_in.serving import Serving, served
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.right import GUEST_PRIVILEGES

NODE, OTHER_NODE, STORAGE = "pve1", "pve2", "local"
TEMPLATE, RUNNING, STOPPED, SCRATCH = (GuestRef(vmid, NODE) for vmid in (9000, 5001, 5002, 890000))


def make_pve() -> StandInPve:
    """Two nodes; on the first TEMPLATE, RUNNING and STOPPED, the guests with data volumes."""
    pve = StandInPve(nodes=(NODE, OTHER_NODE))
    pve.add_guest(TEMPLATE.vmid, template=True, tags="zlh-line.game-base;zlh-version.2")
    pve.add_guest(RUNNING.vmid, running=True, onboot=1, tags="customer;zlh-version.1")
    pve.add_guest(STOPPED.vmid, tags="zlh-version.1")
    return pve


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Serving]:
    """Serves with a token that holds exactly the guests role; a request nobody should make fails the test."""
    with served(make_pve(), tmp_path, GUEST_PRIVILEGES) as serving:
        yield serving
        assert serving.pve.foreign == []
