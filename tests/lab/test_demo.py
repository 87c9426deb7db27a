"""The demo as a whole, and what it leaves when it is killed."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.lab.condition import until
from tests.lab.place import CHECKOUT, HOME
from tests.lab.sweep import Leftover, list_leftovers

pytestmark = [pytest.mark.lab, pytest.mark.matrix, pytest.mark.timeout(900)]
LAB = "demo"
LATEST_KILL_SECONDS = 40.0
LATEST_KILL_WITH_GUESTS_SECONDS = 10.0
"""Less than two rollouts take, so that the third demo is never over before it is killed."""
PATIENCE_SECONDS = 180.0


def _start() -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "tests.lab.demo")
    return subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )


def _kill(demo: subprocess.Popen[str], seconds: float) -> None:
    try:
        demo.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        demo.send_signal(signal.SIGKILL)
    demo.wait()
    assert demo.stdout is not None
    demo.stdout.close()


def _processes() -> set[Leftover]:
    return {leftover for leftover in list_leftovers(HOME, LAB) if leftover.kind == "process"}


def _guests() -> set[str]:
    """The process numbers of their inits."""
    return {path.read_text() for path in (HOME / LAB).glob("lxc/*/init")}


def test_a_demo_that_is_killed_three_times_leaves_nothing_to_the_next_one_which_works() -> None:
    """Nobody sweeps in between: each demo clears away, before it begins, what the killed one before it left."""
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(2):
        _kill(_start(), chance.uniform(0.5, LATEST_KILL_SECONDS))
    earlier = _guests()
    third = _start()
    until(lambda: _guests() - earlier, PATIENCE_SECONDS, "guest of the third demo")
    _kill(third, chance.uniform(0.0, LATEST_KILL_WITH_GUESTS_SECONDS))
    left = _processes()
    assert left, "the third demo was killed while its guests ran"

    last = _start()
    until(lambda: not left & _processes(), PATIENCE_SECONDS, "end of what the killed demo left")
    assert last.poll() is None
    output, _ = last.communicate(timeout=600)
    assert last.returncode == 0, output
    assert "the demo showed what it promises" in output
    assert list_leftovers(HOME, LAB) == ()
    assert not (HOME / LAB).exists()
