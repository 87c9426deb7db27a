"""Acts side by side: what hangs holds nobody, and what is raised is not lost."""

import subprocess
import sys
from datetime import timedelta

from zlh_hooks.application.side_by_side import begin, find_failure
from zlh_hooks.domain.errors import RoadError

TEN = timedelta(seconds=10)


def refuse() -> None:
    raise RoadError("no route to host")


def test_what_an_act_gives_or_raises_is_found_afterwards() -> None:
    fine, bug, refusal = begin(lambda: 3), begin(lambda: int("s3cret")), begin(refuse)
    assert [find_failure(done, TEN) for done in (fine, bug, refusal)] == [
        "",
        "an error that nobody foresaw (ValueError)",
        "no route to host",
    ]
    assert fine.result() == 3


def test_a_process_ends_though_one_of_its_acts_never_does() -> None:
    program = "import threading; from zlh_hooks.application.side_by_side import begin; begin(threading.Event().wait)"
    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == 0
