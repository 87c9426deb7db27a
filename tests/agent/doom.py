"""A process that dies by its own SIGKILL before its act number so and so. The standard library only: guests run it too.

``python3 doom.py LIFE WORD...`` is the plugin's command in a guest under that doom; with LIFE 0 it lives and says on standard
error how many acts it did. An act is a rename, a removal, a link, a folder, a file opened for writing, or a program started.
``python3 doom.py STEP WORD...`` stands still once that step is done, and goes on when it is told to.
"""

import json
import os
import signal
import sys
from pathlib import Path

_ACTS = ("os.rename", "os.remove", "os.symlink", "os.mkdir", "os.rmdir", "subprocess.Popen")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STATES = ("state.json", "patch.json")


class Doom:
    """An audit hook that counts acts; the one that reaches ``life`` is never done."""

    def __init__(self, life: int) -> None:
        self.life, self.acts = life, 0

    def __call__(self, event: str, arguments: "tuple[object, ...]") -> None:
        if event not in _ACTS and not (event == "open" and self.is_writing(arguments)):
            return
        self.acts += 1
        if self.acts == self.life:
            os.kill(os.getpid(), signal.SIGKILL)

    def is_writing(self, arguments: "tuple[object, ...]") -> bool:
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & _WRITING)


class Standstill:
    """An audit hook that stops the process when all of a step is done, and nothing says so yet."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __call__(self, event: str, arguments: "tuple[object, ...]") -> None:
        if event != "os.rename":
            return
        new, old = (Path(str(path)) for path in arguments[:2])
        if old.name in _STATES and read_step(old) == self.step != read_step(new):
            os.kill(os.getpid(), signal.SIGSTOP)


def read_step(state: Path) -> str:
    """Empty if there is no such file yet."""
    return str(json.loads(state.read_bytes())["step"]) if state.exists() else ""


if __name__ == "__main__":
    sys.path.insert(0, "/usr/lib/zlh-agent-plugin")
    from agent_plugin.__main__ import main

    when = sys.argv[1]
    hook = Doom(int(when)) if when.isdigit() else Standstill(when)
    sys.addaudithook(hook)
    code = main(sys.argv[2:])
    if isinstance(hook, Doom):
        print(hook.acts, file=sys.stderr)
    sys.exit(code)
