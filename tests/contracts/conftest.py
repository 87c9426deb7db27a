"""The same contract for every implementation: add a bench here and all of it is asked of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from tests.contracts.bench import Bench, MemoryBench

BENCHES: dict[str, Callable[[], AbstractContextManager[Bench]]] = {
    "memory": lambda: nullcontext(MemoryBench()),
}


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A fresh small cluster."""
    with BENCHES[request.param]() as made:
        yield made
