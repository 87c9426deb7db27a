"""``run([ROOT, PORT, VERB, LIFE, *WORDS])``: a plugin that dies before its act number LIFE.

With LIFE 0 it lives, and prints the number of its acts. VERB is ``install`` (WORDS: version and SHA-256), ``check`` (the
server's URL), ``update`` or ``revert``.
"""

import sys
from dataclasses import replace
from pathlib import Path

from agent_plugin.place import Place
from agent_plugin.setting import Settings
from agent_plugin.source import FileSource
from agent_plugin.swap import Hands
from agent_plugin.update import install, resume, take_back
from agent_plugin.wanted import Wanted
from tests.agent.doom import Doom
from tests.agent.release import NAME
from tests.agent.swap_world import FolderSystemd, hurry


def main(root: Path, port: int, verb: str, life: int, *words: str) -> None:
    """As in a guest, but in a folder."""
    hurry()
    archive = root / "archive.tar.gz"
    settings = Settings(port=port, bake_seconds=0, deadline_seconds=20, reserve_mb=0)
    hands = Hands(Place(root), FolderSystemd(root), settings, FileSource(archive) if verb == "install" else None)
    if verb == "check":
        from agent_plugin import follow

        hands = replace(hands, settings=replace(settings, url=words[0], line=NAME, vmid="5001"))
    doom = Doom(life)
    sys.addaudithook(doom)
    if verb == "install":
        install(hands, Wanted(*words, archive.stat().st_size))
    elif verb == "check":
        follow.check(hands)
    elif verb == "revert":
        take_back(hands)
    else:
        resume(hands)
    print(doom.acts)


def run(words: "list[str]") -> None:
    """With these words."""
    root, port, verb, life, *more = words
    main(Path(root), int(port), verb, int(life), *more)
