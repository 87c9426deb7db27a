"""Fixtures of the lab's tests: they need root and LXC and say what is missing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.image import build_images
from tests.lab.lab import Lab
from tests.lab.place import HOME
from tests.lab.requirement import list_missing


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is tried with built packages only: ``make deb-test`` names them."""
    return True if collection_path.match("test_installed*.py") and not config.getoption("--packages") else None


@pytest.fixture(scope="session", autouse=True)
def _images() -> None:
    if missing := list_missing():
        pytest.skip("; ".join(missing))
    build_images()


@pytest.fixture(scope="module")
def lab(_images: None) -> Iterator[Lab]:
    """An open lab without guests."""
    with Lab(HOME / f"test-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}") as opened:
        yield opened
