"""Tiny Debian packages and a repository of them inside a guest, so that apt has something to bring without any network."""

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.image import Debian
from tests.lab.lab import Lab
from tests.lab.swap_bench import SwapGuest

REPOSITORY = "/srv/repository"
SOURCE = f"deb [trusted=yes] file:{REPOSITORY} ./\n"
QUICK = "[trial]\nbake_seconds = 1\ndeadline_seconds = 60\n[patch]\nlock_seconds = 20\n"
FILLED = "/usr/share/toy"
LIBRARY = "/usr/lib/toy/library"
SETTINGS_FILE = "/etc/toy.conf"
HELPER = "toy-helper.service"
MAPPER = "/usr/local/lib/map-toy.py"
_MAPPER = f"""
import mmap, signal
with open("{LIBRARY}", "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)
signal.pause()
"""
"""Runs the library as far as needrestart can see: its pages are mapped, and may be executed."""
_UNIT = f"[Service]\nExecStart=/usr/bin/python3 {MAPPER}\n"


@dataclass(frozen=True)
class Deb:
    """A package of one version: ``files`` by path, ``scripts`` such as ``postinst``; files below ``/etc`` are conffiles."""

    name: str
    version: str
    files: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    depends: str = ""

    @property
    def file(self) -> str:
        return f"{self.name}_{self.version}_all.deb"


def build_deb(deb: Deb) -> bytes:
    """Its bytes, by dpkg-deb."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        for path, text in deb.files.items():
            _write(root / path.lstrip("/"), text, 0o644)
        depends = f"Depends: {deb.depends}\n" if deb.depends else ""
        control = f"Package: {deb.name}\nVersion: {deb.version}\nArchitecture: all\nMaintainer: Lab <lab@localhost>\n{depends}Installed-Size: 8\nDescription: toy\n"
        _write(root / "DEBIAN/control", control, 0o644)
        conffiles = "".join(f"{path}\n" for path in deb.files if path.startswith("/etc/"))
        _write(root / "DEBIAN/conffiles", conffiles, 0o644)
        for name, text in deb.scripts.items():
            _write(root / "DEBIAN" / name, f"#!/bin/sh\nset -e\n{text}\n", 0o755)
        built = Path(folder, "built.deb")
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, built], check=True, capture_output=True)
        return built.read_bytes()


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def render_index(debs: "Mapping[str, bytes]", built: "Mapping[str, Deb]") -> str:
    """The repository's ``Packages``, of file name to bytes."""
    return "\n".join(_render_entry(file, debs[file], built[file]) for file in sorted(debs))


def _render_entry(file: str, data: bytes, deb: Deb) -> str:
    depends = f"Depends: {deb.depends}\n" if deb.depends else ""
    return (
        f"Package: {deb.name}\nVersion: {deb.version}\nArchitecture: all\n{depends}Installed-Size: 8\n"
        f"Filename: ./{file}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\nDescription: toy\n"
    )


def render_release(label: str, index: bytes) -> str:
    """Enough of a ``Release`` for apt to know the repository's label and suite."""
    seen = f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    return f"Origin: Lab\nLabel: {label}\nSuite: lab-security\nVersion: 1\nCodename: lab\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n{seen}"


def build_toy(version: str, filler: int = 10, **scripts: str) -> Deb:
    """A library of a few bytes, a file of settings, a service that maps the library, and ``filler`` bytes elsewhere."""
    files = {
        LIBRARY: version * 100,
        SETTINGS_FILE: f"version={version}\n",
        f"{FILLED}/filler": "." * filler,
        f"/usr/lib/systemd/system/{HELPER}": _UNIT,
    }
    return Deb("toy", version, files, scripts)


def bake_repository(root: Path, *debs: Deb) -> None:
    """Into a root that no guest runs yet: one more source of packages, with these in it."""
    _write(root / "etc/apt/sources.list.d/lab.list", SOURCE, 0o644)
    _write(root / MAPPER.lstrip("/"), _MAPPER, 0o644)
    built, packed = {deb.file: deb for deb in debs}, {deb.file: build_deb(deb) for deb in debs}
    folder = root / REPOSITORY.lstrip("/")
    folder.mkdir()
    for file, data in packed.items():
        (folder / file).write_bytes(data)
    index = render_index(packed, built)
    (folder / "Packages").write_text(index)
    (folder / "Release").write_text(render_release("Debian-Security", index.encode()))


class PackageGuest(SwapGuest):
    """A guest whose only source of packages is a repository of its own."""

    def __init__(self, lab: Lab, debian: Debian, settings: str = QUICK) -> None:
        self.settings = settings
        super().__init__(lab, debian, self.settings)
        self.label = "Debian-Security"
        self._debs: dict[str, bytes] = {}
        self._built: dict[str, Deb] = {}
        self.run("mkdir", "-p", REPOSITORY)
        self.run("sh", "-c", "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*")
        self.put("/etc/apt/sources.list.d/lab.list", SOURCE.encode())
        self.put(MAPPER, _MAPPER.encode())

    def offer(self, *debs: Deb) -> None:
        """Put versions into the repository beside those that are there."""
        for deb in debs:
            self._built[deb.file], self._debs[deb.file] = deb, build_deb(deb)
            self.put(f"{REPOSITORY}/{deb.file}", self._debs[deb.file])
        self._publish()

    def withdraw(self, deb: Deb) -> None:
        """The repository does not have it any more, if it ever had."""
        self._built.pop(deb.file, None)
        self._debs.pop(deb.file, None)
        self.run("rm", "-f", f"{REPOSITORY}/{deb.file}")
        self._publish()

    def _publish(self) -> None:
        index = render_index(self._debs, self._built).encode()
        self.put(f"{REPOSITORY}/Packages", index)
        self.put(f"{REPOSITORY}/Release", render_release(self.label, index).encode())

    def install_packages(self, *packages: str) -> None:
        """As a person would, long ago; each as if it had come for another's sake."""
        self.run("apt-get", "--quiet=2", "update")
        environment = ("env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")
        force = ("-o", "Dpkg::Options::=--force-confnew", "--allow-downgrades")
        self.run(*environment, "apt-get", "--quiet=2", "--yes", *force, "install", *packages)
        self.run("apt-mark", "auto", *(package.partition("=")[0] for package in packages))

    def read_patch_step(self) -> str:
        """How far the patch has come; empty before the first."""
        return self.read_step("patch.json")

    def exists(self, path: str) -> bool:
        """Whether a file is in the guest."""
        return subprocess.run(self.command("test", "-e", path), check=False).returncode == 0

    def version_of(self, package: str) -> str:
        """The version that is installed whole; other states by dpkg's abbreviation."""
        shown = self.run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Version}", package)
        return shown.removeprefix("ii ")
