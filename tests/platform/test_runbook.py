"""The runbook of templates, typed as it stands at a simulated site: what it says that the program answers, it answers."""

import json
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.adapters.mail_bench import mail_server
from tests.cli.command_line import find_commands
from tests.platform.site import SimulatedSite, open_site
from zlh_hooks import wiring
from zlh_hooks.cli.app import app
from zlh_hooks.domain.handbook import Page
from zlh_hooks.settings import SHIPPED_POLICY, load_policy

pytestmark = pytest.mark.process

LADDER = """
[notices]
retry = "1s"
[[notices.ladders]]
leads = ["3s"]
"""
CUSTOMERS = [
    {"id": "ann", "name": "Ann", "guests": [5001], "mail": "ann@example.com"},
    {"id": "bob", "name": "Bob", "guests": [5002], "mail": "bob@example.com"},
]
POLICY = load_policy(SHIPPED_POLICY)
FILLED_IN = {"OLD-VERSION": "1", "VERSION": "2", "ADDRESS": "bob@example.com", "CUSTOMER": "bob"}


@dataclass(frozen=True)
class Instruction:
    """A step of the runbook: what is typed, and what should be read."""

    command: str
    answers: tuple[str, ...]


def fill_in(text: str) -> str:
    for word, value in FILLED_IN.items():
        text = text.replace(word, value)
    return text


def read_instructions() -> list[Instruction]:
    """Of the chapter on templates, as printed; what is expected in code is what is printed."""
    text = wiring.open_press(POLICY, False, tuple(Page)).render(Page.RUNBOOK)
    title = re.escape(POLICY.components["template"].title)  # type: ignore[index]
    chapter = re.search(rf"^## {title}$(.*?)^## ", text, re.M | re.S)
    assert chapter
    steps = re.findall(r"```sh\n\s*(zlh-hooks [^\n]+)\n.*?Go on if: ([^\n]+)", chapter[1], re.S)
    return [Instruction(command, tuple(re.findall(r"`([^`]+)`", fill_in(expect)))) for command, expect in steps]


INSTRUCTIONS = read_instructions()


@pytest.fixture
def site(tmp_path: Path, worker_id: str) -> Iterator[SimulatedSite]:
    network = 160 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 160
    with mail_server() as post, open_site(tmp_path, guests=3, network=network, rules=LADDER) as opened:
        customers, settings = tmp_path / "customers.json", tmp_path / "zlh-hooks.toml"
        customers.write_text(json.dumps(CUSTOMERS))
        mail = f'[mail]\nhost = "localhost"\nport = {post.port}\nsecurity = "none"\nsender = "noc@example.net"\n'
        settings.write_text(f'{settings.read_text()}[directory]\nfile = "{customers}"\n{mail}')
        yield opened


def type_line(site: SimulatedSite, line: str) -> str:
    """What is printed for a line of the page, with a yes if it asks."""
    files = {"ZLH_HOOKS_CONFIG": "zlh-hooks.toml", "ZLH_HOOKS_POLICY": "policy.toml"}
    environment = {name: str(site.directory / file) for name, file in files.items()}
    printed = ""
    for command in find_commands(line):
        done = CliRunner().invoke(app, shlex.split(fill_in(command))[1:], input="y\n", env=environment)
        assert done.exit_code == 0, f"{command}\n{done.output}"
        printed += done.stdout
    return printed


def read_until(site: SimulatedSite, instruction: Instruction) -> str:
    """Typed again while the answer is not there yet, as a person does."""
    deadline = time.monotonic() + 30
    while True:
        printed = type_line(site, instruction.command)
        if all(answer in printed for answer in instruction.answers):
            return printed
        assert time.monotonic() < deadline, (instruction, printed)
        time.sleep(0.5)


def test_the_runbook_tells_what_to_type_and_what_to_read() -> None:
    typed = [" ".join(one.command.split()[1:3]) for one in INSTRUCTIONS]
    assert typed == [
        *("ready pve", "template list", "plan game-base"),
        *("notice preview", "notice list", "notice bounced", "notice vouch"),
        *("rollout start", "rollout watch", "rollout status", "template pick", "rollout revert", "template revoke"),
    ]
    assert [one.command for one in INSTRUCTIONS if not one.answers] == [
        "zlh-hooks template list game-base",
        "zlh-hooks template pick game-base --key order-of-ours",
    ]


def test_an_operator_who_types_the_runbook_reads_what_it_says(site: SimulatedSite) -> None:
    steps = {" ".join(one.command.split()[1:3]): one for one in INSTRUCTIONS}
    for name in ("ready pve", "template list", "plan game-base", "notice preview"):
        read_until(site, steps[name])
    read_until(site, steps["rollout start"])
    assert site.versions() == {5001: "2", 5002: "2", 5003: "2"}
    for name in ("notice list", "rollout watch", "rollout status", "notice bounced"):
        read_until(site, steps[name])
    assert type_line(site, steps["template pick"].command).strip() == "8002"
    read_until(site, steps["rollout revert"])
    assert site.versions() == {5001: "1", 5002: "1", 5003: "1"}
    read_until(site, steps["template revoke"])
