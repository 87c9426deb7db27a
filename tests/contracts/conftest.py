"""The same contract for every implementation: add a bench here and all of it is asked of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from tests.contracts.bench import Bench, MemoryBench


def open_proxmox() -> AbstractContextManager[Bench]:
    """Imported late: where fakepve is absent, only this bench is."""
    from tests.contracts.stand_in import open_stand_in

    return open_stand_in()


BENCHES: dict[str, Callable[[], AbstractContextManager[Bench]]] = {
    "memory": lambda: nullcontext(MemoryBench()),
    "proxmox": open_proxmox,
}


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A fresh small cluster."""
    with BENCHES[request.param]() as made:
        yield made
