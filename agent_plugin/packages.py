"""The packages of this guest, by apt's, dpkg's and needrestart's own programs; never a question, never a shell."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent_plugin.apt_output import (
    INSTALLED_FORMAT,
    Installed,
    Upgrade,
    is_busy,
    is_full,
    parse_conffiles,
    parse_installed,
    parse_needed,
    parse_offers,
)
from agent_plugin.fault import BadPatch, NotNow
from agent_plugin.patch_foresight import find_users
from agent_plugin.patch_impact import Findings, parse_findings
from agent_plugin.patch_wanted import PatchWanted
from agent_plugin.program import Done, run

INSTALL_SECONDS = 1800.0
READ_SECONDS = 120.0
LOOK_SECONDS = 1.0
REPACK = Path("/usr/bin/dpkg-repack")
NEEDRESTART = Path("/usr/sbin/needrestart")
QUIET: Mapping[str, str] = {
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBIAN_PRIORITY": "critical",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",  # apt's own hook would look as well, and in some settings restart
    "NEEDRESTART_MODE": "l",
    "UCF_FORCE_CONFFOLD": "1",
}
KEEP_OLD = ("--force-confdef", "--force-confold")
"""A file of settings that somebody changed stays; the new one lies beside it."""
DEB_FORMAT = "${Package}\\n${Version}\\n"
LEFT_BESIDE = (".dpkg-dist", ".dpkg-new", ".ucf-dist")


class Packages(Protocol):
    """What a patch asks of the guest. All raise ``NotNow`` with the program's words."""

    def refresh(self) -> None:
        """Fetch what the guest's sources offer."""

    def audit(self) -> str:
        """What is half installed or half configured; empty if nothing is."""

    def configure(self) -> None:
        """Finish what somebody's interrupted run left; whether it helped is for ``audit`` to say."""

    def read_installed(self) -> "Mapping[str, Installed]": ...

    def plan(self, wanted: PatchWanted) -> "tuple[Upgrade, ...]":
        """All that apt would unpack for it; nothing is changed."""

    def needed(self, upgrades: "Sequence[Upgrade]") -> int:
        """Bytes that bringing them may take."""

    def keep(self, upgrade: Upgrade, folder: Path) -> None:
        """Put the .deb of the old version into the empty ``folder``."""

    def fetch(self, upgrades: "Sequence[Upgrade]", folder: Path) -> None:
        """Bring the .debs of the new versions into ``folder``; nothing is unpacked."""

    def bring(self, upgrades: "Sequence[Upgrade]", folder: Path) -> None:
        """Unpack and configure them, from ``folder`` where they lie there; ``BadPatch`` if it is their fault."""

    def put_back(self, debs: "Sequence[Path]") -> None:
        """Unpack and configure exactly these, whatever state the packages are in."""

    def read_deb(self, deb: Path) -> "tuple[str, str]":
        """Name, without architecture, and version in a .deb."""

    def is_newer(self, version: str, than: str) -> bool:
        """As dpkg compares versions."""

    def list_auto(self, names: "Sequence[str]") -> "tuple[str, ...]":
        """Those that apt brought because others need them, not a person."""

    def mark_auto(self, names: "Sequence[str]") -> None:
        """Say that again: naming a package to apt makes it one that a person wanted."""

    def list_beside(self, names: "Sequence[str]") -> "tuple[Path, ...]":
        """New files of settings that lie beside those that were kept."""

    def list_owners(self, files: "Sequence[str]") -> "Mapping[str, str]":
        """File to the package that it is of; files of none are left out."""

    def find_users(self, upgrades: "Sequence[Upgrade]") -> Findings:
        """Who runs files of the packages as they are now, before they change."""

    def find_outdated(self) -> Findings:
        """Who runs files that were replaced."""


@dataclass(frozen=True)
class AptPrograms:
    """:class:`Packages` of Debian; ``lock_seconds``: so long another run of apt or dpkg is waited for."""

    lock_seconds: float = 120.0

    def refresh(self) -> None:
        self._patiently(*_APT, "-o", "APT::Update::Error-Mode=any", "update").or_not_now()

    def audit(self) -> str:
        done = run("dpkg", "--audit", seconds=READ_SECONDS)
        return done.output.strip() or ("" if done.is_well else done.words)

    def configure(self) -> None:
        self._patiently("dpkg", *KEEP_OLD, "--configure", "--pending")

    def read_installed(self) -> "Mapping[str, Installed]":
        native = run("dpkg", "--print-architecture", seconds=READ_SECONDS).or_not_now().output.strip()
        shown = run("dpkg-query", "--show", f"--showformat={INSTALLED_FORMAT}", seconds=READ_SECONDS).or_not_now()
        return parse_installed(shown.output, native)

    def plan(self, wanted: PatchWanted) -> "tuple[Upgrade, ...]":
        chosen = tuple(map(str, wanted.packages)) or tuple(self._list_security())
        if not chosen:
            return ()
        shown = run(*_APT, *_SIMULATED, *_STRICT, "install", *chosen, seconds=READ_SECONDS).or_not_now()
        return tuple(offer.upgrade for offer in parse_offers(shown.output))

    def _list_security(self) -> "Iterator[str]":
        """Those too that apt's ``upgrade`` keeps back in silence: what is in their way is named then."""
        shown = run(*_APT, *_SIMULATED, "--ignore-hold", "dist-upgrade", seconds=READ_SECONDS).or_not_now()
        return (str(offer.upgrade.after) for offer in parse_offers(shown.output) if offer.is_fix)

    def needed(self, upgrades: "Sequence[Upgrade]") -> int:
        words = [str(upgrade.after) for upgrade in upgrades]
        shown = run("apt-cache", "show", "--no-all-versions", "--", *words, seconds=READ_SECONDS).or_not_now()
        installed = self.read_installed()
        return parse_needed(shown.output) + 1024 * sum(installed[upgrade.name].kib for upgrade in upgrades)

    def keep(self, upgrade: Upgrade, folder: Path) -> None:
        fetched = run(*_APT, "download", str(upgrade.before), seconds=INSTALL_SECONDS, folder=folder)
        if fetched.is_well:
            return
        if not REPACK.exists():
            raise NotNow(
                f"the .deb of {upgrade.before} cannot be had, so that there would be no way back: {fetched.words};"
                " a source that still has it, or apt-get install dpkg-repack, would help"
            )
        run(str(REPACK), upgrade.name, seconds=INSTALL_SECONDS, folder=folder).or_not_now()

    def fetch(self, upgrades: "Sequence[Upgrade]", folder: Path) -> None:
        self._install(upgrades, folder, "--download-only").or_not_now()

    def bring(self, upgrades: "Sequence[Upgrade]", folder: Path) -> None:
        done = self._install(upgrades, folder)
        if not done.is_well and not is_busy(done.errors) and not is_full(done.errors):
            raise BadPatch(done.words)
        done.or_not_now()

    def _install(self, upgrades: "Sequence[Upgrade]", folder: Path, *options: str) -> Done:
        keep = [word for option in KEEP_OLD for word in ("-o", f"Dpkg::Options::={option}")]
        place = ("-o", f"Dir::Cache::archives={folder}", "-o", "APT::Keep-Downloaded-Packages=true")
        words = [str(upgrade.after) for upgrade in upgrades]
        return self._patiently(*_APT, *_STRICT, *keep, *place, *options, "install", *words)

    def put_back(self, debs: "Sequence[Path]") -> None:
        self._patiently("dpkg", *KEEP_OLD, "--auto-deconfigure", "--install", *map(str, debs)).or_not_now()

    def read_deb(self, deb: Path) -> "tuple[str, str]":
        shown = run("dpkg-deb", "--show", f"--showformat={DEB_FORMAT}", str(deb), seconds=READ_SECONDS).or_not_now()
        name, _, version = shown.output.strip().partition("\n")
        return name, version

    def is_newer(self, version: str, than: str) -> bool:
        return run("dpkg", "--compare-versions", version, "gt", than, seconds=READ_SECONDS).is_well

    def list_auto(self, names: "Sequence[str]") -> "tuple[str, ...]":
        return tuple(run("apt-mark", "showauto", *names, seconds=READ_SECONDS).or_not_now().output.split())

    def mark_auto(self, names: "Sequence[str]") -> None:
        if names:
            self._patiently("apt-mark", "--quiet=2", "auto", *names).or_not_now()

    def list_beside(self, names: "Sequence[str]") -> "tuple[Path, ...]":
        shown = run(
            "dpkg-query", "--show", "--showformat=${Conffiles}\\n", "--", *names, seconds=READ_SECONDS
        ).or_not_now()
        beside = (Path(f"{file}{end}") for file in parse_conffiles(shown.output) for end in LEFT_BESIDE)
        return tuple(path for path in beside if path.is_file())

    def list_owners(self, files: "Sequence[str]") -> "Mapping[str, str]":
        owners = {}
        for file in files:
            asked = {file, file.removeprefix("/usr"), f"/usr{file}"}  # dpkg knows a file by the path it was packed with
            shown = run("dpkg-query", "--search", "--", *sorted(asked), seconds=READ_SECONDS).output
            owner = next((line.partition(": ")[0] for line in shown.splitlines() if ": /" in line), "")
            owners.update({file: owner} if owner and not owner.startswith("diversion") else {})
        return owners

    def find_users(self, upgrades: "Sequence[Upgrade]") -> Findings:
        names = [upgrade.name for upgrade in upgrades]
        shown = run("dpkg-query", "--listfiles", "--", *names, seconds=READ_SECONDS).or_not_now()
        return find_users([line for line in shown.output.splitlines() if line.startswith("/")])

    def find_outdated(self) -> Findings:
        if not NEEDRESTART.exists():
            raise NotNow(f"{NEEDRESTART} is not there to say what a patch touches: apt-get install needrestart")
        shown = run(str(NEEDRESTART), "-b", "-l", "-r", "l", seconds=READ_SECONDS, environment=QUIET).or_not_now()
        found = parse_findings(shown.output)
        if found is None:
            raise NotNow(f"{NEEDRESTART} did not say what a patch touches: {shown.words}")
        return found

    def _patiently(self, *command: str) -> Done:
        """Again and again while another program holds the lock, until the deadline."""
        deadline = time.monotonic() + self.lock_seconds
        while True:
            done = run(*command, seconds=INSTALL_SECONDS, environment=QUIET)
            if done.is_well or not is_busy(done.errors) or time.monotonic() > deadline:
                return done
            time.sleep(LOOK_SECONDS)


_APT = ("apt-get", "--quiet=2", "--yes", "-o", "Dpkg::Use-Pty=0", "-o", "APT::Install-Recommends=false")
_SIMULATED = ("--simulate", "--allow-change-held-packages")
"""Whatever is held shows: apt would refuse it without saying which."""
_STRICT = ("--no-remove", "--only-upgrade")


def free_bytes(*folders: Path) -> int:
    """What the fullest of their file systems has left."""
    return min(shutil.disk_usage(folder).free for folder in folders)
