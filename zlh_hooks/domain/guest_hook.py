"""The guest hook as guests name it, and the commands by which root on a node changes that. Pure."""

import shlex
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from zlh_hooks.domain.guest import GuestSummary
from zlh_hooks.domain.value import VmidRange

_OURS = ":snippets/zlh-guest-hook"
_USUAL_STORAGE = "local"
"""Whose snippets ``zlh-hooks-node`` takes unless it is told."""


@dataclass(frozen=True, slots=True)
class NamedHook:
    """A guest or template and the volume that it names as its hookscript; empty if it names none."""

    guest: GuestSummary
    volume: str

    @property
    def is_ours(self) -> bool:
        """Whether that is the guest hook, in whichever storage."""
        return is_guest_hook(self.volume)


@dataclass(frozen=True, slots=True)
class GuestChoice:
    """Guests as ``zlh-hooks-node`` chooses them: choices add up; without any it is empty."""

    takes_all: bool = False
    pools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    vmids: tuple[VmidRange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was chosen, which is not the same as nobody."""
        return self == GuestChoice()

    def takes(self, guest: GuestSummary) -> bool:
        """Whether the guest is one of them."""
        wanted = {tag.lower() for tag in self.tags}
        is_tagged = any(tag.lower() in wanted for tag in guest.tags)
        is_numbered = any(guest.vmid in numbers for numbers in self.vmids)
        return self.takes_all or guest.pool in self.pools or is_tagged or is_numbered


@dataclass(frozen=True, slots=True)
class NodeOrders:
    """What root types: on each node of the cluster, after that on one of them, and on ``silent`` nodes, where no backup
    was noted.
    """

    on_each: tuple[str, ...] = ()
    on_one: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    on_silent: tuple[str, ...] = ()


def is_guest_hook(volume: str) -> bool:
    """Whether what a guest names as its hookscript is the guest hook, in whichever storage."""
    return volume.endswith(_OURS)


def plan_install(named: Sequence[NamedHook], heeding: Set[str], storage: str, *, dry_run: bool) -> NodeOrders:
    """For those that name nothing; what they name otherwise is not ours to take away. ``heeding``: nodes whose backups
    are known to call the hook of theirs.
    """
    install = _render("install", storage, dry_run)
    bare = [one.guest.vmid for one in named if not one.volume]
    silent = sorted({one.guest.ref.node for one in named} - heeding)
    on_each, on_one = ((install,), (f"{install} {render_vmids(bare)}",)) if bare else ((), ())
    on_silent = (_render("install --vzdump", _USUAL_STORAGE, dry_run),) if silent else ()
    return NodeOrders(on_each, on_one, tuple(silent), on_silent)


def plan_uninstall(named: Iterable[NamedHook], choice: GuestChoice, storage: str, *, dry_run: bool) -> NodeOrders:
    """For those that name the hook, by the storage in which they do. Without a choice the script goes with it."""
    by_storage: dict[str, list[int]] = {}
    for one in named:
        if one.is_ours:
            by_storage.setdefault(one.volume.removesuffix(_OURS), []).append(one.guest.vmid)
    if choice.is_empty:
        places = sorted({*by_storage, storage})
        return NodeOrders(tuple(_render("uninstall", place, dry_run) for place in places))
    orders = (f"{_render('uninstall', place, dry_run)} {render_vmids(vmids)}" for place, vmids in by_storage.items())
    return NodeOrders(on_one=tuple(orders))


def _render(verb: str, storage: str, dry_run: bool) -> str:
    where = "" if storage == _USUAL_STORAGE else f" --storage {shlex.quote(storage)}"
    return f"zlh-hooks-node {verb}{where}{' --dry-run' if dry_run else ''}"


def render_vmids(wanted: Iterable[int]) -> str:
    """``--vmid 5001-5003 --vmid 5007``: a range spans no other number, for a guest may have it that we cannot see."""
    runs = groupby(enumerate(sorted(wanted)), lambda place: place[1] - place[0])
    ends = [(run[0][1], run[-1][1]) for run in (list(places) for _, places in runs)]
    return " ".join(f"--vmid {first}" if first == last else f"--vmid {first}-{last}" for first, last in ends)
