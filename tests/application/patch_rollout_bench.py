"""A rollout of packages in the in-memory world: a real signed repository, and guests that follow wishes as real ones do.

``agent_plugin.desired.decide_wish`` says what a guest does; how packages turn out there is said by the test.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from agent_plugin.desired import WishDecision, WishRuling, decide_wish
from agent_plugin.desired_wire import parse_state
from tests.application.agent_rollout_bench import CRASHES, GOOD, ILL, LINE, STUCK, TRIAL, AgentBench, SimulatedAgent
from zlh_hooks.application.patch_planning import PatchPlanner
from zlh_hooks.application.signed_planning import ORDINARY, PreparedRollout, Urgency, order_rollout
from zlh_hooks.domain.agent_report import AgentPatch, AgentReport, AgentWish
from zlh_hooks.domain.agent_wish import PatchOrder, WishOrder
from zlh_hooks.domain.plan import Plan

NO_ROOM, FELT, GOES = "no room", "felt", "goes"
"""How packages turn out besides: nothing is changed and it is tried again; whoever plays would feel it, and the window was
over when the guest asked; they come well, and there is no way back from them.
"""
SECURITY = PatchOrder(security=True)


@dataclass
class SimulatedPatching(SimulatedAgent):
    """What the plugin of one guest remembers of wishes. ``brought``: the wish whose packages are there. While a patch is
    under way, until ``open_until``, it calls the wish failed, as the real one does.

    ``outcome``: how packages turn out; ``book``: wish to its state and reason; ``acts``: what was done, in order.
    """

    outcome: str = GOOD
    brought: str = ""
    takes_back: bool = True
    complaint: str = "PROVE: the probe ended with 1"
    book: dict[str, tuple[str, str]] = field(default_factory=dict)
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
            self.book[wish.id] = self._take_back(wish.patches.revert)
        else:
            self.book[wish.id] = self._bring(wish.id)
            self.open_until = now + TRIAL

    def _bring(self, wish: str) -> tuple[str, str]:
        if self.outcome == NO_ROOM:
            return self._end("failed", "again", "PLAN: the patch needs more free bytes")
        if self.outcome == FELT:
            return self._end("waits", "waits", "")
        self.acts.append("brought")
        if self.outcome == CRASHES:
            return self._end("reverted", "failed", self.complaint)
        self.brought = wish
        if self.outcome == STUCK:
            return self._end("stuck", "failed", "REVERT: dpkg ended with 1")
        return self._end("installed", "done", "")

    def _take_back(self, wish: str) -> tuple[str, str]:
        if self.brought != wish:
            return "done", ""
        if self.outcome == GOES:
            return self._end("stuck", "failed", "REVERT: dpkg ended with 1")
        self.acts.append("taken back")
        self.brought, self.book[wish] = "", ("failed", "taken back")
        return self._end("reverted", "done", "")

    def _end(self, outcome: str, state: str, reason: str) -> tuple[str, str]:
        waits = ("zlh-game.service",) if self.outcome == FELT else ()
        self.patch = AgentPatch("END", outcome, "restart" if waits else "live", reason, waits)
        return state, reason

    def report(self, now: datetime) -> AgentReport:
        """As the guest signs it."""
        told = replace(super().report(now), patch=self.patch, wish=self._tell_wish(), takes_back=self.takes_back)
        if self.open_until is None or now >= self.open_until or told.wish is None:
            return told
        wish = replace(told.wish, state="failed", reason="packages were touched, and how that ended is not known")
        return replace(told, patch=AgentPatch("PROVE", "", "", "", ()), wish=wish)

    def _tell_wish(self) -> AgentWish | None:
        wish = self.found.wish if self.found else None
        if wish is None or self.found is None:
            return None
        state, reason = self.book.get(wish.id, ("", ""))
        return AgentWish(wish.number, wish.brief, self.found.rule, state, reason, 0, wish.id)

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
