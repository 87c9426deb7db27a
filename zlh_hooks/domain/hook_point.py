"""What the launch gate says of the guest hook, of the notes that it leaves, and of the hook of backups. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.guest_hook import NamedHook
from zlh_hooks.domain.guest_note import GuestPhase
from zlh_hooks.domain.note_book import read_notes
from zlh_hooks.domain.point import Point
from zlh_hooks.domain.wording import render_list

_HOOK = "guest-hook"
_INSTALL = "zlh-hooks hooks install"


@dataclass(frozen=True, slots=True)
class HookReach:
    """The guests and templates of which the policy speaks; ``trouble``: why they are not known, empty if they are."""

    named: Sequence[NamedHook] = ()
    trouble: str = ""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Where such guests are: a template is never started."""
        return tuple(sorted({one.guest.ref.node for one in self.named if not one.guest.template}))


def judge_hooks(reach: HookReach, entries: Sequence[Entry]) -> Iterator[Point]:
    """That guests name the hook says Proxmox; that hooks are called, and heard here, only what they have noted."""
    yield _judge_named(reach)
    if reach.nodes:
        notes = [(note.node, note.phase) for note in read_notes(entries)]
        yield _judge_guest_notes(reach, {node for node, phase in notes if phase is not GuestPhase.BACKUP_END})
        yield _judge_backup_notes(reach, {node for node, phase in notes if phase is GuestPhase.BACKUP_END})


def _judge_named(reach: HookReach) -> Point:
    bare = [one.guest.vmid for one in reach.named if not one.is_ours]
    if reach.trouble:
        act = "mend the way to Proxmox ([proxmox] in zlh-hooks.toml); this asks it again:"
        return Point(_HOOK, False, reach.trouble, act, (_INSTALL,))
    if not reach.nodes:
        return Point(_HOOK, False, "there is no guest of the policy to show that it works", "make one of your own")
    if bare:
        found = f"{len(bare)} of {len(reach.named)} guests and templates do not name it, the first: {bare[0]}"
        return Point(_HOOK, False, found, "type on nodes what this prints:", (_INSTALL,))
    return Point(_HOOK, True, f"named by {len(reach.named)} guests and templates")


def _judge_guest_notes(reach: HookReach, heard: Iterable[str]) -> Point:
    silent = sorted({*reach.nodes} - {*heard})
    if not silent:
        return Point("guest-notes", True, f"starts and stops came from {render_list(reach.nodes)}")
    act = (
        "as root, on this machine: systemctl enable --now zlh-hooks-intake.path; on a node elsewhere what "
        "zlh-note-forwarder check names; then restart a guest of your own there"
    )
    return Point("guest-notes", False, f"no start or stop was ever noted on {render_list(silent)}", act)


def _judge_backup_notes(reach: HookReach, heard: Iterable[str]) -> Point:
    silent = sorted({*reach.nodes} - {*heard})
    if not silent:
        return Point("backup-hook", True, f"good backups were noted on {render_list(reach.nodes)}")
    act = "as root, on each of these nodes: zlh-hooks-node install --vzdump; then back up a guest there"
    return Point("backup-hook", False, f"no good backup was ever noted on {render_list(silent)}", act)
