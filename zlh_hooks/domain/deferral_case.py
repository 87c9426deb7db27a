"""Whether a date may be moved, and to which others: every no says why, in words for customers too. Pure."""

from dataclasses import dataclass
from datetime import datetime

from zlh_hooks.domain.deferral import INDIVIDUAL, MOMENT, Deferral, Offer, Room, Wish, list_offers
from zlh_hooks.domain.deferral_text import find_room_of
from zlh_hooks.domain.emergency import Emergency
from zlh_hooks.domain.emergency_text import render_moment
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.notice import Round
from zlh_hooks.domain.notice_book import NoticeBook
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress, predict_need
from zlh_hooks.domain.steps import TargetState
from zlh_hooks.domain.window_rule import Component
from zlh_hooks.domain.wording import render_limits, render_list

_WAITING = (TargetState.PENDING, TargetState.STAGED)
_PLACED = {
    TargetState.HEALTHY: "has the new version already",
    TargetState.SETTLED: "has the new version already",
    TargetState.REVERTED: "was changed, and taken back, already",
    TargetState.STUCK: "was changed already, and is being looked at",
}


def refuse_shared(component: Component, policy: Policy) -> None:
    """``NotAllowed`` for what all customers share."""
    if component not in INDIVIDUAL:
        rule = policy.components.get(component)
        title = rule.title if rule else component
        raise NotAllowed(f"{title}: all customers share it, so its date is the same for everybody and cannot be moved")


@dataclass(frozen=True, slots=True)
class Case:
    """Guests of one rollout whose date somebody wants to move, and all that is known of them at ``now``."""

    vmids: tuple[int, ...]
    progress: Progress
    book: NoticeBook
    policy: Policy
    emergency: Emergency | None
    now: datetime

    def find_room(self) -> Room:
        """The windows to which all of the guests can be moved, at least one; ``NotAllowed`` if there is none."""
        self._refuse_fixed()
        self.refuse_past()
        of = self._find_round()
        plan, needs = self.progress.plan, predict_need(self.progress)
        room = find_room_of(of, self.vmids, plan, self.book, self.policy, needs, self.now)
        if not room.offers:
            self._refuse_late(room)
        return room

    def refuse_past(self) -> None:
        """``NotAllowed`` if no date is left to be moved: the rollout or the guests' part is over, or must be now."""
        self._refuse_ended()
        self._refuse_emergency()
        for vmid in self.vmids:
            self._refuse_begun(vmid)

    def choose(self, wish: Wish) -> Offer:
        """The window that is meant; ``NotAllowed`` names those that can be had."""
        room = self.find_room()
        offer = wish.choose(room.offers)
        if offer is not None:
            return offer
        dates = render_list([self.render(one.start) for one in room.offers], "or")
        if wish.moment > room.latest:
            raise NotAllowed(f"{self._explain_cap(room)}; the dates that can be had are {dates}")
        raise NotAllowed(f"no window that can be had begins on {wish}; the dates that can be had are {dates}")

    def find_taken(self, vmid: int, wish: Wish) -> Deferral | None:
        """The deferral that the guest has already, if it is to the date that is meant."""
        known = self.book.deferrals.get(vmid)
        return known if known is not None and wish.means(known.until) else None

    def refuse_cancel(self, vmid: int) -> None:
        """``NotAllowed`` unless the guest is deferred and still waits for its date."""
        self._refuse_ended()
        self._refuse_begun(vmid)
        if vmid not in self.book.deferrals:
            raise NotAllowed(f"{self._name(vmid)} is not deferred: there is nothing to cancel")

    def render(self, moment: datetime) -> str:
        """As people read it: on the policy's clock and in UTC."""
        return render_moment(moment, self.policy)

    # ------------------------------------------------------------------ inside

    def _refuse_ended(self) -> None:
        if self.progress.has_ended:
            raise NotAllowed(f"{self.progress.plan.id} is over ({self.progress.state}): there is no date to move")

    def _refuse_fixed(self) -> None:
        plan = self.progress.plan
        if plan.notices is None:
            raise NotAllowed(f"{plan.id} was ordered without [notices] in the policy: no date was announced")
        if plan.deferral is None or not plan.deferral.limit:
            raise NotAllowed(f"{plan.id} was ordered under a policy in which no date can be moved ([deferral])")
        if not plan.deferral_limit:
            raise NotAllowed(
                f"{plan.id} closes a security hole, and the policy lets no such date be moved ([deferral])"
            )

    def _refuse_emergency(self) -> None:
        one = self.emergency
        if one is not None:
            raise NotAllowed(f"this is an emergency and cannot wait: {one.reason} ({one.id})", one.closes_at)

    def _refuse_begun(self, vmid: int) -> None:
        row = self.progress.of(vmid)
        if row.state is TargetState.SKIPPED:
            raise NotAllowed(f"{self._name(vmid)} is left as it is in {self.progress.plan.id}: {row.reason}")
        if row.state not in _WAITING:
            how = _PLACED.get(row.state, "is being changed right now")
            raise NotAllowed(f"{self._name(vmid)} {how}: there is no date to move any more")

    def _name(self, vmid: int) -> str:
        """As its customer calls it, and its number."""
        return f"{self.progress.of(vmid).target.name} ({vmid})"

    def _find_round(self) -> Round:
        """The round of them all; those of another one are refused."""
        rounds = {vmid: self.book.round_of(vmid) for vmid in self.vmids}
        of = next(iter(rounds.values()))
        if of is None or of.emergency:
            raise NotAllowed(
                f"no date of {self._name(self.vmids[0])} is announced yet; it can be moved as soon as one is"
            )
        if any(other is None or other.number != of.number for other in rounds.values()):
            raise NotAllowed("these servers have different dates by now: move them one by one")
        if self.now >= of.start - MOMENT:
            raise NotAllowed(f"it is too late: the maintenance begins, or began, at {self.render(of.start)}")
        return of

    def _refuse_late(self, room: Room) -> None:
        needs, plan = predict_need(self.progress), self.progress.plan
        dates = list_offers(self.policy, room.first, room.latest, needs, plan.security)
        last = self.render(dates[-1].start) if dates else "the one that was announced"
        raise NotAllowed(
            f"{self._explain_cap(room)}; the last possible date is {last}, and none that can be told in time is left"
        )

    def _explain_cap(self, room: Room) -> str:
        rules = self.progress.plan.deferral
        limits = render_limits(rules) if rules else ""
        first, latest = self.render(room.first), self.render(room.latest)
        return f"a server may wait {limits}: first announced for {first}, it may wait until {latest}"
