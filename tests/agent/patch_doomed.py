"""``run([ROOT, VERB, LIFE])``: a patch that dies by SIGKILL before its act number LIFE.

With LIFE 0 it lives, and prints the number of its acts. VERB is ``bring``, ``update`` or ``revert``.
"""

import sys
from pathlib import Path

from agent_plugin.patch import bring, resume, take_back
from agent_plugin.patch_wanted import PatchWanted
from tests.agent.doom import Doom
from tests.agent.patch_world import make_hands


def main(root: Path, verb: str, life: int) -> None:
    """As in a guest, but in a folder."""
    hands, doom = make_hands(root), Doom(life)
    sys.addaudithook(doom)
    if verb == "bring":
        bring(hands, PatchWanted(security=True))
    elif verb == "revert":
        take_back(hands)
    else:
        resume(hands)
    print(doom.acts)


def run(words: "list[str]") -> None:
    """With these words."""
    root, verb, life = words
    main(Path(root), verb, int(life))
