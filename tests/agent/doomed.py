"""``python -m tests.agent.doomed ROOT PORT VERB LIFE [VERSION SHA256]``: a plugin that dies before its act number LIFE.

With LIFE 0 it lives, and prints the number of its acts. VERB is ``install``, ``update`` or ``revert``.
"""

import sys
from pathlib import Path

from agent_plugin.place import Place
from agent_plugin.setting import Settings
from agent_plugin.source import FileSource
from agent_plugin.swap import Hands
from agent_plugin.update import install, resume, take_back
from agent_plugin.wanted import Wanted
from tests.agent.doom import Doom
from tests.agent.swap_world import FolderSystemd, hurry


def main(root: Path, port: int, verb: str, life: int, *wanted: str) -> None:
    """As in a guest, but in a folder."""
    hurry()
    archive = root / "archive.tar.gz"
    settings = Settings(port=port, bake_seconds=0, deadline_seconds=20, reserve_mb=0)
    hands = Hands(Place(root), FolderSystemd(root), settings, FileSource(archive) if wanted else None)
    doom = Doom(life)
    sys.addaudithook(doom)
    if verb == "install":
        install(hands, Wanted(*wanted, archive.stat().st_size))
    elif verb == "revert":
        take_back(hands)
    else:
        resume(hands)
    print(doom.acts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), *sys.argv[5:])
