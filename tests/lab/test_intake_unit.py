"""The units that call the intake, under a real systemd: what calls it, what it may touch, and that a fault calls it again.

In the program's place stands one that takes notes away as it does, and writes down what it finds of the machine.
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
UNITS = ("zlh-hooks-intake.path", "zlh-hooks-intake.service")
STATE, USER = "/var/lib/zlh-hooks", 990
PROGRAM = f"""#!/usr/bin/python3
import json, os, sys
from pathlib import Path
spool, state = Path("{SPOOL}"), Path("{STATE}")
with (state / "calls").open("a") as calls:
    print(*sys.argv[1:], file=calls)
if (state / "fails").exists():
    sys.exit(4)
(spool / "bad").mkdir(exist_ok=True)
for note in sorted(spool.glob("[0-9]*.json")):
    with (state / "taken").open("a") as taken:
        print(note.readlink(), file=taken)
    note.unlink()
def can(path, flags):
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError:
        return False
    return True
found = {{
    "user": os.getuid(),
    "seen": {{place: sorted(path.name for path in Path(place).iterdir()) for place in ("/", "/etc", "/var", "/run")}},
    "written": [path for path in ("/usr/x", "/etc/zlh-hooks/x", "/x", "/etc/x", "/proc/sys/kernel/hostname")
                if can(path, os.O_WRONLY | os.O_CREAT)],
    "processes": [path.name for path in Path("/proc").iterdir() if path.name.isdigit()],
}}
(state / "found.json").write_text(json.dumps(found))
"""
SEEN = {"/": "bin dev etc lib lib64 proc run sys tmp usr var", "/var": "lib spool tmp", "/run": "systemd"}
NAMED = {"zlh-hooks", "passwd", "group", "nsswitch.conf", "hosts", "host.conf", "resolv.conf", "gai.conf", "localtime"}
"""What of /etc it may see, beside the linker's cache and certificates."""


def bake(root: Path) -> None:
    """What the package brings, and its settings. A fault is tried again sooner than it says."""
    for folder in ("etc/systemd/system/zlh-hooks-intake.service.d", "etc/zlh-hooks", SPOOL[1:], STATE[1:]):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin").mkdir(exist_ok=True)
    for unit in UNITS:
        shutil.copy(DEBIAN / unit, root / "etc/systemd/system")
    (root / "etc/systemd/system/zlh-hooks-intake.service.d/soon.conf").write_text("[Service]\nRestartSec=500ms\n")
    (root / "usr/bin/zlh-hooks").write_text(PROGRAM)
    (root / "usr/bin/zlh-hooks").chmod(0o755)
    for name in ("zlh-hooks.toml", "policy.toml"):
        (root / "etc/zlh-hooks" / name).touch()


class Node(NotingNode):
    """With the units, and the user whom they work as."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, 5901, bake)
        self.run(f"groupadd --system --gid {USER} zlh-hooks; useradd --system --uid {USER} --gid {USER} zlh-hooks")
        self.run(f"chown zlh-hooks: {STATE}; systemctl start {UNITS[0]}")

    def read(self, name: str) -> list[str]:
        return self.read_lines(f"{STATE}/{name}")

    def wait_for_taken(self, note: str) -> None:
        until(lambda: note in self.read("taken"), 60, f"{note} taken")
        until(lambda: self.state(UNITS[1]) == "inactive", 60, "end of the service")


@pytest.fixture(scope="module")
def node(lab: Lab) -> Iterator[Node]:
    made = Node(lab)
    yield made
    lab.containers.stop(made.vmid)


def test_a_note_is_taken_by_a_user_that_sees_nothing_else_of_the_machine(node: Node) -> None:
    node.wait_for_taken(node.leave_note())
    found = json.loads("".join(node.read("found.json")))
    assert (found["user"], found["written"], len(found["processes"])) == (USER, [], 1)
    assert {path: " ".join(names) for path, names in found["seen"].items() if path != "/etc"} == SEEN
    assert set(found["seen"]["/etc"]) - {"ld.so.cache", "ssl"} <= NAMED


def test_each_note_calls_it_once_though_what_is_set_aside_stays(node: Node) -> None:
    before = len(node.read("calls"))
    for _ in range(3):
        node.wait_for_taken(node.leave_note())
    assert node.run(f"ls -A {SPOOL}") == "bad\n"
    assert node.read("calls")[before:] == ["intake"] * 3


def test_one_that_fails_is_called_again_until_it_does_not_and_notes_go_on_to_call_it(node: Node) -> None:
    before = len(node.read("calls"))
    node.run(f"touch {STATE}/fails")
    note = node.leave_note()
    until(lambda: len(node.read("calls")) >= before + 12, 120, "twelve calls, more than systemd starts at once")
    node.run(f"rm {STATE}/fails")
    node.wait_for_taken(note)
    assert node.state(UNITS[0]) == "active"
    node.wait_for_taken(node.leave_note())
