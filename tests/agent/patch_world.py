"""A guest's packages and services as files in a folder, so that they outlive a plugin that is killed; no apt, no systemd.

What dpkg and apt do here is a few lines; that they behave so is shown by ``tests/lab/test_patch.py`` in real guests.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_plugin import patch_act
from agent_plugin.apt_output import Installed, Upgrade
from agent_plugin.fault import BadPatch, NotNow
from agent_plugin.patch_act import PatchHands
from agent_plugin.patch_impact import Findings, Unit
from agent_plugin.patch_wanted import PatchWanted
from agent_plugin.place import Place
from agent_plugin.setting import Settings
from tests.agent.swap_world import FolderSystemd

GAME, HELPER = "zlh-game.service", "helper.service"
FILES = {GAME: f"/etc/systemd/system/{GAME}", HELPER: f"/usr/lib/systemd/system/{HELPER}"}


def hurry() -> None:
    """No test is kept waiting between two looks."""
    patch_act.LOOK_SECONDS = 0.005


@dataclass
class FolderGuest:
    """One JSON file: ``installed`` and ``offered`` versions, ``status`` by package, ``running`` invocations by unit,
    ``outdated`` units, ``audit``, and ``free`` bytes of the disk.
    """

    file: Path

    def read(self) -> "dict[str, Any]":
        return dict(json.loads(self.file.read_text()))

    def write(self, **changes: object) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({**self.read(), **changes}))
        new.replace(self.file)

    def begin(self) -> None:
        """Two packages at 1, offered at 2; a game and a helper run."""
        running = {GAME: "game-1", HELPER: "helper-1"}
        self.file.write_text(
            json.dumps(
                {
                    "installed": {"aa": "1", "bb": "1"},
                    "offered": {"aa": "2", "bb": "2"},
                    "status": {"aa": "ii", "bb": "ii"},
                    "running": running,
                    "outdated": [],
                    "touches": [HELPER],
                    "faults": [],
                    "auto": ["bb"],
                    "beside": [],
                }
            )
        )

    def set_version(self, name: str, version: str) -> None:
        """dpkg in two acts: unpacked, then configured. Whoever maps the old files is outdated from the first on."""
        found = self.read()
        outdated = sorted({*found["outdated"], *found["touches"]} & set(found["running"]))
        self.write(
            installed={**found["installed"], name: version}, status={**found["status"], name: "iU"}, outdated=outdated
        )
        self.configure(name)

    def configure(self, name: str) -> None:
        self.write(status={**self.read()["status"], name: "ii"})


@dataclass
class FolderPackages:
    """:class:`agent_plugin.packages.Packages` of such a guest. ``faults`` in the file: ``old-gone``, ``script-fails``..."""

    guest: FolderGuest

    def _has(self, fault: str) -> bool:
        return fault in self.guest.read()["faults"]

    def refresh(self) -> None:
        if self._has("road"):
            raise NotNow("apt-get update ended with 100: no road")

    def audit(self) -> str:
        half = [name for name, status in self.guest.read()["status"].items() if status != "ii"]
        return ", ".join(half)

    def configure(self) -> None:
        for name, status in self.guest.read()["status"].items():
            if status == "iU":
                self.guest.configure(name)

    def read_installed(self) -> "Mapping[str, Installed]":
        found = self.guest.read()
        return {name: Installed(version, found["status"][name], 1) for name, version in found["installed"].items()}

    def plan(self, wanted: PatchWanted) -> "tuple[Upgrade, ...]":
        found = self.guest.read()
        named = {package.name: package.version for package in wanted.packages} or found["offered"]
        old = found["installed"]
        return tuple(Upgrade(name, old.get(name, ""), new) for name, new in named.items() if new != old.get(name))

    def needed(self, upgrades: "Sequence[Upgrade]") -> int:
        return 1 << 60 if self._has("big") else 0

    def keep(self, upgrade: Upgrade, folder: Path) -> None:
        if self._has("old-gone"):
            raise NotNow(f"the .deb of {upgrade.before} cannot be had")
        (folder / f"{upgrade.name}.deb").write_text(f"{upgrade.name} {upgrade.old}")

    def fetch(self, upgrades: "Sequence[Upgrade]", folder: Path) -> None:
        for upgrade in upgrades:
            (folder / f"{upgrade.name}.deb").write_text(f"{upgrade.name} {upgrade.new}")

    def bring(self, upgrades: "Sequence[Upgrade]", folder: Path) -> None:
        self.guest.write(auto=[])
        for upgrade in upgrades:
            if self._has("script-fails") and upgrade.name == "bb":
                found = self.guest.read()
                self.guest.write(installed={**found["installed"], "bb": "2"}, status={**found["status"], "bb": "iF"})
                raise BadPatch("apt-get ended with 100: the script of bb failed")
            if self._has("full") and upgrade.name == "bb":
                raise NotNow("apt-get ended with 100: No space left on device")
            self.guest.set_version(upgrade.name, (folder / f"{upgrade.name}.deb").read_text().split()[1])
        self.guest.write(beside=[str(self.guest.file.with_name("a.conf.dpkg-dist"))])
        self.guest.file.with_name("a.conf.dpkg-dist").write_text("new")
        if self._has("game-falls"):
            self.guest.write(running={HELPER: "helper-1"})

    def put_back(self, debs: "Sequence[Path]") -> None:
        if self._has("no-way-back"):
            raise NotNow("dpkg ended with 1: it cannot")
        for deb in debs:
            self.guest.set_version(*deb.read_text().split())
        if self._has("game-falls"):
            self.guest.write(running={GAME: "game-1", HELPER: "helper-1"})

    def read_deb(self, deb: Path) -> "tuple[str, str]":
        name, version = deb.read_text().split()
        return name, version

    def is_newer(self, version: str, than: str) -> bool:
        return int(version) > int(than)

    def list_auto(self, names: "Sequence[str]") -> "tuple[str, ...]":
        return tuple(self.guest.read()["auto"])

    def mark_auto(self, names: "Sequence[str]") -> None:
        self.guest.write(auto=list(names))

    def list_beside(self, names: "Sequence[str]") -> "tuple[Path, ...]":
        return tuple(path for path in map(Path, self.guest.read()["beside"]) if path.exists())

    def list_owners(self, files: "Sequence[str]") -> "Mapping[str, str]":
        return {FILES[GAME]: "aa"} if self._has("owns-the-game") else {}

    def find_users(self, upgrades: "Sequence[Upgrade]") -> Findings:
        found = self.guest.read()
        return Findings(frozenset(set(found["touches"]) & set(found["running"])))

    def find_outdated(self) -> Findings:
        return Findings(frozenset(self.guest.read()["outdated"]))


@dataclass
class FolderUnits:
    """:class:`agent_plugin.unit.Units` of such a guest."""

    guest: FolderGuest

    def list_running(self) -> "Mapping[str, Unit]":
        return {name: Unit(name, FILES[name], start) for name, start in self.guest.read()["running"].items()}

    def restart(self, name: str) -> None:
        found = self.guest.read()
        if "helper-falls" in found["faults"] and found["installed"]["aa"] == "2":
            raise NotNow(f"systemctl restart ended with 1: {name}")
        running = {**found["running"], name: os.urandom(4).hex()}
        self.guest.write(running=running, outdated=[one for one in found["outdated"] if one != name])


def make_hands(root: Path) -> PatchHands:
    """A guest in a folder; no agent runs in it."""
    hurry()
    guest = FolderGuest(root / "guest.json")
    settings = Settings(port=1, bake_seconds=0, deadline_seconds=1, reserve_mb=0)
    return PatchHands(Place(root), settings, FolderSystemd(root), FolderUnits(guest), FolderPackages(guest))


def list_leftovers(hands: PatchHands, keeps: bool) -> "list[str]":
    """What a patch that has ended may not leave; ``keeps``: it was brought, so that its way back must be there."""
    place = hands.place
    folders = list(place.packages.iterdir()) if place.packages.exists() else []
    wrong = [] if len(folders) == keeps else [f"folders: {folders}"]
    wrong += [str(path) for folder in folders for path in folder.glob("new/*")]
    return wrong + [str(path) for path in place.state.glob(".*")]
