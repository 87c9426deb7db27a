"""Claims typed by a person, over HTTPS with a least-privilege token: what they keep away, and how they end."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.site import open_site
from tests.platform.test_command_line import Terminal

pytestmark = pytest.mark.process


@pytest.fixture
def terminal(tmp_path: Path, worker_id: str) -> Iterator[Terminal]:
    network = 200 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 200
    with open_site(tmp_path, guests=2, network=network) as site:
        yield Terminal(site)


def test_a_held_guest_is_foreseen_as_left_out_and_is_free_again_when_the_hold_is_cleared(terminal: Terminal) -> None:
    said = terminal.type("hold", "set", "5001", "--for", "2h", "--reason", "a raid runs there", "--owner", "raid team")
    assert (said.returncode, said.stdout.startswith("1 guest until ")) == (0, True), said.stderr
    (held,) = json.loads(terminal.type("hold", "list", "--json").stdout)
    assert (held["vmid"], held["claim"], held["owner"], held["over"]) == (5001, "hold", "raid team", False)
    assert "by raid team: a raid runs there" in terminal.type("plan", "game-base", "--to", "2").stdout
    assert terminal.type("hold", "clear", "5001").stdout == "1 guest: no claim any more\n"
    assert terminal.type("hold", "clear", "5001").stdout == "1 guest: there was no claim\n"
    assert json.loads(terminal.type("hold", "clear", "5001", "--json").stdout) == {"written": [], "failed": {}}
    assert json.loads(terminal.type("hold", "list", "--json").stdout) == []
    assert "raid team" not in terminal.type("plan", "game-base", "--to", "2").stdout


DOWN = ("hold", "set", "5002", "--for", "30m", "--reason", "its disk is being copied", "--keep-down")


def install_hook(terminal: Terminal, vmid: int) -> None:
    """As ``zlh-hooks-node`` does."""
    serving = terminal.site.serving
    serving.call(lambda: serving.pve.edit_guest(vmid, hookscript="local:snippets/zlh-guest-hook"))


def test_to_keep_a_guest_down_is_asked_twice_and_the_number_is_typed_again(terminal: Terminal) -> None:
    install_hook(terminal, 5002)
    for given in ("n\n", "y\n5001\n", "y\n\n"):
        assert terminal.type(*DOWN, given=given).returncode != 0
        assert json.loads(terminal.type("hold", "list", "--json").stdout) == []
    said = terminal.type(*DOWN, given="y\n5002\n")
    assert (said.returncode, "the guest hook refuses each start of guest 5002" in said.stdout) == (0, True)
    (held,) = json.loads(terminal.type("hold", "list", "--json").stdout)
    assert (held["vmid"], held["claim"]) == (5002, "down")


def test_yes_spares_the_first_question_and_for_programs_both_are_asked_apart_from_the_answer(
    terminal: Terminal,
) -> None:
    install_hook(terminal, 5002)
    assert terminal.type(*DOWN, "--yes", given="").returncode != 0
    said = terminal.type(*DOWN, "--yes", "--json", given="5002\n")
    assert (json.loads(said.stdout), "Type its number" in said.stderr) == ({"written": [5002], "failed": {}}, True)


def test_a_guest_without_the_guest_hook_is_not_kept_down_and_the_command_that_brings_it_is_named(
    terminal: Terminal,
) -> None:
    refused = terminal.type(*DOWN, given="y\n5002\n")
    assert (refused.returncode, "zlh-hooks-node install --vmid 5002" in refused.stderr) == (3, True)
    assert "Keep it down?" not in refused.stdout
    assert json.loads(terminal.type("hold", "list", "--json").stdout) == []


@pytest.mark.parametrize(("vmid", "resource"), [(5002, "ct:5002"), (600, "vm:600")])
def test_a_guest_under_ha_is_kept_down_once_that_is_told_to_ignore_it_and_clear_says_how_it_is_given_back(
    terminal: Terminal, vmid: int, resource: str
) -> None:
    serving = terminal.site.serving
    serving.call(lambda: serving.pve.add_vm(600, "api", node="pve1"))
    install_hook(terminal, vmid)
    serving.call(lambda: serving.pve.manage(vmid))
    order = ("hold", "set", str(vmid), "--for", "30m", "--reason", "x", "--keep-down")
    refused = terminal.type(*order, given=f"y\n{vmid}\n")
    assert (refused.returncode, f"ha-manager set {resource} --state ignored" in refused.stderr) == (3, True)
    serving.call(lambda: serving.pve.manage(vmid, "ignored"))
    assert terminal.type(*order, given=f"y\n{vmid}\n").returncode == 0
    cleared = terminal.type("hold", "clear", str(vmid))
    assert (cleared.returncode, f"ha-manager set {resource} --state started" in cleared.stderr) == (0, True)


def test_a_virtual_machine_is_held_listed_and_freed(terminal: Terminal) -> None:
    serving = terminal.site.serving
    serving.call(lambda: serving.pve.add_vm(600, "api", node="pve1", config={"tags": "web"}))
    assert terminal.type("hold", "set", "600", "--for", "2h", "--reason", "it is being moved").returncode == 0
    (held,) = json.loads(terminal.type("hold", "list", "--json").stdout)
    assert (held["vmid"], held["name"], held["claim"], held["reason"]) == (600, "api", "hold", "it is being moved")
    assert terminal.type("hold", "clear", "600").stdout == "1 guest: no claim any more\n"
    assert serving.call(lambda: serving.pve.vm(600).config) == {"name": "api", "tags": "web"}


def test_a_line_on_hold_is_refused_with_whose_hold_it_is_and_how_it_ends(terminal: Terminal) -> None:
    assert terminal.type("hold", "set", "--line", "game-base", "--for", "1h", "--reason", "freeze").returncode == 0
    refused = terminal.type("rollout", "start", "game-base", "--to", "2", "--yes", "--detach")
    assert (refused.returncode, "freeze; zlh-hooks hold clear --line game-base" in refused.stderr) == (3, True)
    assert terminal.type("hold", "clear", "--line", "game-base").returncode == 0
    assert terminal.type("plan", "game-base", "--to", "2").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("set", "5001", "--node", "pve1", "--for", "1h", "--reason", "x"), 2, "one of the three"),
        (("set", "5001", "--reason", "x"), 2, "--until or by --for"),
        (("set", "5001", "--for", "soon", "--reason", "x"), 2, "a duration such as"),
        (("set", "5001", "--for", "1h"), 2, "whose it is and why"),
        (("set", "5001", "--for", "1000000h", "--reason", "x"), 2, "at most 366 days from now"),
        (("set", "5001", "--for", "99999999999999999h", "--reason", "x"), 2, "no longer than 999999999d"),
        (("set", "5001", "--until", "2140-01-01", "--reason", "x"), 2, "at most 366 days from now"),
        (("set", "--node", "pve1", "--for", "1h", "--reason", "x", "--keep-down"), 2, "takes guests by number"),
        (("set", "4711", "--for", "1h", "--reason", "x"), 3, "no guest 4711"),
        (("set", "--line", "nope", "--for", "1h", "--reason", "x"), 1, "no template of line nope"),
    ],
)
def test_what_cannot_be_held_is_refused_and_says_what_would_be_right(
    terminal: Terminal, words: tuple[str, ...], code: int, said: str
) -> None:
    refused = terminal.type("hold", *words)
    assert (refused.returncode, said in " ".join(refused.stderr.replace("│", " ").split())) == (code, True), (
        refused.stderr
    )
