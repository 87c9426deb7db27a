"""What the dead man's switch remembers in a file: all of it, or nothing."""

from pathlib import Path

import pytest

from tests.clock import START
from zlh_hooks.adapters.dead_man_memory import FileMemory
from zlh_hooks.domain.dead_man import Checked, Memory, Told


def test_what_one_look_keeps_the_next_one_reads(tmp_path: Path) -> None:
    told = {"mail to ada@example.com": Told(START, 2, frozenset({"worker"}))}
    checked = Checked(7, "a" * 64, frozenset({"r1", "r2"}))
    memory = Memory(START, frozenset({"worker"}), START, ((START, 3),), None, told, checked)
    kept = FileMemory(tmp_path / "memory.json")
    kept.write(memory)
    assert kept.read() == memory


@pytest.mark.parametrize("text", ["", "{", "[]", '{"checked": {"sequence": "many"}}'])
def test_of_what_makes_no_sense_nothing_is_remembered(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.json").write_text(text)
    assert FileMemory(tmp_path / "memory.json").read() == Memory()
