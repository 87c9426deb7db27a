"""Every attack and fault of a server, a mirror or a thief of some keys: none is believed, and each has its own name.

Against a real HTTP server on loopback. A refusal's name and the document it speaks of together are that name.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent_plugin.desired import Guest, Ruling
from agent_plugin.mark import read_marks
from agent_plugin.refusal import Refusal, Refused
from agent_plugin.wanted import Wanted
from tests.agent.conftest import GUEST, QUICK, GuestBench, need_guests_client
from tests.agent.repository_bench import BYTES, RULES, RepositoryBench, now
from tests.agent.update_server import (
    UpdateServer,
    break_off,
    drip,
    gives,
    reset,
    says,
    stall,
    stall_in_headers,
)
from zlh_hooks.adapters.tuf_document import parse, put_file, render
from zlh_hooks.domain.agent_trust import SIGNED_BY_PEOPLE, Purpose, TrustRole

need_guests_client()


def refusal(act: Callable[[], object]) -> tuple[Refusal, str]:
    with pytest.raises(Refused) as refused:
        act()
    assert refused.value.detail
    return refused.value.refusal, refused.value.where


# --- what a server or a mirror can do

SERVERS = [
    ("timestamp", stall, Refusal.STALLED, "metadata/timestamp.json"),
    ("timestamp", stall_in_headers, Refusal.TOO_SLOW, "metadata/timestamp.json"),
    ("timestamp", drip, Refusal.TOO_SLOW, "metadata/timestamp.json"),
    ("timestamp", break_off(20), Refusal.BROKEN_OFF, "metadata/timestamp.json"),
    ("timestamp", reset, Refusal.BROKEN_OFF, "metadata/timestamp.json"),
    ("timestamp", says(503, headers={"Retry-After": "60"}), Refusal.SERVER_BUSY, "metadata/timestamp.json"),
    ("timestamp", says(500), Refusal.SERVER_ERROR, "metadata/timestamp.json"),
    ("timestamp", says(302, headers={"Location": "/metadata/timestamp.json"}), Refusal.REDIRECTED, "metadata/timestamp.json"),
    ("timestamp", says(404), Refusal.MISSING, "timestamp"),
    ("timestamp", gives(lambda data: data[:200]), Refusal.MALFORMED, "timestamp"),
    ("timestamp", gives(lambda data: data + b" " * 20_000), Refusal.TOO_LONG, "timestamp"),
    ("timestamp", gives(lambda data: data.replace(b'"version":2', b'"version":3')), Refusal.SIGNATURES, "timestamp"),
    ("snapshot", says(404), Refusal.MISSING, "snapshot"),
    ("snapshot", gives(lambda data: b"\x1f\x8b" + bytes(100)), Refusal.MALFORMED, "snapshot"),
    ("2.releases", says(404), Refusal.MISSING, "releases"),
    ("2.releases", gives(lambda data: data.replace(b"1.5.0", b"6.6.6")), Refusal.SIGNATURES, "releases"),
    ("2.desired", gives(lambda data: b"{}"), Refusal.MALFORMED, "desired"),
    ("state.json", gives(lambda data: data.replace(b"1.5.0", b"6.6.6")), Refusal.ALTERED, "desired/state.json"),
    ("state.json", says(404), Refusal.MISSING, "desired/state.json"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "trick", "name", "where"), SERVERS, ids=lambda value: str(getattr(value, "value", ""))
)
def test_a_server_that_lies_or_fails_is_refused_by_name(
    guest: GuestBench, server: UpdateServer, part: str, trick: object, name: Refusal, where: str
) -> None:
    server.tricks[part] = trick  # type: ignore[assignment]
    began = time.monotonic()
    found = refusal(guest.check)
    assert found[0] is name and found[1].endswith(where)
    assert time.monotonic() - began < QUICK.check_seconds + 2
    server.tricks.clear()
    assert isinstance(guest.check(), Wanted), "what was refused must not stay in the way"


DOWNLOADS = [
    (gives(lambda data: data[:-1] + b"!"), Refusal.ALTERED),
    (gives(lambda data: data[:100]), Refusal.ALTERED),
    (gives(lambda data: data + b"more"), Refusal.TOO_LONG),
    (says(404), Refusal.MISSING),
    (stall, Refusal.STALLED),
    (drip, Refusal.TOO_SLOW),
    (break_off(50), Refusal.BROKEN_OFF),
]


@pytest.mark.parametrize(("trick", "name"), DOWNLOADS, ids=lambda value: str(getattr(value, "value", "")))
def test_a_file_that_is_not_as_signed_never_gets_its_name(
    guest: GuestBench, server: UpdateServer, tmp_path: Path, trick: object, name: Refusal
) -> None:
    wanted = guest.check()
    server.tricks["targets/releases"] = trick  # type: ignore[assignment]
    assert refusal(lambda: guest.trust().download(wanted, tmp_path / "release"))[0] is name
    assert not (tmp_path / "release").exists()
    server.tricks.clear()
    guest.trust().download(wanted, tmp_path / "release")
    assert (tmp_path / "release").read_bytes() == BYTES


def test_a_server_that_is_off_is_no_attack(guest: GuestBench) -> None:
    with pytest.raises(Refused) as refused:
        guest.trust("http://127.0.0.1:9").check(GUEST, now())
    assert refused.value.refusal is Refusal.UNREACHABLE and not refused.value.is_suspicious


def test_a_root_that_is_none_is_refused(guest: GuestBench) -> None:
    assert refusal(lambda: guest.trust(root=b"garbage").check(GUEST, now())) == (Refusal.MALFORMED, "bootstrap")


# --- old documents as new ones


def keep(bench: RepositoryBench, name: str) -> Path:
    """A mirror's copy of what is published now."""
    copy = bench.home / name
    shutil.copytree(bench.public, copy)
    return copy


def test_an_older_timestamp_is_a_rollback(guest: GuestBench, bench: RepositoryBench, server: UpdateServer) -> None:
    old = keep(bench, "old")
    bench.roll_out("1.6.0")
    guest.check()
    server.folder = old
    assert refusal(guest.check) == (Refusal.ROLLED_BACK, "timestamp")


def test_a_newer_timestamp_that_names_an_older_snapshot_is_a_rollback(
    guest: GuestBench, bench: RepositoryBench
) -> None:
    """By a thief of the online key."""
    old = (bench.public / "metadata/1.snapshot.json").read_bytes()
    bench.roll_out("1.6.0")
    guest.check()
    sign_timestamp(bench, version=9, snapshot=parse(old).signed.version)
    assert refusal(guest.check) == (Refusal.ROLLED_BACK, "timestamp")


def sign_timestamp(bench: RepositoryBench, version: int, snapshot: int) -> None:
    path = bench.public / "metadata/timestamp.json"
    document = parse(path.read_bytes())
    document.signed.version, document.signed.snapshot_meta.version = version, snapshot
    document.sign(bench.keys.open_signer("online", Purpose.ONLINE))
    path.write_bytes(render(document))


@pytest.mark.parametrize("wiped", ["cache removed", "cache emptied"])
def test_a_replay_after_the_cache_was_wiped_is_found_by_the_marks(
    guest: GuestBench, bench: RepositoryBench, server: UpdateServer, wiped: str
) -> None:
    old = keep(bench, "old")
    bench.roll_out("1.6.0")
    guest.check()
    cache = guest.folder / "cache"
    if wiped == "cache removed":
        shutil.rmtree(cache)
    for path in cache.rglob("*.json"):
        path.write_bytes(b"")
    server.folder = old
    assert refusal(guest.check)[0] is Refusal.REPLAYED
    assert refusal(guest.check)[0] is Refusal.REPLAYED, "a second try is no better"
    server.folder = bench.public
    assert guest.check().version == "1.6.0"


def test_marks_only_grow_and_a_damaged_file_of_marks_is_a_persons_business(
    guest: GuestBench, bench: RepositoryBench
) -> None:
    guest.check()
    first = read_marks(guest.folder / "high-water.json")
    bench.roll_out("1.6.0")
    guest.check()
    second = read_marks(guest.folder / "high-water.json")
    assert all(second.versions[role] >= version for role, version in first.versions.items())
    assert second.versions["desired"] > first.versions["desired"]
    (guest.folder / "high-water.json").write_bytes(b"")
    assert refusal(guest.check) == (Refusal.MARKS_DAMAGED, "high-water.json")


def test_parts_that_were_never_published_together_are_refused(
    guest: GuestBench, bench: RepositoryBench, server: UpdateServer
) -> None:
    old = (bench.public / "metadata/2.desired.json").read_bytes()
    bench.roll_out("1.6.0")
    server.tricks["3.desired"] = gives(lambda _data: old)
    assert refusal(guest.check) == (Refusal.MIXED, "desired")


# --- clocks and ends


@pytest.mark.parametrize("role", TrustRole)
def test_what_has_ended_is_not_believed(guest: GuestBench, bench: RepositoryBench, role: TrustRole) -> None:
    for other, rule in RULES.items():
        bench.rules[other] = replace(rule, life=timedelta(days=20 if other is role else 300))  # type: ignore[index]
    bench.repository.renew(SIGNED_BY_PEOPLE, now())
    bench.sign("anna", "ben")
    bench.publish()
    assert isinstance(guest.check(at=now() + timedelta(days=19)), Wanted)
    assert refusal(lambda: guest.check(at=now() + timedelta(days=21))) == (Refusal.EXPIRED, role)


def test_an_ended_timestamp_is_refused_by_the_machines_own_clock_too(guest: GuestBench, bench: RepositoryBench) -> None:
    bench.publish(now() - timedelta(days=40))
    assert refusal(guest.check) == (Refusal.EXPIRED, "timestamp")


@pytest.mark.parametrize(
    ("shift", "name"),
    [(-3650, Refusal.CLOCK_BEHIND), (3650, Refusal.CLOCK_AHEAD), (36500, Refusal.CLOCK_AHEAD)],
)
def test_ten_years_off_is_the_clocks_fault_and_nothing_is_installed(
    guest: GuestBench, shift: int, name: Refusal
) -> None:
    assert refusal(lambda: guest.check(at=now() + timedelta(days=shift))) == (name, "clock")
    assert isinstance(guest.check(), Wanted), "a clock that is set right is believed again"


def test_a_clock_before_the_last_signature_seen_is_behind(guest: GuestBench) -> None:
    guest.check()
    assert refusal(lambda: guest.check(at=now() - timedelta(hours=1))) == (Refusal.CLOCK_BEHIND, "clock")


# --- thieves of keys


def forge(
    bench: RepositoryBench, role: TrustRole, change: Callable[[object], None], *keys: tuple[str, Purpose]
) -> None:
    """The next version of a document, signed by these alone, and published by whoever has the online key."""
    known = bench.folder.load(role)
    document = parse(render(known))
    document.signed.version += 1
    document.signatures.clear()
    change(document)
    for key in keys:
        document.sign(bench.keys.open_signer(*key), append=True)
    (bench.public / f"metadata/{document.signed.version}.{role}.json").write_bytes(render(document))
    if role is not TrustRole.ROOT:
        snapshot = parse((bench.public / "metadata/2.snapshot.json").read_bytes())
        snapshot.signed.version = 3
        snapshot.signed.meta[f"{role}.json"].version = document.signed.version
        snapshot.sign(bench.keys.open_signer("online", Purpose.ONLINE))
        (bench.public / "metadata/3.snapshot.json").write_bytes(render(snapshot))
    sign_timestamp(bench, version=9, snapshot=2 if role is TrustRole.ROOT else 3)


def untouched(document: object) -> None:
    """As it was."""


@pytest.mark.parametrize(
    ("role", "keys"),
    [
        (TrustRole.ROOT, [("anna", Purpose.ROOT)]),
        (TrustRole.TARGETS, [("anna", Purpose.ROOT)]),
        (TrustRole.RELEASES, []),
        (TrustRole.RELEASES, [("anna", Purpose.OPERATOR)]),
        (TrustRole.DESIRED, [("online", Purpose.ONLINE)]),
        (TrustRole.DESIRED, [("ben", Purpose.RELEASE)]),
    ],
)
def test_too_few_keys_or_others_do_not_count(
    guest: GuestBench, bench: RepositoryBench, role: TrustRole, keys: list[tuple[str, Purpose]]
) -> None:
    forge(bench, role, untouched, *keys)
    assert refusal(guest.check) == (Refusal.SIGNATURES, role.value)


def test_an_operator_alone_cannot_bring_bytes(guest: GuestBench, bench: RepositoryBench) -> None:
    """Not by a version that nobody released, and not by listing its file under their own name."""
    evil = b"not released"
    build = replace(bench_build(bench), sha256="ab" * 32, size=len(evil))
    bench.want("6.6.6", build)
    bench.publish()
    name, where = refusal(guest.check)
    assert (name, where) == (Refusal.NOT_RELEASED, "releases/zlh-agent-6.6.6-all.tar.gz")
    forged = bench.folder.load(TrustRole.DESIRED)
    document = parse(render(forged))
    document.signed.version += 1
    put_file(document, where, evil, {})
    document.sign(bench.keys.open_signer("anna", Purpose.OPERATOR))
    bench.folder.write_draft(TrustRole.DESIRED, document)
    bench.folder.write_file(where, evil)
    bench.publish()
    assert refusal(guest.check) == (Refusal.NOT_RELEASED, where)


def bench_build(bench: RepositoryBench):  # type: ignore[no-untyped-def]
    from agent_plugin.desired import Build

    (release,) = bench.repository.list_releases()
    return Build(release.sha256, release.size)


def test_release_keys_alone_cannot_change_what_a_version_means(guest: GuestBench, bench: RepositoryBench) -> None:
    bench.release("1.5.0", b"other bytes, same version")
    bench.publish()
    assert refusal(guest.check) == (Refusal.DISAGREEMENT, "releases/zlh-agent-1.5.0-all.tar.gz")


def test_release_keys_say_whom_a_version_may_follow(guest: GuestBench, bench: RepositoryBench) -> None:
    bench.want("1.7.0", bench.release("1.7.0", b"seven", come_from=">=1.6"))
    bench.publish()
    found = guest.check()
    assert found.ruling is Ruling.NOT_FROM_HERE, "nobody attacks: it is a mistake of operators, and it harms nobody"
    assert "release keys let only >=1.6 come to it, and 1.4.2 is installed" in found.rule
    assert isinstance(guest.check(Guest(5001, "game-base", "1.6.0")), Wanted)


def test_release_keys_say_from_where_nobody_could_go_back(guest: GuestBench, bench: RepositoryBench) -> None:
    bench.want("1.7.0", bench.release("1.7.0", b"seven", back_to=">=1.6"))
    bench.publish()
    assert guest.check().ruling is Ruling.NOT_FROM_HERE
    assert isinstance(guest.check(Guest(5001, "game-base", "1.6.0")), Wanted)
    assert isinstance(guest.check(Guest(5001, "game-base", None)), Wanted)


def test_whoever_is_led_back_may_come_whatever_the_older_release_says(
    guest: GuestBench, bench: RepositoryBench
) -> None:
    build = bench.release("1.4.0", b"four", come_from=">=1.3,<1.4", back_to="~=1.3")
    bench.want("1.4.0", build, downgrade=True, back_to=("1.3.0",), number=2)
    bench.publish()
    found = guest.check(Guest(5001, "game-base", "1.5.0"))
    assert isinstance(found, Wanted) and found.back_to == ("1.3.0", "1.5.0")


def test_a_way_back_that_the_release_does_not_know_is_refused(guest: GuestBench, bench: RepositoryBench) -> None:
    bench.want("1.7.0", bench.release("1.7.0", b"seven", back_to=">=1.4"), back_to=("1.3.0", "1.4.2"))
    bench.publish()
    assert refusal(guest.check)[0] is Refusal.DISAGREEMENT


def test_a_version_below_the_allowed_one_is_not_installed(guest: GuestBench, bench: RepositoryBench) -> None:
    newer = Guest(5001, "game-base", "1.6.0")
    assert guest.check(newer).ruling is Ruling.DOWNGRADE
    bench.want("1.5.0", bench_build(bench), downgrade=True, number=2)
    bench.publish()
    assert guest.check(newer).version == "1.5.0"
    bench.want("1.5.0", bench_build(bench), come_from=">=1.4.5", number=3)
    bench.publish()
    assert guest.check().ruling is Ruling.TOO_OLD


def test_a_state_of_a_later_format_is_told_apart(guest: GuestBench, bench: RepositoryBench) -> None:
    state = json.loads(bench.repository.read_state() or b"")
    bench.repository.write_state(json.dumps({**state, "format": 2}).encode(), now())
    bench.sign("anna")
    bench.publish()
    assert refusal(guest.check) == (Refusal.NEWER_FORMAT, "desired/state.json")


def test_numbers_that_a_thief_of_the_online_key_drove_up_are_forgotten_with_that_key(
    guest: GuestBench, bench: RepositoryBench
) -> None:
    """The way back from a fast-forward: another online key; numbers begin where the publisher is."""
    honest = (bench.public / "metadata/timestamp.json").read_bytes()
    guest.check()
    sign_timestamp(bench, version=2**40, snapshot=2)
    guest.check()
    (bench.public / "metadata/timestamp.json").write_bytes(honest)
    assert refusal(guest.check) == (Refusal.ROLLED_BACK, "timestamp")
    bench.keys.make("online2", [Purpose.ONLINE])
    bench.repository.replace_online("online2", now())
    bench.sign("anna", "ben")
    bench.publish()
    bench.publish()
    assert isinstance(guest.check(), Wanted)
    assert read_marks(guest.folder / "high-water.json").versions["timestamp"] < 100
