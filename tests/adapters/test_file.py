"""Rules of files that others read while we write them."""

import os
from pathlib import Path

import pytest

from zlh_hooks.adapters.file import replace_files


def test_files_get_their_new_content_and_can_be_read_by_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    before = os.umask(0o077)
    try:
        replace_files({tmp_path / "a": b"new", tmp_path / "b": b"too"})
    finally:
        os.umask(before)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new", "b": b"too"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_a_reader_of_the_old_content_keeps_it_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with (tmp_path / "a").open() as reader:
        replace_files({tmp_path / "a": b"new"})
        assert reader.read() == "old"


def test_if_one_cannot_be_written_none_is_replaced_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileNotFoundError):
        replace_files({tmp_path / "a": b"new", tmp_path / "nowhere" / "b": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_if_one_cannot_be_replaced_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_files({tmp_path / "folder": b"new", tmp_path / "b": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
