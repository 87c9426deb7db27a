"""A version on its way to ``stable``: offered to some new guests, promoted, or taken back from them all."""

from dataclasses import dataclass, replace

from zlh_hooks.application.channel import ChannelPorts, LineChannels
from zlh_hooks.application.gate import Turned
from zlh_hooks.application.journal import Journal
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.plan import Plan

PROMOTED = "promoted"


@dataclass(frozen=True, slots=True)
class Candidacy:
    """What one rollout does to its line's channels. Each act may be repeated."""

    plan: Plan
    ports: ChannelPorts
    journal: Journal

    def offer(self) -> None:
        """A share of new guests gets the version."""
        release = self.plan.release
        if self.journal.evidence("offered"):
            return
        self.journal.once("offering", lambda: {"version": release.version})
        self._channels().offer(release.line, release.version)
        self.journal.write(Kind.EVIDENCE, "offered", {"version": release.version})

    def withdraw(self) -> None:
        """No new guest gets it as a candidate any more."""
        if self.journal.evidence("offering") is None:
            return  # a mark that is not ours, on templates that may be busy
        self._channels().withdraw(self.plan.release.line, self.plan.release.version)

    @property
    def is_promoted(self) -> bool:
        """Whether this rollout has moved ``stable``; by now it may be elsewhere."""
        return self.journal.evidence(PROMOTED) is not None

    def promote(self) -> None:
        """Every new guest gets it."""
        moved = self._channels().promote(self.plan.release.line, self.plan.release.version)
        self.withdraw()
        for reason in moved.untold:
            self.journal.write(Kind.NOTE, "untold", {"reason": reason})
        self.journal.write(Kind.EVIDENCE, PROMOTED, {"untold": list(moved.untold)})

    def list_untold(self) -> tuple[str, ...]:
        """Who could not be told of the promotion, and why."""
        return tuple((self.journal.evidence(PROMOTED) or {}).get("untold", ()))

    def move_stable_back(self, turn: Turned) -> None:
        """A bad version is revoked; one that is merely unwanted loses `stable` if it has it."""
        release = self.plan.release
        if turn.revokes:
            self._channels().revoke(release.line, release.version, turn.reason)
        elif self.plan.previous is not None:
            self._channels().restore(release.line, self.plan.previous, instead_of=release.version)

    def _channels(self) -> LineChannels:
        templates = [GuestRef(vmid, node) for node, vmid in self.plan.release.templates.items()]
        return LineChannels(replace(self.ports, templates=templates), self.plan.id)
