"""What a guest believes: a good server's word, with as few questions as possible, and files that arrive whole."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent_plugin.desired import Guest, Nothing, Ruling, WishRuling
from agent_plugin.patch_wanted import PatchWanted
from agent_plugin.refusal import Refusal, Refused
from agent_plugin.wanted import Wanted
from agent_plugin.wish import Wish
from tests.agent.conftest import GUEST, GuestBench, need_guests_client
from tests.agent.repository_bench import BYTES, RepositoryBench, now
from tests.agent.update_server import UpdateServer, break_off, says

need_guests_client()


BIG = bytes(range(256)) * 4096


def test_a_guest_is_told_version_bytes_and_ways_back(guest: GuestBench, bench: RepositoryBench) -> None:
    wanted = guest.check()
    assert isinstance(wanted, Wanted)
    assert (wanted.version, wanted.size, wanted.pin) == ("1.5.0", len(BYTES), 1)
    assert "pin 1: line game-base, ring all" in wanted.rule


def test_a_wish_counts_by_the_last_check_only_and_not_before_one_or_after_one_that_was_refused(
    guest: GuestBench, bench: RepositoryBench, server: UpdateServer
) -> None:
    bench.wish(Wish(1, "game-base", "all", PatchWanted(security=True)))
    trust = guest.trust()
    assert trust.decide_wish(GUEST, now()) is None
    trust.check(GUEST, now())
    decided = trust.decide_wish(GUEST, now())
    assert decided is not None and decided.ruling is WishRuling.BRING
    server.tricks["metadata/timestamp"] = says(200, b"{}")
    with pytest.raises(Refused):
        trust.check(GUEST, now())
    assert trust.decide_wish(GUEST, now()) is None


def test_what_is_brought_is_what_was_signed(guest: GuestBench, tmp_path: Path) -> None:
    wanted = guest.check()
    guest.trust().download(wanted, tmp_path / "release")
    assert (tmp_path / "release").read_bytes() == BYTES
    assert not (tmp_path / "release.part").exists()


def test_a_guest_that_has_it_asks_once_and_reads_less_than_a_kilobyte(guest: GuestBench, server: UpdateServer) -> None:
    guest.check()
    server.asked.clear()
    server.sent = 0
    trust = guest.trust()
    done = trust.check(Guest(5001, "game-base", "1.5.0"), now())
    assert isinstance(done, Nothing) and done.ruling is Ruling.CURRENT
    assert server.asked == ["/metadata/timestamp.json"]
    assert server.sent == trust.road.received <= 1024
    print(f"an unchanged check: {trust.road.requests} request, {trust.road.received} bytes of body")


def test_a_window_that_opens_needs_no_more_than_that_question(guest: GuestBench, server: UpdateServer) -> None:
    early = now() - timedelta(days=2)
    assert guest.check(at=early).ruling is Ruling.WAITS
    server.asked.clear()
    assert isinstance(guest.check(), Wanted)
    assert server.asked == ["/metadata/timestamp.json", *server.asked[1:]] and len(server.asked) <= 2


def test_what_is_new_is_seen_at_the_next_check(guest: GuestBench, bench: RepositoryBench) -> None:
    guest.check()
    bench.roll_out("1.6.0", b"newer")
    assert guest.check().version == "1.6.0"


def test_a_broken_download_goes_on_where_it_stopped(
    guest: GuestBench, bench: RepositoryBench, server: UpdateServer, tmp_path: Path
) -> None:
    bench.roll_out("1.6.0", BIG)
    wanted = guest.check()
    server.tricks["releases/"] = break_off(300_000)
    with pytest.raises(Refused) as refused:
        guest.trust().download(wanted, tmp_path / "release")
    assert refused.value.refusal is Refusal.BROKEN_OFF
    assert not (tmp_path / "release").exists()
    server.tricks.clear()
    guest.trust().download(wanted, tmp_path / "release")
    assert server.ranges[-1] == "bytes=300000-"
    assert (tmp_path / "release").read_bytes() == BIG


def test_a_server_without_ranges_is_asked_for_all_of_it(
    guest: GuestBench, bench: RepositoryBench, server: UpdateServer, tmp_path: Path
) -> None:
    wanted = guest.check()
    (tmp_path / "release.part").write_bytes(BYTES[:100])
    server.tricks["releases/"] = says(200, BYTES)
    guest.trust().download(wanted, tmp_path / "release")
    assert (tmp_path / "release").read_bytes() == BYTES


def test_a_part_of_something_else_costs_one_attempt_and_not_the_guest(guest: GuestBench, tmp_path: Path) -> None:
    wanted = guest.check()
    (tmp_path / "release.part").write_bytes(b"other bytes")
    with pytest.raises(Refused) as refused:
        guest.trust().download(wanted, tmp_path / "release")
    assert refused.value.refusal is Refusal.ALTERED
    guest.trust().download(wanted, tmp_path / "release")
    assert (tmp_path / "release").read_bytes() == BYTES


@pytest.mark.parametrize("damage", ["emptied", "removed", "garbled"])
@pytest.mark.parametrize(
    "name", ["timestamp.json", "snapshot.json", "targets.json", "releases.json", "desired.json", "state.json", "root.json", "root_history/1.root.json"]
)  # fmt: skip
def test_a_damaged_cache_costs_some_questions_and_nothing_else(guest: GuestBench, name: str, damage: str) -> None:
    wanted = guest.check()
    path = guest.folder / "cache" / name
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "emptied" else b'{"signed": 3}')
    assert guest.check() == wanted


def test_two_checks_at_once_do_not_share_the_cache(guest: GuestBench, server: UpdateServer) -> None:
    refusals = []

    def check_too(path: str) -> None:
        server.before = lambda path: None
        with pytest.raises(Refused) as refused:
            guest.check()
        refusals.append(refused.value.refusal)

    server.before = check_too
    assert isinstance(guest.check(), Wanted)
    assert refusals == [Refusal.LOCKED]


def test_nothing_pinned_ever_is_nothing_to_do(tmp_path: Path) -> None:
    from tests.agent.update_server import update_server

    bench = RepositoryBench(tmp_path / "host")
    bench.found()
    with update_server(bench.public) as server:
        found = GuestBench(tmp_path / "guest", server.url, bench.repository.read_root()).check()
    assert isinstance(found, Nothing) and found.ruling is Ruling.UNPINNED


def test_a_folder_that_cannot_be_written_is_the_disks_fault(guest: GuestBench) -> None:
    guest.folder.write_text("a file where the folder must be")
    with pytest.raises(Refused) as refused:
        guest.trust().check(GUEST, now())
    assert refused.value.refusal is Refusal.DISK and not refused.value.is_suspicious
