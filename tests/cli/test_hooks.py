"""``zlh-hooks hooks``: who names the guest hook, and what is typed on nodes so that the others do."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.application.rollout_bench import Bench
from tests.cli.command_line import make_runner
from tests.cli.site_file import GAMES, write_served_site
from tests.stand_in.fixture import RUNNING, STOPPED, TEMPLATE, stand_in
from tests.stand_in.serving import Serving
from zlh_hooks.application.guest_hook import read_hooks
from zlh_hooks.cli.hooks import app
from zlh_hooks.domain.guest_hook import render_vmids

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
    before = [one.guest.vmid for one in read_hooks(inventory, bench.policy)]
    listed = inventory.list_guests()
    del bench.datacentre.containers[before[0]]
    inventory.list_guests = lambda: listed  # seconds stale, as Proxmox's is
    assert [one.guest.vmid for one in read_hooks(inventory, bench.policy)] == before[1:]


def test_install_prints_what_root_types_on_nodes_for_those_who_name_nothing(
    stand_in: Serving, files: list[str]
) -> None:
    result = run("install", *files)
    assert result.stdout.splitlines()[1::2] == [
        "  zlh-hooks-node install",
        "  zlh-hooks-node install --vmid 5001-5002 --vmid 9000",
    ]
    name_hook(stand_in, RUNNING.vmid, HOOK)
    name_hook(stand_in, STOPPED.vmid, OTHER)
    result = run("install", *files)
    assert result.stdout.splitlines()[-1] == "  zlh-hooks-node install --vmid 9000"
    assert result.stderr == f"guest 5002 on pve1 is left alone, for it names {OTHER}\n"
    name_hook(stand_in, TEMPLATE.vmid, HOOK)
    result = run("install", *files)
    assert (result.exit_code, result.stdout) == (0, "nothing to do: there is no guest without a hookscript\n")


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
