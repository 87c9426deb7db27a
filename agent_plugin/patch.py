"""The story of a patch: begin one, or take up one that was interrupted, and carry it to its end.

It holds the lock of swaps, and nothing moves while a release of the agent is on trial.
"""

from agent_plugin.disk import remove_file
from agent_plugin.fault import Changed, NotNow
from agent_plugin.patch_act import OLD, PatchHands, Patching
from agent_plugin.patch_plan import find_unlike
from agent_plugin.patch_state import Patch, begin, begin_back, find_patch, load_patch
from agent_plugin.patch_wanted import PatchWanted
from agent_plugin.place import Place
from agent_plugin.update import hold, is_on_trial


def bring(hands: PatchHands, wanted: PatchWanted, probe: "tuple[str, ...]" = ()) -> Patch:
    """Bring packages, after finishing what is open. ``outcome`` and ``reason`` say how it ended.

    ``NotNow`` while a release of the agent is on trial, another plugin at work, or the last patch stuck.
    """
    with hold(hands.place):
        go_on(hands)
        refuse_trial(hands.place)
        refuse_stuck(hands.place)
        return Patching(hands, begin(wanted, probe)).carry_out()


def resume(hands: PatchHands) -> "Patch | None":
    """Finish what is open; None if nothing was."""
    with hold(hands.place):
        return go_on(hands)


def take_back(hands: PatchHands) -> Patch:
    """A person goes back from the last patch that was proved. ``NotNow`` if something came after it."""
    with hold(hands.place):
        go_on(hands)
        refuse_trial(hands.place)
        brought = _find_brought(hands)
        return Patching(hands, begin_back(brought, Patching(hands, brought).look_before())).carry_out()


def _find_brought(hands: PatchHands) -> Patch:
    """The patch to go back from: one that is stuck first, whatever state its packages are in."""
    last = find_patch(hands.place.patch)
    if last is not None and last.outcome == "stuck":
        return last
    brought = find_patch(hands.place.patched)
    if brought is None:
        raise NotNow("there is no patch to go back from: none was brought, or it was taken back already")
    refuse_changed(hands, brought)
    return brought


def refuse_changed(hands: PatchHands, brought: Patch) -> None:
    """``Changed`` if something came after it; ``NotNow`` if that cannot be seen."""
    new = {upgrade.name: upgrade.new for upgrade in brought.upgrades}
    if changed := find_unlike(new, hands.packages.read_installed()):
        raise Changed(f"{', '.join(changed)} changed since the patch, so that its way back would undo that as well")


def go_on(hands: PatchHands) -> "Patch | None":
    """The same, for whoever holds the lock already."""
    try:
        patch = load_patch(hands.place.patch)
    except ValueError:
        patch = None
        remove_file(hands.place.patch)
    if patch is None or not patch.is_open:
        return None
    refuse_trial(hands.place)
    return Patching(hands, patch.take_up()).carry_out()


def refuse_trial(place: Place) -> None:
    """``NotNow`` while there is a trial: a patch would be held against the release, or for it; and its time runs."""
    if is_on_trial(place):
        raise NotNow("a release of the agent is on trial: zlh-agent-plugin update finishes that first")


def refuse_stuck(place: Place) -> None:
    """``NotNow`` while the last patch is stuck: the next would write where what is known of its way back is kept."""
    last = find_patch(place.patch)
    if last is None or last.outcome != "stuck":
        return
    folder = place.packages / last.txn
    if (folder / OLD).is_dir():
        raise NotNow(
            "the last patch is stuck: zlh-agent-plugin patch revert first;"
            f" or, if it was mended by hand, remove {folder} with what was kept for its way back"
        )
