"""``zlh-hooks agent`` as two people use it: keys, a release, pins, a Saturday's way back, and what all of it means."""

import hashlib
import json
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent_plugin.desired_wire import parse_state
from agent_plugin.slot import PROGRAM
from tests.agent.release import pack
from tests.cli.site_file import write_site
from zlh_hooks.adapters import tuf_key
from zlh_hooks.cli.agent import app
from zlh_hooks.cli.emergency import app as emergency_app
from zlh_hooks.domain.errors import NotAllowed, SettingsError

POLICY = """
time_zone = "UTC"
[[windows]]
name = "nights"
rule = "FREQ=DAILY"
start = "00:00"
length_minutes = 60
[lines.game-base]
data_paths = ["/data"]
probes = [{ kind = "agent" }]
[emergency]
[agents]
jitter = "10m"
[[agents.rings]]
name = "canary"
vmids = ["5001-5003", "5004"]
percent = 5
[[agents.rings]]
name = "all"
percent = 100
"""


class Terminal:
    """Types commands; ``password`` is what is typed when one is asked for."""

    def __init__(self, home: Path) -> None:
        self.home, self.password = home, "correct horse battery"
        places = {"folder": "agents", "public": "public", "keys": "keys", "online_keys": "online"}
        agents = "".join(f'{name} = "{home}/{place}"\n' for name, place in places.items())
        self.files = write_site(home, POLICY, f"[agents]\n{agents}")
        self.config = home / "zlh-hooks.toml"

    def type_in(self, *words: str, app=app) -> Result:  # type: ignore[no-untyped-def]
        return CliRunner().invoke(app, [*words, *self.files], input=f"{self.password}\n" * 8)

    def do(self, *words: str) -> str:
        done = self.type_in(*words)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def document(self, *words: str):  # type: ignore[no-untyped-def]
        return json.loads(self.do(*words, "--json"))

    def state(self):  # type: ignore[no-untyped-def]
        newest = max(self.home.rglob("*state.json"), key=lambda path: path.stat().st_mtime_ns)
        return parse_state(newest.read_bytes())


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(tuf_key.KeyFolder.__init__, "__defaults__", (2**4,))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return Terminal(tmp_path)


@pytest.fixture
def founded(terminal: Terminal) -> Terminal:
    terminal.do("keys", "found", "anna", "ben")
    (terminal.home / "build").write_bytes(pack("1.5.0", {PROGRAM: b"#!/bin/sh\n"}).archive)
    terminal.do("release", str(terminal.home / "build"), "--version", "1.5.0", "--back-to", ">=1.4", "--sign", "ben")
    return terminal


def test_two_people_begin_with_one_command_and_publish(terminal: Terminal) -> None:
    assert "signed by anna, ben" in terminal.do("keys", "found", "anna", "ben")
    written = [word for word in terminal.do("publish").split() if "/" in word]
    assert written[0] == "metadata/1.root.json" and written[-1] == "metadata/timestamp.json"
    keys = {path.name: stat.S_IMODE(path.stat().st_mode) for path in terminal.home.rglob("*.key")}
    assert len(keys) == 8 and set(keys.values()) == {0o600}
    status = terminal.document("status")
    assert {row["document"] for row in status["documents"]} == {
        *("root", "targets", "releases", "desired", "snapshot", "timestamp")
    }
    assert not any(row["draft"] or row["missing"] for row in status["documents"])
    terminal.do("root", "--output", str(terminal.home / "root.json"))
    assert json.loads((terminal.home / "root.json").read_text())["signed"]["version"] == 1


def test_a_pin_names_the_newest_version_that_was_asked_for_and_a_guest_follows_it(founded: Terminal) -> None:
    founded.do("release", str(founded.home / "build"), "--version", "1.4.2", "--sign", "ben")
    assert "line game-base, ring canary: 1.5.0" in founded.do(
        *("pin", "game-base", "canary", "~=1.4", "--from", ">=1.3", "--back-to", ">=1", "--sign", "anna")
    )
    founded.do("publish")
    (pin,) = founded.state().pins
    assert (pin.version, pin.asked, pin.come_from, pin.back_to) == ("1.5.0", "~=1.4", ">=1.3", ("1.4.2",))
    found = founded.document("explain", "5001", "--line", "game-base", "--installed", "1.4.2")
    assert found["ruling"] in ("waits", "install")
    assert "pin 1: line game-base, ring canary (listed), ~=1.4 is 1.5.0" in found["rule"]
    other = founded.document("explain", "5099", "--line", "game-base")
    assert other["ruling"] == "unpinned"
    assert founded.document("status")["pins"][0]["version"] == "1.5.0"


def test_explain_says_what_release_keys_say_and_that_the_pin_is_a_draft(founded: Terminal) -> None:
    build = founded.home / "build"
    for version in ("1.4.2", "1.6.0"):
        founded.do("release", str(build), "--version", version)
    founded.do("release", str(build), "--version", "1.7.0", "--from", ">=1.6", "--sign", "ben")
    founded.do("pin", "game-base", "all", "1.7.0", "--sign", "anna")
    words = ("explain", "5099", "--line", "game-base", "--installed")
    said = founded.do(*words, "1.4.2")
    assert "will say not-from-here: release keys let only >=1.6 come to it, and 1.4.2 is installed" in said
    assert "which is a draft; guests see: unpinned" in said
    founded.do("publish")
    said = founded.do(*words, "1.6.0")
    assert "not-from-here" not in said and "draft" not in said
    assert "taken for one without a release" in founded.do("explain", "5099", "--line", "game-base")


def test_windows_and_rings_of_the_policy_travel_with_the_pin(founded: Terminal) -> None:
    founded.do("pin", "game-base", "all", "1.5.0", "--sign", "anna")
    state = founded.state()
    assert [(ring.name, ring.vmids, ring.percent) for ring in state.rings] == [
        ("canary", ((5001, 5004),), 5),
        ("all", (), 100),
    ]
    assert 88 <= len(state.windows) <= 91 and state.windows[0].name == "nights"
    assert state.windows[1].last_start - state.windows[1].start == timedelta(minutes=60)
    assert state.jitter == timedelta(minutes=10)


def test_on_a_saturday_one_person_takes_a_version_back(founded: Terminal) -> None:
    founded.do("release", str(founded.home / "build"), "--version", "1.4.2", "--sign", "ben")
    founded.do("pin", "game-base", "all", "1.5.0", "--sign", "anna")
    founded.do("block", "1.5.0", "--reason", "loses saves", "--sign", "anna")
    found = founded.document("explain", "5001", "--line", "game-base")
    assert found["ruling"] == "blocked" and "loses saves" in found["rule"]
    founded.do("pin", "game-base", "all", ">=1.4", "--downgrade", "--sign", "anna")
    founded.do("publish")
    found = founded.document("explain", "5001", "--line", "game-base", "--installed", "1.5.0")
    assert found["version"] == "1.4.2" and found["ruling"] in ("waits", "install")
    founded.do("unblock", "1.5.0", "--sign", "anna")
    goes = "published, gone in the draft"
    assert [row["state"] for row in founded.document("status")["blocked"]] == [goes]
    founded.do("unpin", "game-base", "all", "--sign", "anna")
    assert [row["state"] for row in founded.document("status")["pins"]] == [goes]


def test_an_emergency_opens_now_for_one_pin_and_without_one_nothing_does(founded: Terminal) -> None:
    refused = founded.type_in("pin", "game-base", "all", "1.5.0", "--emergency")
    assert isinstance(refused.exception, NotAllowed) and "no emergency is open for agent" in str(refused.exception)
    words = ("--reason", "a hole is used", "--reference", "CVE-2026-1", "--yes")
    assert founded.type_in("declare", "agent", *words, app=emergency_app).exit_code == 0
    founded.do("pin", "game-base", "all", "1.5.0", "--emergency", "--sign", "anna")
    (pin,) = founded.state().pins
    assert pin.also_open[0].start <= datetime.now(UTC) < pin.also_open[0].last_start
    assert "emergency e" in founded.document("status")["pins"][0]["emergency"]


def test_packages_are_wished_for_a_ring_and_explained_and_wished_no_more(founded: Terminal) -> None:
    said = founded.do("wish", "game-base", "canary", "--package", "openssl=3.0.15-1", "--package", "libssl3=3.0.15-1")
    assert "line game-base, ring canary: wish 1, libssl3=3.0.15-1 openssl=3.0.15-1" in said
    assert "wish 2, security fixes" in founded.do("wish", "game-base", "all", "--security", "--sign", "anna")
    assert [(wish.number, wish.ring) for wish in founded.state().wishes] == [(1, "canary"), (2, "all")]
    canary = founded.document("explain", "5001", "--line", "game-base")
    assert canary["wish"] in ("bring", "bring-live")
    assert canary["wish_rule"].startswith("wish 1: line game-base, ring canary (listed), libssl3=3.0.15-1 openssl=")
    assert "guest 5099, packages: bring" in founded.do("explain", "5099", "--line", "game-base")
    rows = founded.document("status")["wishes"]
    assert [(row["number"], row["packages"]) for row in rows] == [
        (2, "security fixes"),
        (1, said.split(" 1, ")[1].splitlines()[0]),
    ]
    assert len(rows[0]["id"]) == 64
    founded.do("unwish", "game-base", "canary", "--sign", "anna")
    founded.do("publish")
    assert founded.document("explain", "5001", "--line", "game-base")["wish_rule"].startswith("wish 2:")


def test_a_wish_that_comes_again_after_it_was_taken_away_is_another_one(founded: Terminal) -> None:
    founded.do("wish", "game-base", "all", "--security")
    first = founded.document("status")["wishes"][0]["id"]
    founded.do("unwish", "game-base", "all")
    founded.do("wish", "game-base", "all", "--security")
    (row,) = founded.document("status")["wishes"]
    assert (row["number"], row["id"] != first) == (2, True)


def test_a_ring_can_be_wished_to_keep_its_packages(founded: Terminal) -> None:
    founded.do("wish", "game-base", "all", "--security")
    founded.do("wish", "game-base", "canary", "--none")
    found = founded.document("explain", "5001", "--line", "game-base")
    assert (found["wish"], "packages are left as they are" in found["wish_rule"]) == ("none", True)


def test_pins_blocks_and_refreshes_keep_what_is_wished(founded: Terminal) -> None:
    founded.do("wish", "game-base", "all", "--security")
    for words in (("pin", "game-base", "all", "1.5.0"), ("block", "1.4", "--reason", "old"), ("refresh",)):
        founded.do(*words)
    assert [wish.number for wish in founded.state().wishes] == [1]


def test_an_emergency_opens_now_for_one_wish(founded: Terminal) -> None:
    refused = founded.type_in("wish", "game-base", "all", "--security", "--emergency")
    assert isinstance(refused.exception, NotAllowed) and "no emergency is open for agent" in str(refused.exception)
    words = ("--reason", "a hole is used", "--reference", "CVE-2026-1", "--yes")
    assert founded.type_in("declare", "agent", *words, app=emergency_app).exit_code == 0
    founded.do("wish", "game-base", "all", "--security", "--emergency", "--sign", "anna")
    (wish,) = founded.state().wishes
    assert wish.also_open[0].start <= datetime.now(UTC) < wish.also_open[0].last_start
    opens = datetime.fromisoformat(founded.document("explain", "5001", "--line", "game-base")["wish_opens"])
    assert opens - wish.also_open[0].start < timedelta(minutes=10), "the guest's own moment, by the policy's jitter"
    assert "emergency e" in founded.document("status")["wishes"][0]["emergency"]


def test_check_warns_by_exit_code_and_says_what_renews(founded: Terminal) -> None:
    assert founded.type_in("publish", "--check").exit_code == 1, "nothing is published yet"
    founded.do("publish")
    assert "timestamp\t1\t" in founded.do("publish", "--check")
    policy = founded.home / "policy.toml"
    policy.write_text(POLICY.replace('jitter = "10m"', 'desired_life = "900d"'))
    done = founded.type_in("publish", "--check")
    assert done.exit_code == 1
    assert "ends soon\tzlh-hooks agent keys renew desired, then sign and publish" in done.output


def test_a_person_joins_and_another_leaves(founded: Terminal) -> None:
    founded.do("publish")
    founded.do("keys", "new", "carl")
    founded.do("keys", "add-person", "carl")
    founded.do("keys", "remove-person", "ben")
    assert "anna signed root, targets, releases, desired" in founded.do("keys", "sign", "anna", "--yes")
    assert "waits: targets 2 lacks 1 of its signatures: agent keys sign, by one of" in founded.do("publish")
    founded.do("keys", "sign", "sealed", "--yes")
    founded.do("publish")
    assert "nothing waits for ben" in founded.do("keys", "sign", "ben", "--yes")
    signers = {name for row in founded.document("status")["documents"] for name in row["signed_by"]}
    assert "ben" not in signers


def test_a_draft_is_dropped_after_a_question_and_then_said_again(founded: Terminal) -> None:
    founded.do("publish")
    founded.do("pin", "game-base", "all", "1.5.0")
    done = CliRunner().invoke(app, ["drop", "desired", *founded.files], input="n\n")
    assert done.exit_code == 1 and "desired 2: signed by nobody" in done.output
    assert len(founded.document("status")["pins"]) == 1
    assert "dropped desired" in founded.do("drop", "desired", "--yes")
    assert founded.document("status")["pins"] == []
    assert "no such draft waits" in founded.do("drop")


def test_a_threshold_of_the_policy_counts_by_a_renewal_and_until_then_it_is_said(founded: Terminal) -> None:
    founded.do("publish")
    policy = founded.home / "policy.toml"
    policy.write_text(POLICY.replace('jitter = "10m"', "release_threshold = 2"))
    done = founded.type_in("publish", "--check")
    assert done.exit_code == 1
    assert "releases\t1\t2\tzlh-hooks agent keys renew targets releases, then sign and publish" in done.output
    assert founded.document("status")["thresholds"][0]["wanted"] == 2
    founded.do("keys", "renew", "targets", "releases")
    for person in ("anna", "ben"):
        founded.do("keys", "sign", person, "--yes")
    founded.do("publish")
    founded.do("publish", "--check")
    founded.do("keys", "renew", "releases")
    founded.do("keys", "sign", "anna", "--yes")
    assert "waits: releases 3 lacks 1 of its signatures: agent keys sign, by one of ben" in founded.do("publish")


def test_a_threshold_that_nobody_could_meet_is_refused_and_named(founded: Terminal) -> None:
    founded.do("publish")
    policy = founded.home / "policy.toml"
    policy.write_text(POLICY.replace('jitter = "10m"', "release_threshold = 3"))
    assert "2 keys count: zlh-hooks agent keys add-person" in founded.type_in("publish", "--check").output
    done = founded.type_in("keys", "renew", "targets")
    assert isinstance(done.exception, NotAllowed)
    assert "releases needs 3 signatures and would have 2 keys: add a person first" in str(done.exception)
    assert not any(row["draft"] for row in founded.document("status")["documents"])


def test_whoever_signs_sees_what_is_new_and_what_guests_see_already(founded: Terminal) -> None:
    founded.do("pin", "game-base", "all", "1.5.0", "--sign", "anna")
    founded.do("publish")
    founded.do("release", str(founded.home / "build"), "--version", "1.6.0", "--from", ">=1.5")
    founded.do("pin", "game-base", "all", "1.6.0")
    founded.do("block", "1.4", "--reason", "loses saves")
    said = CliRunner().invoke(app, ["keys", "sign", "ben", *founded.files], input="n\n").output
    digest = hashlib.sha256((founded.home / "build").read_bytes()).hexdigest()[:12]
    assert f"releases: new: 1.6.0 for all, SHA-256 {digest}, may follow >=1.5, may be left for any" in said
    assert "desired: new: pin 2: game-base, all: 1.6.0 is 1.6.0" in said
    assert "desired: gone: pin 1: game-base, all: 1.5.0 is 1.5.0" in said
    assert "desired: new: block ==1.4: loses saves" in said
    status = founded.document("status")
    assert [(row["version"], row["state"]) for row in status["releases"]] == [
        ("1.5.0", "published"),
        ("1.6.0", "draft"),
    ]
    assert [(row["number"], row["state"]) for row in status["pins"]] == [
        (2, "draft"),
        (1, "published, gone in the draft"),
    ]


def test_the_machine_publishes_alone_with_a_password_from_a_file(founded: Terminal) -> None:
    secret = founded.home / "secret"
    secret.write_text("online-password-of-a-machine\n")
    secret.chmod(0o600)
    founded.do("keys", "new", "machine", "--online", "--password-file", str(secret))
    founded.do("keys", "replace-online", "machine")
    for person in ("anna", "ben"):
        founded.do("keys", "sign", person, "--yes")
    config = founded.config
    config.write_text(f'{config.read_text()}online_password_file = "{secret}"\n')
    done = CliRunner().invoke(app, ["publish", *founded.files], input="")
    assert done.exit_code == 0, done.exception
    secret.chmod(0o644)
    done = CliRunner().invoke(app, ["publish", *founded.files], input="")
    assert isinstance(done.exception, SettingsError) and "open to everybody" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pin", "game", "all", "1.5.0"), "the policy has no line game; it has game-base"),
        (("pin", "game-base", "alle", "1.5.0"), "the policy has no ring alle; it has canary, all"),
        (("pin", "game-base", "all", "2.0"), "no release is 2.0; there are: 1.5.0"),
        (("pin", "game-base", "all", "newest"), "a version or a specifier"),
        (("block", "1.5.0", "--reason", " "), "what is blocked, and why"),
        (("unblock", "1.5.0"), "==1.5.0 is not blocked; blocked: nothing"),
        (("unpin", "game-base", "all"), "line game-base has no pin in ring all"),
        (("unwish", "game-base", "all"), "line game-base has no wish in ring all"),
        (("wish", "game", "all", "--security"), "the policy has no line game; it has game-base"),
        (("wish", "game-base", "alle", "--none"), "the policy has no ring alle; it has canary, all"),
        (("wish", "game-base", "all"), "found 0 of these; expected one of --security"),
        (("wish", "game-base", "all", "--none", "--security"), "found 2 of these; expected one of --security"),
        (("wish", "game-base", "all", "--package", "openssl"), "NAME=VERSION"),
        (("wish", "game-base", "all", "--package", "openssl=1 now"), "'1 now' of openssl: one such as"),
        (("wish", "game-base", "all", "--package", "Openssl=1"), "package 'Openssl': lower case letters"),
        (("wish", "game-base", "all", "--package", "a1=1", "--package", "a1=2"), "each package once"),
        (("release", "BUILD", "--version", "banana"), "a version such as 1.5.0"),
        (("release", "BUILD", "--version", "1!5.0"), "a version such as 1.5.0"),
        (("release", "BUILD", "--version", "1.6.0", "--machine", "x86"), "one of all, amd64, arm64"),
        (("release", "/nowhere", "--version", "1.6.0"), "/nowhere: file: found No such file"),
        (("keys", "renew", "timestamp"), "timestamp is renewed by zlh-hooks agent publish"),
        (("keys", "add-person", "dora"), "dora's public keys: agent keys new dora"),
        (("keys", "found", "anna", "anna"), "names of their own, each once"),
        (("root", "--output", "X"), "nothing is published yet"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(founded: Terminal, words: tuple[str, ...], said: str) -> None:
    done = founded.type_in(*(str(founded.home / "build") if word == "BUILD" else word for word in words))
    assert isinstance(done.exception, NotAllowed | SettingsError), done.output
    assert said in str(done.exception)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"build-1.6.0", "the archive is not a whole .tar.gz"),
        (pack("1.6.0", {PROGRAM: b"x"}).archive[:-20], "the archive is not a whole .tar.gz"),
        (pack("1.6.0", {"../out": b"x"}).archive, "leads out of the release"),
        (pack("1.6.0", {"readme": b"x"}).archive, "no program zlh-agent at its top"),
    ],
    ids=["text", "cut", "outside", "nothing to start"],
)
def test_what_guests_would_refuse_is_not_released(founded: Terminal, data: bytes, said: str) -> None:
    (founded.home / "bad").write_bytes(data)
    done = founded.type_in("release", str(founded.home / "bad"), "--version", "1.6.0")
    assert isinstance(done.exception, NotAllowed) and "guests would refuse this build" in str(done.exception)
    assert said in str(done.exception)
    assert [row["version"] for row in founded.document("status")["releases"]] == ["1.5.0"]


def test_signatures_of_a_copy_are_added_to_those_that_are_here(founded: Terminal) -> None:
    founded.do("publish")
    founded.do("keys", "renew", "root", "targets")
    copy = founded.home / "usb"
    shutil.copytree(founded.home / "agents", copy)
    elsewhere = founded.home / "elsewhere.toml"
    elsewhere.write_text(founded.config.read_text().replace(f"{founded.home}/agents", str(copy)))
    done = CliRunner().invoke(app, ["keys", "sign", "sealed", "--yes", "--config", str(elsewhere), *founded.files[2:]],
                              input=f"{founded.password}\n" * 8)  # fmt: skip
    assert done.exit_code == 0, done.exception
    founded.do("keys", "sign", "anna", "--yes")
    assert "new signatures: root, targets" in founded.do("keys", "import", str(copy))
    assert "new signatures: none" in founded.do("keys", "import", str(copy))
    drafts = {row["document"]: row for row in founded.document("status")["documents"] if row["draft"]}
    assert drafts["root"]["signed_by"] == ["anna", "sealed"]
    founded.do("publish")
    assert not any(row["draft"] for row in founded.document("status")["documents"])
    founded.do("keys", "renew", "root", "targets")
    assert "new signatures: none" in founded.do("keys", "import", str(copy)), "it is of the draft before"


def test_signatures_of_another_draft_are_refused(founded: Terminal) -> None:
    founded.do("pin", "game-base", "all", "1.5.0")
    copy = founded.home / "usb"
    shutil.copytree(founded.home / "agents", copy)
    founded.do("block", "1.4", "--reason", "loses saves")
    done = founded.type_in("keys", "import", str(copy))
    assert isinstance(done.exception, NotAllowed) and "is another draft than in" in str(done.exception)


def test_the_machines_key_is_made_with_the_password_that_publishes(terminal: Terminal) -> None:
    secret = terminal.home / "secret"
    secret.write_text("online-password-of-a-machine\n")
    secret.chmod(0o600)
    terminal.config.write_text(f'{terminal.config.read_text()}online_password_file = "{secret}"\n')
    terminal.do("keys", "found", "anna", "ben")
    done = CliRunner().invoke(app, ["publish", *terminal.files], input="")
    assert done.exit_code == 0, done.exception


def test_bytes_of_a_released_version_never_change(founded: Terminal) -> None:
    other = founded.home / "other"
    other.write_bytes(pack("1.5.0", {PROGRAM: b"#!/bin/sh\nother"}).archive)
    done = founded.type_in("release", str(other), "--version", "1.5.0")
    assert isinstance(done.exception, NotAllowed) and "a version never changes" in str(done.exception)


def test_every_order_is_recorded_with_its_author_and_no_password(founded: Terminal) -> None:
    founded.do("pin", "game-base", "all", "1.5.0", "--sign", "anna")
    founded.do("wish", "game-base", "all", "--security")
    founded.do("unwish", "game-base", "all")
    founded.do("keys", "sign", "anna", "--yes")
    founded.do("publish")
    ledger = (founded.home / "ledger.sqlite").read_bytes() + b"".join(
        path.read_bytes() for path in founded.home.glob("ledger.sqlite-*")
    )
    for verb in (
        "agent keys found",
        "agent release",
        "agent pin",
        "agent wish",
        "agent unwish",
        "agent keys sign",
        "agent publish",
        "agent published",
    ):
        assert verb.encode() in ledger
    assert founded.password.encode() not in ledger


def test_a_wrong_password_signs_nothing(founded: Terminal) -> None:
    founded.do("pin", "game-base", "all", "1.5.0")
    founded.password = "wrong horse battery"
    done = founded.type_in("keys", "sign", "anna", "--yes")
    assert isinstance(done.exception, NotAllowed) and "the password is wrong" in str(done.exception)


def test_signing_a_pin_signs_no_change_of_keys_that_waits_too(founded: Terminal) -> None:
    founded.do("publish")
    founded.do("keys", "new", "mallory")
    founded.do("keys", "add-person", "mallory")
    founded.do("pin", "game-base", "all", "1.5.0", "--sign", "anna")
    drafts = {row["document"]: row for row in founded.document("status")["documents"] if row["draft"]}
    assert drafts["desired"]["signed_by"] == ["anna"] and drafts["root"]["signed_by"] == []


def test_before_keys_are_changed_it_is_shown_whose_will_count(founded: Terminal) -> None:
    founded.do("publish")
    founded.do("keys", "new", "mallory")
    founded.do("keys", "add-person", "mallory")
    done = CliRunner().invoke(app, ["keys", "sign", "anna", "root", *founded.files], input="n\n")
    assert done.exit_code == 1
    assert "root 2: anna, ben, mallory, sealed count; until now anna, ben, sealed" in done.output
