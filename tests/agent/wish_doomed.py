"""``run([ROOT, PORT, URL, LIFE, TIMES])``: the timer's check, dying before its act number LIFE.

With LIFE 0 it lives, checks TIMES times, and prints the last patch's id after each, and the number of its acts.
"""

import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from agent_plugin import __main__ as command
from agent_plugin import patch_command
from agent_plugin.patch_act import PatchHands
from agent_plugin.patch_state import find_patch
from agent_plugin.place import Place
from agent_plugin.setting import Settings
from agent_plugin.swap import Hands
from tests.agent.doom import Doom
from tests.agent.patch_world import make_hands
from tests.agent.release import NAME
from tests.agent.swap_world import FolderSystemd, hurry


def make_settings(port: int, url: str, probe: str = "") -> Settings:
    """Of a guest that asks this server."""
    source = {"url": url, "line": NAME, "vmid": "5001"}
    return Settings(port, bake_seconds=0, deadline_seconds=20, reserve_mb=0, probe=tuple(probe.split()), **source)


def run_command(root: Path, settings: Settings, *words: str) -> int:
    """``zlh-agent-plugin WORDS`` in a guest that is a folder; its exit code."""
    hurry()

    def make_swap(source: object = None) -> Hands:
        return Hands(Place(root), FolderSystemd(root), settings)

    def make_patch(_place: Place, _settings: Settings) -> PatchHands:
        return replace(make_hands(root), settings=settings)

    with patch.object(command, "_hands", make_swap), patch.object(patch_command, "make_hands", make_patch):
        return command.main(words)


def main(root: Path, port: int, url: str, life: int, times: int = 1) -> None:
    """As in a guest, but in a folder."""
    from agent_plugin import follow, patch_follow  # noqa: F401 (what a first run compiles is no act)

    settings, doom = make_settings(port, url), Doom(life)
    sys.addaudithook(doom)
    for _ in range(times):
        run_command(root, settings, "check")
        last = find_patch(Place(root).patch)
        print(f"last: {last.txn if last else None}")
    print(doom.acts)


def run(words: "list[str]") -> None:
    """With these words."""
    root, port, url, *numbers = words
    main(Path(root), int(port), url, *map(int, numbers))
