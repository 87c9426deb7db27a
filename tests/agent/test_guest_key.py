"""A guest's key: made once, for its owner alone, bound to the machine; a clone makes its own."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_plugin import __main__ as command
from agent_plugin import guest_key
from agent_plugin.disk import remove_halves
from agent_plugin.fault import NotNow
from agent_plugin.wire import parse_status
from tests.agent.report_bench import ReportGuest

CLONE = "b" * 32


@pytest.fixture
def guest(tmp_path: Path) -> ReportGuest:
    return ReportGuest(tmp_path / "guest")


def test_a_key_is_made_on_first_use_and_stays(guest: ReportGuest) -> None:
    assert not guest.place.report_key.exists()
    assert guest.key().key_id == guest.key().key_id


def test_nobody_else_may_read_it(guest: ReportGuest) -> None:
    guest.key()
    file, folder = guest.place.report_key, guest.place.report_key.parent
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(folder.stat().st_mode)) == (0o600, 0o700)
    assert "a" * 32 not in file.read_text(), "the machine's id is for nobody else"


def test_it_is_on_disk_before_it_signs(guest: ReportGuest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(guest_key, "write_file", refuse)
    with pytest.raises(OSError, match="No space"):
        guest.key()
    assert not guest.place.report_key.exists()


def test_a_clone_makes_its_own_and_the_first_keeps_its(guest: ReportGuest, tmp_path: Path) -> None:
    first = guest.key().key_id
    clone = guest.clone(tmp_path / "clone", CLONE)
    assert clone.key().key_id != first
    assert guest.key().key_id == first


def test_until_a_clone_has_its_own_it_signs_nothing(guest: ReportGuest, tmp_path: Path) -> None:
    guest.key()
    clone = guest.clone(tmp_path / "clone", CLONE)
    with pytest.raises(NotNow, match="another machine's key"):
        clone.desk().sign("")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"machine": "x", "private": "AAAA"}', "\0" * 80])
def test_a_damaged_key_is_replaced(guest: ReportGuest, content: str) -> None:
    guest.key()
    guest.place.report_key.write_text(content)
    made = guest.key()
    assert guest.key().key_id == made.key_id


def test_two_that_make_it_at_once_believe_in_the_same(guest: ReportGuest) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len({key.key_id for key in pool.map(lambda _: guest.key(), range(8))}) == 1


def test_a_swap_that_cleans_up_does_not_meet_it(guest: ReportGuest) -> None:
    guest.key()
    half = guest.place.report_key.with_name(".key.json.new")
    half.touch()
    remove_halves(guest.place.state, guest.place.home)
    assert half.exists() and guest.place.report_key.exists()


@pytest.mark.parametrize("found", ["", "uninitialized", "A" * 32, "b" * 31])
def test_a_machine_without_an_id_makes_no_key(guest: ReportGuest, found: str) -> None:
    guest.become(found)
    with pytest.raises(NotNow, match="32 hexadecimal digits are wanted; systemd-machine-id-setup"):
        guest.key()
    guest.place.machine_id.unlink()
    with pytest.raises(NotNow, match="No such file"):
        guest.key()


def test_the_command_prints_the_keys_name_and_leaves_a_document(
    guest: ReportGuest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "Place", lambda: guest.place)
    guest.place.status.unlink()
    assert command.main(["key"]) == 0
    assert capsys.readouterr().out == f"{guest.key().key_id}\n"
    assert parse_status(guest.place.status.read_bytes()).current == ""
    before = guest.place.status.read_bytes()
    assert command.main(["key"]) == 0
    assert guest.place.status.read_bytes() == before


def test_without_the_library_the_command_says_which_package_brings_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['cryptography'] = None; from agent_plugin.__main__ import main; sys.exit(main(['key']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "python3-cryptography is the distribution's" in done.stderr and "Traceback" not in done.stderr
