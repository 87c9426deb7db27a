"""Which drafts readers can be shown now: as many as count together, beside what is published and stays.

A draft that lacks signatures waits, and with it what counts only beside it. All else goes on: nobody's half-done change
keeps an operator from taking a version back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from tuf.api.metadata import Metadata

from zlh_hooks.adapters import tuf_document as documents
from zlh_hooks.adapters.tuf_folder import TufFolder
from zlh_hooks.adapters.tuf_repository import STATE
from zlh_hooks.adapters.tuf_review import TufReview
from zlh_hooks.domain.agent_trust import SIGNED_BY_PEOPLE, TrustRole, Waiting
from zlh_hooks.domain.errors import NotAllowed

Documents = Mapping[TrustRole, Metadata[Any]]
BELOW_ROOT = (TrustRole.TARGETS, TrustRole.RELEASES, TrustRole.DESIRED)


@dataclass(frozen=True, slots=True)
class Choice:
    """What people sign, as readers will have it: ``documents``; and which of it is new to them: ``drafts``."""

    documents: Documents
    drafts: tuple[TrustRole, ...]
    waiting: tuple[Waiting, ...] = ()

    @property
    def below(self) -> Documents:
        """What the snapshot names."""
        return {role: self.documents[role] for role in BELOW_ROOT}

    @property
    def new(self) -> Documents:
        """What readers do not see yet."""
        return {role: self.documents[role] for role in self.drafts}


class TufChooser:
    """Looks at one repository at one moment."""

    def __init__(self, folder: TufFolder, now: datetime, held: Mapping[TrustRole, str]) -> None:
        """``held``: drafts that wait whoever has signed them, and why."""
        self._folder, self._now, self._held = folder, now, held
        self._review = TufReview(folder)
        self._published, self._drafts = _keep(folder.find_published), _keep(folder.find_draft)

    def choose(self) -> Choice:
        """``NotAllowed`` if nothing would count: what is published has ended, or the first drafts are not signed."""
        free = [role for role in self._drafts if role not in self._held]
        for roles in _list_choices(free):
            chosen = self._beside_published(roles)
            if not self._list_faults(chosen):
                return Choice(chosen, roles, tuple(self._list_waiting(set(self._drafts) - set(roles))))
        raise NotAllowed(next(iter(self._list_faults(self._beside_published(free)).values())))

    def _beside_published(self, roles: Iterable[TrustRole]) -> Documents:
        return {**self._published, **{role: self._drafts[role] for role in roles}}

    def _list_waiting(self, waiting: set[TrustRole]) -> Iterator[Waiting]:
        faults = self._list_faults(self._beside_published(self._drafts))
        of_published = [fault for role, fault in faults.items() if role not in self._drafts]
        for role in [role for role in SIGNED_BY_PEOPLE if role in waiting]:
            others = ", ".join(other for other in SIGNED_BY_PEOPLE if other in waiting - {role})
            said = [self._held.get(role), faults.get(role), *of_published, f"it counts only with {others}"]
            yield Waiting(role, self._drafts[role].signed.version, next(filter(None, said)))

    def _list_faults(self, chosen: Documents) -> dict[TrustRole, str]:
        """Why readers would not believe these together; empty if they would."""
        found = {role: self._find_fault(role, chosen) for role in (*BELOW_ROOT, TrustRole.ROOT)}
        return {role: fault for role, fault in found.items() if fault}

    def _find_fault(self, role: TrustRole, chosen: Documents) -> str | None:
        if role not in chosen:
            return "there is no repository yet: zlh-hooks agent keys found"
        document, is_draft = chosen[role], role in self._drafts and chosen[role] is self._drafts[role]
        fault = documents.find_foreign_delegation(role, document)
        fault = fault or find_unready(self._review, role, document, self._now, chosen, is_draft=is_draft)
        return fault or self._find_unreleased(role, chosen)

    def _find_unreleased(self, role: TrustRole, chosen: Documents) -> str | None:
        """A pin counts with its release only: guests would take it for an attack."""
        drafted = self._drafts.get(TrustRole.RELEASES)
        if role is not TrustRole.DESIRED or drafted is None or chosen.get(TrustRole.RELEASES) is drafted:
            return None
        state = self._folder.read_file(chosen[role], STATE) or b""
        known = _list_digests(chosen.get(TrustRole.RELEASES))
        pinned = [digest for digest in _list_digests(drafted) - known if digest.encode() in state]
        return "it pins a release that is a draft" if pinned else None


def find_unready(
    review: TufReview, role: TrustRole, document: Metadata[Any], now: datetime, chosen: Documents, *, is_draft: bool
) -> str | None:
    """Which signature it lacks beside the others, or that it has ended; None if it counts."""
    standing = review.stand(role, document, is_draft, chosen.get)
    if not standing.is_signed:
        who = ", ".join(standing.may_sign)
        way = "agent keys sign" if is_draft else f"agent keys renew {role}, and sign it"
        return f"{role} {standing.version} lacks {standing.missing} of its signatures: {way}, by one of {who}"
    if standing.expires <= now:
        return f"{role} {standing.version} ended on {standing.expires:%Y-%m-%d}: agent keys renew {role}, and sign it"
    return None


def _keep(find: Callable[[TrustRole], Metadata[Any] | None]) -> dict[TrustRole, Metadata[Any]]:
    return {role: document for role in SIGNED_BY_PEOPLE if (document := find(role)) is not None}


def _list_choices(roles: list[TrustRole]) -> Iterator[tuple[TrustRole, ...]]:
    """The largest first."""
    for size in range(len(roles), -1, -1):
        yield from combinations(roles, size)


def _list_digests(releases: Metadata[Any] | None) -> set[str]:
    return {file.hashes["sha256"] for file in releases.signed.targets.values()} if releases else set()
