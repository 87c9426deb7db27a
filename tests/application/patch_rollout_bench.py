"""A rollout of packages in the in-memory world: a real signed repository, and guests that follow wishes as real ones do.

``agent_plugin.desired.decide_wish`` says what a guest does; how packages turn out there is said by the test.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from agent_plugin.desired import WishDecision, WishRuling, decide_wish
from agent_plugin.desired_wire import parse_state
from agent_plugin.wish import Wish
from tests.application.agent_rollout_bench import CRASHES, GOOD, ILL, LINE, STUCK, TRIAL, AgentBench, SimulatedAgent
from zlh_hooks.application.patch_planning import PatchPlanner
from zlh_hooks.application.signed_planning import ORDINARY, PreparedRollout, Urgency, order_rollout
from zlh_hooks.domain.agent_report import AgentPatch, AgentReport, AgentWish
from zlh_hooks.domain.agent_wish import PatchOrder, WishOrder
from zlh_hooks.domain.plan import Plan

NO_ROOM, FELT, GOES, HAS_ALL = "no room", "felt", "goes", "has all"
"""How packages turn out besides: nothing is changed and it is tried again; whoever plays would feel it, and the window was
over when the guest asked; they come well, and there is no way back from them; all was there already.
"""
BEGUN = "begun"
BY_HAND = AgentPatch("END", "installed", "guest-restart", "", ("cron.service",), "by hand")
"""What a person has brought to a guest since."""
SECURITY = PatchOrder(security=True)


@dataclass
class SimulatedPatching(SimulatedAgent):
    """What the plugin of one guest remembers of wishes. ``brought``: the wish whose packages are there. While a patch is
    under way, until ``open_until``, it calls the wish failed, as the real one does.

    ``outcome``: how packages turn out; ``book``: wish to its state and reason; ``ends``: to its patch and how that ended,
    which older plugins do not tell (``tells_ends``); ``acts``: what was done, in order.
    """

    outcome: str = GOOD
    brought: str = ""
    takes_back: bool = True
    complaint: str = "PROVE: the probe ended with 1"
    book: dict[str, tuple[str, str]] = field(default_factory=dict)
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)
    tells_ends: bool = True
    acts: list[str] = field(default_factory=list)
    patch: AgentPatch | None = None
    found: WishDecision | None = None
    open_until: datetime | None = None

    def _follow(self, state: bytes, now: datetime) -> None:
        self.found = decide_wish(parse_state(state), self.vmid, LINE, now)
        wish = self.found.wish
        if wish is None or self.found.ruling not in (WishRuling.BRING, WishRuling.BRING_LIVE):
            return
        if self.book.get(wish.id, ("", ""))[0] in ("done", "failed"):
            return
        if wish.patches.revert:
            self.book[wish.id] = self._take_back(wish)
        else:
            self.book[wish.id] = self._bring(wish)
            self.open_until = now + TRIAL

    def _bring(self, wish: Wish) -> tuple[str, str]:
        if self.outcome == NO_ROOM:
            return self._end(wish, "failed", "again", "PLAN: the patch needs more free bytes")
        if self.outcome == FELT:
            return self._end(wish, "waits", "waits")
        if self.outcome == HAS_ALL:
            return self._end(wish, "nothing", "done")
        self.acts.append("brought")
        if self.outcome == CRASHES:
            return self._end(wish, "reverted", "failed", self.complaint)
        self.brought = wish.id
        if self.outcome == STUCK:
            return self._end(wish, "stuck", "failed", "REVERT: dpkg ended with 1")
        return self._end(wish, "installed", "done")

    def _take_back(self, wish: Wish) -> tuple[str, str]:
        brought = wish.patches.revert
        if self.brought != brought:
            self.ends[wish.id] = "", "nothing"
            return "done", ""
        if self.outcome == GOES:
            return self._end(wish, "stuck", "failed", "REVERT: dpkg ended with 1")
        self.acts.append("taken back")
        self.brought, self.book[brought] = "", ("failed", "taken back")
        return self._end(wish, "reverted", "done")

    def _end(self, wish: Wish, outcome: str, state: str, reason: str = "") -> tuple[str, str]:
        waits = ("zlh-game.service",) if self.outcome == FELT else ()
        txn = f"patch-{len(self.ends) + 1}"
        self.ends[wish.id] = txn, outcome
        self.patch = AgentPatch(
            "END", outcome, "restart" if waits else "live", reason, waits, txn, {"aa": "2"}, {"aa": "1"}
        )
        return state, reason

    def report(self, now: datetime) -> AgentReport:
        """As the guest signs it."""
        told = replace(super().report(now), patch=self.patch, wish=self._tell_wish(), takes_back=self.takes_back)
        if self.open_until is None or now >= self.open_until or told.wish is None:
            return told
        reason = "packages were touched, and how that ended is not known"
        wish = replace(told.wish, state="failed", reason=reason, outcome=BEGUN)
        return replace(told, patch=AgentPatch("PROVE", "", "", "", (), told.wish.txn), wish=wish)

    def _tell_wish(self) -> AgentWish | None:
        wish = self.found.wish if self.found else None
        if wish is None or self.found is None:
            return None
        state, reason = self.book.get(wish.id, ("", ""))
        txn, outcome = self.ends.get(wish.id, ("", ""))
        told = AgentWish(wish.number, wish.brief, self.found.rule, state, reason, 0, wish.id, txn, outcome)
        return told if self.tells_ends else replace(told, outcome="")

    @property
    def is_ill(self) -> bool:
        """Whether what was brought is not well for whoever plays; ``outcomes``: whether it never was."""
        return (self.outcome == ILL and bool(self.brought)) or super().is_ill


class PatchBench(AgentBench):
    """Five guests (or so many) of one line, to which nothing was ever wished."""

    make_agent = SimulatedPatching

    @property
    def guests(self) -> dict[int, SimulatedPatching]:
        """By number."""
        return {vmid: one for vmid, one in self.agents.items() if isinstance(one, SimulatedPatching)}

    def plan(self, order: PatchOrder = SECURITY, urgency: Urgency = ORDINARY) -> PreparedRollout:
        """Nothing is signed yet."""
        return PatchPlanner(self.planner()).plan_rollout(order, urgency)

    def submit_patches(self, order: PatchOrder = SECURITY) -> Plan:
        """Planned, signed by anna, and ordered."""
        prepared = self.plan(order)
        order_rollout(prepared, self.series, "anna", self.desk())
        return prepared.plan

    def give_all(self, *guests: int) -> None:
        """What would be brought is there already."""
        for vmid in guests:
            self.guests[vmid].outcome = HAS_ALL

    def wish(self, order: WishOrder) -> None:
        """By an operator, signed and shown."""
        self.agent_desk().wish(order)
        self.repository.sign("anna")
        self.agent_desk().publish()

    def brought(self) -> dict[int, bool]:
        """Guest to whether packages were brought to it that are there still."""
        return {vmid: bool(guest.brought) for vmid, guest in self.guests.items()}

    def acts(self) -> dict[int, list[str]]:
        """Guest to what was done there."""
        return {vmid: guest.acts for vmid, guest in self.guests.items()}
