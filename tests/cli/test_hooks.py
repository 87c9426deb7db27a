"""``zlh-hooks hooks``: who names the guest hook, and what is typed on nodes so that the others do."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.application.rollout_bench import Bench
from tests.cli.command_line import make_runner
from tests.cli.site_file import GAMES, write_served_site
from tests.stand_in.fixture import NODE, OTHER_NODE, RUNNING, STOPPED, TEMPLATE, stand_in
from tests.stand_in.serving import Serving
from zlh_hooks.application.guest_hook import read_hooks
from zlh_hooks.cli.hooks import app
from zlh_hooks.domain.guest_hook import GuestChoice, render_vmids
from zlh_hooks.domain.guest_note import GuestKind, GuestNote, GuestPhase
from zlh_hooks.domain.note_book import draft_note
from zlh_hooks.wiring import open_site

__all__ = ["stand_in"]

HOOK, OTHER = "fast:snippets/zlh-guest-hook", "local:snippets/backup.pl"


@pytest.fixture
def files(stand_in: Serving, tmp_path: Path) -> list[str]:
    """The options that name both files."""
    return write_served_site(tmp_path, stand_in, GAMES)


def name_hook(serving: Serving, vmid: int, volume: str) -> None:
    serving.call(lambda: serving.pve.edit_guest(vmid, hookscript=volume))


def run(*words: str) -> Result:
    runner: CliRunner = make_runner()
    return runner.invoke(app, list(words))


def test_status_names_who_does_not_name_the_hook_and_is_content_when_all_do(
    stand_in: Serving, files: list[str]
) -> None:
    name_hook(stand_in, RUNNING.vmid, HOOK)
    name_hook(stand_in, STOPPED.vmid, OTHER)
    result = run("status", *files)
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [(line[0], line[2], line[3]) for line in lines] == [
        ("guest", "node", "hookscript"),
        ("5002", "pve1", OTHER),
        ("9000", "pve1", "none"),
    ]
    for ref in (STOPPED, TEMPLATE):
        name_hook(stand_in, ref.vmid, HOOK)
    result = run("status", *files)
    assert (result.exit_code, result.stdout) == (0, "3 guests: all name the guest hook\n")


def test_status_is_one_document_for_programs(stand_in: Serving, files: list[str]) -> None:
    name_hook(stand_in, RUNNING.vmid, HOOK)
    result = run("status", "--json", *files)
    told = {one["vmid"]: (one["hookscript"], one["ours"], one["template"]) for one in json.loads(result.stdout)}
    assert told == {5001: (HOOK, True, False), 5002: (None, False, False), 9000: (None, False, True)}
    assert result.exit_code == 1


def test_guests_that_the_policy_does_not_speak_of_are_left_out(stand_in: Serving, files: list[str]) -> None:
    stand_in.call(lambda: stand_in.pve.add_guest(700, tags="zlh-version.1"))
    stand_in.call(lambda: stand_in.pve.add_guest(9500, template=True, tags="customer"))
    told = [one["vmid"] for one in json.loads(run("status", "--json", *files).stdout)]
    assert told == [5001, 5002, 9000]


def test_a_guest_that_goes_while_configs_are_read_is_left_out() -> None:
    bench = Bench().furnish(2)
    inventory = bench.datacentre.cluster.inventory
    before = [one.guest.vmid for one in read_hooks(inventory, bench.policy, GuestChoice())]
    listed = inventory.list_guests()
    del bench.datacentre.containers[before[0]]
    inventory.list_guests = lambda: listed  # seconds stale, as Proxmox's is
    assert [one.guest.vmid for one in read_hooks(inventory, bench.policy, GuestChoice())] == before[1:]


def furnish_more(stand_in: Serving) -> None:
    """A virtual machine and a container of which no policy speaks."""
    stand_in.call(lambda: stand_in.pve.add_vm(600, "api", node=OTHER_NODE, config={"tags": "web"}, pool="services"))
    stand_in.call(lambda: stand_in.pve.add_guest(700, node=OTHER_NODE, tags="Web"))


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (("--all",), [600, 700, 5001, 5002, 9000]),
        (("--tag", "web"), [600, 700]),
        (("--pool", "services"), [600]),
        (("--vmid", "600-700"), [600, 700]),
        (("--vmid", "5001", "--pool", "services"), [600, 5001]),
    ],
)
def test_a_choice_takes_guests_of_either_kind_whatever_the_policy_says_of_them(
    stand_in: Serving, files: list[str], words: tuple[str, ...], chosen: list[int]
) -> None:
    furnish_more(stand_in)
    result = run("status", "--json", *words, *files)
    told = {one["vmid"]: one["kind"] for one in json.loads(result.stdout)}
    assert (list(told), told.get(600, "virtual machine")) == (chosen, "virtual machine")
    assert "zlh-hooks-node status" in result.stderr


def test_a_virtual_machine_that_a_kind_of_the_policy_takes_is_looked_at(stand_in: Serving, files: list[str]) -> None:
    stand_in.call(lambda: stand_in.pve.add_vm(5900, "game", node=OTHER_NODE))
    assert 5900 in [one["vmid"] for one in json.loads(run("status", "--json", *files).stdout)]


def test_a_choice_of_nobody_is_refused_and_numbers_the_wrong_way_round_too(files: list[str]) -> None:
    assert (
        str(run("status", "--tag", "nobody", *files).exception) == "no guest that the token may see is chosen by that"
    )
    assert run("install", "--vmid", "700-600", *files).exit_code == 2


def test_install_prints_what_root_types_on_nodes_for_those_who_name_nothing(
    stand_in: Serving, files: list[str]
) -> None:
    result = run("install", *files)
    assert result.stdout.splitlines() == [
        "As root, with the package zlh-hooks-node, on each node of the cluster (pve1, pve2):",
        "  zlh-hooks-node install",
        "As root, with the package zlh-hooks-node, on one node of the cluster:",
        "  zlh-hooks-node install --vmid 5001-5002 --vmid 9000",
        "As root, with the package zlh-hooks-node, on pve1, where no good backup was noted yet:",
        "  zlh-hooks-node install --vzdump",
    ]
    name_hook(stand_in, RUNNING.vmid, HOOK)
    name_hook(stand_in, STOPPED.vmid, OTHER)
    result = run("install", *files)
    assert result.stdout.splitlines()[3] == "  zlh-hooks-node install --vmid 9000"
    assert result.stderr == f"guest 5002 on pve1 is left alone, for it names {OTHER}\n"


def note_phase(files: list[str], node: str, phase: GuestPhase) -> None:
    """The intake has recorded it of the running guest."""
    site = open_site(Path(files[1]), Path(files[3]))
    note = GuestNote(RUNNING.vmid, phase, site.clock.now(), node, GuestKind.LXC, "", "", False)
    site.ledger.append(draft_note(f"{node}-{phase}", note, ""))


def test_install_prints_what_makes_backups_heed_guests_in_work_for_nodes_where_none_was_noted(
    stand_in: Serving, files: list[str]
) -> None:
    for ref in (RUNNING, STOPPED, TEMPLATE):
        name_hook(stand_in, ref.vmid, HOOK)
    stand_in.call(lambda: stand_in.pve.move_guest(STOPPED.vmid, OTHER_NODE))
    for node, phase in ((NODE, GuestPhase.BACKUP_END), (OTHER_NODE, GuestPhase.POST_START)):
        note_phase(files, node, phase)
    heading, *commands = run("install", *files).stdout.splitlines()
    assert "on pve2, where no good backup was noted yet" in heading
    assert commands == ["  zlh-hooks-node install --vzdump"]


def test_install_has_nothing_to_say_when_all_name_the_hook_and_every_node_has_noted_a_backup(
    stand_in: Serving, files: list[str]
) -> None:
    for ref in (RUNNING, STOPPED, TEMPLATE):
        name_hook(stand_in, ref.vmid, HOOK)
    note_phase(files, NODE, GuestPhase.BACKUP_END)
    result = run("install", *files)
    said = "nothing to do: no guest is without a hookscript, and no node without a noted backup\n"
    assert (result.exit_code, result.stdout) == (0, said)


def test_a_choice_a_storage_and_a_dry_run_are_in_what_install_prints_and_so_they_are_for_programs(
    stand_in: Serving, files: list[str]
) -> None:
    furnish_more(stand_in)
    result = run("install", "--tag", "web", "--storage", "fast", "--dry-run", "--json", *files)
    assert json.loads(result.stdout) == {
        "nodes": ["pve1", "pve2"],
        "on_each_node": ["zlh-hooks-node install --storage fast --dry-run"],
        "then_on_one": ["zlh-hooks-node install --storage fast --dry-run --vmid 600 --vmid 700"],
        "backups": {"nodes": ["pve2"], "on_each_node": ["zlh-hooks-node install --vzdump --dry-run"]},
    }


def test_uninstall_takes_off_those_who_are_chosen_and_name_it_by_their_storage(
    stand_in: Serving, files: list[str]
) -> None:
    furnish_more(stand_in)
    for vmid, volume in ((600, HOOK), (700, OTHER), (RUNNING.vmid, "local:snippets/zlh-guest-hook")):
        name_hook(stand_in, vmid, volume)
    result = run("uninstall", "--all", *files)
    assert result.stdout.splitlines() == [
        "As root, with the package zlh-hooks-node, on one node of the cluster:",
        "  zlh-hooks-node uninstall --storage fast --vmid 600",
        "  zlh-hooks-node uninstall --vmid 5001",
    ]
    result = run("uninstall", "--vmid", "700", *files)
    assert result.stdout == "nothing to do: none of these guests names the guest hook\n"


def test_uninstall_without_a_choice_takes_it_off_all_and_removes_the_script_on_each_node(
    stand_in: Serving, files: list[str]
) -> None:
    name_hook(stand_in, RUNNING.vmid, HOOK)
    result = run("uninstall", "--json", *files)
    assert json.loads(result.stdout) == {
        "nodes": ["pve1", "pve2"],
        "on_each_node": ["zlh-hooks-node uninstall --storage fast", "zlh-hooks-node uninstall"],
        "then_on_one": [],
        "backups": {"nodes": [], "on_each_node": []},
    }


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ((), ""),
        ((100,), "--vmid 100"),
        ((102, 100, 101), "--vmid 100-102"),
        ((100, 102, 103, 110), "--vmid 100 --vmid 102-103 --vmid 110"),
    ],
)
def test_a_range_spans_no_number_that_is_not_meant(wanted: tuple[int, ...], said: str) -> None:
    assert render_vmids(wanted) == said
