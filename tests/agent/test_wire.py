"""The status document, wire format version 1: the golden sample, unknown fields, and what is not a document."""

import json
from pathlib import Path

import pytest

from agent_plugin.wire import (
    REVERTS_WISHES,
    BadDocument,
    Check,
    Failure,
    Patched,
    Status,
    Wished,
    parse_status,
    render_status,
)

SAMPLE = Path(__file__).parents[1] / "samples" / "wire" / "status-1.json"
GOLDEN = Status(
    written="2026-11-23T22:04:05+00:00",
    current="1.4.0-0a1b2c3d",
    previous="1.3.9-99aabbcc",
    on_trial=False,
    txn="08b0aa37858a",
    wanted="1.5.0-deadbeef",
    step="END",
    outcome="reverted",
    reason="WATCH: a net went back: on-failure; the agent ended with exit-code exited 1",
    blocked={"1.5.0-deadbeef": "WATCH: a net went back: on-failure; the agent ended with exit-code exited 1"},
    failure=Failure(
        release="1.5.0-deadbeef",
        reason="WATCH: a net went back: on-failure; the agent ended with exit-code exited 1",
        net="on-failure",
        exit="exit-code exited 1",
        log="2026-11-23T22:04:01+0000 game-5001 zlh-agent[371]: no such module\n",
    ),
    check=Check(
        at="2026-11-23T22:04:05+00:00",
        outcome="waits",
        said="pin 7: line game-base, ring all (within the first 100 %), 1.5.1 is 1.5.1; it may start from later on",
        opens="2026-11-24T04:03:20+00:00",
        pin=7,
    ),
    patch=Patched(
        txn="5d1f0c2ab94e",
        step="END",
        outcome="installed",
        impact="restart",
        packages={"libssl3": "3.0.15-1~deb12u1"},
        previous={"libssl3": "3.0.14-1~deb12u2"},
        restarted=("ssh.service",),
        waits=("zlh-game.service",),
        beside=("/etc/ssl/openssl.cnf.dpkg-dist",),
    ),
    wish=Wished(
        number=3,
        id="5b0d1f9f2c5b6fd8c9c3f1c1f3a0f9d3f8e2f7b6a4c3d2e1f0a9b8c7d6e5f4a3",
        words="security fixes",
        ruling="bring-live",
        said="wish 3: line game-base, ring all (within the first 100 %), security fixes; now only what nobody who plays feels",
        opens="2026-11-24T04:03:20+00:00",
        state="done",
        tries=1,
        txn="5d1f0c2ab94e",
        outcome="installed",
    ),
)


def test_the_golden_sample_is_read_and_written_as_ever() -> None:
    assert parse_status(SAMPLE.read_bytes()) == GOLDEN
    assert render_status(GOLDEN) == SAMPLE.read_text()


def test_what_a_newer_guest_says_passes_an_older_reader_unharmed() -> None:
    newer = json.loads(SAMPLE.read_text())
    newer["players"], newer["failure"]["core"], newer["patch"]["kernel"] = 3, "dumped", "6.1"
    newer["wish"]["by"] = "anna"
    read = parse_status(json.dumps(newer))
    assert (read.unknown, read.failure and read.failure.unknown) == ({"players": 3}, {"core": "dumped"})
    assert read.patch is not None
    assert read.patch.unknown == {"kernel": "6.1"}
    assert read.wish is not None
    assert read.wish.unknown == {"by": "anna"}
    assert json.loads(render_status(read)) == newer


def test_how_a_wish_ended_is_not_known_of_a_guest_that_does_not_say() -> None:
    older = json.loads(SAMPLE.read_text())
    del older["wish"]["outcome"]
    read = parse_status(json.dumps(older))
    assert read.wish is not None and (read.wish.state, read.wish.outcome) == ("done", "")


def test_a_guest_that_knows_no_wishes_has_none() -> None:
    older = json.loads(SAMPLE.read_text())
    del older["wish"]
    assert parse_status(json.dumps(older)).wish is None


def test_what_a_plugin_can_do_is_told_and_one_that_tells_of_nothing_can_do_what_all_could() -> None:
    able = Status("2026-11-23T22:04:05+00:00", abilities=(REVERTS_WISHES,))
    assert json.loads(render_status(able))["abilities"] == ["revert-wish"]
    assert parse_status(render_status(able)) == able
    assert parse_status(SAMPLE.read_bytes()).abilities == ()


def test_a_guest_without_anything_to_tell_is_a_document_too() -> None:
    assert parse_status(render_status(Status("2026-11-23T22:04:05+00:00"))) == Status("2026-11-23T22:04:05+00:00")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 60000, "not JSON"),
        ("[]", "not a table"),
        ('{"format": 2, "written": ""}', "not of format 1"),
        ('{"format": true, "written": ""}', "format: int is wanted"),
        ('{"format": 1}', "written is missing"),
        ('{"format": 1, "written": "\\ud800"}', "written: str is wanted"),
        ('{"format": 1, "written": 5}', "written: str is wanted"),
        ('{"format": 1, "written": "", "on_trial": "no"}', "on_trial: bool is wanted"),
        ('{"format": 1, "written": "", "check": 1}', "check: a table is wanted"),
        ('{"format": 1, "written": "", "check": {"at": ""}}', "check: outcome is missing"),
        ('{"format": 1, "written": "", "check": {"at": "", "outcome": "", "pin": true}}', "pin: int is wanted"),
        ('{"format": 1, "written": "", "check": {"at": "", "outcome": 1}}', "outcome: str is wanted"),
        ('{"format": 1, "written": "", "blocked": []}', "blocked: dict is wanted"),
        ('{"format": 1, "written": "", "blocked": {"a": 1}}', "blocked: texts are wanted"),
        ('{"format": 1, "written": "", "blocked": {"\\udfff": ""}}', "blocked: texts are wanted"),
        ('{"format": 1, "written": "", "failure": "x"}', "failure: a table is wanted"),
        ('{"format": 1, "written": "", "failure": {"release": "", "reason": "", "log": 1}}', "log: str is wanted"),
        ('{"format": 1, "written": "", "patch": {"txn": ""}}', "patch: step is missing"),
        ('{"format": 1, "written": "", "patch": {"txn": "", "step": "", "packages": {"a": 1}}}', "packages: texts"),
        ('{"format": 1, "written": "", "patch": {"txn": "", "step": "", "waits": [1]}}', "waits: texts are wanted"),
        ('{"format": 1, "written": "", "wish": {"number": 1, "id": ""}}', "wish: words is missing"),
        (" " * 70000, "longer than 65536 bytes"),
    ],
)
def test_what_is_no_document_is_refused_by_the_field(text: str, words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        parse_status(text)
