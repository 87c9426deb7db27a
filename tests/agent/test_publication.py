"""The publisher: no reader ever meets half a change, whoever dies when; who signs, and how keys change hands."""

import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Delegations

from agent_plugin.refusal import Refused
from agent_plugin.wanted import Wanted
from tests.agent.conftest import GuestBench, need_guests_client
from tests.agent.repository_bench import CHEAP, PASSWORD, RULES, RepositoryBench, make, now
from tests.agent.update_server import UpdateServer, update_server
from zlh_hooks.adapters.tuf_document import DelegatedRole, parse, render
from zlh_hooks.adapters.tuf_key import KeyFolder
from zlh_hooks.domain.agent_trust import PERSON, Purpose, TrustRole, list_expiries
from zlh_hooks.domain.errors import NotAllowed, SettingsError

need_guests_client()


OTHER_PYTHON = Path(__file__).parents[2] / ".venv-debian13" / "bin" / "python"
Act = Callable[[RepositoryBench], None]


def release_more(bench: RepositoryBench) -> None:
    bench.want("1.6.0", bench.release("1.6.0", b"newer"), number=2)


def exchange_ben_for_carl(bench: RepositoryBench) -> None:
    """Ben is away for good: his place is taken with the sealed key's help."""
    bench.keys.make("carl", PERSON)
    bench.repository.add_person("carl", now())
    bench.repository.remove_holder("ben", now())
    bench.sign("anna", "sealed", "carl")


def change_the_online_key(bench: RepositoryBench) -> None:
    bench.keys.make("online2", [Purpose.ONLINE])
    bench.repository.replace_online("online2", now())
    bench.sign("anna", "ben")


def all_at_once(bench: RepositoryBench) -> None:
    release_more(bench)
    exchange_ben_for_carl(bench)
    bench.keys.make("online2", [Purpose.ONLINE])
    bench.repository.replace_online("online2", now())
    bench.sign("anna", "sealed", "carl")


CHANGES = [release_more, exchange_ben_for_carl, change_the_online_key, all_at_once]


def publish_until(bench: RepositoryBench, writes: int) -> bool:
    """Publish in a process that is killed before the write of that number; whether it came to that."""
    child = os.fork()
    if child == 0:
        left, write = [writes], bench.folder.write_public

        def write_or_die(path: str, data: bytes) -> None:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            write(path, data)

        bench.folder.write_public = write_or_die  # type: ignore[method-assign]
        bench.publish()
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize("change", CHANGES)
def test_a_publisher_killed_between_any_two_writes_leaves_readers_a_whole_state_and_goes_on(
    tmp_path: Path, change: Act, record_property: Callable[[str, object], None]
) -> None:
    point, killed = 0, True
    while killed:
        bench = make(tmp_path / f"host{point}")
        with update_server(bench.public) as server:
            old = GuestBench(tmp_path / f"old{point}", server.url, bench.repository.read_root())
            assert old.check().version == "1.5.0"
            change(bench)
            killed = publish_until(bench, point)
            seen = [
                old.check().version,
                GuestBench(tmp_path / f"new{point}", server.url, old.root).check().version,
            ]
            assert set(seen) <= {"1.5.0", "1.6.0"} and seen[0] == seen[1]
            bench.publish()
            assert old.check().version == expected(bench)
            assert GuestBench(tmp_path / f"last{point}", server.url, old.root).check().version == expected(bench)
            assert not any(standing.is_draft for standing in bench.repository.list_standings())
        point += 1
    assert point >= 3
    record_property("points", point)


def expected(bench: RepositoryBench) -> str:
    return max(release.version for release in bench.repository.list_releases())


@pytest.mark.parametrize("change", CHANGES)
def test_a_guest_that_reads_while_something_is_published_sees_the_old_state_or_the_new_one(
    tmp_path: Path, change: Act
) -> None:
    """At each request of the guest, everything is published that is ready."""
    request, more = 0, True
    while more:
        bench = make(tmp_path / f"host{request}")
        with update_server(bench.public) as server:
            guest = GuestBench(tmp_path / f"guest{request}", server.url, bench.repository.read_root())
            change(bench)
            publish_at(bench, server, request)
            assert guest.check().version in ("1.5.0", "1.6.0")
            more = len(server.asked) > request
            assert guest.check().version == expected(bench)
        request += 1
    assert request >= 5


def publish_at(bench: RepositoryBench, server: UpdateServer, request: int) -> None:
    """Publish just before the answer to the request of that number."""

    def publish(path: str) -> None:
        if len(server.asked) == request:
            bench.publish()

    server.before = publish


def test_many_readers_and_a_publisher_never_disturb_each_other(tmp_path: Path) -> None:
    bench = make(tmp_path / "host")
    faults: list[Refused] = []
    seen: set[str] = set()
    done = threading.Event()

    def read(number: int, url: str, root: bytes) -> None:
        guest = GuestBench(tmp_path / f"guest{number}", url, root)
        while not done.is_set():
            try:
                seen.add(guest.check().version)
            except Refused as refused:
                faults.append(refused)

    with update_server(bench.public) as server:
        root = bench.repository.read_root()
        readers = [threading.Thread(target=read, args=(number, server.url, root)) for number in range(2)]
        for reader in readers:
            reader.start()
        for number in range(15):
            bench.roll_out(f"1.6.{number}", f"build {number}".encode(), number=number + 2)
        done.set()
        for reader in readers:
            reader.join()
    assert faults == [] and len(seen) > 1


# --- who must sign


def test_what_has_ended_is_not_published(bench: RepositoryBench) -> None:
    with pytest.raises(NotAllowed, match=r"desired 2 ended on .*: agent keys renew desired"):
        bench.publish(now() + timedelta(days=91))


def test_a_second_person_signs_what_the_policy_wants_two_for(tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.rules[TrustRole.RELEASES] = RULES[TrustRole.ROOT]  # type: ignore[index]
    bench.keys.make("carl", PERSON)
    bench.repository.add_person("carl", now())
    bench.sign("anna", "ben")
    bench.publish()
    bench.release("1.6.0", b"newer")
    assert re.search(r"releases 4 lacks 1 .* anna, carl", bench.list_waiting()[TrustRole.RELEASES])
    bench.sign("carl")
    assert bench.list_waiting() == {}


def test_a_person_who_leaves_counts_no_more_and_guests_go_on(guest: GuestBench, bench: RepositoryBench) -> None:
    guest.check()
    exchange_ben_for_carl(bench)
    bench.publish()
    assert isinstance(guest.check(), Wanted)
    bench.release("1.6.0", b"by ben, who left")
    assert re.search(r"releases 4 lacks 1 .* anna, carl", bench.list_waiting()[TrustRole.RELEASES])
    bench.sign("carl")
    bench.publish()
    assert isinstance(guest.check(), Wanted)
    assert {name for one in bench.repository.list_standings() for name in one.may_sign} <= {"anna", "carl", "sealed"}


def test_the_last_who_can_sign_cannot_be_removed(bench: RepositoryBench) -> None:
    bench.repository.remove_holder("ben", now())
    with pytest.raises(NotAllowed, match="root needs 2 signatures and would have 1 keys: add a person first"):
        bench.repository.remove_holder("anna", now())
    with pytest.raises(NotAllowed, match="dora has no key in this repository; anna, online, sealed have"):
        bench.repository.remove_holder("dora", now())


def test_a_lost_online_key_is_replaced_without_it(guest: GuestBench, bench: RepositoryBench) -> None:
    guest.check()
    (bench.home / "online" / "online.online.key").unlink()
    with pytest.raises(NotAllowed, match="the online key of online, which is not on this machine"):
        bench.publish()
    change_the_online_key(bench)
    bench.publish()
    assert isinstance(guest.check(), Wanted)


def test_a_repository_is_founded_once(bench: RepositoryBench) -> None:
    with pytest.raises(NotAllowed, match="there is a repository already"):
        bench.repository.found(["anna", "ben"], "sealed", "online", now())


@pytest.mark.parametrize("role", [TrustRole.TARGETS, TrustRole.RELEASES])
def test_a_delegated_role_has_exactly_one_delegator(bench: RepositoryBench, role: TrustRole) -> None:
    document = parse(render(bench.folder.load(role)))
    document.signed.version += 1
    key = bench.keys.read_public("anna")[Purpose.OPERATOR]
    foreign = DelegatedRole("desired" if role is TrustRole.RELEASES else "more", [key.keyid], 1, True, paths=["*"])
    if role is TrustRole.TARGETS:
        document.signed.delegations.roles["more"] = foreign
    else:
        document.signed.delegations = Delegations({key.keyid: key}, {"desired": foreign})
    bench.folder.write_draft(role, document)
    bench.sign("anna", "ben")
    assert "delegat" in bench.list_waiting()[role]
    assert bench.folder.find_draft(role) is not None


# --- ends


def test_ends_are_told_long_before_and_an_unattended_publisher_need_not_be_asked(bench: RepositoryBench) -> None:
    standings = bench.repository.list_standings()
    assert not any(expiry.warns for expiry in list_expiries(standings, RULES, 25, now()))
    after = {
        expiry.role: (expiry.warns, expiry.over)
        for expiry in list_expiries(standings, RULES, 25, now() + timedelta(days=24))
    }
    assert after[TrustRole.TIMESTAMP] == (True, False) and after[TrustRole.ROOT] == (False, False)
    (first, *_) = list_expiries(standings, RULES, 25, now() + timedelta(days=31))
    assert (first.role, first.over, first.remedy) == (TrustRole.TIMESTAMP, True, "zlh-hooks agent publish")
    assert {expiry.role for expiry in list_expiries(standings, RULES, 25, now())} == set(TrustRole)


# --- key files


def test_private_keys_are_for_their_owner_alone_and_encrypted(bench: RepositoryBench) -> None:
    folders = bench.home / "keys", bench.home / "online"
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    private = sorted(path for folder in folders for path in folder.glob("*.key"))
    assert len(private) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert not any(b"PRIVATE" in path.read_bytes() for path in private)


def test_a_key_that_others_may_read_is_not_used(bench: RepositoryBench) -> None:
    (bench.home / "online" / "online.online.key").chmod(0o640)
    with pytest.raises(SettingsError, match=r"mode 0640, open to others; expected mode 0600"):
        bench.publish()


def keys_with(bench: RepositoryBench, password: str) -> KeyFolder:
    return KeyFolder(bench.home / "keys", bench.home / "online", lambda _holder, _new: password, CHEAP)


def test_a_wrong_password_opens_nothing_and_is_not_shown(bench: RepositoryBench) -> None:
    with pytest.raises(NotAllowed, match="the password is wrong") as refused:
        keys_with(bench, "hunter2 hunter2").open_signer("anna", Purpose.ROOT)
    assert "hunter2" not in str(refused.value)


def test_a_renamed_key_does_not_pass_for_another_one(bench: RepositoryBench) -> None:
    keys = bench.home / "keys"
    (keys / "anna.release.key").replace(keys / "anna.operator.key")
    with pytest.raises(NotAllowed, match="changed or renamed"):
        keys_with(bench, PASSWORD).open_signer("anna", Purpose.OPERATOR)


@pytest.mark.parametrize(
    ("holder", "password", "said"),
    [
        ("dora", "short", "found 5 characters; expected at least 12 characters"),
        ("../dora", PASSWORD, "a short word of a-z"),
    ],
)
def test_a_weak_password_and_a_strange_name_are_refused(
    bench: RepositoryBench, holder: str, password: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        keys_with(bench, password).make(holder, PERSON)


def test_keys_whose_making_was_killed_are_finished_under_the_same_password_and_no_other(bench: RepositoryBench) -> None:
    keys = bench.home / "keys"
    bench.keys.make("carl", PERSON)
    made = (keys / "carl.root.key").read_bytes()
    for name in ("carl.public.json", "carl.operator.key"):
        (keys / name).unlink()
    with pytest.raises(NotAllowed, match="the password is wrong"):
        keys_with(bench, "hunter2 hunter2").make("carl", PERSON)
    keys_with(bench, PASSWORD).make("carl", PERSON)
    assert (keys / "carl.root.key").read_bytes() == made
    known = bench.keys.read_public("carl")
    assert {
        keys_with(bench, PASSWORD).open_signer("carl", one).public_key.keyid == known[one].keyid for one in PERSON
    } == {True}


def test_keys_are_never_made_over_others(bench: RepositoryBench) -> None:
    with pytest.raises(NotAllowed, match="anna has keys already"):
        bench.keys.make("anna", PERSON)


# --- Debian 13's tuf 5.1 and the newest understand each other

READ = """
import sys
from pathlib import Path
from tuf.ngclient import Updater
cache, public = Path(sys.argv[1]), sys.argv[2]
cache.mkdir()
(cache / "root.json").write_bytes(Path(sys.argv[3]).read_bytes())
updater = Updater(str(cache), public + "/metadata/", str(cache), public + "/targets/")
updater.refresh()
print(Path(updater.download_target(updater.get_targetinfo("desired/state.json"))).read_text())
print(updater.get_targetinfo("releases/zlh-agent-1.5.0-all.tar.gz").custom)
"""


def test_a_repository_made_with_debians_tuf_is_read_by_the_newest(tmp_path: Path) -> None:
    home = tmp_path / "host"
    subprocess.run([OTHER_PYTHON, "-m", "tests.agent.repository_bench", home], check=True, timeout=60)
    bench = RepositoryBench(home)
    with update_server(bench.public) as server:
        guest = GuestBench(tmp_path / "guest", server.url, bench.repository.read_root())
        assert guest.check().version == "1.5.0"
        bench.roll_out("1.6.0", b"by the newest")
        assert guest.check().version == "1.6.0"


def test_a_repository_made_with_the_newest_tuf_is_read_by_debians(
    bench: RepositoryBench, server: UpdateServer, tmp_path: Path
) -> None:
    bench.repository.renew([TrustRole.ROOT], now())
    bench.sign("anna", "ben")
    bench.publish()
    root = bench.public / "metadata" / "1.root.json"
    words = [OTHER_PYTHON, "-c", READ, tmp_path / "cache", server.url, root]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    assert '"version": "1.5.0"' in done.stdout and "x-zlh-release" in done.stdout
    assert "/metadata/2.root.json" in server.asked
    assert sys.executable != str(OTHER_PYTHON)
