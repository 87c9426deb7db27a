"""The units that publish every day and watch from outside, under a real systemd: their conditions, and what they may touch.

In the program's place stands one that writes down how it was called and what it finds of the machine.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.condition import until
from tests.lab.lab import Lab
from tests.lab.noting_node import DEBIAN, BootedNode

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
PUBLISH, WATCH, TIMER = "zlh-hooks-publish.service", "zlh-hooks-watch.service", "zlh-hooks-publish.timer"
STATE, SHOWN, ETC, USER = "/var/lib/zlh-hooks", "/var/lib/zlh-hooks-public", "/etc/zlh-hooks", 990
PASSWORD = f"{ETC}/agent-online-password"
PROGRAM = f"""#!/usr/bin/python3
import json, os, signal, sys
from pathlib import Path
def can(path, flags):
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError:
        return False
    return True
credentials = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere"))
found = {{
    "words": sys.argv[1:],
    "user": os.getuid(),
    "credentials": {{path.name: path.read_text() for path in sorted(credentials.glob("*"))}},
    "key": can("{STATE}/agents/online/online.online.key", os.O_RDONLY),
    "publishes": can("{SHOWN}/agents/timestamp.json", os.O_WRONLY | os.O_CREAT),
    "records": can("{STATE}/ledger.sqlite", os.O_RDWR),
    "written": [path for path in ("/usr/x", "{ETC}/x", "/x", "/etc/x", "/root/x", "/proc/sys/kernel/hostname")
                if can(path, os.O_WRONLY | os.O_CREAT)],
    "read": [path for path in ("/etc/shadow", "/root/secret", "{ETC}/agent-keys/anna.root.key") if can(path, os.O_RDONLY)],
}}
(Path("{STATE}") / f"{{sys.argv[2]}}.new").write_text(json.dumps(found))
(Path("{STATE}") / f"{{sys.argv[2]}}.new").rename(Path("{STATE}") / f"{{sys.argv[2]}}.json")
if sys.argv[2] == "watch":
    if (Path("{STATE}") / "misconfigured").exists():
        sys.exit(2)
    signal.pause()
"""


def bake(root: Path) -> None:
    """What the package brings. People's keys are root's."""
    for folder in (
        "root",
        "etc/systemd/system",
        f"{ETC[1:]}/agent-keys",
        f"{STATE[1:]}/agents/online",
        f"{SHOWN[1:]}/agents",
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for unit in (PUBLISH, WATCH, TIMER):
        shutil.copy(DEBIAN / unit, root / "etc/systemd/system")
    (root / "usr/bin").mkdir(exist_ok=True)
    (root / "usr/bin/zlh-hooks").write_text(PROGRAM)
    (root / "usr/bin/zlh-hooks").chmod(0o755)
    for name in (
        f"{ETC}/agent-keys/anna.root.key",
        f"{STATE}/agents/online/online.online.key",
        f"{STATE}/ledger.sqlite",
        "/root/secret",
    ):
        (root / name[1:]).touch(mode=0o600)
    (root / f"{ETC[1:]}/agent-keys").chmod(0o700)


class Controller(BootedNode):
    """With the units, and the user whom they work as; settings come later."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, 5903, bake)
        self.run(f"groupadd --system --gid {USER} zlh-hooks; useradd --system --uid {USER} --gid {USER} zlh-hooks")
        self.run(f"chown -R zlh-hooks: {STATE} {SHOWN}")

    def show(self, unit: str, name: str) -> str:
        return self.run(f"systemctl show --property={name} --value {unit}").strip()

    def find(self, name: str) -> Any:
        """What the program has found, once it has."""
        until(lambda: self.read_lines(f"{STATE}/{name}.json") != [], 60, f"call of {name}")
        return json.loads("".join(self.read_lines(f"{STATE}/{name}.json")))


@pytest.fixture(scope="module")
def controller(lab: Lab) -> Iterator[Controller]:
    made = Controller(lab)
    yield made
    lab.containers.stop(made.vmid)


def test_neither_starts_nor_fails_before_it_is_configured(controller: Controller) -> None:
    for unit in (PUBLISH, WATCH):
        controller.run(f"systemctl start {unit}")
        assert (controller.state(unit), controller.show(unit, "ConditionResult")) == ("inactive", "no")


def test_without_the_password_of_the_online_key_nothing_is_published_by_itself(controller: Controller) -> None:
    controller.run(f"touch {ETC}/zlh-hooks.toml {ETC}/policy.toml; systemctl start {PUBLISH}")
    assert (controller.state(PUBLISH), controller.show(PUBLISH, "ConditionResult")) == ("inactive", "no")


def test_with_it_a_user_publishes_that_reads_the_key_and_sees_nothing_else_of_the_machine(
    controller: Controller,
) -> None:
    controller.run(f"umask 077; echo opens-the-key >{PASSWORD}; systemctl start {PUBLISH}")
    assert controller.show(PUBLISH, "Result") == "success"
    found = controller.find("publish")
    assert (found["words"], found["user"]) == (["agent", "publish"], USER)
    assert found["credentials"] == {"agent-online-password": "opens-the-key\n"}
    assert (found["key"], found["publishes"], found["records"]) == (True, True, True)
    assert (found["written"], found["read"]) == ([], [])


def test_the_timer_calls_it_every_day_and_at_once_for_a_day_that_was_missed(controller: Controller) -> None:
    controller.run(f"rm {STATE}/publish.json; mkdir -p /var/lib/systemd/timers")
    controller.run(f"touch -d '3 days ago' /var/lib/systemd/timers/stamp-{TIMER}")
    controller.run(f"mkdir -p /run/systemd/system/{TIMER}.d")
    controller.run(f"printf '[Timer]\\nRandomizedDelaySec=0\\n' >/run/systemd/system/{TIMER}.d/soon.conf")
    controller.run(f"systemctl daemon-reload; systemctl start {TIMER}")
    assert controller.find("publish")["words"] == ["agent", "publish"]
    assert controller.show(TIMER, "NextElapseUSecRealtime") != ""


def test_the_watch_runs_as_a_user_who_writes_to_the_state_alone_and_comes_back_when_it_dies(
    controller: Controller,
) -> None:
    controller.run("mkdir -p /run/systemd/system/zlh-hooks-watch.service.d")
    controller.run(
        "printf '[Service]\\nRestartSec=200ms\\n' >/run/systemd/system/zlh-hooks-watch.service.d/soon.conf"
        f"; systemctl daemon-reload; systemctl start {WATCH}"
    )
    found = controller.find("watch")
    assert (found["words"], found["user"]) == (["downtime", "watch", "--wait", "180"], USER)
    assert (found["records"], found["key"], found["written"], found["read"]) == (True, False, [], [])
    first = controller.show(WATCH, "MainPID")
    controller.run(f"kill -KILL {first}")
    until(lambda: controller.show(WATCH, "MainPID") not in ("0", first), 60, "a watcher after the one that died")


def test_a_watch_with_wrong_settings_is_not_started_again_and_again(controller: Controller) -> None:
    controller.run(f"touch {STATE}/misconfigured; systemctl restart {WATCH}")
    until(lambda: controller.state(WATCH) == "failed", 60, "watch that has given up")
    assert controller.show(WATCH, "ExecMainStatus") == "2"
