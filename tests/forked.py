"""Modules of the tests as processes of their own, forked from a server that has imported them already.

Half of what a short-lived process costs is its imports, and matrices of deaths need thousands of them.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        "agent_plugin.follow",
        "tests.agent.doomed",
        "tests.agent.patch_doomed",
        "tests.agent.wish_doomed",
        "tests.kill.launcher",
        "zlh_hooks.cli.worker",
        "zlh_hooks.adapters.ledger",
    ]
)


def start_module(name: str, words: Sequence[str], output: Path) -> ForkServerProcess:
    """``MODULE.run(words)``; what it prints is appended to ``output``."""
    process = _FORKING.Process(target=_run, args=(name, list(words), str(output)))
    process.start()
    return process


def run_module(name: str, *words: object, timeout: float = 60) -> "CompletedProcess[str]":
    """The same to its end: exit code, the negative signal if one ended it, and what it printed."""
    with tempfile.NamedTemporaryFile() as output:
        process = start_module(name, [str(word) for word in words], Path(output.name))
        process.join(timeout)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{name} {words} did not end within {timeout} s")
        process.close()
        printed = Path(output.name).read_text()
    return CompletedProcess([name, *map(str, words)], code, printed, printed)


def _run(name: str, words: list[str], output: str) -> None:
    file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    import_module(name).run(words)
