"""Notes of a node on their real way: zlh-note-forwarder, ssh, sshd, ``zlh-hooks intake --receive``, a ledger on disk."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.site_file import GAMES, write_site
from tests.clock import START
from tests.hookscripts.cluster_node import ClusterNode, open_node
from tests.hookscripts.controller_stand_in import CONFIG, FORWARDER, put_units, spool_of
from tests.hookscripts.node import needs_root
from tests.hookscripts.ssh_server import Controller, serve
from tests.hookscripts.test_note_forwarder import STATE, check, left
from tests.hookscripts.world import NODE
from tests.note_file import write_note
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.domain.audit import find_break

pytestmark = [needs_root, pytest.mark.peer]


@dataclass
class Road:
    """From a node to its controller."""

    node: ClusterNode
    controller: Controller

    def send(self, verb: str = "send") -> "subprocess.CompletedProcess[str]":
        return self.node.run_command(str(FORWARDER), verb)

    def note(self, count: int = 3, **changed: str) -> "list[str]":
        times = (START + timedelta(seconds=at) for at in range(count))
        return [write_note(spool_of(self.node), at, 5012, "post-start", **({"node": NODE} | changed)) for at in times]

    def recorded(self) -> "list[tuple[str, str]]":
        with closing(SqlLedger.open(self.controller.folder / "ledger.sqlite", SystemClock())) as ledger:
            assert find_break(ledger.read()) is None
            return [(entry.data["node"], entry.data["file"]) for entry in ledger.read()]

    def authorise(self) -> None:
        """As a person does by what the program printed."""
        said = self.send("key").stdout
        (line,) = re.findall(r"echo '(restrict.*)' >>", said)
        (self.controller.folder / "authorized_keys").write_text(f"{line}\n")
        self.trust(self.controller.public)

    def trust(self, public: str) -> None:
        self.node.write(f"{STATE}/known_hosts", f"[127.0.0.1]:{self.controller.port} {public}\n")


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    options = write_site(tmp_path, GAMES)
    config = tmp_path / "zlh-hooks.toml"
    config.write_text(config.read_text().replace('"pve1.example"', '"127.0.0.1"\nport = 1'))
    with open_node() as node, serve(node, tmp_path, options) as controller:
        node.write(CONFIG, f"controller = zlh-hooks@127.0.0.1:{controller.port}\n")
        put_units(node)
        spool_of(node).mkdir(mode=0o700)
        road = Road(node, controller)
        road.authorise()
        yield road


def test_a_nodes_notes_are_recorded_once_each_under_its_name_and_nothing_is_left(road: Road) -> None:
    names = road.note()
    check(road.send("check"), 0, "3 notes wait", "takes notes of this node")
    check(road.send(), 0, "3 notes are recorded")
    assert (road.recorded(), left(road.node)) == ([(NODE, name) for name in names], [])
    road.note()  # as after a crash between the record and the end of the file
    check(road.send(), 0, "3 notes are recorded")
    assert (len(road.recorded()), left(road.node)) == (3, [])


def test_a_node_speaks_for_no_other(road: Road) -> None:
    names = road.note(node="pve-9")
    check(road.send(), 0, "0 notes are recorded", f"node: found pve-9; expected {NODE}, which sent it")
    assert (road.recorded(), left(road.node, "bad")) == ([], names)


def test_a_key_whose_line_is_for_another_node_has_its_notes_wait_and_its_check_says_so(road: Road) -> None:
    keys = road.controller.folder / "authorized_keys"
    keys.write_text(keys.read_text().replace(f"--receive {NODE}", "--receive pve-9"))
    names, said = road.note(), f"found 'zlh-hooks-notes {NODE}'; expected 'zlh-hooks-notes pve-9'"
    check(road.send("check"), 1, "the controller takes none", said)
    check(road.send(), 1, "3 notes wait", said)
    assert (road.recorded(), left(road.node)) == ([], names)


def test_the_nodes_key_can_do_nothing_else_on_the_controller(road: Road) -> None:
    options = ["-F", "/dev/null", "-i", f"{STATE}/id_ed25519", "-o", f"UserKnownHostsFile={STATE}/known_hosts"]
    words = ["ssh", *options, "-p", str(road.controller.port), "zlh-hooks@127.0.0.1", "touch /srv/owned"]
    done = subprocess.run(road.node.enter(*words), input="", capture_output=True, text=True, check=False)
    assert "found 'touch /srv/owned'" in done.stderr
    assert not road.node.path("/srv/owned").exists()


def test_a_key_without_its_command_is_no_way_to_send_notes(road: Road) -> None:
    keys = road.controller.folder / "authorized_keys"
    keys.write_text(re.sub(r'restrict,command="[^"]*" ', "", keys.read_text()))
    names = road.note()
    check(road.send(), 1, "zlh-hooks-notes: not found")
    assert (road.recorded(), left(road.node)) == ([], names)


def test_a_controller_whose_key_is_another_one_gets_nothing(road: Road) -> None:
    other = (road.node.run_command("ssh-keygen", "-y", "-f", f"{STATE}/id_ed25519")).stdout
    road.trust(" ".join(other.split()[:2]))
    names = road.note()
    check(road.send(), 1, "HOST IDENTIFICATION HAS CHANGED", "3 notes wait")
    assert left(road.node) == names


def test_a_controller_whose_settings_are_wrong_keeps_the_notes_on_the_node_and_says_so(road: Road) -> None:
    names = road.note()
    (road.controller.folder / "policy.toml").write_text("nonsense = 1\n")
    check(road.send(), 1, "policy.toml", "3 notes wait")
    assert left(road.node) == names


@pytest.mark.matrix
def test_a_receiver_that_is_killed_between_record_and_answer_makes_no_note_twice(road: Road) -> None:
    text = road.node.path("/usr/sbin/zlh-hooks").read_text()
    answer = "zlh_hooks.adapters.note_stream.NoteStream._send = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    killed = (
        f"import os, signal, sys, zlh_hooks.adapters.note_stream; {answer}; from zlh_hooks.cli.app import main; main()"
    )
    road.node.write("/usr/sbin/zlh-hooks", text.replace("-m zlh_hooks", f"-c '{killed}'")).chmod(0o755)
    names = road.note()
    check(road.send(), 1, "3 notes wait")
    assert (len(road.recorded()), left(road.node)) == (3, names)
    road.node.write("/usr/sbin/zlh-hooks", text).chmod(0o755)
    check(road.send(), 0, "3 notes are recorded")
    assert (road.recorded(), left(road.node)) == ([(NODE, name) for name in names], [])


@pytest.mark.matrix
def test_a_sender_that_is_killed_keeps_the_next_one_from_nothing(road: Road) -> None:
    names = road.note(500)
    with subprocess.Popen(road.node.enter(str(FORWARDER), "send"), stderr=subprocess.DEVNULL) as sender:
        while not (road.controller.folder / "ledger.sqlite").exists():
            assert sender.poll() is None
        sender.send_signal(signal.SIGKILL)
    check(road.send(), 0)
    assert (road.recorded(), left(road.node)) == ([(NODE, name) for name in names], [])
