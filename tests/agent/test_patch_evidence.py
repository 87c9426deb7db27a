"""What apt, dpkg and needrestart print, read; and what is decided from it. Outputs are those of Debian 12 and 13."""

import os
import time
from pathlib import Path

import pytest

from agent_plugin.apt_output import (
    Installed,
    Upgrade,
    is_busy,
    is_full,
    parse_conffiles,
    parse_installed,
    parse_needed,
    parse_offers,
)
from agent_plugin.fault import BadInput, NotNow
from agent_plugin.patch_impact import Findings, Impact, Unit, decide_impact, is_workload, parse_findings
from agent_plugin.patch_plan import refuse_plan, refuse_workload
from agent_plugin.patch_wanted import Package, PatchWanted, parse_packages, parse_wanted, render_wanted
from agent_plugin.program import LONGEST_WORDS, run
from agent_plugin.setting import parse_probe
from agent_plugin.unit import parse_units
from tests.lab.condition import until

VERSION = "NEEDRESTART-VER: 3.11\n"
OWN, SHIPPED = "/etc/systemd/system/", "/usr/lib/systemd/system/"
WORKLOAD = ("zlh-game.service",)
KNOWN = (
    "zlh-game.service",
    "ssh.service",
    "cron.service",
    "dbus.service",
    "zlh-agent.service",
    "systemd-networkd.service",
)


@pytest.mark.parametrize(
    ("before", "after", "impact", "restart", "waits"),
    [
        ("", "", "live", (), ()),
        ("", "SVC: ssh.service", "reload", ("ssh.service",), ()),
        ("", "SVC: zlh-agent.service", "reload", ("zlh-agent.service",), ()),
        ("", "SVC: cron.service|SVC: zlh-game.service", "restart", ("cron.service",), ("zlh-game.service",)),
        ("", "SVC: dbus.service", "guest-restart", (), ("dbus.service",)),
        ("", "SVC: systemd-manager", "guest-restart", (), ("systemd-manager",)),
        ("", "SVC: getty@tty1.service", "guest-restart", (), ("getty@tty1.service",)),
        ("", "SVC: systemd-networkd.service", "guest-restart", (), ("systemd-networkd.service",)),
        ("", "SVC: somewhere", "guest-restart", (), ("somewhere",)),
        ("", "SESS: root @ session #4", "guest-restart", (), ("SESS: root @ session #4",)),
        ("SVC: zlh-game.service", "SVC: zlh-game.service", "live", (), ("zlh-game.service",)),
        ("SVC: cron.service", "SVC: cron.service|SVC: zlh-game.service", "restart", ("cron.service",), WORKLOAD),
    ],
)
def test_the_impact_is_that_of_what_came_with_the_patch_and_all_that_is_outdated_is_told(
    before: str, after: str, impact: str, restart: "tuple[str, ...]", waits: "tuple[str, ...]"
) -> None:
    seen = [parse_findings(VERSION + _lines(text)) for text in (before, after)]
    assert seen[0] is not None
    assert seen[1] is not None
    verdict = decide_impact(seen[0], seen[1], WORKLOAD, KNOWN)
    assert (verdict.impact.value, verdict.restart, verdict.waits) == (impact, restart, waits)


def _lines(text: str) -> str:
    return "".join(f"NEEDRESTART-{line}\n" for line in text.split("|") if line)


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ("NEEDRESTART-VER: 3.6\n", Findings()),
        ("NEEDRESTART-VER: 3.6\nNEEDRESTART-SVC: toymap.service\n", Findings(frozenset({"toymap.service"}))),
        (
            "NEEDRESTART-VER: 3.11\nNEEDRESTART-KCUR: 6.1\nNEEDRESTART-KSTA: 3\nNEEDRESTART-CONT: LXC x\n",
            Findings(frozenset(), frozenset({"CONT: LXC x"})),
        ),
        ("", None),
        ("Can't locate NeedRestart.pm", None),
    ],
)
def test_needrestart_is_read_and_what_is_not_its_output_is_no_evidence(output: str, found: "Findings | None") -> None:
    assert parse_findings(output) == found


@pytest.mark.parametrize(
    ("unit", "patterns", "in_agent", "expected"),
    [
        (Unit("zlh-game.service", OWN + "zlh-game.service"), (), False, True),
        (Unit("run-u7.service", "/run/systemd/transient/run-u7.service"), (), False, True),
        (Unit("x.service", ""), (), False, True),
        (Unit("ssh.service", SHIPPED + "ssh.service"), (), False, False),
        (Unit("ssh.service", "/lib/systemd/system/ssh.service"), (), False, False),
        (Unit("mysql.service", SHIPPED + "mysql.service"), ("my*.service",), False, True),
        (Unit("supervisor.service", SHIPPED + "supervisor.service"), (), False, True),
        (Unit("rc-local.service", SHIPPED + "rc-local.service"), (), False, True),
        (Unit("cron.service", SHIPPED + "cron.service"), (), False, False),
        (Unit("zlh-agent.service", OWN + "zlh-agent.service"), (), False, False),
        (Unit("zlh-agent.service", SHIPPED + "zlh-agent.service"), (), True, True),
    ],
)
def test_what_the_distribution_does_not_define_is_somebodys_own(
    unit: Unit, patterns: "tuple[str, ...]", in_agent: bool, expected: bool
) -> None:
    assert is_workload(unit, patterns, in_agent) is expected


def test_impacts_are_called_as_on_the_host() -> None:
    from zlh_hooks.domain.impact import Impact as HostImpact

    assert [impact.value for impact in Impact] == [impact.value for impact in HostImpact][: len(Impact)]


@pytest.mark.parametrize(
    ("line", "upgrade", "is_fix"),
    [
        (
            "Inst toy [1.0] (2.0 Debian-Security:1/lab-security [all])",
            Upgrade("toy", "1.0", "2.0"),
            True,
        ),
        (
            "Inst libc6:i386 [2.36-9] (2.36-10 Debian:12.8/oldstable, Debian-Security:12/oldstable-security [i386]) []",
            Upgrade("libc6:i386", "2.36-9", "2.36-10"),
            True,
        ),
        (
            "Inst nano [7.2-1] (7.2-1+deb12u1 Debian:12.8/oldstable [amd64])",
            Upgrade("nano", "7.2-1", "7.2-1+deb12u1"),
            False,
        ),
        ("Inst new (1.0 Debian-Security:12/oldstable-security [all])", Upgrade("new", "", "1.0"), False),
        ("Inst toy [1.0] (1.0 Debian-Security:1/lab-security [all])", Upgrade("toy", "1.0", "1.0"), False),
        ("Inst php [8.1] (8.2 Somebody:1/not-security-at-all [all])", Upgrade("php", "8.1", "8.2"), False),
    ],
)
def test_an_offer_is_a_fix_if_it_comes_from_a_source_of_security_fixes(
    line: str, upgrade: Upgrade, is_fix: bool
) -> None:
    (offer,) = parse_offers(f"Reading package lists...\n{line}\nConf toy (2.0)\nRemv other [1]\n")
    assert (offer.upgrade, offer.is_fix) == (upgrade, is_fix)


def test_installed_packages_are_named_as_apt_names_them() -> None:
    text = (
        "libc6\tamd64\t2.36-9\tii \t12000\nlibc6\ti386\t2.36-9\tii \t\ntzdata\tall\t1\tiF \t5\ngone\tamd64\t\tun \t\n"
    )
    assert parse_installed(text, "amd64") == {
        "libc6": Installed("2.36-9", "ii", 12000),
        "libc6:i386": Installed("2.36-9", "ii", 0),
        "tzdata": Installed("1", "iF", 5),
    }


def test_a_file_of_settings_may_have_spaces_in_its_name() -> None:
    md5 = "1d2227c7456c5cc74c64ea42737d625a"
    text = f"\n /etc/a b.conf {md5}\n /etc/old.conf {md5} obsolete\n /etc/new.conf newconffile\n"
    assert parse_conffiles(text) == ("/etc/a b.conf", "/etc/old.conf")


def test_what_is_needed_counts_packed_and_unpacked() -> None:
    assert parse_needed("Package: a\nInstalled-Size: 2\nSize: 100\n\nSize: 1\nDescription: Size: 5\n") == 2048 + 101


@pytest.mark.parametrize(
    ("errors", "busy", "full"),
    [
        ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 212 (python3)", True, False),
        ("dpkg: error: dpkg frontend lock was locked by another process with pid 118", True, False),
        ("dpkg: error: dpkg frontend lock was locked by /usr/bin/python3.13 process with pid 144", True, False),
        ("E: Unable to lock directory /var/lib/apt/lists/", True, False),
        (" failed to write (No space left on device)", False, True),
        ("E: Sub-process /usr/bin/dpkg returned an error code (1)", False, False),
    ],
)
def test_a_lock_and_a_full_disk_are_told_from_a_bad_package(errors: str, busy: bool, full: bool) -> None:
    assert (is_busy(errors), is_full(errors)) == (busy, full)


INSTALLED = {"toy": Installed("1", "ii"), "half": Installed("1", "iF")}


@pytest.mark.parametrize(
    ("wanted", "upgrades", "words"),
    [
        ("none=1", (), "none is not installed: only packages that are there"),
        ("half=2", (), "half is not installed"),
        ("toy=2", (), "toy=2 cannot be brought: 1 is installed"),
        ("toy=2", (Upgrade("toy", "1", "2"), Upgrade("dep", "", "1")), "dep would be added: install it first"),
        ("toy=0", (Upgrade("toy", "1", "0"),), "0 is not newer than 1 of toy: patch revert goes back"),
    ],
)
def test_a_patch_neither_adds_nor_lowers_a_package(wanted: str, upgrades: "tuple[Upgrade, ...]", words: str) -> None:
    with pytest.raises(NotNow, match=words):
        refuse_plan(
            PatchWanted(packages=parse_packages([wanted])), upgrades, INSTALLED, lambda one, two: int(one) > int(two)
        )


def test_what_is_installed_already_is_no_mistake() -> None:
    refuse_plan(PatchWanted(packages=(Package("toy", "1"),)), (), INSTALLED, lambda one, two: int(one) > int(two))


def test_a_package_that_would_restart_the_workload_itself_waits() -> None:
    unit = Unit("mysql.service", SHIPPED + "mysql.service")
    with pytest.raises(NotNow, match=r"mysql-server would restart mysql\.service"):
        refuse_workload((Upgrade("mysql-server:i386", "1", "2"),), [unit], {unit.file: "mysql-server:amd64"})
    refuse_workload((Upgrade("other", "1", "2"),), [unit], {unit.file: "mysql-server"})


@pytest.mark.parametrize(
    "word", ["toy", "toy=", "=1", "Toy=1", "toy=1 2", "-o=1", "toy=1-", "toy=1+", "toy=$(x)", "../toy=1", "toy=1;x", "toy=v1", "t*=1"]
)  # fmt: skip
def test_what_apt_could_take_for_something_else_is_no_package(word: str) -> None:
    with pytest.raises(BadInput, match=r"is wanted|are allowed"):
        parse_packages([word])


def test_a_wanted_patch_travels_and_keeps_what_it_does_not_know() -> None:
    found = {"security": False, "packages": {"libssl3": "3.0.15-1~deb12u1", "libc6:i386": "1:2.36+x"}, "not_before": 5}
    assert render_wanted(parse_wanted(found)) == found
    assert parse_wanted({}).is_nothing


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "patches: a table is wanted"),
        ({"security": 1}, "security true or false"),
        ({"packages": []}, "packages as a table"),
        ({"packages": {"toy": 1}}, "versions are texts"),
        ({"security": True, "packages": {"toy": "1"}}, "not both"),
        ({"packages": {f"toy{number}": "1" for number in range(201)}}, "at most 200"),
    ],
)
def test_a_wanted_patch_that_is_none_is_refused_by_its_field(found: object, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_wanted(found)


def test_a_probe_is_a_whole_path_and_no_shell_sees_it() -> None:
    assert parse_probe("/usr/bin/check --name 'a b' $HOME") == ("/usr/bin/check", "--name", "a b", "$HOME")
    assert parse_probe("") == ()
    for text in ("check", "'/usr/bin/check"):
        with pytest.raises(BadInput, match="--probe"):
            parse_probe(text)


def test_units_are_read_whatever_the_order_of_their_lines() -> None:
    text = "MainPID=0\nId=a.service\nFragmentPath=/x\nInvocationID=1\n\nInvocationID=2\nId=b.service\nMainPID=7\n"
    assert list(parse_units(text)) == [Unit("a.service", "/x", "1", 0), Unit("b.service", "", "2", 7)]


def test_a_program_that_leaves_a_process_with_its_output_open_does_not_keep_anybody_waiting() -> None:
    began = time.monotonic()
    done = run("/bin/sh", "-c", "sleep 30 & echo $!", seconds=20)
    os.kill(int(done.output), 9)
    assert (done.is_well, time.monotonic() - began < 10) == (True, True)


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started() -> None:
    done = run("/bin/sh", "-c", "sleep 300 & echo $!; wait", seconds=2)
    assert (done.code, "did not end in time" in done.words) == (None, True)
    until(lambda: has_ended(int(done.output)), 20, "the end of what it started")


def has_ended(pid: int) -> bool:
    """A signal is sent at once and obeyed a moment later; who nobody waits for stays as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_password_in_an_address_of_a_package_source_is_not_told() -> None:
    done = run("/bin/sh", "-c", "echo 'E: https://user:secret@mirror.example/x' >&2; exit 100", seconds=5)
    assert "secret" not in done.words
    assert "https://mirror.example/x" in done.words


def test_a_password_is_not_told_where_its_address_is_cut_off_either() -> None:
    told = f"E: https://user:secret@mirror.example/{'x' * (LONGEST_WORDS - 26)}"
    done = run("/bin/sh", "-c", f"echo '{told}' >&2; exit 100", seconds=5)
    assert "secret" not in done.words


def test_what_a_terminal_would_obey_is_not_told() -> None:
    assert "\x1b" not in run("/bin/sh", "-c", "printf 'a\\033[2Jb' >&2; exit 1", seconds=5).words
    found = parse_findings("NEEDRESTART-VER: 3.6\nNEEDRESTART-SESS: \x1b[2Jroot @ session #1\n")
    assert found is not None
    assert found.others == {"SESS: ?[2Jroot @ session #1"}


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(NotNow, match="/no/such cannot be started"):
        run("/no/such", seconds=1)
