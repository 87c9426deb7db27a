"""What customers notice of an agent's swap: planned swaps, releases that crash, the ways back, and a plain restart.

``python -m benchmarks.swap [SWAPS] [DEBIAN]`` (root and LXC). One real guest; 16 clients outside, half of them with a
connection per request. Printed: requests, failed ones, the slowest; for each kind of bad release the time until the old
one was back and proved (median, worst) and what was refused or lost; and, in the same run, ``systemctl restart`` of the
same agent that binds its port itself.
"""

import statistics
import sys
import time
from collections.abc import Callable

from tests.lab.condition import until
from tests.lab.image import Debian, build_images
from tests.lab.lab import Lab
from tests.lab.load import Count, Load
from tests.lab.network import inside
from tests.lab.place import HOME
from tests.lab.swap_bench import SwapGuest, build_release

SWAPS = 20
LEAST_REQUESTS = 20_000
ROUNDS = 3
OWN_PORT = 18887
LIMITS = {"exit": 10.0, "no-python": 10.0, "wrong-version": 70.0, "freeze": 55.0, "hang": 55.0}
"""Fault to the seconds within which the old release must be back."""
_OWN_BIND = f"""\
[Unit]
Description=The same agent, binding its port itself
StartLimitIntervalSec=0
[Service]
Type=notify
Environment=ZLH_AGENT_PORT={OWN_PORT}
ExecStart=/opt/zlh-agent/current/zlh-agent
TimeoutStopSec=15
KillMode=mixed
"""


def measure(guest: SwapGuest, act: Callable[[], None], port: int = 18888) -> Count:
    """What clients saw during the act."""
    with Load(guest.address, port) as load:
        act()
    return load.read()


def print_count(name: str, count: Count) -> None:
    """One line."""
    print(
        f"{name}: {count.total} requests, {count.failed} failed"
        f" ({count.refused} refused, {count.lost} lost, {count.wrong} not 200), slowest {count.slowest * 1000:.0f} ms",
        flush=True,
    )


def swap_there_and_back(guest: SwapGuest, swaps: int) -> None:
    """Half of them are the way back that a person orders."""
    release = build_release("2.0.0")
    for number in range(swaps):
        if number % 2 == 0:
            done = guest.install(release, "--again")
            assert done.returncode == 0, done.stdout + done.stderr
        else:
            guest.run("zlh-agent-plugin", "revert")


def time_way_back(guest: SwapGuest, fault: str, seconds: "list[float]") -> None:
    """Until the plugin has proved the old release again."""
    for number in range(ROUNDS):
        began = time.monotonic()
        done = guest.install(build_release(f"3.{number}.{time.monotonic_ns()}", fault))
        assert "reverted" in done.stdout, done.stdout + done.stderr
        seconds.append(time.monotonic() - began)


def restart_own_bind(guest: SwapGuest, restarts: int) -> None:
    """As agents are updated where nobody holds the socket."""
    for _ in range(restarts):
        guest.run("systemctl", "restart", "own-bind.service")


def prepare_own_bind(guest: SwapGuest) -> None:
    """A second agent, started and answering."""
    write = ["sh", "-c", f"cat >/etc/systemd/system/own-bind.service <<'E'\n{_OWN_BIND}E\nsystemctl daemon-reload"]
    guest.run(*write)
    guest.run("systemctl", "start", "own-bind.service")


def run(guest: SwapGuest, swaps: int) -> bool:
    """Whether all that is promised was seen."""
    game = guest.game()
    planned = measure(guest, lambda: swap_there_and_back(guest, swaps))
    print_count(f"{swaps} planned swaps, half of them back", planned)
    holds = planned.failed == 0 and planned.total >= min(LEAST_REQUESTS, 1000 * swaps)
    for fault, limit in LIMITS.items():
        seconds: list[float] = []
        count = measure(guest, lambda fault=fault, seconds=seconds: time_way_back(guest, fault, seconds))  # type: ignore[misc]
        print_count(f"release that has {fault}", count)
        print(f"    back and proved in {statistics.median(seconds):.1f} s (median), {max(seconds):.1f} s (worst)")
        holds = holds and count.refused == 0 and max(seconds) <= limit
    prepare_own_bind(guest)
    until(lambda: guest.run("systemctl", "is-active", "own-bind.service").strip() == "active", 10, "own-bind agent")
    print_count(f"{swaps} plain restarts, own port", measure(guest, lambda: restart_own_bind(guest, swaps), OWN_PORT))
    same = guest.game() == game
    print(f"the game is {'the same process' if same else 'ANOTHER PROCESS'}")
    return holds and same


def main(swaps: int, debian: Debian) -> int:
    """One guest."""
    build_images()
    with Lab(HOME / "swap") as lab, inside(lab.place):
        guest = SwapGuest(lab, debian)
        version = guest.run("systemctl", "--version").splitlines()[0]
        print(f"{debian}, {version}")
        holds = run(guest, swaps)
        print("limits hold" if holds else "limits MISSED")
        return 0 if holds else 1


if __name__ == "__main__":
    _swaps = int(sys.argv[1]) if len(sys.argv) > 1 else SWAPS
    sys.exit(main(_swaps, Debian(sys.argv[2]) if len(sys.argv) > 2 else Debian.TRIXIE))
