"""What a check does with a wish of the operators: once for each wish, and outside of windows only what nobody feels.

What is on trial and what was interrupted was brought to its end before, as for every patch.
"""

from datetime import datetime

from agent_plugin.desired import WishDecision, WishRuling
from agent_plugin.fault import BadInput
from agent_plugin.patch import go_on, refuse_stuck, refuse_trial
from agent_plugin.patch_act import PatchHands, Patching
from agent_plugin.patch_back import take_back_wished
from agent_plugin.patch_state import Patch, begin, find_patch
from agent_plugin.place import Place
from agent_plugin.report import LONGEST_TEXT, find_wished, write_status, write_wished
from agent_plugin.state import find_transaction
from agent_plugin.story import moves
from agent_plugin.update import hold
from agent_plugin.wire import Wished
from agent_plugin.wish import Wish
from agent_plugin.wish_book import BEGUN, WishBook


def follow_wish(hands: PatchHands, decision: WishDecision, now: datetime) -> "Wished | None":
    """Bring what is wished, unless that was decided here before; what the status document then tells of it.

    ``NotNow`` while another plugin is at work, a release on trial, or a patch stuck that this wish does not take back.
    """
    place = hands.place
    with hold(place):
        has_moved = moves(go_on(hands))
        write_wished(place, _describe(decision))
        wish = decision.wish
        try:
            if wish is not None and not has_moved and _is_due(place, wish, decision.ruling, now):
                _bring(hands, wish, decision.ruling)
        finally:  # also if it is not now: else the wish before would be told
            write_status(place, find_transaction(place.transaction))
        return find_wished(place)


def _bring(hands: PatchHands, wish: Wish, ruling: WishRuling) -> None:
    refuse_trial(hands.place)
    if wish.patches.revert:
        return take_back_wished(hands, wish)
    refuse_stuck(hands.place)
    live_only = ruling is WishRuling.BRING_LIVE
    Patching(hands, begin(wish.patches, hands.settings.probe, wish.id, live_only)).carry_out()


def _is_due(place: Place, wish: Wish, ruling: WishRuling, now: datetime) -> bool:
    """A book that is damaged is told, and lets nothing be tried."""
    if ruling not in (WishRuling.BRING, WishRuling.BRING_LIVE):
        return False
    try:
        _settle(place)
        tried = WishBook(place.wishes).find(wish.id)
    except BadInput:
        return False
    return tried is None or tried.may_try(ruling is WishRuling.BRING, now)


def _settle(place: Place) -> None:
    """A disk that was full when a patch ended took no word of how; the patch itself may still know."""
    book, last = WishBook(place.wishes), find_patch(place.patch)
    if last is not None and not last.is_open and any(_is_untold(book, last, wish) for wish in last.ends):
        for wish, outcome in last.ends.items():
            book.end(wish, last.txn, outcome, last.reason)


def _is_untold(book: WishBook, last: Patch, wish: str) -> bool:
    """Of a way back nothing is written before its end."""
    tried = book.find(wish)
    if tried is None:
        return wish == last.back_wish
    return (tried.outcome, tried.txn) == (BEGUN, last.txn)


def _describe(decision: WishDecision) -> "Wished | None":
    wish = decision.wish
    if wish is None:
        return None
    opens = decision.opens.isoformat(timespec="seconds") if decision.opens else ""
    words, said = wish.brief[:LONGEST_TEXT], decision.rule[:LONGEST_TEXT]
    return Wished(wish.number, wish.id, words, decision.ruling.value, said, opens)
