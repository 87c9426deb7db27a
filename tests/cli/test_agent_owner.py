"""Root types ``zlh-hooks agent``, and the worker's user publishes: what both write belongs to the latter."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.site_file import write_site

WORKER = 65534
PASSWORD = "correct-horse-battery"
PROGRAM = """
import encodings.ascii, os, sys
from typer.testing import CliRunner
import zlh_hooks.adapters.database, zlh_hooks.adapters.ledger
from zlh_hooks.cli.app import app, main
user, files = int(sys.argv.pop(1)), sys.argv[-4:]
if user:  # all that is needed is loaded first: the interpreter may lie where only root may look
    CliRunner().invoke(app, ["agent", "publish", "--check", *files])
    os.setgroups([]), os.setgid(user), os.setuid(user)
main()
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may leave a file to somebody else")


class Machine:
    """A state folder of the worker's user, and one for what web servers carry, both below a folder of root's."""

    def __init__(self, home: Path) -> None:
        self.home, self.state, self.public = home, home / "state", home / "shown"
        for folder in (self.state, self.public):
            folder.mkdir()
            os.chown(folder, WORKER, WORKER)
        self.state.chmod(0o750)
        secret = home / "password"
        secret.touch(mode=0o640)
        secret.write_text(PASSWORD)
        os.chown(secret, 0, WORKER)
        places = {
            "folder": self.state / "agents",
            "public": self.public / "agents",
            "keys": home / "keys",
            "online_keys": self.state / "agents" / "online",
            "online_password_file": secret,
        }
        agents = "[agents]\n" + "".join(f'{name} = "{place}"\n' for name, place in places.items())
        self.secret, self.files = secret, write_site(self.state, 'time_zone = "UTC"\n', agents)
        for path in self.state.iterdir():
            os.chown(path, WORKER, WORKER)

    def type(self, *words: str, user: int = 0, umask: int = 0o022) -> "subprocess.CompletedProcess[str]":
        """In a process of its own."""
        command = [sys.executable, "-c", PROGRAM, str(user), *words, *self.files]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, umask=umask)

    def do(self, *words: str, **who: int) -> str:
        """A command that must end well."""
        done = self.type(*words, **who)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def owners(self, folder: Path) -> set[int]:
        """Whose things are there."""
        return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Machine(Path(folder))


def test_the_worker_publishes_what_root_has_signed_and_sees_nobodys_key_but_its_own(machine: Machine) -> None:
    secret = ("--password-file", str(machine.secret))
    machine.do("agent", "keys", "found", "anna", "ben", *secret)
    machine.do("agent", "publish")
    assert machine.owners(machine.state) == machine.owners(machine.public) == {WORKER}
    assert machine.owners(machine.home / "keys") == {0}
    assert {path.name for path in machine.state.rglob("*.key")} == {"online.online.key"}
    assert "metadata/timestamp.json" in machine.do("agent", "publish", user=WORKER)
    assert "good" in machine.do("agent", "publish", "--check", user=WORKER)
    machine.do("agent", "publish")  # by root again, over what the worker wrote
    assert machine.owners(machine.public) == {WORKER}


def test_what_web_servers_carry_is_open_to_all_whatever_the_umask(machine: Machine) -> None:
    machine.do("agent", "keys", "found", "anna", "ben", "--password-file", str(machine.secret), umask=0o077)
    machine.do("agent", "publish", umask=0o077)
    machine.do("agent", "publish", user=WORKER, umask=0o027)
    shown = [machine.public / "agents", *(machine.public / "agents").rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in shown}
    assert modes == {(True, 0o755), (False, 0o644)}


def test_an_online_key_that_is_not_the_workers_is_named_with_what_would_be_right(machine: Machine) -> None:
    machine.do("agent", "keys", "found", "anna", "ben", "--password-file", str(machine.secret))
    os.chown(machine.state / "agents" / "online", 0, 0)
    done = machine.type("agent", "publish", user=WORKER)
    assert done.returncode == 2
    assert "online.online.key" in done.stderr and "Permission denied" in done.stderr
    assert "a file of the user that publishes" in done.stderr
    assert "Traceback" not in done.stderr


def test_metrics_tell_when_each_document_that_agents_read_ends(machine: Machine) -> None:
    assert "zlh_hooks_agent_document_expiry_timestamp_seconds{" not in machine.do("metrics")
    machine.do("agent", "keys", "found", "anna", "ben", "--password-file", str(machine.secret))
    machine.do("agent", "publish")
    told = machine.do("metrics")
    for document in ("root", "targets", "releases", "desired", "snapshot", "timestamp"):
        assert f'zlh_hooks_agent_document_renewal_timestamp_seconds{{document="{document}"}}' in told
        assert f'zlh_hooks_agent_document_expiry_timestamp_seconds{{document="{document}"}}' in told
