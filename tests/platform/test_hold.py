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
    assert json.loads(terminal.type("hold", "list", "--json").stdout) == []
    assert "raid team" not in terminal.type("plan", "game-base", "--to", "2").stdout


def test_to_keep_a_guest_down_is_asked_twice_and_the_number_is_typed_again(terminal: Terminal) -> None:
    order = ("hold", "set", "5002", "--for", "30m", "--reason", "its disk is being copied", "--keep-down")
    for given in ("n\n", "y\n5001\n", "y\n\n"):
        assert terminal.type(*order, given=given).returncode != 0
        assert json.loads(terminal.type("hold", "list", "--json").stdout) == []
    said = terminal.type(*order, given="y\n5002\n")
    assert (said.returncode, "will not start: not by its customer" in said.stdout) == (0, True)
    (held,) = json.loads(terminal.type("hold", "list", "--json").stdout)
    assert (held["vmid"], held["claim"]) == (5002, "down")


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
        (("set", "--node", "pve1", "--for", "1h", "--reason", "x", "--keep-down"), 2, "takes guests by number"),
        (("set", "4711", "--for", "1h", "--reason", "x"), 3, "no container 4711"),
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
