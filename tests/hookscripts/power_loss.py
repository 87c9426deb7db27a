"""A node that loses its power right after its guest hook has noted something: ``python -m`` this, with a folder.

The spool is a file system of its own in an image. What that image holds in the moment when the hook ends is all that the
disk has been given. Standard output: the notes that the file system then has, text by name, as JSON.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.hookscripts.config import CONFIGS
from tests.hookscripts.linux import leave_host, mount
from tests.hookscripts.node import HOOK, PVE
from tests.hookscripts.stage import make_room
from tests.hookscripts.world import CONFIGS as CONFIG_FOLDER
from tests.hookscripts.world import HOST, SPOOL
from tests.note_file import read_note

GUEST = "5001"
UNSYNCED = "unsynced"
"""A note that nobody asked the disk to keep."""
_IMAGE_BYTES = 64 << 20


def make_image(path: Path) -> None:
    """An ext4 as a node's root has it, with a journal, whose root folder is the spool."""
    with path.open("wb") as image:
        image.truncate(_IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-E", "root_owner=0:0", "-O", "has_journal", str(path)], check=True)


def attach(image: Path, place: Path) -> None:
    """Mounted for this process alone."""
    place.mkdir(mode=0o700)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    place.chmod(0o700)


def lose_power(folder: Path, is_hook: bool) -> dict[str, str]:
    """Notes by name, as they are after the boot."""
    image, remains, spool = folder / "image", folder / "remains", Path(SPOOL)
    make_image(image)
    attach(image, spool)
    os.sync()
    if is_hook:
        subprocess.run([str(HOOK), GUEST, "post-stop"], env=PVE, check=True)
    else:
        (spool / UNSYNCED).symlink_to("text")
    shutil.copyfile(image, remains)
    attach(remains, folder / "boot")
    return {path.name: read_note(path) for path in (folder / "boot").iterdir() if path.is_symlink()}


def main(folder: Path, what: str) -> None:
    """In a mount namespace that ends with this process."""
    leave_host(HOST)
    make_room()
    mount("tmpfs", Path(CONFIG_FOLDER), options="mode=755")
    (Path(CONFIG_FOLDER) / "lxc").mkdir()
    (Path(CONFIG_FOLDER) / "lxc" / f"{GUEST}.conf").write_text(CONFIGS["ours"].text)
    json.dump(lose_power(folder, what == "hook"), sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
