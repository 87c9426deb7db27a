"""What ``zlh-hooks-node`` promises, rule by rule: real calls on a node of a cluster in a namespace of its own."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hookscripts.cluster_node import FAST, LOCAL, SCRIPT, SNIPPETS, VOLUME, ClusterNode, Site, open_node
from tests.hookscripts.cluster_room import PACKAGED
from tests.hookscripts.node import HOOK, needs_root
from tests.hookscripts.world import NODE

pytestmark = needs_root
HOOKED = f"tags: game\nhookscript: {VOLUME}\nrootfs: fast:vm-disk-0,size=8G\n"
OTHERS = "hookscript: local:snippets/backup.pl\n"
THREE = {"pve-1": 1, NODE: 1, "pve-3": 1}


@pytest.fixture
def node() -> Iterator[ClusterNode]:
    with open_node() as opened:
        yield opened


def list_names(node: ClusterNode) -> "list[str]":
    return sorted(path.name for path in node.path(SNIPPETS).iterdir())


def check(done: "subprocess.CompletedProcess[str]", code: int, *said: str) -> None:
    text = done.stdout + done.stderr
    assert (done.returncode, [one for one in said if one not in text]) == (code, []), text


# --- the script


def test_the_script_is_put_where_the_storage_wants_it_and_can_be_run_by_root_alone_may_change_it(
    node: ClusterNode,
) -> None:
    check(node.run("install"), 0, f"{SCRIPT} is written")
    placed = node.path(SCRIPT)
    assert (placed.read_bytes(), stat.S_IMODE(placed.stat().st_mode)) == (HOOK.read_bytes(), 0o755)
    assert list_names(node) == ["zlh-guest-hook"]


def test_an_older_one_is_replaced_as_a_whole_and_the_same_one_is_left(node: ClusterNode) -> None:
    old = node.write(SCRIPT, "#!/usr/bin/perl -T\n# zlh-guest-hook: an older one\n")
    with old.open() as reader:
        check(node.run("install"), 0, "is written")
        assert "an older one" in reader.read()  # who runs it meanwhile has all of it
    number = node.path(SCRIPT).stat().st_ino
    check(node.run("install"), 0, "is there already")
    assert node.path(SCRIPT).stat().st_ino == number


@pytest.mark.parametrize("mode", [0o644, 0o777])
def test_one_with_wrong_permissions_is_mended(node: ClusterNode, mode: int) -> None:
    node.write(SCRIPT, HOOK.read_text()).chmod(mode)
    check(node.run("install"), 0, "is written")
    assert stat.S_IMODE(node.path(SCRIPT).stat().st_mode) == 0o755


def test_a_file_of_somebody_else_is_never_overwritten_or_removed(node: ClusterNode) -> None:
    node.write(SCRIPT, "#!/bin/sh\nexit 0\n")
    node.add_guest(5001)
    check(node.run("install", "--all"), 2, "is not ours", "move it away")
    check(node.run("uninstall"), 2, "is not ours")
    assert (node.path(SCRIPT).read_text(), node.list_hooked()) == ("#!/bin/sh\nexit 0\n", {})


def test_a_symlink_gives_way_to_the_script_and_what_it_led_to_stays(node: ClusterNode) -> None:
    mine = node.write("/srv/copy", "#!/usr/bin/perl -T\n# zlh-guest-hook: a copy\n")
    node.path(SCRIPT).symlink_to("/srv/copy")
    check(node.run("install"), 0)
    assert (node.path(SCRIPT).is_symlink(), mine.read_text().endswith("a copy\n")) == (False, True)


def test_what_a_killed_call_left_is_cleared_away(node: ClusterNode) -> None:
    node.write(f"{SNIPPETS}/.zlh-guest-hook.{NODE}", "half")
    check(node.run("install"), 0)
    assert list_names(node) == ["zlh-guest-hook"]


def test_what_could_not_be_written_whole_leaves_nothing(node: ClusterNode) -> None:
    done = node.run_changed("chmod(0755, $file) &&", "0 &&", "install")
    check(done, 2, f".zlh-guest-hook.{NODE}: ")
    assert list_names(node) == []


STORAGES: "dict[str, tuple[list[dict[str, Any]], str]]" = {
    "unknown": ([FAST], "there is no storage local"),
    "disabled": ([{**LOCAL, "disable": 1}], "pvesm set local --disable 0"),
    "another node's": ([{**LOCAL, "nodes": "pve-1"}], f"not offered to {NODE}"),
    "without snippets": ([{**LOCAL, "content": "iso,vztmpl"}], "pvesm set local --content iso,vztmpl,snippets"),
    "without a folder": ([{**LOCAL, "path": "/srv/nowhere"}], "/srv/nowhere/snippets is not there"),
}


@pytest.mark.parametrize("case", STORAGES)
def test_a_storage_that_cannot_hold_it_is_refused_with_what_would_be_right(node: ClusterNode, case: str) -> None:
    storages, said = STORAGES[case]
    node.describe(Site(storages=storages))
    node.add_guest(5001)
    check(node.run("install", "--all"), 2, said)
    assert node.list_hooked() == {}


@pytest.mark.parametrize("words", [["-t", "tmpfs", "tmpfs"], ["-t", "tmpfs", "-o", "noexec", "tmpfs"]])
def test_a_file_system_that_is_gone_after_a_boot_is_refused(node: ClusterNode, words: "list[str]") -> None:
    assert node.run_command("mount", *words, SNIPPETS).returncode == 0
    check(node.run("install"), 2, f"{SNIPPETS} is tmpfs; right is a disk of this node")


def test_a_file_system_on_which_nothing_can_be_run_is_refused(node: ClusterNode) -> None:
    for words in (["--bind", SNIPPETS, SNIPPETS], ["-o", "remount,bind,noexec", SNIPPETS]):
        assert node.run_command("mount", *words).returncode == 0
    check(node.run("install"), 2, "mounted noexec")


@pytest.mark.parametrize(("place", "mode", "owner"), [(SNIPPETS, 0o775, 0), (SNIPPETS, 0o755, 65534)])
def test_a_folder_that_others_may_change_is_refused(node: ClusterNode, place: str, mode: int, owner: int) -> None:
    os.chown(node.path(place), owner, 0)
    node.path(place).chmod(mode)
    check(node.run("install"), 2, f"{place} must belong to root")
    assert list_names(node) == []


def test_so_is_one_below_a_folder_that_others_may_change(node: ClusterNode) -> None:
    node.path("/var/lib/vz").chmod(0o777)
    check(node.run("install"), 2, "/var/lib/vz must belong to root")


@pytest.mark.parametrize(("open_folder", "code"), [("/srv/way", 2), ("/srv/there", 2), ("", 0)])
def test_so_is_one_to_which_a_link_leads_that_others_may_exchange(
    node: ClusterNode, open_folder: str, code: int
) -> None:
    node.describe(Site(storages=[{**LOCAL, "path": "/srv/way/vz"}]))
    node.path("/srv/there/vz/snippets").mkdir(parents=True)
    node.path("/srv/way").mkdir()
    node.path("/srv/way/vz").symlink_to("/srv/there/vz")
    if open_folder:
        node.path(open_folder).chmod(0o777)
    check(node.run("install"), code, f"{open_folder} must belong to root" if code else "is written")


# --- guests


def test_containers_virtual_machines_and_templates_get_it_on_whichever_node_they_are(node: ClusterNode) -> None:
    node.describe(Site(nodes=THREE))
    for name in ("pve-1", "pve-3"):
        node.put_script(name).chmod(0o755)
    node.add_guest(5001)
    node.add_guest(600, "scsi0: fast:vm-600-disk-0\n", node="pve-1", kind="qemu-server")
    node.add_guest(900, "template: 1\nrootfs: fast:base-900-disk-0\n", node="pve-3")
    check(node.run("install", "--all"), 0, "container 5001 on pve-2 names the hook", "virtual machine 600 on pve-1")
    assert node.list_hooked() == {5001: VOLUME, 600: VOLUME, 900: VOLUME}
    assert [words[0] for words in node.list_calls("set")] == [
        "/nodes/pve-1/qemu/600/config",
        "/nodes/pve-3/lxc/900/config",
        f"/nodes/{NODE}/lxc/5001/config",
    ]


def test_a_guest_that_names_another_script_keeps_it_and_is_named(node: ClusterNode) -> None:
    node.add_guest(5001, OTHERS)
    node.add_guest(5002)
    said = f"container 5001 on {NODE} is left alone, for it names local:snippets/backup.pl"
    check(node.run("install", "--all"), 1, said)
    assert node.list_hooked() == {5001: "local:snippets/backup.pl", 5002: VOLUME}


def test_one_that_got_another_script_just_now_keeps_it_too(node: ClusterNode) -> None:
    node.describe(Site(edit_at=5001))
    node.add_guest(5001)
    check(node.run("install", "--all"), 1, "5001 on pve-2 was not changed", "detected modified configuration")
    assert node.list_hooked() == {5001: "local:snippets/somebody-elses"}


def test_what_stands_in_a_snapshot_or_a_description_is_not_in_force(node: ClusterNode) -> None:
    text = f"#hookscript%3A {VOLUME}\nhostname: a\n\n[before]\nhookscript: {VOLUME}\n"
    node.add_guest(5001, text)
    check(node.run("install", "--all"), 0)
    assert node.list_hooked() == {5001: VOLUME}
    assert node.path(f"/etc/pve/nodes/{NODE}/lxc/5001.conf").read_text().endswith(f"[before]\nhookscript: {VOLUME}\n")


def test_a_locked_guest_is_named_and_the_others_go_on(node: ClusterNode) -> None:
    node.add_guest(5001, "lock: backup\n")
    node.add_guest(5002)
    check(node.run("install", "--all"), 1, "5001 on pve-2 was not changed: pvesh set: CT is locked (backup)")
    assert node.list_hooked() == {5002: VOLUME}


def test_whoever_has_it_is_not_written_again(node: ClusterNode) -> None:
    node.add_guest(5001)
    node.run("install", "--all")
    check(node.run("install", "--all"), 0)
    assert len(node.list_calls("set")) == 1


CHOICES = {
    "--vmid 5001": [5001],
    "--vmid 5001-5003": [5001, 5002],
    "--vmid 5001 --vmid 600-601": [600, 5001],
    "--tag Game": [5001],
    "--tag gam": [],
    "--pool customers/gold": [5002],
    "--pool customers/gold --tag game": [5001, 5002],
    "--all": [600, 5001, 5002],
    "--all --tag game": [600, 5001, 5002],
}


@pytest.mark.parametrize("words", CHOICES)
def test_only_guests_that_are_chosen_get_it_and_choices_add_up(node: ClusterNode, words: str) -> None:
    node.describe(Site(pools={"customers/gold": [5002]}))
    node.add_guest(5001, "tags: a;GAME\n")
    node.add_guest(5002, "tags: games\n[old]\ntags: game\n")
    node.add_guest(600, kind="qemu-server")
    done = node.run("install", *words.split())
    assert done.returncode == (0 if CHOICES[words] else 2), done.stderr
    assert sorted(node.list_hooked()) == CHOICES[words]


def test_without_a_choice_only_the_script_is_put_there_and_the_nodes_that_lack_it_are_named(node: ClusterNode) -> None:
    node.describe(Site(nodes=THREE))
    node.put_script("pve-3")
    node.add_guest(5001)
    done = node.run("install")
    check(done, 0, "pve-1 lacks it: run zlh-hooks-node install there too")
    assert ("pve-3" in done.stdout, node.list_hooked()) == (False, {})


ABSENT = {
    "lacks it": (Site(nodes=THREE), "it could start on a node without the script: pve-3 lacks it"),
    "is off": (Site(nodes={**THREE, "pve-3": 0}), "pve-3 is off"),
    "does not answer": (Site(nodes=THREE, unreachable=["pve-3"]), "pve-3 does not tell: pvesh get: ssh: connect"),
}


@pytest.mark.parametrize("case", ABSENT)
def test_a_guest_does_not_get_it_while_it_could_start_where_the_script_is_not_known_to_be(
    node: ClusterNode, case: str
) -> None:
    site, said = ABSENT[case]
    node.describe(site)
    node.put_script("pve-1")
    node.add_guest(5001)
    check(node.run("install", "--all"), 1, "5001 on pve-2 is left alone", said)
    assert node.list_hooked() == {}


def test_a_node_that_is_without_one_of_its_storages_is_none_where_it_could_start(node: ClusterNode) -> None:
    near = {**FAST, "storage": "near", "nodes": f"pve-1,{NODE}"}
    node.describe(Site(nodes=THREE, storages=[LOCAL, FAST, near]))
    node.put_script("pve-1")
    node.add_guest(5001, "rootfs: near:vm-5001-disk-0\n")
    node.add_guest(5002, "rootfs: fast:vm-5002-disk-0\n")
    node.add_guest(600, "scsi0: fast:a,size=1G\nide2: near:iso/a.iso,media=cdrom\n", kind="qemu-server")
    node.add_guest(601, "scsi0: fast:a\n#scsi1: near:a\n[old]\nscsi1: near:a\n", kind="qemu-server")
    node.run("install", "--all")
    assert sorted(node.list_hooked()) == [600, 5001]


def test_a_dry_run_says_all_that_would_be_done_and_does_nothing(node: ClusterNode) -> None:
    node.add_guest(5001)
    check(node.run("install", "--all", "--dry-run"), 0, "would be done: /var/lib", "would be done: container 5001")
    node.put_script(NODE)
    assert (list_names(node), node.list_hooked(), node.list_calls("set")) == ([], {}, [])
    node.run("install", "--all")
    check(node.run("uninstall", "--dry-run"), 0, "would be done: container 5001", f"would be done: {SCRIPT} is removed")
    assert (list_names(node), node.list_hooked()) == (["zlh-guest-hook"], {5001: VOLUME})


# --- away


def test_it_is_taken_off_every_guest_of_the_cluster_before_the_script_goes(node: ClusterNode) -> None:
    node.describe(Site(nodes=THREE))
    node.put_script("pve-1")
    node.write(SCRIPT, HOOK.read_text())
    node.add_guest(5001, HOOKED)
    node.add_guest(600, HOOKED, node="pve-1", kind="qemu-server")
    node.add_guest(601, OTHERS, node="pve-1", kind="qemu-server")
    check(node.run("uninstall"), 0, "600 on pve-1 names no hook", "is removed", "pve-1 has it still")
    assert (node.list_hooked(), list_names(node)) == ({601: "local:snippets/backup.pl"}, [])


def test_the_script_stays_while_one_guest_could_not_be_changed(node: ClusterNode) -> None:
    node.write(SCRIPT, HOOK.read_text())
    node.add_guest(5001, "lock: backup\n" + HOOKED)
    node.add_guest(5002, HOOKED)
    check(node.run("uninstall"), 1, "CT is locked (backup)", "container 5001 on pve-2 named it still", "stays")
    assert (node.list_hooked(), list_names(node)) == ({5001: VOLUME}, ["zlh-guest-hook"])


def test_with_a_choice_only_those_guests_lose_it_and_the_script_stays(node: ClusterNode) -> None:
    node.write(SCRIPT, HOOK.read_text())
    node.add_guest(5001, HOOKED)
    node.add_guest(5002, HOOKED)
    check(node.run("uninstall", "--vmid", "5001"), 0)
    assert (node.list_hooked(), list_names(node)) == ({5002: VOLUME}, ["zlh-guest-hook"])


def test_snapshots_that_would_bring_it_back_are_named_and_keep_nothing(node: ClusterNode) -> None:
    node.write(SCRIPT, HOOK.read_text())
    node.add_guest(5001, f"hostname: a\n\n[before]\nhookscript: {VOLUME}\n\n[other]\n{OTHERS}")
    done = node.run("uninstall")
    check(done, 0, "container 5001 on pve-2 would name it again after a rollback to before\n", "is removed")


def test_it_is_taken_away_where_it_could_not_be_put_any_more(node: ClusterNode) -> None:
    node.write(SCRIPT, HOOK.read_text())
    node.path("/var/lib/vz").chmod(0o777)
    check(node.run("uninstall"), 0, "is removed")
    check(node.run("uninstall"), 0)


def test_a_copy_in_another_storage_is_another_script(node: ClusterNode) -> None:
    node.add_guest(5001, HOOKED.replace("local:", "other:"))
    check(node.run("install", "--all"), 1, "names other:snippets/zlh-guest-hook")
    check(node.run("uninstall"), 0)
    assert node.list_hooked() == {5001: "other:snippets/zlh-guest-hook"}


# --- what there is


def test_status_is_content_when_every_guest_has_it_and_it_is_everywhere(node: ClusterNode) -> None:
    node.describe(Site(nodes=THREE))
    for name in ("pve-1", "pve-3"):
        node.put_script(name)
    node.add_guest(5001)
    node.run("install", "--all")
    check(node.run("status"), 0, f"{VOLUME} on {NODE}: is the packaged one", "1 guests and templates were looked at")


def test_status_names_guests_without_it_with_another_one_and_with_one_that_is_missing_somewhere(
    node: ClusterNode,
) -> None:
    node.describe(Site(nodes=THREE))
    node.put_script("pve-1")
    node.write(f"/srv/node/pve-1{SNIPPETS}/backup.pl", "")
    node.write(f"/srv/node/pve-3{SNIPPETS}/backup.pl", "")
    node.write(f"{SNIPPETS}/backup.pl", "")
    node.write(SCRIPT, HOOK.read_text())
    node.add_guest(5001, HOOKED)
    node.add_guest(5002)
    node.add_guest(5003, OTHERS)
    node.add_guest(5004, "hookscript: gone:snippets/a.pl\n")
    node.add_guest(5005, "hookscript: local:iso/a.iso\n")
    lines = node.run("status").stdout.splitlines()
    assert lines[1:-1] == [
        f"container 5001 on {NODE} could start on a node without its script: pve-3 lacks it",
        f"container 5002 on {NODE} has no hook",
        f"container 5003 on {NODE} names local:snippets/backup.pl",
        f"container 5004 on {NODE} names gone:snippets/a.pl; could start on a node without its script: "
        + "; ".join(f"{name} cannot be asked, for there is no storage gone with snippets" for name in THREE),
        f"container 5005 on {NODE} names local:iso/a.iso; could start on a node without its script: "
        + "; ".join(f"{name} cannot run it, for it is no snippet" for name in THREE),
    ]


def test_status_exits_with_one_if_something_is_not_as_asked_and_looks_at_chosen_guests_alone(node: ClusterNode) -> None:
    node.add_guest(5001, HOOKED)
    node.add_guest(5002)
    node.write(SCRIPT, "#!/bin/sh\n# zlh-guest-hook: older\n")
    check(node.run("status", "--vmid", "5002"), 1, "5002 on pve-2 has no hook", "is not the packaged one")
    check(node.run("status", "--tag", "game"), 0)


def test_status_changes_nothing_and_needs_no_quorum(node: ClusterNode) -> None:
    node.describe(Site(nodes=THREE, quorate=0))
    node.add_guest(5001)
    check(node.run("status"), 1, "5001 on pve-2 has no hook", "is not there")
    assert (list_names(node), node.list_calls("set")) == ([], [])


# --- trouble


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_nothing_is_changed_without_quorum(node: ClusterNode, verb: str) -> None:
    node.describe(Site(nodes=THREE, quorate=0))
    node.write(SCRIPT, "#!/bin/sh\n# zlh-guest-hook: older\n")
    check(node.run(verb), 2, "without quorum")
    assert "older" in node.path(SCRIPT).read_text()


def test_nothing_is_done_where_no_cluster_is_seen(node: ClusterNode) -> None:
    node.path("/etc/pve/.version").unlink()
    check(node.run("uninstall"), 2, "systemctl start pve-cluster")


@pytest.mark.parametrize("words", ["install --all", "uninstall"])
def test_one_that_is_killed_between_two_guests_is_repeated(node: ClusterNode, words: str) -> None:
    installs = words.startswith("install")
    node.write(SCRIPT, HOOK.read_text())
    for vmid in (5001, 5002, 5003):
        node.add_guest(vmid, "" if installs else HOOKED)
    node.describe(Site(kill_at=5002))
    assert node.run(*words.split()).returncode == -9
    assert list_names(node) == ["zlh-guest-hook"]  # whichever guests name it now
    assert (5003 in node.list_hooked()) == (not installs)
    node.describe(Site())
    check(node.run(*words.split()), 0)
    assert node.list_hooked() == (dict.fromkeys((5001, 5002, 5003), VOLUME) if installs else {})
    assert list_names(node) == (["zlh-guest-hook"] if installs else [])


def test_a_guest_that_is_given_the_hook_while_the_script_goes_gets_it_back(node: ClusterNode) -> None:
    node.write(SCRIPT, HOOK.read_text())
    config = node.add_guest(5001)
    node.write("/srv/hooked", HOOKED)
    gone = "sync_folder($folder);\n    return if eval { refuse_named("
    meanwhile = f"system 'cp', '/srv/hooked', '/etc/pve/nodes/{NODE}/lxc/5001.conf';"
    done = node.run_changed(gone, meanwhile + gone, "uninstall")
    check(done, 1, f"container 5001 on {NODE} named it still: {SCRIPT} was put back")
    assert (config.read_text(), node.path(SCRIPT).read_text()) == (HOOKED, HOOK.read_text())


def test_a_node_that_never_answers_is_not_waited_for_without_end(node: ClusterNode) -> None:
    node.describe(Site(nodes=THREE, hanging=["pve-3"]))
    node.put_script("pve-1")
    node.add_guest(5001)
    done = node.run_changed("$ANSWER_SECONDS = 60;", "$ANSWER_SECONDS = 2;", "install", "--all")
    check(done, 1, "5001 on pve-2 is left alone", "pve-3 does not tell: pvesh get: no answer in 2 s")


def test_two_on_one_node_do_not_work_at_once(node: ClusterNode) -> None:
    lock = node.path(str(PACKAGED))
    with subprocess.Popen(["flock", str(lock), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None and other.stdout is not None
        other.stdin.write(b"held\n")
        other.stdin.flush()
        other.stdout.readline()
        check(node.run("install"), 2, "another zlh-hooks-node is at work")
        other.stdin.close()
    check(node.run("install"), 0)


WRONG = {
    "": "one verb is wanted",
    "remove": "one verb is wanted",
    "install now": "one verb is wanted",
    "status --dry-run": "--dry-run is too much",
    "install --vmid 5": "--vmid: '5' is none",
    "install --vmid 5001-": "--vmid: '5001-' is none",
    "install --tag a:b": "--tag: 'a:b' is none",
    "install --storage ../x": "--storage: '../x' is none",
    "install --pool a;b": "--pool: 'a;b' is none",
    "install --pool gone": "pool 'gone' does not exist",
    "install --every": "Unknown option: every",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_call_says_what_is_wrong_and_names_no_hook(node: ClusterNode, words: str) -> None:
    node.add_guest(5001)
    check(node.run(*words.split()), 2, WRONG[words])
    assert node.list_hooked() == {}


def test_what_configs_say_moves_no_cursor(node: ClusterNode) -> None:
    node.add_guest(5001, "hookscript: local:snippets/\x1b[2Jx\u202e\n")
    assert "names local:snippets/[2Jx" in node.run("status").stdout


def test_what_proxmox_is_told_is_a_word_each(node: ClusterNode) -> None:
    node.add_guest(5001)
    node.run("install", "--all")
    (words,) = node.list_calls("set")
    assert words[1:4] == ["--hookscript", VOLUME, "--digest"], json.dumps(words)
