"""What an archive may not do: every wish but files, folders and links inside the release is refused by name."""

import io
import os
import stat
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_plugin import archive
from agent_plugin.archive import unpack
from agent_plugin.fault import BadRelease, NotNow


def member(
    name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.linkname, made.size = kind, mode, link, size
    return made


def write(path: Path, *members: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for one in members:
            tar.addfile(one, io.BytesIO(content))
    return path


REFUSED = {
    "absolute": ([member("/etc/passwd")], "leads out of the release"),
    "parent": ([member("a/../../b")], "leads out of the release"),
    "hard link": ([member("a", tarfile.LNKTYPE, link="b")], "neither a file, a folder nor a symbolic link"),
    "device": ([member("a", tarfile.CHRTYPE)], "neither a file"),
    "block device": ([member("a", tarfile.BLKTYPE)], "neither a file"),
    "pipe": ([member("a", tarfile.FIFOTYPE)], "neither a file"),
    "set-uid": ([member("a", mode=0o4755)], "set-id"),
    "set-gid": ([member("a", mode=0o2755)], "set-id"),
    "sticky folder": ([member("a", tarfile.DIRTYPE, mode=0o1777)], "set-id or sticky"),
    "absolute link": ([member("a", tarfile.SYMTYPE, link="/etc")], "does not name a path inside"),
    "link out": ([member("a/b", tarfile.SYMTYPE, link="../../x")], "leads out of the release"),
    "link out and in": ([member("a", tarfile.SYMTYPE, link="../opt/x")], "leads out of the release"),
    "link to nothing": ([member("a", tarfile.SYMTYPE, link="b")], "or to nothing"),
    "link to itself": ([member("a", tarfile.SYMTYPE, link="a")], "or to nothing"),
    "link out through a link": (
        [
            member("d/e", tarfile.DIRTYPE, 0o755),
            member("d/e/top", tarfile.SYMTYPE, link="../.."),
            member("a", tarfile.SYMTYPE, link="d/e/top/.."),
        ],
        "leads out of the release, or to nothing",
    ),
    "through a link": ([member("a", tarfile.SYMTYPE, link="b"), member("a/c")], "through a link"),
    "over a link": ([member("a", tarfile.SYMTYPE, link="b"), member("a")], "through a link"),
    "file twice": ([member("a"), member("a")], "twice"),
    "link over file": ([member("a"), member("a", tarfile.SYMTYPE, link="b")], "twice"),
    "below a file": ([member("a"), member("a/b")], "twice"),
    "the mark": ([member(".complete")], "only the plugin sets"),
    "the mark's folder": ([member("./.complete/x")], "only the plugin sets"),
    "control characters": ([member("a\nb")], "not a plain path"),
    "long": ([member("a/" * 300)], "not a plain path"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_harmful_wish_is_refused_by_name(tmp_path: Path, case: str) -> None:
    members, words = REFUSED[case]
    with pytest.raises(BadRelease, match=words):
        unpack(write(tmp_path / "a.tar.gz", *members), tmp_path / "out", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "out"]


def test_what_is_granted_has_modes_of_our_own_and_this_owner(tmp_path: Path) -> None:
    wishes = (
        member("bin", tarfile.DIRTYPE, 0o777),
        member("bin/tool", mode=0o777, size=3),
        member("deep/er/data", mode=0o666, size=3),
        member("tool", tarfile.SYMTYPE, link="bin/tool"),
        member("bin/up", tarfile.SYMTYPE, link="../deep"),
    )
    for one in wishes:
        one.uid = one.gid = 12345
    unpack(write(tmp_path / "a.tar.gz", *wishes, content=b"abc"), tmp_path / "out", 0)
    modes = {
        str(p.relative_to(tmp_path / "out")): stat.S_IMODE(p.lstat().st_mode) for p in (tmp_path / "out").rglob("*")
    }
    assert {name: mode for name, mode in modes.items() if name not in ("tool", "bin/up")} == {
        "bin": 0o755, "bin/tool": 0o755, "deep": 0o755, "deep/er": 0o755, "deep/er/data": 0o644,
    }  # fmt: skip
    assert (tmp_path / "out/tool").read_bytes() == b"abc"
    assert {path.lstat().st_uid for path in (tmp_path / "out").rglob("*")} == {os.geteuid()}


def test_a_bomb_ends_where_the_limit_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 20)
    bomb = write(tmp_path / "a.tar.gz", member("a", size=4 << 20), content=bytes(4 << 20))
    assert bomb.stat().st_size < 1 << 16
    with pytest.raises(BadRelease, match="unpacks to more than 1048576 bytes"):
        unpack(bomb, tmp_path / "out", 0)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 3)
    with pytest.raises(BadRelease, match="more than 3 members"):
        unpack(write(tmp_path / "a.tar.gz", *(member(str(n)) for n in range(4))), tmp_path / "out", 0)


def test_a_disk_that_would_be_too_full_is_not_the_releases_fault(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match="must stay free"):
        unpack(write(tmp_path / "a.tar.gz", member("a", size=1), content=b"x"), tmp_path / "out", 1 << 60)


@given(cut=st.integers(0, 200), flip=st.integers(0, 200))
def test_a_damaged_archive_is_a_bad_release_or_unpacks_inside(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    data = bytearray(write(folder / "a.tar.gz", member("a/b", size=5), content=b"hello").read_bytes())
    data[flip % len(data)] ^= 0xFF
    (folder / "a.tar.gz").write_bytes(bytes(data[: len(data) - cut % len(data)]))
    with suppress(BadRelease):
        unpack(folder / "a.tar.gz", folder / "out", 0)
    assert {path.name for path in folder.iterdir()} <= {"a.tar.gz", "out"}


@given(name=st.text(min_size=1, max_size=30), link=st.none() | st.text(min_size=1, max_size=30))
def test_whatever_a_member_is_called_nothing_lies_outside(
    tmp_path_factory: pytest.TempPathFactory, name: str, link: "str | None"
) -> None:
    folder = tmp_path_factory.mktemp("named")
    wish = member(name) if link is None else member(name, tarfile.SYMTYPE, link=link)
    try:
        unpack(write(folder / "a.tar.gz", wish), folder / "out", 0)
    except BadRelease:
        return
    inside = (folder / "out").resolve()
    assert all(path.resolve().is_relative_to(inside) for path in inside.rglob("*"))
