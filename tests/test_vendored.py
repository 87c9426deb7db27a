"""What the plugin carries into guests is what was looked at: the pinned versions, byte for byte."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[1]
CONSTRAINTS = REPOSITORY / "constraints"


def read_pins(file: str) -> "dict[str, str]":
    """The words of each line, by the library's name."""
    lines = [line.partition("#")[0].split() for line in (CONSTRAINTS / file).read_text().splitlines()]
    return {Requirement(words[0]).name: " ".join(words) for words in lines if words and words[0] != "-c"}


def test_each_library_that_guests_get_has_one_hash_and_the_version_that_is_tested() -> None:
    tested, carried = read_pins("newest.txt"), read_pins("vendored.txt")
    assert set(carried) == {"packaging", "securesystemslib", "tuf", "urllib3"}
    for name, line in carried.items():
        pin, hashed = line.split()
        assert pin == tested[name]
        assert hashed.startswith("--hash=sha256:")


def make_wheel(folder: Path, content: str) -> str:
    """A library of one file; its SHA-256."""
    wheel = folder / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy.py", content)
        archive.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        archive.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("toy-1.0.dist-info/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.mark.peer
def test_other_bytes_than_the_pinned_ones_are_not_carried(tmp_path: Path) -> None:
    for folder in ("workshop", "constraints", "wheels"):
        (tmp_path / folder).mkdir()
    shutil.copy(REPOSITORY / "workshop/vendor.sh", tmp_path / "workshop")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    right = make_wheel(tmp_path / "wheels", "GOOD = True\n")
    (tmp_path / "constraints/vendored.txt").write_text(f"toy==1.0 --hash=sha256:{right}\n")
    where = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels"), "PIP_NO_CACHE_DIR": "1"}

    def fetch() -> "subprocess.CompletedProcess[str]":
        command = [tmp_path / "workshop/vendor.sh", tmp_path / "carried"]
        return subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True, check=False)

    assert fetch().returncode == 0
    assert (tmp_path / "carried/toy.py").read_text() == "GOOD = True\n"
    (tmp_path / "carried/made-from").unlink()
    make_wheel(tmp_path / "wheels", "GOOD = False\n")
    refused = fetch()
    assert (refused.returncode != 0, "DO NOT MATCH THE HASHES" in refused.stderr) == (True, True)
    assert (tmp_path / "carried/toy.py").read_text() == "GOOD = True\n"
