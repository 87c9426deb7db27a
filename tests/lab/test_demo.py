"""The demo as a whole, and what it leaves when it is killed."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.lab.place import CHECKOUT, HOME
from tests.lab.sweep import list_leftovers, sweep

pytestmark = [pytest.mark.lab, pytest.mark.matrix, pytest.mark.timeout(900)]
LAB = "demo"
LATEST_KILL_SECONDS = 40.0


def _start() -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "tests.lab.demo")
    return subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )


def test_a_demo_that_is_killed_three_times_leaves_nothing_and_the_next_one_works() -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(3):
        demo = _start()
        moment = chance.uniform(0.5, LATEST_KILL_SECONDS)
        try:
            demo.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            demo.send_signal(signal.SIGKILL)
        demo.wait()
        assert demo.stdout is not None
        demo.stdout.close()
        sweep(HOME, LAB)
        assert list_leftovers(HOME, LAB) == (), f"killed after {moment:.1f} s"
    last = _start()
    output, _ = last.communicate(timeout=600)
    assert last.returncode == 0, output
    assert "the demo showed what it promises" in output
    assert list_leftovers(HOME, LAB) == ()
