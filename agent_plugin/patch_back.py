"""Taking back what a wish brought, because a later wish says so; which guests have something to take back.

Nothing is written in the book before the end: a way back that was interrupted is known from the patch, and is finished.
"""

from agent_plugin.fault import Changed
from agent_plugin.patch import refuse_changed, refuse_stuck
from agent_plugin.patch_act import PatchHands, Patching
from agent_plugin.patch_state import Patch, begin_back, find_patch
from agent_plugin.place import Place
from agent_plugin.wish import Wish
from agent_plugin.wish_book import BEGUN, WishBook

GONE = "its packages cannot be taken back any more: those from before are not kept"
_STAYED = {
    "installed": GONE,
    BEGUN: "packages were touched for it, and how that ended is not known",
    "stuck": GONE,
}
"""Ends of a wish after which its packages may be there, and why they are not taken back without what was kept."""


def take_back_wished(hands: PatchHands, wish: Wish) -> None:
    """Go back from what that wish brought, or note that nothing is to be done, or why it cannot.

    Holds the lock. ``NotNow``: it is not known yet, and nothing is noted.
    """
    book, brought = WishBook(hands.place.wishes), _find_brought(hands.place, wish.patches.revert)
    if brought is None:
        tried = book.find(wish.patches.revert)
        reason = _STAYED.get(tried.outcome, "") if tried else ""
        return book.end(wish.id, "", "refused" if reason else "nothing", reason)
    try:
        if brought.outcome != "stuck":
            refuse_stuck(hands.place)
            refuse_changed(hands, brought)
    except Changed as error:
        return book.end(wish.id, brought.txn, "refused", str(error))
    Patching(hands, begin_back(brought, Patching(hands, brought).look_before(), wish.id)).carry_out()


def _find_brought(place: Place, wish: str) -> "Patch | None":
    """The wish's patch if it can be gone back from: one that is stuck, or proved and not followed by another."""
    last, brought = find_patch(place.patch), find_patch(place.patched)
    if last is not None and (last.wish, last.outcome) == (wish, "stuck"):
        return last
    return brought if brought is not None and brought.wish == wish else None
