"""``zlh-hooks-node --vzdump``: the hook of backups is named on this node and taken back, and nothing else is changed."""

import stat
from collections.abc import Iterator

import pytest

from tests.hookscripts.cluster_node import ClusterNode, open_node
from tests.hookscripts.cluster_room import PACKAGED
from tests.hookscripts.node import needs_root
from tests.hookscripts.test_installation import check

pytestmark = needs_root
HOOK = str(PACKAGED.parent / "zlh-vzdump-hook")
CONFIG, FORMER = "/etc/vzdump.conf", "/etc/vzdump.conf.zlh-former"
NAMED = f"script: {HOOK}\n"
THEIRS = "/srv/backup.sh"
TEXTS = {
    "no file": None,
    "an empty file": "",
    "without a script": "# tmpdir: DIR\nbwlimit: 50000\n",
    "without an end of its line": "bwlimit: 50000",
    "with a script": f"bwlimit: 50000\nscript: {THEIRS}\nmode: snapshot\n",
    "with a script, oddly written": f"  script:{THEIRS}  \nmode: snapshot\n",
    "with several": f"script: /bin/first\nmode: snapshot\nscript: {THEIRS}",
    "with one that is a comment": f"#script: {THEIRS}\n",
    "with an empty one": "script:\nmode: snapshot\n",
    "with the line ends of Windows": f"mode: snapshot\r\nscript: {THEIRS}\r\nbwlimit: 50000\r\n",
}
CHAINED = [name for name, text in TEXTS.items() if THEIRS in (text or "") and "#" not in (text or "")]


@pytest.fixture
def node() -> Iterator[ClusterNode]:
    with open_node() as opened:
        opened.write(THEIRS, '#!/bin/sh\necho "theirs: $*"\nexit 9\n').chmod(0o755)
        yield opened


def read(node: ClusterNode, path: str = CONFIG) -> str | None:
    place = node.path(path)
    return place.read_bytes().decode() if place.exists() else None


def put(node: ClusterNode, text: str | None) -> None:
    if text is not None:
        node.write(CONFIG, "").write_bytes(text.encode())


def find_script(text: str | None) -> str:
    """As vzdump reads it: of several lines the last."""
    lines = [line.strip() for line in (text or "").splitlines()]
    named = [line.removeprefix("script:").strip() for line in lines if line.startswith("script:")]
    return named[-1] if named else ""


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_named_once_and_taken_back_so_that_the_file_is_what_it_was(node: ClusterNode, name: str) -> None:
    text = TEXTS[name]
    put(node, text)
    check(node.run("install", "--vzdump"), 0, f"{CONFIG} names {HOOK}")
    named = read(node)
    assert find_script(named) == HOOK
    assert read(node, FORMER) is None or name in CHAINED
    check(node.run("install", "--vzdump"), 0, "already")
    assert read(node) == named
    check(node.run("uninstall", "--vzdump"), 0)
    assert (read(node) or None, read(node, FORMER)) == (text or None, None)


@pytest.mark.parametrize("name", CHAINED)
def test_a_script_that_was_there_is_never_lost_but_called_first_and_that_is_said(node: ClusterNode, name: str) -> None:
    put(node, TEXTS[name])
    check(node.run("install", "--vzdump"), 0, f"{THEIRS} stays, is noted in {FORMER}, and is called first")
    assert (read(node, FORMER) or "").splitlines()[0] == THEIRS
    node.path(THEIRS).chmod(0o644)
    check(node.run("status", "--vzdump"), 1, f"{THEIRS}, called first, cannot be run")


@pytest.mark.parametrize("name", CHAINED)
def test_a_former_script_that_ran_before_runs_after_and_its_exit_code_counts(node: ClusterNode, name: str) -> None:
    put(node, TEXTS[name])
    check(node.run("install", "--vzdump"), 0)
    check(node.run("status", "--vzdump"), 0, f"{THEIRS} is called first")
    check(node.run_command(HOOK, "backup-start", "snapshot", "5001"), 9, "theirs: backup-start snapshot 5001")


@pytest.mark.parametrize("place", ["/srv/gone", "/srv"])
def test_a_script_that_cannot_be_run_is_left_to_a_person(node: ClusterNode, place: str) -> None:
    put(node, f"script: {place}\n")
    check(node.run("install", "--vzdump"), 2, f"names {place}, which is no file that can be run")
    assert (read(node), read(node, FORMER)) == (f"script: {place}\n", None)


def test_a_former_script_that_calls_the_hook_is_called_once(node: ClusterNode) -> None:
    script = f'#!/bin/sh\necho called >>/srv/calls-of-it\n[ "$(wc -l </srv/calls-of-it)" -gt 5 ] || exec {HOOK} "$@"\n'
    node.write("/srv/wrap", script).chmod(0o755)
    put(node, "script: /srv/wrap\n")
    check(node.run("install", "--vzdump"), 0)
    check(node.run_command(HOOK, "job-init"), 0)
    assert read(node, "/srv/calls-of-it") == "called\n"


def test_the_hook_by_another_name_does_not_call_itself(node: ClusterNode) -> None:
    node.path("/srv/link").symlink_to(HOOK)
    put(node, "script: /srv/link\n")
    check(node.run("install", "--vzdump"), 0)
    check(node.run_command(HOOK, "job-init"), 0)
    check(node.run_command("/srv/link", "job-init"), 0)


def test_what_is_edited_in_between_stays(node: ClusterNode) -> None:
    put(node, TEXTS["with a script"])
    check(node.run("install", "--vzdump"), 0)
    put(node, (read(node) or "").replace("50000", "90000") + "ionice: 8\n")
    check(node.run("uninstall", "--vzdump"), 0, f"names {THEIRS}, and {HOOK} no more")
    assert read(node) == (TEXTS["with a script"] or "").replace("50000", "90000") + "ionice: 8\n"


def test_a_script_that_somebody_named_since_is_left_alone(node: ClusterNode) -> None:
    put(node, TEXTS["with a script"])
    check(node.run("install", "--vzdump"), 0)
    put(node, "script: /bin/newer\n")
    check(node.run("uninstall", "--vzdump"), 0, "names /bin/newer, and is left alone")
    assert (read(node), read(node, FORMER)) == ("script: /bin/newer\n", None)


BELOW = {
    "another script": "script: /bin/newer\n",
    "ours again": f"mode: stop\nscript:{HOOK}\r\nbwlimit: 1\n",
    "ours again and another": f" script: {HOOK} \nscript: /bin/newer",
}


@pytest.mark.parametrize("below", BELOW)
@pytest.mark.parametrize("name", ["no file", "with a script", "with the line ends of Windows"])
def test_after_uninstall_no_line_names_ours_whatever_stands_below_it(node: ClusterNode, name: str, below: str) -> None:
    text, added = TEXTS[name] or "", BELOW[below]
    put(node, text)
    check(node.run("install", "--vzdump"), 0)
    put(node, (read(node) or "") + added)
    check(node.run("uninstall", "--vzdump"), 0)
    assert (HOOK in (read(node) or ""), read(node, FORMER)) == (False, None)
    assert text.count(THEIRS) == (read(node) or "").count(THEIRS)
    assert find_script(read(node)) == (find_script(added) if "another" in below else find_script(text))


def test_of_a_script_that_was_named_below_ours_both_that_one_and_the_former_one_are_kept(node: ClusterNode) -> None:
    node.write("/srv/newer", "#!/bin/sh\n").chmod(0o755)
    put(node, f"script: {THEIRS}\n")
    check(node.run("install", "--vzdump"), 0)
    put(node, f"{read(node)}script: /srv/newer\n")
    check(node.run("install", "--vzdump"), 0, "/srv/newer stays")
    assert find_script(read(node)) == HOOK
    check(node.run("uninstall", "--vzdump"), 0)
    assert read(node) == f"script: {THEIRS}\nscript: /srv/newer\n"


def test_it_is_taken_back_while_the_clusters_file_system_is_away(node: ClusterNode) -> None:
    put(node, TEXTS["with a script"])
    check(node.run("install", "--vzdump"), 0)
    node.path("/etc/pve/.version").unlink()
    check(node.run("status", "--vzdump"), 0, f"{CONFIG} names {HOOK}")
    check(node.run("uninstall", "--vzdump"), 0)
    assert read(node) == TEXTS["with a script"]
    check(node.run("install", "--vzdump"), 2, "shows no cluster")


def test_what_an_earlier_call_left_is_not_called_when_there_is_no_former_script(node: ClusterNode) -> None:
    node.write(FORMER, "/bin/old\nscript: /bin/old\n")
    check(node.run("install", "--vzdump"), 0, f"{FORMER}, which nothing needs, is removed")
    assert read(node, FORMER) is None


def test_permissions_stay_as_they_were(node: ClusterNode) -> None:
    node.write(CONFIG, "mode: stop\n").chmod(0o640)
    check(node.run("install", "--vzdump"), 0)
    assert stat.S_IMODE(node.path(CONFIG).stat().st_mode) == 0o640


def test_a_link_is_not_replaced_by_a_file(node: ClusterNode) -> None:
    node.write("/srv/managed.conf", "mode: stop\n")
    node.path(CONFIG).unlink(missing_ok=True)
    node.path(CONFIG).symlink_to("/srv/managed.conf")
    check(node.run("install", "--vzdump"), 2, f"{CONFIG} is a link", HOOK)
    assert read(node, "/srv/managed.conf") == "mode: stop\n"


def test_a_script_without_an_absolute_path_is_left_to_a_person(node: ClusterNode) -> None:
    put(node, "script: backup.sh\n")
    check(node.run("install", "--vzdump"), 2, "names backup.sh, which is no absolute path")
    assert read(node) == "script: backup.sh\n"


def test_status_says_what_is_named_and_whether_it_can_be_run(node: ClusterNode) -> None:
    check(node.run("status", "--vzdump"), 1, f"{CONFIG} names no script, not {HOOK}")
    put(node, f"script: {THEIRS}\n")
    check(node.run("status", "--vzdump"), 1, f"{CONFIG} names {THEIRS}, not {HOOK}")
    check(node.run("install", "--vzdump"), 0)
    node.path(FORMER).unlink()
    check(node.run("status", "--vzdump"), 0, f"{CONFIG} names {HOOK}")
    node.path(HOOK).chmod(0o644)
    check(node.run("status", "--vzdump"), 1, "every backup fails")


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_a_dry_run_says_what_would_be_done_and_does_nothing(node: ClusterNode, verb: str) -> None:
    put(node, TEXTS["with a script"])
    if verb == "uninstall":
        check(node.run("install", "--vzdump"), 0)
    before = read(node), read(node, FORMER)
    check(node.run(verb, "--vzdump", "--dry-run"), 0, f"would be done: {CONFIG} names")
    assert (read(node), read(node, FORMER)) == before


@pytest.mark.parametrize("words", [("--all",), ("--vmid", "5001"), ("--storage", "fast")])
def test_it_has_nothing_to_do_with_guests(node: ClusterNode, words: tuple[str, ...]) -> None:
    check(node.run("install", "--vzdump", *words), 2, "--vzdump is for this node and no guest")


@pytest.mark.parametrize("verb", ["install", "uninstall"])
@pytest.mark.parametrize("place", ["rename $draft, $path", "print({$file}", "sync_folder('/etc')"])
def test_whatever_it_dies_of_no_script_is_lost_and_the_next_call_ends_it(
    node: ClusterNode, verb: str, place: str
) -> None:
    text = TEXTS["with a script"]
    put(node, text)
    if verb == "uninstall":
        check(node.run("install", "--vzdump"), 0)
    whole = node.path("/usr/share/zlh-hooks/hookscripts/zlh-vzdump-place.pl")
    program = whole.read_text()
    assert place in program
    whole.write_text(program.replace(place, f"kill('KILL', $$); {place}"))
    node.run(verb, "--vzdump")
    assert find_script(read(node)) in (HOOK, THEIRS)
    assert find_script(read(node)) == THEIRS or (read(node, FORMER) or "").startswith(THEIRS)
    whole.write_text(program)
    check(node.run(verb, "--vzdump"), 0)
    assert find_script(read(node)) == (HOOK if verb == "install" else THEIRS)
    check(node.run("uninstall", "--vzdump"), 0)
    assert (read(node), read(node, FORMER)) == (text, None)
    assert not node.path(f"{CONFIG}.zlh-draft").exists() and not node.path(f"{FORMER}.zlh-draft").exists()
