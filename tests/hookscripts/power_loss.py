"""A node that loses its power right after its guest hook has noted something: ``python -m`` this, with a folder, a kind
of file system, and ``hook`` or ``no hook``.

The spool is a file system of its own in an image. What that image holds in the moment when the hook ends is all that the
disk has been given. Standard output: the notes that the file system then has, text by name, as JSON.
"""

import json
import os
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
MAKERS = {"ext4": ("mkfs.ext4", "-q", "-O", "has_journal"), "xfs": ("mkfs.xfs", "-q"), "btrfs": ("mkfs.btrfs", "-q")}
"""What makes an empty file system, by its kind, as a node's root has it."""
_IMAGE_BYTES = 512 << 20


def make_image(path: Path, kind: str) -> None:
    """Its root folder is the spool."""
    with path.open("wb") as image:
        image.truncate(_IMAGE_BYTES)
    subprocess.run([*MAKERS[kind], str(path)], check=True, stdout=subprocess.DEVNULL)


def attach(image: Path, place: Path) -> None:
    """Mounted for this process alone."""
    place.mkdir(mode=0o700)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    place.chmod(0o700)


def lose_power(folder: Path, kind: str, is_hook: bool) -> dict[str, str]:
    """Notes by name, as they are after the boot."""
    image, remains, spool = folder / "image", folder / "remains", Path(SPOOL)
    make_image(image, kind)
    attach(image, spool)
    os.sync()
    if is_hook:
        subprocess.run([str(HOOK), GUEST, "post-stop"], env=PVE, check=True)
    else:
        (spool / UNSYNCED).symlink_to("text")
    subprocess.run(["cp", "--sparse=always", str(image), str(remains)], check=True)
    subprocess.run(["umount", str(spool)], check=True)  # two of one identity cannot be mounted side by side
    attach(remains, folder / "boot")
    return {path.name: read_note(path) for path in (folder / "boot").iterdir() if path.is_symlink()}


def main(folder: Path, kind: str, what: str) -> None:
    """In a mount namespace that ends with this process."""
    leave_host(HOST)
    make_room()
    mount("tmpfs", Path(CONFIG_FOLDER), options="mode=755")
    (Path(CONFIG_FOLDER) / "lxc").mkdir()
    (Path(CONFIG_FOLDER) / "lxc" / f"{GUEST}.conf").write_text(CONFIGS["ours"].text)
    json.dump(lose_power(folder, kind, what == "hook"), sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
