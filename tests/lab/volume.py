"""The lab's volumes: a directory each, the truth about what is left behind.

``STORAGE/OWNER/vm-OWNER-disk-N.raw/`` is one volume, as pve-storage's directory plugin names them; ``fs/`` in it is its
content, ``volume.json`` its declared size and time of creation. A root's content lies over one of the cache's trees, which
is never written: so a clone costs what the template changed, not a whole Debian. A half-made copy is a volume too, as on
Proxmox.
"""

import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from tests.stand_in.backend import StoredVolume, volume_name

_VOLID = re.compile(r"(?P<storage>[a-z][a-z0-9-]*):(?P<name>(?P<owner>\d+)/(?:vm|base)-(?P=owner)-disk-\d+\.raw)\Z")


class DirectoryVolumes:
    """A :class:`tests.stand_in.backend.VolumeStore` of real directories below ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._naming = threading.Lock()

    def allocate(self, storage: str, owner: int, size: int) -> str:
        return self._make(storage, owner, size)

    def copy(self, volid: str, storage: str, owner: int) -> str:
        source = self.path(volid)
        made = self._make(storage, owner, self._find(volid).size)
        self.lay_over(made, self.lower(volid))
        subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", self.path(made)], check=True, capture_output=True)
        return made

    def grow(self, volid: str, size: int) -> None:
        """What is declared grows: a directory has no size of its own."""
        self._find(volid)
        facts = self._directory(volid) / "volume.json"
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "size": size}))

    def rename(self, volid: str, owner: int) -> str:
        with self._naming:
            return self._move(volid, self._free_name(volid.partition(":")[0], owner))

    def make_base(self, volid: str) -> str:
        with self._naming:
            return self._move(volid, volid.replace("/vm-", "/base-"))

    def free(self, volid: str) -> None:
        with self._naming:  # gone from lists at once, however long its files take
            self._find(volid)
            away = Path(tempfile.mkdtemp(prefix="freed-", dir=self.home))
            self._directory(volid).rename(away / "volume")
        shutil.rmtree(away)

    def list(self, storage: str) -> Sequence[StoredVolume]:
        found = (f"{storage}:{path.relative_to(self.home / storage)}" for path in self.home.glob(f"{storage}/*/*.raw"))
        with self._naming:
            return tuple(self._find(volid) for volid in sorted(found))

    def lay_over(self, volid: str, tree: Path | None) -> None:
        """Let the volume's content lie over a tree; None: over nothing."""
        facts = self._directory(volid) / "volume.json"
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "lower": str(tree) if tree else None}))

    def lower(self, volid: str) -> Path | None:
        """The tree that the volume lies over."""
        tree = json.loads((self._directory(volid) / "volume.json").read_text())["lower"]
        return Path(tree) if tree else None

    def path(self, volid: str) -> Path:
        """What was written to the volume; FileNotFoundError if there is no such volume."""
        self._find(volid)
        return self._directory(volid) / "fs"

    def _directory(self, volid: str) -> Path:
        match = _VOLID.match(volid)
        if match is None:
            raise FileNotFoundError(2, "no such volume", volid)
        return self.home / match["storage"] / match["name"]

    def _find(self, volid: str) -> StoredVolume:
        facts = json.loads((self._directory(volid) / "volume.json").read_text())
        return StoredVolume(volid, int(volid.partition(":")[2].partition("/")[0]), facts["size"], facts["changed"])

    def _make(self, storage: str, owner: int, size: int) -> str:
        with self._naming:
            volid = self._free_name(storage, owner)
            directory = self._directory(volid)
            for part in ("fs", "work"):
                (directory / part).mkdir(parents=True)
            facts = {"size": size, "changed": int(time.time()), "lower": None}
            (directory / "volume.json").write_text(json.dumps(facts))
        return volid

    def _move(self, volid: str, renamed: str) -> str:
        self._find(volid)
        self._directory(renamed).parent.mkdir(parents=True, exist_ok=True)
        self._directory(volid).rename(self._directory(renamed))
        return renamed

    def _free_name(self, storage: str, owner: int) -> str:
        for number in count():
            name, base = (f"{storage}:{volume_name('dir', owner, number, kind)}" for kind in (False, True))
            if not self._directory(name).exists() and not self._directory(base).exists():
                return name
        raise AssertionError("count() ends")
