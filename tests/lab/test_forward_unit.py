"""The units that call the forwarder of notes, under a real systemd: when, and what it may touch.

In the program's place stands one that takes notes away as it does, and writes down what it may do.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.condition import until
from tests.lab.lab import Lab
from tests.lab.noting_node import DEBIAN, SPOOL, NotingNode

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
FORWARD = "zlh-hooks-forward"
UNITS = (f"{FORWARD}.path", f"{FORWARD}.service")
CONFIG = "/etc/zlh-hooks-node.conf"
NO_RIGHTS = ["0" * 16]
FIND = """#!/usr/bin/python3
import json, os, sys
from pathlib import Path
def can(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:
        return False
    return True
places = ("/usr/x", "/etc/x", "/var/lib/x", "/root/x", "/proc/sys/kernel/hostname")
found = json.dumps({
    "user": os.getuid(),
    "written": [path for path in places if can(path)],
    "rights": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
})
"""
FORWARDER = f"""{FIND}
spool = Path("{SPOOL}")
with (spool / ".calls").open("a") as calls:
    print(*sys.argv[1:], file=calls)
if (spool / ".fails").exists():
    sys.exit(1)
for note in sorted(spool.glob("[0-9]*.json")):
    note.unlink()
(spool / ".found").write_text(found)
"""
SOONER = {
    f"{FORWARD}.service": "[Service]\nRestartSec=300ms\nRestartSteps=0\n",
}
"""Than the package says, so that nobody waits for minutes."""


def bake(root: Path) -> None:
    """What the packages bring."""
    for folder in (*(f"etc/systemd/system/{unit}.d" for unit in SOONER), SPOOL[1:]):
        (root / folder).mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(DEBIAN / unit, root / "etc/systemd/system")
    for unit, text in SOONER.items():
        (root / f"etc/systemd/system/{unit}.d/soon.conf").write_text(text)
    (root / "usr/sbin/zlh-note-forwarder").write_text(FORWARDER)
    (root / "usr/sbin/zlh-note-forwarder").chmod(0o755)


class Node(NotingNode):
    """With the units."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, 5902, bake)

    def wait_for_sent(self, note: str) -> None:
        until(lambda: note not in self.run(f"ls {SPOOL}"), 60, f"{note} sent")
        until(lambda: self.state(f"{FORWARD}.service") == "inactive", 60, "end of the service")


@pytest.fixture(scope="module")
def node(lab: Lab) -> Iterator[Node]:
    made = Node(lab)
    yield made
    lab.containers.stop(made.vmid)


def test_notes_are_sent_from_when_a_controller_is_named_and_again_after_faults_by_who_may_change_nothing_else(
    node: Node,
) -> None:
    first = node.leave_note()
    node.run(f"systemctl start {FORWARD}.path")
    assert (node.state(f"{FORWARD}.path"), node.read_lines(f"{SPOOL}/.calls")) == ("inactive", [])
    node.run(f"echo 'controller = zlh-hooks@controller' >{CONFIG}; systemctl start {FORWARD}.path")
    node.wait_for_sent(first)
    found = json.loads("".join(node.read_lines(f"{SPOOL}/.found")))
    assert found == {"user": 0, "written": [], "rights": NO_RIGHTS}

    node.run(f"touch {SPOOL}/.fails")
    before, note = len(node.read_lines(f"{SPOOL}/.calls")), node.leave_note()
    until(lambda: len(node.read_lines(f"{SPOOL}/.calls")) >= before + 8, 120, "more calls than systemd starts at once")
    node.run(f"rm {SPOOL}/.fails")
    node.wait_for_sent(note)
    node.wait_for_sent(node.leave_note())
    assert node.state(f"{FORWARD}.path") == "active"
