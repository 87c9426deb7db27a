"""Debian roots: built once by mmdebstrap, kept as trees that volumes are laid over as template versions."""

import fcntl
import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.lab.place import cache_directory
from tests.lab.volume import DirectoryVolumes

FIRST_ID = 100000
"""Where an unprivileged guest's ids begin on the machine, as on Proxmox."""

_PROGRAMS = Path(__file__).parent / "guest"
_INCLUDE = "systemd,systemd-sysv,python3,python3-cryptography,needrestart"
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
    empty = 'for file in machine-id resolv.conf; do rm -f "$1/etc/$file"; touch "$1/etc/$file"; done; rm -f "$1/etc/hostname"'
    merged = _MERGED if debian is Debian.BOOKWORM else ()
    options = [f"--include={_INCLUDE}", *merged, *lean, f"--customize-hook={mask}", f"--customize-hook={empty}"]
    return ["mmdebstrap", "--quiet", "--variant=minbase", "--format=directory", *options, debian, str(target)]


def mask_units(root: Path) -> None:
    """In a root that was built otherwise: units that fail, or have nothing to do, in a container."""
    units = root / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for unit in _MASKED:
        (units / unit).symlink_to("/dev/null")


def image_path(debian: Debian, first_id: int = 0) -> Path:
    """The root's tree; a hash of the recipe is in its name, so that another recipe never finds it."""
    recipe = "\0".join(build_command(debian, Path("root")))
    return cache_directory() / f"{debian}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}-{first_id}"


def build_images(debians: tuple[Debian, ...] = tuple(Debian)) -> None:
    """Build those that are not in the cache, side by side; about 35 s for all on two cores. Others wait meanwhile."""
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    cache.chmod(0o700)  # set-id programs lie in it
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with ThreadPoolExecutor(max_workers=len(debians)) as pool:
            list(pool.map(_build_both, debians))


def _build_both(debian: Debian) -> None:
    plain, shifted = image_path(debian), image_path(debian, FIRST_ID)
    _build_tree(plain, lambda unfinished: build_command(debian, unfinished))
    _build_tree(shifted, lambda unfinished: ["cp", "-a", "--reflink=auto", str(plain), str(unfinished)], FIRST_ID)


def _build_tree(target: Path, command: Callable[[Path], list[str]], first_id: int = 0) -> None:
    if target.exists():
        return
    unfinished = target.with_name(f".unfinished-{target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    done = subprocess.run(command(unfinished), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{target.name} could not be built:\n{done.stderr[-2000:]}")
    shift_owners(unfinished, first_id)
    unfinished.rename(target)


def _bake_nothing(_root: Path) -> None:
    """A root as it is."""


def install_root(
    volumes: DirectoryVolumes,
    volid: str,
    template: TemplateVersion,
    first_id: int,
    bake: Callable[[Path], None] = _bake_nothing,
) -> None:
    """Fill an empty volume with a template version's root, owned by ``first_id`` onwards (0: privileged).

    ``bake`` may add files to it.
    """
    volumes.lay_over(volid, image_path(template.debian, first_id))
    _install_programs(volumes.path(volid), template)
    bake(volumes.path(volid))
    shift_owners(volumes.path(volid), first_id)


def _install_programs(root: Path, template: TemplateVersion) -> None:
    wanted, programs = root / "etc/systemd/system/multi-user.target.wants", root / "usr/local/lib"
    for directory in (wanted, programs, root / "usr/sbin", root / "srv/game"):
        directory.mkdir(parents=True)
    for name in ("agent", "game"):
        shutil.copy(_PROGRAMS / f"{name}.py", programs / f"zlh-{name}.py")
        shutil.copy(_PROGRAMS / f"zlh-{name}.service", wanted.parent)
        (wanted / f"zlh-{name}.service").symlink_to(f"/etc/systemd/system/zlh-{name}.service")
    (root / "etc/zlh-template").write_text(f"{template.version}\n")
    if template.fault is Fault.AGENT_TURNS_UNHEALTHY:
        (root / "etc/zlh-agent-fault").write_text("4\n")
    if template.fault is Fault.INIT_EXITS:
        (root / "usr/sbin/init").symlink_to("/usr/bin/false")


def write_fixed_files(data: Path, first_id: int, seed: int, count: int = 40) -> dict[str, str]:
    """A customer's world below ``fixed/`` of a data directory that is still empty; the answer is path to SHA-256."""
    source, sums = random.Random(seed), {}
    for number in range(count):
        content = source.randbytes(source.randrange(100, 20000))
        file = data / "fixed" / f"region-{number % 4}" / f"chunk-{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        sums[str(file.relative_to(data / "fixed"))] = hashlib.sha256(content).hexdigest()
    shift_owners(data / "fixed", first_id)
    os.chown(data, first_id, first_id)
    return sums


def shift_owners(root: Path, first_id: int) -> None:
    """Give a tree to an unprivileged guest: every owner and group moves up by ``first_id``."""
    if first_id == 0:
        return
    paths = [root, *(Path(base, name) for base, directories, files in os.walk(root) for name in directories + files)]
    for path in paths:
        old = path.lstat()
        os.chown(path, old.st_uid + first_id, old.st_gid + first_id, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(old.st_mode & 0o7777)  # chown takes the set-id bits away
