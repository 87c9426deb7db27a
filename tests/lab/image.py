"""Debian roots: built once by mmdebstrap, kept as tarballs, unpacked into volumes as template versions."""

import hashlib
import os
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.lab.place import cache_directory

_PROGRAMS = Path(__file__).parent / "guest"
_INCLUDE = "systemd,systemd-sysv,python3"
_LEAN = ("man", "locale", "doc")
# Debian 12 would bring perl (50 MB) only to merge /usr; Debian 13 is born merged.
_MERGED = ("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged")
_MASKED = (
    "systemd-modules-load.service",  # a container loads no kernel modules, and the unit fails on trying
    "console-getty.service",
    "getty.target",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "sys-kernel-debug.mount",  # not for an unprivileged guest, and the unit fails on trying
)


class Debian(StrEnum):
    """The releases that guests may have."""

    BOOKWORM = "bookworm"
    TRIXIE = "trixie"


class Fault(StrEnum):
    """What is wrong with a template version."""

    NONE = "none"
    AGENT_TURNS_UNHEALTHY = "agent-turns-unhealthy"
    INIT_EXITS = "init-exits"


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """What a template's root holds."""

    version: str
    debian: Debian = Debian.BOOKWORM
    fault: Fault = Fault.NONE


def build_command(debian: Debian, target: Path) -> list[str]:
    """The mmdebstrap call; it chooses the mirror itself, from the machine's own settings."""
    lean = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEAN]
    mask = f'for unit in {" ".join(_MASKED)}; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done'
    merged = _MERGED if debian is Debian.BOOKWORM else ()
    options = [f"--include={_INCLUDE}", *merged, *lean, f"--customize-hook={mask}"]
    return ["mmdebstrap", "--quiet", "--variant=minbase", *options, debian, str(target)]


def image_path(debian: Debian) -> Path:
    """The root's tarball; its name holds a hash of its recipe, so that another recipe never finds it."""
    recipe = "\0".join(build_command(debian, Path("root.tar")))
    return cache_directory() / f"{debian}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"


def build_images(debians: tuple[Debian, ...] = tuple(Debian)) -> None:
    """Build those that are not in the cache, side by side; about 30 s for both on two cores."""
    missing = [debian for debian in debians if not image_path(debian).exists()]
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(_build_image, missing))


def _build_image(debian: Debian) -> None:
    target = image_path(debian)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        done = subprocess.run(build_command(debian, unfinished), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mmdebstrap could not build Debian {debian}:\n{done.stderr[-2000:]}")
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def unpack_root(root: Path, template: TemplateVersion, first_id: int) -> None:
    """Fill an empty volume with a template version's root, owned by ``first_id`` onwards (0: privileged)."""
    subprocess.run(["tar", "-C", root, "--exclude=./dev/*", "-xpf", image_path(template.debian)], check=True)
    _install_programs(root, template)
    if first_id:
        shift_owners(root, first_id)


def _install_programs(root: Path, template: TemplateVersion) -> None:
    for name in ("agent", "game"):
        shutil.copy(_PROGRAMS / f"{name}.py", root / f"usr/local/lib/zlh-{name}.py")
        shutil.copy(_PROGRAMS / f"zlh-{name}.service", root / "etc/systemd/system")
        wanted = root / f"etc/systemd/system/multi-user.target.wants/zlh-{name}.service"
        wanted.parent.mkdir(exist_ok=True)
        wanted.symlink_to(f"/etc/systemd/system/zlh-{name}.service")
    (root / "etc/zlh-template").write_text(f"{template.version}\n")
    for name in ("machine-id", "resolv.conf"):
        (root / "etc" / name).unlink(missing_ok=True)
        (root / "etc" / name).touch()
    if template.fault is Fault.AGENT_TURNS_UNHEALTHY:
        (root / "etc/zlh-agent-fault").write_text("4\n")
    if template.fault is Fault.INIT_EXITS:
        (root / "sbin/init").unlink()
        (root / "sbin/init").symlink_to("/bin/false")


def write_fixed_files(data: Path, first_id: int, seed: int, count: int = 40) -> dict[str, str]:
    """A customer's world below ``fixed/`` of an empty data directory; the answer is path to SHA-256."""
    source, sums = random.Random(seed), {}
    for number in range(count):
        content = source.randbytes(source.randrange(100, 20000))
        file = data / "fixed" / f"region-{number % 4}" / f"chunk-{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        sums[str(file.relative_to(data / "fixed"))] = hashlib.sha256(content).hexdigest()
    shift_owners(data, first_id)
    return sums


def shift_owners(root: Path, first_id: int) -> None:
    """Give a tree to an unprivileged guest: every owner and group moves up by ``first_id``."""
    paths = [root, *(Path(base, name) for base, directories, files in os.walk(root) for name in directories + files)]
    for path in paths:
        old = path.lstat()
        os.chown(path, old.st_uid + first_id, old.st_gid + first_id, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(old.st_mode & 0o7777)  # chown takes the set-id bits away
