"""``zlh-note-forwarder``: no note is deleted that the controller has not recorded, whatever it or the road does."""

import re
import stat
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.clock import START
from tests.hookscripts.cluster_node import ClusterNode, open_node
from tests.hookscripts.controller_stand_in import (
    CALLS,
    CONFIG,
    FORWARDER,
    forget,
    list_got,
    put_controller,
    put_forwarder,
    put_units,
    spool_of,
)
from tests.hookscripts.node import needs_root
from tests.hookscripts.world import NODE, SPOOL
from tests.note_file import draft_note, read_note, write_note

pytestmark = needs_root
STATE = "/var/lib/zlh-hooks-node"


@pytest.fixture(scope="module")
def room() -> Iterator[ClusterNode]:
    with open_node() as opened:
        yield opened


@pytest.fixture
def node(room: ClusterNode) -> ClusterNode:
    put_forwarder(room)
    forget(room)
    room.path(CALLS).unlink(missing_ok=True)
    empty(room)
    return room


def empty(node: ClusterNode) -> None:
    subprocess.run(["find", str(spool_of(node)), "-mindepth", "1", "-delete"], check=True)
    spool_of(node).chmod(0o700)


def note(node: ClusterNode, count: int = 2) -> "list[str]":
    phases = ("post-stop", "pre-start", "post-start", "backup-end")
    return [
        write_note(spool_of(node), START + timedelta(seconds=at), 5012, phases[at % 4], node=NODE)
        for at in range(count)
    ]


def call(node: ClusterNode, verb: str = "send") -> "subprocess.CompletedProcess[str]":
    return node.run_command(str(FORWARDER), verb)


def left(node: ClusterNode, folder: str = "") -> "list[str]":
    return sorted(path.name for path in (spool_of(node) / folder).iterdir() if not path.is_dir())


def check(done: "subprocess.CompletedProcess[str]", code: int, *said: str) -> None:
    text = done.stdout + done.stderr
    assert (done.returncode, [one for one in said if one not in text]) == (code, []), text


# --- sending


def test_notes_go_in_their_order_and_whole_and_are_deleted_when_they_are_recorded(node: ClusterNode) -> None:
    names = note(node, 4)
    texts = [read_note(spool_of(node) / name) for name in names]
    check(call(node), 0, "4 notes are recorded")
    assert node.path("/srv/got").read_text() == "".join(
        f"{name} {text}\n" for name, text in zip(names, texts, strict=True)
    )
    assert left(node) == []


def test_nothing_is_connected_to_while_there_is_no_note(node: ClusterNode) -> None:
    (spool_of(node) / ".20261123t040000.000000z-5012-post-stop-1.json").touch()
    check(call(node), 0)
    assert not node.path(CALLS).exists()


def test_a_backlog_of_days_goes_in_one_connection(node: ClusterNode) -> None:
    names = note(node, 2500)
    check(call(node), 0, "2500 notes are recorded")
    assert (list_got(node), left(node)) == (names, [])
    assert node.path(CALLS).read_text().count(f"zlh-hooks-notes {NODE}\n") == 1


def test_ssh_asks_nobody_waits_for_ever_for_nothing_and_trusts_only_the_key_that_a_person_has_written_down(
    node: ClusterNode,
) -> None:
    note(node)
    node.write(CONFIG, "# ours\n\ncontroller = zlh-hooks@[2001:db8::1]:2222\n")
    check(call(node), 0)
    words = node.path(CALLS).read_text().splitlines()
    wanted = {"BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=10", "ServerAliveInterval=10"}
    wanted |= {f"UserKnownHostsFile={STATE}/known_hosts", "GlobalKnownHostsFile=/dev/null", "IdentitiesOnly=yes"}
    assert wanted <= set(words)
    said = f"zlh-hooks-notes {NODE}"
    assert words[-7:] == ["-l", "zlh-hooks", "-p", "2222", "--", "2001:db8::1", said]


def test_it_knows_its_nodes_name_where_its_unit_hides_most_of_proc(node: ClusterNode) -> None:
    names = note(node)
    script = f"mount -t tmpfs tmpfs /proc/sys && exec {FORWARDER} send"
    check(node.run_command("unshare", "--mount", "sh", "-c", script), 0, "2 notes are recorded")
    assert list_got(node) == names


def is_kept(names: "list[str]", answered: int) -> "list[str]":
    """Of the notes of which the controller has told within so many bytes."""
    told = ("".join(f"kept {name}\n" for name in names))[:answered]
    return re.findall(r"kept (\S+)\n", told)


@pytest.mark.parametrize("kills", [0, 1], ids=["the connection", "the sender"])
def test_a_note_goes_only_with_the_whole_answer_at_whatever_byte_the_end_comes(node: ClusterNode, kills: int) -> None:
    answer = f"kept {draft_note(START, 5012, 'post-stop')[0]}\n"
    for count in range(0, 2 * len(answer) - 1, 9):
        names = note(node)
        put_controller(node, bytes=count, kills=kills)
        done = call(node)
        kept = is_kept(names, count)
        assert done.returncode != 0
        if kills:  # it may have been killed before it deleted, never after it deleted too much
            assert set(names) - set(kept) <= set(left(node))
        else:
            assert left(node) == [name for name in names if name not in kept]
            assert f"and {2 - len(kept)} notes wait" in done.stderr
        put_controller(node)
        check(call(node), 0)
        assert left(node) == []
        assert set(list_got(node)) == set(names)
        forget(node)


def test_a_controller_that_cannot_be_reached_keeps_all_notes_waiting(node: ClusterNode) -> None:
    names = note(node)
    node.write("/usr/sbin/ssh", "#!/bin/sh\necho 'connect to host: Connection refused' >&2\nexit 255\n").chmod(0o755)
    check(call(node), 1, "Connection refused", "the connection to the controller")
    assert left(node) == names


@pytest.mark.parametrize(
    "lie", ["kept ../../../etc/passwd\n", "deleted all\n", "kept 20991127t024935.123456z-5012-post-stop-1.json\n"]
)
def test_an_answer_that_names_what_was_not_sent_deletes_nothing(node: ClusterNode, lie: str) -> None:
    names = note(node)
    put_controller(node, lie=lie)
    check(call(node), 1, "the controller")
    assert left(node) == names


def test_a_controller_that_is_silent_is_left(node: ClusterNode) -> None:
    names = note(node)
    put_controller(node, silent=1)
    text = FORWARDER.read_text()
    assert text.count("= 180;") == 1
    node.write("/srv/hasty", text.replace("= 180;", "= 1;")).chmod(0o755)
    check(node.run_command("/srv/hasty", "send"), 1, "has not answered for 1 s")
    assert left(node) == names


def test_what_the_controller_refuses_is_kept_for_a_person_and_hinders_no_other(node: ClusterNode) -> None:
    names = note(node)
    put_controller(node, word="refused")
    check(call(node), 0, "is set aside", "0 notes are recorded")
    assert (left(node), left(node, "bad")) == ([], names)


def test_what_is_no_note_is_kept_for_a_person_and_never_sent(node: ClusterNode) -> None:
    names = note(node)
    (spool_of(node) / "20261123t040000.000000z-5012-odd-1.json").touch()
    (spool_of(node) / names[0].replace("4711", "1")).write_text("x" * 1025)
    (spool_of(node) / names[0].replace("4711", "2")).symlink_to("x" * 1025)
    (spool_of(node) / "a\nb").touch()
    check(call(node), 0, "it is no note", "2 notes are recorded")
    assert list_got(node) == names
    assert len(list((spool_of(node) / "bad").iterdir())) == 4
    assert left(node) == []


def test_a_link_leads_nowhere(node: ClusterNode) -> None:
    name, _ = draft_note(START, 5012, "post-stop")
    (spool_of(node) / name).symlink_to("/etc/passwd")
    check(call(node), 0, "1 notes are recorded")
    assert node.path("/srv/got").read_text() == f"{name} /etc/passwd\n"


def test_a_note_of_an_earlier_hook_is_a_file_and_goes_too(node: ClusterNode) -> None:
    name, text = draft_note(START, 5012, "post-stop")
    (spool_of(node) / name).write_text(f"{text}\n")
    check(call(node), 0, "1 notes are recorded")
    assert node.path("/srv/got").read_text() == f"{name} {text}\n\n"
    assert left(node) == []


def test_two_do_not_send_at_once(node: ClusterNode) -> None:
    names = note(node)
    put_controller(node, silent=1)
    with subprocess.Popen(node.enter(str(FORWARDER), "send"), stderr=subprocess.DEVNULL) as first:
        while not list_got(node):
            assert first.poll() is None
        check(call(node), 1, "another process reads")
        first.kill()
    assert left(node) == names


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_spool_where_others_may_write_is_not_sent(node: ClusterNode, mode: int) -> None:
    names = note(node)
    spool_of(node).chmod(mode)
    check(call(node), 1, "where only root may write")
    assert left(node) == names


# --- what must be there

WRONG = ["", "controller =\n", "controller = host\n", "server = a@b\n", "controller = a@b\ncontroller = a@c\n"]
WRONG += [
    "controller = a@-oProxyCommand=x\n",
    "controller = -x@b\n",
    "controller = a@b:70000\n",
    "controller = a@b c\n",
]


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_line_is_refused_and_the_right_one_shown(node: ClusterNode, text: str) -> None:
    note(node)
    node.write(CONFIG, text)
    check(call(node), 1, f"{CONFIG}: right is one line such as: controller = zlh-hooks@controller.example")
    assert not node.path(CALLS).exists()


def test_a_file_that_others_may_write_names_no_controller(node: ClusterNode) -> None:
    note(node)
    node.path(CONFIG).chmod(0o666)
    check(call(node), 1, "only root may write")
    node.path(CONFIG).chmod(0o600)


@pytest.mark.parametrize("words", [(), ("send", "check"), ("sent",), ("--force", "send")])
def test_a_wrong_call_does_nothing(node: ClusterNode, words: "tuple[str, ...]") -> None:
    names = note(node)
    check(node.run_command(str(FORWARDER), *words), 2, "--help")
    assert left(node) == names


def test_what_is_missing_is_named_with_the_command_that_brings_it(node: ClusterNode) -> None:
    node.path(CONFIG).unlink()
    check(call(node, "check"), 1, CONFIG, "zlh-note-forwarder key", "systemctl enable --now zlh-hooks-forward.path")
    put_forwarder(node)
    check(call(node, "check"), 1, "echo \"127.0.0.1 $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)\"")
    assert not node.path(CALLS).exists()


def make_whole(node: ClusterNode) -> "subprocess.CompletedProcess[str]":
    """All that is wanted; what the making of the key said."""
    done = call(node, "key")
    public = re.findall(r"ssh-ed25519 \S+", done.stdout)[0]
    node.write(f"{STATE}/known_hosts", f"127.0.0.1 {public}\n")
    put_units(node)
    return done


@pytest.mark.peer
def test_when_nothing_is_missing_the_controller_is_asked(node: ClusterNode) -> None:
    make_whole(node)
    note(node)
    check(call(node, "check"), 0, "2 notes wait, the oldest is 20261123t04", "takes notes of this node")
    put_controller(node, code=255)
    check(call(node, "check"), 1, "takes none: exit code 255", "authorized_keys")
    assert (list_got(node), len(left(node))) == ([], 2)


@pytest.mark.peer
@pytest.mark.parametrize("states", [("disabled", "active"), ("enabled", "inactive")])
def test_a_unit_that_is_not_enabled_or_waits_for_a_boot_is_told(node: ClusterNode, states: "tuple[str, str]") -> None:
    make_whole(node)
    put_units(node, *states)
    check(call(node, "check"), 1, "systemctl enable --now zlh-hooks-forward.path")


@pytest.mark.peer
@pytest.mark.parametrize("umask", ["022", "027", "077"])
def test_what_is_typed_on_the_controller_gives_a_file_that_sshd_can_read_under_any_umask(
    node: ClusterNode, tmp_path: Path, umask: str
) -> None:
    commands = re.findall(r"^  (.*~zlh-hooks/\.ssh.*)$", make_whole(node).stdout, re.MULTILINE)
    script = "\n".join(commands).replace("~zlh-hooks", str(tmp_path))
    subprocess.run(["sh", "-euc", f"umask {umask}\n{script}\n{script}"], check=True)
    keys = tmp_path / ".ssh/authorized_keys"
    assert (stat.S_IMODE(keys.parent.stat().st_mode), stat.S_IMODE(keys.stat().st_mode)) == (0o755, 0o644)
    assert keys.read_text().startswith("restrict,command=")


@pytest.mark.peer
def test_a_private_key_is_roots_alone_and_is_made_once_and_never_shown(node: ClusterNode) -> None:
    first = make_whole(node)
    key = node.path(f"{STATE}/id_ed25519")
    assert (stat.S_IMODE(key.stat().st_mode), stat.S_IMODE(key.parent.stat().st_mode)) == (0o600, 0o700)
    again = call(node, "key")
    assert (again.stdout, sorted(path.name for path in key.parent.iterdir())) == (
        first.stdout,
        ["id_ed25519", "known_hosts"],
    )
    secret = key.read_text().splitlines()[1:-1]
    assert not any(line in first.stdout for line in secret)
    key.chmod(0o644)
    check(call(node, "check"), 1, "must be root's alone")
    key.chmod(0o600)


@pytest.mark.peer
def test_the_controller_is_told_to_let_this_key_do_one_thing_for_one_node(node: ClusterNode) -> None:
    check(make_whole(node), 0, f'restrict,command="zlh-hooks intake --receive {NODE}" ssh-ed25519 ', "~zlh-hooks/.ssh")


@pytest.mark.peer
def test_a_key_that_was_cut_off_while_it_was_made_is_made_again(node: ClusterNode) -> None:
    node.path(f"{STATE}/id_ed25519").unlink(missing_ok=True)
    node.write(f"{STATE}/id_ed25519.draft", "half")
    check(call(node, "key"), 0, "ssh-ed25519")


def test_the_place_of_notes_is_the_hooks(node: ClusterNode) -> None:
    assert f"'{SPOOL}'" in FORWARDER.read_text()
