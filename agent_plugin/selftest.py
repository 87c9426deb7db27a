"""Letting a release test itself where it lies, before anything points to it."""

from pathlib import Path

from agent_plugin.fault import BadRelease, NotNow
from agent_plugin.program import run
from agent_plugin.slot import PROGRAM

SECONDS = 20.0


def run_self_test(release: Path, seconds: float = SECONDS) -> None:
    """``zlh-agent --self-test`` must end with 0; ``BadRelease`` with its last words otherwise."""
    try:
        done = run(str(release / PROGRAM), "--self-test", seconds=seconds, folder=release, is_strange=True)
    except NotNow as error:
        raise BadRelease(str(error)) from error
    if not done.is_well:
        raise BadRelease(done.words)
