"""What the stories of agents ask of the world; rules and errors are those of ``ports``."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from zlh_hooks.domain.agent_release import Explanation, GuestFacts, Members, PinOrder, PinRow, Surroundings
from zlh_hooks.domain.agent_release import Release as AgentRelease
from zlh_hooks.domain.agent_report import AgentReport
from zlh_hooks.domain.agent_series import PatchSeriesOrder, PinSeries, Series, SeriesOrder, WishSeries
from zlh_hooks.domain.agent_trust import Publication, Purpose, Standing, ThresholdGap, TrustRole
from zlh_hooks.domain.agent_wish import WishOrder, WishRow


class AgentKeys(Protocol):
    """Whose keys count in the agents' repository. Every change is a draft until it is signed and published.

    ``NotAllowed`` where a change could never be signed, and while another process is at the repository.
    """

    def found(self, people: Sequence[str], sealed: str, online: str, now: datetime) -> None:
        """The first documents, for people, the sealed key and the machine that publishes."""

    def add_person(self, person: str, now: datetime) -> None:
        """The person's keys count too."""

    def remove_holder(self, holder: str, now: datetime) -> None:
        """The holder's keys count no more."""

    def replace_online(self, holder: str, now: datetime) -> None:
        """The machine signs with that holder's key from now on."""

    def renew(self, roles: Sequence[TrustRole], now: datetime) -> None:
        """The same documents with a new end, and the thresholds of the policy as it is now."""

    def sign(self, holder: str, roles: Sequence[TrustRole]) -> tuple[TrustRole, ...]:
        """Sign those of these drafts that wait for the holder; which ones that were."""

    def take_signatures(self, folder: Path) -> tuple[TrustRole, ...]:
        """Signatures of a copy of the drafts; of which documents some were new. ``NotAllowed`` if it is no copy."""

    def drop(self, roles: Sequence[TrustRole]) -> tuple[TrustRole, ...]:
        """Forget those of these drafts that there are; which ones that were."""


class KeyMaker(Protocol):
    """Key files on this machine."""

    def make(self, holder: str, purposes: Sequence[Purpose]) -> None:
        """New keys under a new password; ``NotAllowed`` if the holder has some."""

    def has(self, holder: str, purpose: Purpose) -> bool:
        """Whether the private key is here."""

    def list_holders(self) -> tuple[str, ...]:
        """Whose public keys are here."""


class AgentRepository(Protocol):
    """What the agents' repository holds, drafts included, and how its documents stand."""

    def list_releases(self, *, published: bool = False) -> tuple[AgentRelease, ...]:
        """Every build; or those alone that guests see."""

    def add_release(self, release: AgentRelease, data: bytes, now: datetime) -> None:
        """One more build, as a draft."""

    def read_state(self, *, published: bool = False) -> bytes | None:
        """The desired state, or the one that guests see; None before the first pin."""

    def write_state(self, data: bytes, now: datetime) -> None:
        """Another desired state, as a draft."""

    def list_standings(self) -> tuple[Standing, ...]:
        """Every published document, and every draft."""

    def read_thresholds(self, *, published: bool = False) -> Mapping[TrustRole, int]:
        """How many signatures each document needs, by the drafts or by what guests see."""

    def list_threshold_gaps(self) -> tuple[ThresholdGap, ...]:
        """Where readers want another number of signatures than the policy."""

    def read_root(self) -> bytes:
        """The newest published root, which guests carry."""


class AgentPublisher(Protocol):
    """Shows readers what is signed."""

    def publish(self, now: datetime, held: Mapping[TrustRole, str]) -> Publication:
        """As much as counts together, in the order in which no reader meets half a change.

        ``held``: drafts that wait, and why; ``NotAllowed`` if nothing would count.
        """


class AgentSeries(Protocol):
    """The signed states of rollouts, and which of them guests see."""

    def clear(self, rollouts: Collection[str]) -> None:
        """Forget what was signed for these: nobody shows it any more."""

    def draft(self, rollout: str, series: Series) -> None:
        """Unsigned; ``NotAllowed`` while another change of it, or a release, waits to be published."""

    def sign(self, rollout: str, holder: str) -> None:
        """All acts; ``NotAllowed`` if the holder's signature counts for nothing."""

    def count_missing(self, rollout: str) -> int:
        """How many signatures are missing."""

    def publish(self, rollout: str, act: str) -> None:
        """Show guests this act; ``Overtaken`` if others have changed the desired state since it was drafted."""

    def has_draft(self) -> bool:
        """Whether a change of the desired state waits to be published."""

    def find_shown(self, rollout: str) -> str | None:
        """The act that guests see now; None if it is none of this rollout's."""


class AgentStates(Protocol):
    """The desired state as agents read it: bytes in, bytes out; None is the time before the first."""

    def pin(
        self,
        data: bytes | None,
        order: PinOrder,
        builds: Sequence[AgentRelease],
        ways_back: Sequence[str],
        around: Surroundings,
    ) -> bytes:
        """With this pin in place of the ring's old one."""

    def unpin(self, data: bytes | None, line: str, ring: str, around: Surroundings) -> bytes:
        """Without it."""

    def wish(self, data: bytes | None, order: WishOrder, around: Surroundings) -> bytes:
        """With this wish in place of the ring's old one."""

    def unwish(self, data: bytes | None, line: str, ring: str, around: Surroundings) -> bytes:
        """Without it."""

    def block(self, data: bytes | None, versions: str, reason: str, around: Surroundings) -> bytes:
        """With versions that nobody installs."""

    def unblock(self, data: bytes | None, versions: str, around: Surroundings) -> bytes:
        """Without that."""

    def refresh(self, data: bytes | None, around: Surroundings) -> bytes:
        """The same pins, with rings and windows as they are now."""

    def series(self, data: bytes | None, order: SeriesOrder, around: Surroundings) -> PinSeries:
        """The states of a rollout of the agent; ``NotAllowed`` if no ring of the policy has everybody."""

    def patch_series(self, data: bytes | None, order: PatchSeriesOrder, around: Surroundings) -> WishSeries:
        """The states of a rollout of packages; ``SettingsError`` for words that are none."""

    def list_pins(self, data: bytes | None) -> tuple[PinRow, ...]:
        """For tables."""

    def list_wishes(self, data: bytes | None) -> tuple[WishRow, ...]:
        """For tables."""

    def find_keepers(self, data: bytes | None, now: datetime) -> Callable[[int, str], str | None]:
        """By which rule a guest of that number and line shall keep its packages; None if it need not."""

    def list_members(self, data: bytes | None) -> tuple[Members, ...]:
        """Its rings, as they were when it was made."""

    def list_blocked(self, data: bytes | None) -> tuple[tuple[str, str], ...]:
        """Specifiers, and why."""

    def explain(
        self, data: bytes | None, facts: GuestFacts, releases: Sequence[AgentRelease], now: datetime
    ) -> Explanation:
        """What the guest makes of it, beside what release keys signed."""


class AgentReports(Protocol):
    """Asks guests what they say of their agents."""

    def read_report(self, address: str) -> AgentReport:
        """Signed for this one question; whose key that is, is for others to judge.

        ``RoadError`` if nothing answers, ``TargetError`` if what answers is no such report.
        """
