"""The demo as a whole, and what it leaves when it is killed."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.lab.place import CHECKOUT, HOME
from tests.lab.sweep import list_leftovers

pytestmark = [pytest.mark.lab, pytest.mark.matrix, pytest.mark.timeout(900)]
LAB = "demo"
LATEST_KILL_SECONDS = 40.0


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


def test_a_demo_that_is_killed_three_times_leaves_nothing_and_the_next_one_works() -> None:
    """Each one clears away what the killed one before it left; after the last ``make lab-clean`` does."""
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(3):
        _kill(_start(), chance.uniform(0.5, LATEST_KILL_SECONDS))
    subprocess.run(("make", "lab-clean"), cwd=CHECKOUT, check=True, timeout=120)
    assert list_leftovers(HOME, LAB) == ()
    last = _start()
    output, _ = last.communicate(timeout=600)
    assert last.returncode == 0, output
    assert "the demo showed what it promises" in output
    assert list_leftovers(HOME, LAB) == ()
