"""Calls of the guest hook on a simulated node, from a test: ``call_hook`` for many, ``call_once`` for one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hookscripts.world import Answer, Call, Environment, Performance, pack

REPOSITORY = Path(__file__).parents[2]
HOOK = REPOSITORY / "hookscripts" / "zlh-guest-hook"
BACKUP_HOOK = REPOSITORY / "hookscripts" / "zlh-vzdump-hook"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a node's mounts are made in a namespace, which needs root")
PVE = {"LC_ALL": "C", "PATH": "/sbin:/bin:/usr/sbin:/usr/bin"}
"""All that Proxmox promises of a guest hook's environment."""


def call_hook(
    environment: Environment, calls: tuple[Call, ...], script: Path | str = HOOK, at_once: int = 2
) -> Performance:
    """Each of these calls on one node, so many side by side."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hookscripts.stage"],
        input=json.dumps(pack(environment, calls, str(script), at_once)),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    answers = tuple(Answer(**{**one, "late": tuple(one["late"])}) for one in seen["answers"])
    return Performance(answers, seen["notes"], tuple(seen["elsewhere"]), seen["left"])


def call_once(call: Call, environment: Environment | None = None) -> tuple[Answer, dict[str, str]]:
    """One call and the notes that it left."""
    performance = call_hook(environment or Environment(), (call,))
    return performance.answers[0], performance.notes
