"""Programs of the Debian package prometheus."""

import shutil
from pathlib import Path

import pytest

UNPACKED = Path(__file__).parents[1] / ".lab/prometheus/usr/bin"


def find_program(name: str) -> str:
    """The installed program, or the one that workshop/packages.sh unpacked without installing its service."""
    found = shutil.which(name) or shutil.which(UNPACKED / name)
    if found is None:
        pytest.skip("needs Prometheus (Debian package prometheus)")
    return found
