"""The Debian packages say what the code needs: no dependency that drifted, no module or manual page that is missing."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from zlh_hooks.settings import ONLINE_CREDENTIAL

REPOSITORY = Path(__file__).parents[1]
DEBIAN = REPOSITORY / "debian"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
OTHER_NAMES = {"python-dateutil": "python3-dateutil", "markdown-it-py": "python3-markdown-it"}
"""Debian's packages that are not called ``python3-`` and PyPI's name."""


def read_stanzas() -> "dict[str, dict[str, str]]":
    """Fields of debian/control by the package's name; the source's stand under ``source``."""
    stanzas = (DEBIAN / "control").read_text().strip().split("\n\n")
    parsed = [dict(re.findall(r"^([A-Za-z-]+):((?:.|\n[ \t])*)", one, re.MULTILINE)) for one in stanzas]
    return {one.get("Package", "source").strip(): one for one in parsed}


def list_relations(stanza: str, field: str) -> "set[str]":
    """The field's entries, without those that the build fills in."""
    entries = (one.strip() for one in read_stanzas()[stanza][field].split(","))
    return {one for one in entries if one and not one.startswith("${")}


def name_in_debian(requirement: str) -> str:
    parsed = Requirement(requirement)
    name = canonicalize_name(parsed.name)
    lowest = str(parsed.specifier).removeprefix(">=")
    return f"{OTHER_NAMES.get(name, f'python3-{name}')} (>= {lowest})"


@pytest.mark.parametrize(("stanza", "field"), [("zlh-hooks", "Depends"), ("source", "Build-Depends")])
def test_the_controller_asks_debian_for_the_libraries_of_pyproject_in_their_versions(stanza: str, field: str) -> None:
    asked = {one for one in list_relations(stanza, field) if one.startswith("python3-")}
    wanted = {name_in_debian(one) for one in PROJECT["dependencies"]}
    assert asked - {"python3-setuptools (>= 68)"} == wanted


def list_modules(program: str) -> "set[str]":
    """Perl's modules that it loads."""
    text = (REPOSITORY / "hookscripts" / program).read_text()
    return set(re.findall(r"^\s*(?:use|require)\b\s*([\w:]+)", text, re.MULTILINE))


def test_a_node_needs_perl_with_its_own_modules_and_nothing_else() -> None:
    assert list_relations("zlh-hooks-node", "Depends") == {"perl (>= 5.36)"}
    assert list_modules("zlh-guest-hook") == list_modules("zlh-vzdump-hook") == set()
    core = {"strict", "warnings", "Cwd", "Digest::SHA", "Fcntl", "Getopt::Long", "IO::Handle", "JSON::PP"}
    assert list_modules("zlh-hooks-node") | list_modules("zlh-vzdump-place.pl") == core
    core = {"strict", "warnings", "Fcntl", "Getopt::Long", "IO::Handle", "IPC::Open2", "POSIX"}
    assert list_modules("zlh-note-forwarder") == core


def test_a_guest_needs_only_what_debian_12_has_too() -> None:
    assert list_relations("zlh-agent-plugin", "Depends") == {"python3 (>= 3.10)", "python3-cryptography", "systemd"}


def test_packages_have_the_version_of_the_project() -> None:
    first = (DEBIAN / "changelog").read_text().split("\n")[0]
    assert re.findall(r"\((.*?)\)", first) == [PROJECT["version"]]


def list_imported(path: Path) -> "Iterator[Path]":
    """The guest's modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (REPOSITORY / f"{one.replace('.', '/')}.py" for one in modules if one.startswith("agent_plugin."))


def test_the_controller_has_those_modules_of_the_guest_that_it_imports_and_no_other() -> None:
    needed: set[Path] = set()
    found = set((REPOSITORY / "zlh_hooks").rglob("*.py"))
    while found:
        found = {one for path in found for one in list_imported(path)} - needed
        needed |= found
    installed = re.findall(r"agent_plugin/(\w+)\.py", (DEBIAN / "zlh-hooks.install").read_text())
    assert sorted(installed) == sorted({"__init__", *(path.stem for path in needed)})


def test_guests_get_each_library_that_is_pinned_for_them() -> None:
    lines = (REPOSITORY / "constraints/vendored.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if line and not line.startswith("#")}
    assert set(re.findall(r"debian/vendor/(\w+) ", (DEBIAN / "zlh-agent-plugin.install").read_text())) == pinned


def load_manual() -> ModuleType:
    spec = importlib.util.spec_from_file_location("manual", DEBIAN / "manual.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["manual"] = module
    spec.loader.exec_module(module)
    return module


MANUAL = load_manual()


def test_each_command_has_a_manual_page_that_names_its_options() -> None:
    pages = {page.name: MANUAL.render(page, "1.0", "2026-01-01") for page in MANUAL.list_pages()}
    assert r"\fB\-\-keep\-down\fR" in pages["zlh-hooks hold set"]
    assert ".SH ARGUMENTS" in pages["zlh-hooks hold set"]
    assert r"\fBrollout\fR" in pages["zlh-hooks"]
    assert {len(name.split()) for name in pages} >= {1, 2, 3}
    assert all(text.isprintable() for page in pages.values() for text in page.splitlines())


def test_the_plugin_has_a_manual_page_for_each_command_that_names_its_options() -> None:
    pages = {page.name: page for page in MANUAL.list_pages() if page.program == "zlh-agent-plugin"}
    verbs = {f"zlh-agent-plugin {verb}" for verb, _ in pages["zlh-agent-plugin"].commands}
    assert set(pages) - {"zlh-agent-plugin"} == verbs >= {"zlh-agent-plugin check", "zlh-agent-plugin patch"}
    install = MANUAL.render(pages["zlh-agent-plugin install"], "1.0", "2026-01-01")
    assert r"\fB\-\-sha256 SHA256\fR" in install
    assert "of the file, from whoever published it" in install
    assert r"\fBzlh\-agent\-plugin\fR(8)" in install
    assert pages["zlh-agent-plugin install"].file == "man8/zlh-agent-plugin-install.8"


UNITS = [*DEBIAN.glob("*.service"), *(REPOSITORY / "agent_plugin/units").glob("*.service")]
FREE = {"zlh-agent.service"}
"""What is not ours is not locked in: a site's agent."""
HARDENED = {"NoNewPrivileges=yes", "LockPersonality=yes", "RestrictRealtime=yes", "ProtectClock=yes"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_each_service_of_ours_is_hardened_or_says_of_a_thing_why_not(unit: Path) -> None:
    lines = set(unit.read_text().splitlines())
    left_out = {one for one in HARDENED - lines if f"Not {one.partition('=')[0]}=" not in unit.read_text()}
    assert unit.name in FREE or left_out == set()


def list_triggers() -> "set[str]":
    """What an operator enables: units with an [Install] section."""
    return {path.name for path in DEBIAN.glob("zlh-hooks*.*") if "[Install]" in path.read_text()}


def test_what_is_enabled_by_operators_is_installed_never_enabled_by_itself_and_stopped_by_a_removal() -> None:
    controller = list_triggers() - {"zlh-hooks-forward.path"}
    installed, rules = ((DEBIAN / name).read_text() for name in ("zlh-hooks.install", "rules"))
    (started,) = re.findall(r"-pzlh-hooks --no-enable --no-start (?:.*\\\n)?.*", rules)
    assert {name for name in controller if f"debian/{name} " not in installed} == set()
    assert {name for name in controller if name not in started} == set()
    assert {name for name in controller if name not in (DEBIAN / "zlh-hooks.prerm").read_text()} == set()


def read_unit(name: str) -> "list[str]":
    return (DEBIAN / name).read_text().splitlines()


def test_publishing_every_day_needs_the_password_of_the_online_key_and_is_given_it_as_a_credential() -> None:
    unit = read_unit("zlh-hooks-publish.service")
    assert f"ConditionPathExists=/etc/zlh-hooks/{ONLINE_CREDENTIAL}" in unit
    assert f"LoadCredential={ONLINE_CREDENTIAL}:/etc/zlh-hooks/{ONLINE_CREDENTIAL}" in unit
    assert "ExecStart=/usr/bin/zlh-hooks agent publish" in unit
    assert "OnCalendar=daily" in read_unit("zlh-hooks-publish.timer")


def test_who_watches_from_outside_is_kept_up_and_waits_for_the_lease_of_a_dead_one() -> None:
    unit = read_unit("zlh-hooks-watch.service")
    assert "Restart=always" in unit
    assert "ExecStart=/usr/bin/zlh-hooks downtime watch --wait 180" in unit


@pytest.mark.parametrize(
    ("text", "shown"), [(".TH", r"\&.TH"), ("'br", r"\&'br"), (r"a\fB-", r"a\efB\-"), ("a\n.b", "a .b")]
)
def test_a_manual_page_takes_no_text_for_a_command(text: str, shown: str) -> None:
    assert MANUAL.escape(text) == shown


HOOKED, PLAIN = "hookscript: local:snippets/zlh-guest-hook\n", "hookscript: local:snippets/other.pl\n"
REFUSALS = {
    "a container": ({"nodes/a/lxc/5001.conf": HOOKED}, "container 5001, on a: pct set 5001 --delete hookscript"),
    "a virtual machine": (
        {"nodes/b/qemu-server/600.conf": HOOKED},
        "machine 600, on b: qm set 600 --delete hookscript",
    ),
    "one that is this node's": ({"lxc/5001.conf": f"tags: a\n{HOOKED}[old]\ntags: b\n"}, "pct set 5001 --delete"),
    "one whose description would end a line early": (
        {"lxc/5001.conf": f"# ends here \\c or not\n{HOOKED}"},
        "pct set 5001 --delete",
    ),
    "a config that cannot be read": ({"lxc/5001.conf/not-a-file": ""}, "5001.conf cannot be read"),
    "no cluster": ({}, "systemctl start pve-cluster"),
}
LEAVE = {
    "another hook": {"lxc/5001.conf": PLAIN},
    "only a snapshot's": {"lxc/5001.conf": f"tags: a\n[old]\n{HOOKED}"},
    "one whose name begins alike": {"lxc/5001.conf": HOOKED.replace("hook\n", "hook.pl\n")},
    "one whose name ends alike": {"lxc/5001.conf": HOOKED.replace("zlh-", "my-zlh-")},
    "a description that speaks of it": {"lxc/5001.conf": f"# {HOOKED}#{HOOKED}tags: a\n"},
    "another key that speaks of it": {"qemu-server/600.conf": f"args: {HOOKED}"},
    "no guest": {},
}


def call_prerm(folder: Path, configs: "dict[str, str]", *words: str) -> "subprocess.CompletedProcess[str]":
    return call_script("prerm", folder, configs, *words)


def call_script(name: str, folder: Path, configs: "dict[str, str]", *words: str) -> "subprocess.CompletedProcess[str]":
    """One of the node's, with /etc/pve and snippets in a folder, where Proxmox is installed."""
    for config, content in configs.items():
        (folder / "pve" / config).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pve" / config).write_text(content)
    (folder / "pmxcfs").write_text("")
    (folder / "pmxcfs").chmod(0o755)
    places = {"/etc/pve": f"{folder}/pve", "/etc/vzdump.conf;": f"{folder}/pve/vzdump.conf;"}
    places |= {"/var/lib/vz/": f"{folder}/vz/", "/usr/share/zlh-hooks/hookscripts/copies.sh": f"{folder}/copies.sh"}
    places |= {"=/usr/share/zlh-hooks/hookscripts/zlh-guest-hook": f"={REPOSITORY}/hookscripts/zlh-guest-hook"}
    for source, target in ((DEBIAN / "copies.sh", "copies.sh"), (DEBIAN / f"zlh-hooks-node.{name}", name)):
        text = source.read_text()
        for place, there in places.items():
            text = text.replace(place, there)
        (folder / target).write_text(text)
    environment = {"PATH": f"{os.environ['PATH']}:{folder}"}
    return subprocess.run(
        ["sh", str(folder / name), *words], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("case", REFUSALS)
def test_the_hook_is_not_removed_while_a_guest_names_it_or_may(tmp_path: Path, case: str) -> None:
    configs, said = REFUSALS[case]
    mounted = {".version": "{}"} if configs else {}
    done = call_prerm(tmp_path, configs | mounted, "remove")
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert call_prerm(tmp_path, {}, "upgrade", "9.9").returncode == 0


def test_a_guest_of_this_node_is_told_once_though_its_config_has_two_paths(tmp_path: Path) -> None:
    (tmp_path / "pve/nodes/a/lxc").mkdir(parents=True)
    (tmp_path / "pve/lxc").symlink_to("nodes/a/lxc")
    done = call_prerm(tmp_path, {"lxc/5001.conf": HOOKED, ".version": "{}"}, "remove")
    assert done.stderr.count("5001, on a: ") == done.stderr.count("5001, on") == 1


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("script: /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook\n", 1),
        (" script:/usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook", 1),
        ("script:\t/usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook \t\r\nmode: snapshot\n", 1),
        ("script: /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook\nscript: /bin/true\n", 1),
        ("#script: /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook\nscript: /bin/true\n", 0),
        ("script: /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook --quiet\n", 0),
        ("script: /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook # ours\n", 0),
        ("script: /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook.mine\n", 0),
        ("script: /usr/share/zlh-hooks/mine/zlh-vzdump-hook\n", 0),
        ("postscript: /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook\n", 0),
        ("script: /bin/true /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook\n", 0),
        ("", 0),
    ],
)
def test_the_hook_of_backups_is_not_removed_while_a_line_names_it_and_nothing_else(
    tmp_path: Path, config: str, code: int
) -> None:
    done = call_prerm(tmp_path, {"vzdump.conf": config, ".version": "{}"}, "remove")
    assert (done.returncode, "zlh-hooks-node uninstall --vzdump" in done.stderr) == (code, bool(code))


JOB = "vzdump: backup-night\n\tschedule 02:00\n\tall 1\n"
BY_JOB = f"{JOB}\tscript /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook\n"


def test_the_hook_of_backups_is_not_removed_while_a_job_names_it(tmp_path: Path) -> None:
    done = call_prerm(
        tmp_path, {"jobs.cfg": f"realm-sync: x\n\n{BY_JOB}\n{JOB.replace('night', 'day')}", ".version": "{}"}, "remove"
    )
    assert (done.returncode, "backup jobs name its script" in done.stderr) == (1, True)
    assert done.stderr.count("pvesh set /cluster/backup/") == done.stderr.count("backup-night --delete script") == 1


@pytest.mark.parametrize(
    "line",
    [
        "\tcomment script /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook",
        "\t#script /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook",
        "\tscript /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook --quiet",
        "\tscript /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook.mine",
        "script /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook",
        "\nrealm-sync: x\n\tscript /usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook",
    ],
)
def test_jobs_without_it_keep_nothing(tmp_path: Path, line: str) -> None:
    jobs = f"{JOB}\tscript /bin/other\n{line}\n"
    assert call_prerm(tmp_path, {"jobs.cfg": jobs, ".version": "{}"}, "remove").returncode == 0


@pytest.mark.parametrize("case", LEAVE)
def test_the_hook_may_go_when_no_guest_names_it(tmp_path: Path, case: str) -> None:
    done = call_prerm(tmp_path, LEAVE[case] | {".version": "{}"}, "remove")
    assert (done.returncode, done.stderr) == (0, "")


STORAGES = """dir: local
\tpath {folder}/own
\tcontent snippets,iso

lvmthin: fast
\tcontent images
btrfs: other
\tpath {folder}/btrfs
\tcontent-dirs iso=x,snippets=their/own
nfs: far
\tpath {folder}/far
"""
COPY = "#!/usr/bin/perl -T\n# zlh-guest-hook: Proxmox VE calls it\n"


def test_copies_of_the_hook_go_with_the_package_and_nobody_elses_file(tmp_path: Path) -> None:
    ours = ["vz/snippets/zlh-guest-hook", "own/snippets/zlh-guest-hook", "btrfs/their/own/.zlh-guest-hook.pve-1"]
    others = {"own/snippets/own.pl": COPY, "btrfs/their/own/zlh-guest-hook": "#!/bin/sh\n# mine\n"}
    others |= {"far/snippets/zlh-guest-hook": COPY}
    for name, text in (dict.fromkeys(ours, COPY) | others).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    configs = {".version": "{}", "storage.cfg": STORAGES.format(folder=tmp_path)}
    refused = call_prerm(tmp_path, configs | {"nodes/a/lxc/5001.conf": HOOKED}, "remove")
    assert (refused.returncode, [name for name in ours if not (tmp_path / name).exists()]) == (1, [])
    assert call_prerm(tmp_path, configs, "upgrade", "9.9").returncode == 0
    assert [name for name in ours if not (tmp_path / name).exists()] == []
    (tmp_path / "pve/nodes/a/lxc/5001.conf").unlink()
    assert call_prerm(tmp_path, configs, "remove").returncode == 0
    left = [name for name in (*ours, *others) if (tmp_path / name).exists()]
    assert left == list(others)


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only what is root's alone is renewed")


def put_copy(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "zlh-guest-hook").write_text(COPY)
    return folder / "zlh-guest-hook"


@AS_ROOT
@pytest.mark.parametrize("flaw", ["open folder", "open folder above", "somebody's folder above", "somebody's link"])
def test_an_upgrade_writes_nothing_where_another_than_root_could_lead_it_elsewhere(tmp_path: Path, flaw: str) -> None:
    copy = put_copy(tmp_path / "a/own/snippets")
    if flaw == "open folder":
        copy.parent.chmod(0o757)
    elif flaw == "open folder above":
        (tmp_path / "a").chmod(0o777)
    else:
        os.chown(tmp_path / "a", 4711, -1)
    if flaw == "somebody's link":
        copy = put_copy(tmp_path / "aim/snippets")
        (tmp_path / "a/own").rename(tmp_path / "a/gone")
        (tmp_path / "a/own").symlink_to(tmp_path / "aim")
    storages = f"dir: local\n\tpath {tmp_path}/a/own\n"
    done = call_script("postinst", tmp_path, {"storage.cfg": storages}, "configure", "0.1")
    assert (done.returncode, copy.read_text(), "others than root may write there" in done.stderr) == (0, COPY, True)


@AS_ROOT
def test_an_upgrade_follows_a_link_of_roots(tmp_path: Path) -> None:
    copy = put_copy(tmp_path / "aim/snippets")
    (tmp_path / "own").symlink_to(tmp_path / "aim")
    storages = f"dir: local\n\tpath {tmp_path}/own\n"
    assert call_script("postinst", tmp_path, {"storage.cfg": storages}, "configure", "0.1").stderr == ""
    assert copy.read_text() != COPY


@AS_ROOT
def test_an_upgrade_renews_copies_that_are_roots_alone_and_nothing_else(tmp_path: Path) -> None:
    mine, packaged = "#!/bin/sh\n# mine\n", (REPOSITORY / "hookscripts" / "zlh-guest-hook").read_text()
    before = {"vz/snippets/zlh-guest-hook": COPY, "own/snippets/zlh-guest-hook": COPY, "own/snippets/other.pl": COPY}
    before |= {"btrfs/their/own/zlh-guest-hook": mine, "far/snippets/zlh-guest-hook": COPY}
    for name, text in before.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own/snippets").chmod(0o777)
    done = call_script("postinst", tmp_path, {"storage.cfg": STORAGES.format(folder=tmp_path)}, "configure", "0.1")
    after = before | {"vz/snippets/zlh-guest-hook": packaged}
    assert {name: (tmp_path / name).read_text() for name in before} == after
    assert done.stdout == f"{tmp_path}/vz/snippets/zlh-guest-hook is the one of this version now\n"
    assert (
        done.stderr == f"{tmp_path}/own/snippets/zlh-guest-hook is left as it was: others than root may write there\n"
    )
    assert sorted(path.name for path in (tmp_path / "vz/snippets").iterdir()) == ["zlh-guest-hook"]
    assert (tmp_path / "vz/snippets/zlh-guest-hook").stat().st_mode & 0o777 == 0o755


def test_a_copy_that_cannot_be_renewed_stays_and_fails_no_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "vz/snippets/zlh-guest-hook"
    copy.parent.mkdir(parents=True)
    copy.write_text(COPY)
    (tmp_path / "install").write_text('#!/bin/sh\n: >"$4"\nexit 1\n')
    (tmp_path / "install").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = call_script("postinst", tmp_path, {}, "configure", "0.1")
    assert (done.returncode, copy.read_text(), [path.name for path in copy.parent.iterdir()]) == (0, COPY, [copy.name])
    assert "is left as it was" in done.stderr
