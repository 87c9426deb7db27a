"""The agents' repository: changes become drafts, and people sign drafts. ``tuf_publication`` shows them to readers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from zlh_hooks.adapters import tuf_document as documents
from zlh_hooks.adapters.tuf_folder import TufFolder
from zlh_hooks.adapters.tuf_key import KeyFolder
from zlh_hooks.adapters.tuf_review import TufReview
from zlh_hooks.domain.agent_release import Release
from zlh_hooks.domain.agent_trust import (
    SIGNED_BY_PEOPLE,
    Purpose,
    RoleRules,
    Standing,
    ThresholdGap,
    TrustRole,
)
from zlh_hooks.domain.errors import NotAllowed

STATE = "desired/state.json"


class TufRepository:
    """One repository, its drafts and the keys of this machine."""

    def __init__(self, folder: TufFolder, keys: KeyFolder, rules: RoleRules) -> None:
        self._folder, self._keys, self._rules = folder, keys, rules
        self._review = TufReview(folder)

    # --- whose keys count

    def found(self, people: Sequence[str], sealed: str, online: str, now: datetime) -> None:
        """Draft the first documents; ``NotAllowed`` if there are some."""
        with self._folder.locked():
            if self._folder.find(TrustRole.ROOT) is not None:
                raise NotAllowed("there is a repository already; its keys change by add-person and remove-person")
            keys = [self._keys.read_public(person) for person in people]
            others = self._public(sealed, Purpose.ROOT), self._public(online, Purpose.ONLINE)
            root = documents.new_root(keys, *others, self._rules, now)
            targets = documents.new_targets(keys, self._rules, now)
            self._folder.write_draft(TrustRole.ROOT, root)
            self._folder.write_draft(TrustRole.TARGETS, targets)
            for role in documents.PATHS:
                self._folder.write_draft(role, documents.new_files(role, self._rules, now))

    def _public(self, holder: str, purpose: Purpose) -> Key:
        keys = self._keys.read_public(holder)
        if purpose not in keys:
            raise NotAllowed(f"{holder} has no {purpose} key; agent keys new {holder} --{purpose} makes one")
        return keys[purpose]

    def add_person(self, person: str, now: datetime) -> None:
        """Draft documents in which the person's keys count too."""
        keys = {purpose: self._public(person, purpose) for purpose in (Purpose.ROOT, Purpose.RELEASE, Purpose.OPERATOR)}
        with self._changed_keys(now) as (root, targets):
            documents.add_person(root, targets, keys)

    def remove_holder(self, holder: str, now: datetime) -> None:
        """Draft documents in which the holder's keys count no more."""
        with self._changed_keys(now) as (root, targets):
            documents.remove_holder(root, targets, holder)

    def replace_online(self, holder: str, now: datetime) -> None:
        """Draft documents in which machines sign with another key."""
        key = self._public(holder, Purpose.ONLINE)
        with self._changed_keys(now) as (root, _):
            documents.replace_online(root, key)

    @contextmanager
    def _changed_keys(self, now: datetime) -> Iterator[tuple[Root, Targets]]:
        """Root and targets while their keys change; then all that people sign is drafted anew, because of whose keys
        signed it. Nothing is written if the change is refused.
        """
        with self._folder.locked():
            drafts = {role: self._revise(role, now) for role in SIGNED_BY_PEOPLE}
            root, targets = drafts[TrustRole.ROOT].signed, drafts[TrustRole.TARGETS].signed
            yield root, targets
            documents.set_thresholds(root, self._rules)
            documents.set_delegated_thresholds(targets, self._rules)
            for role, draft in drafts.items():
                self._folder.write_draft(role, draft)

    def renew(self, roles: Sequence[TrustRole], now: datetime) -> None:
        """Draft the same documents with a new end. Of root and targets the policy's thresholds count then, too."""
        with self._folder.locked():
            drafts = {role: self._revise(role, now) for role in roles}
            if TrustRole.ROOT in drafts:
                documents.set_thresholds(drafts[TrustRole.ROOT].signed, self._rules)
            if TrustRole.TARGETS in drafts:
                documents.set_delegated_thresholds(drafts[TrustRole.TARGETS].signed, self._rules)
            for role, draft in drafts.items():
                self._folder.write_draft(role, draft)

    def _revise(self, role: TrustRole, now: datetime) -> Metadata[Any]:
        """The next version of a document; a draft keeps its number, and loses its signatures."""
        published = self._folder.find_published(role)
        version = published.signed.version + 1 if published else 1
        return documents.revise(self._folder.load(role), version, documents.end_of(role, self._rules, now))

    def sign(self, holder: str, roles: Sequence[TrustRole] = SIGNED_BY_PEOPLE) -> tuple[TrustRole, ...]:
        """Sign those of these drafts that the holder may sign and has not; which ones were signed."""
        with self._folder.locked():
            return tuple(role for role in roles if self._sign_one(role, holder))

    def _sign_one(self, role: TrustRole, holder: str) -> bool:
        draft = self._folder.find_draft(role)
        if draft is None or not self._review.sign(role, draft, holder, self._keys):
            return False
        self._folder.write_draft(role, draft)
        return True

    def take_signatures(self, folder: Path) -> tuple[TrustRole, ...]:
        """Signatures that were given on a copy of the drafts; of which documents some were new.

        ``NotAllowed`` if a draft has changed since it was copied: what was signed there is something else.
        """
        with self._folder.locked():
            return tuple(role for role in SIGNED_BY_PEOPLE if self._take_one(role, folder))

    def _take_one(self, role: TrustRole, folder: Path) -> bool:
        draft, copied = self._folder.find_draft(role), self._folder.find_copied(folder, role)
        if draft is None or copied is None or copied.signed.version < draft.signed.version:
            return False
        if copied.signed_bytes != draft.signed_bytes:
            raise NotAllowed(
                f"{role} {draft.signed.version} is another draft than in {folder}: copy it and sign it anew"
            )
        good = self._review.count(role, copied)[0] - draft.signatures.keys()
        draft.signatures.update({keyid: copied.signatures[keyid] for keyid in good})
        if good:
            self._folder.write_draft(role, draft)
        return bool(good)

    def drop(self, roles: Sequence[TrustRole]) -> tuple[TrustRole, ...]:
        """Forget those of these drafts that there are; ``NotAllowed`` for a part of the first documents."""
        with self._folder.locked():
            drafts = [role for role in SIGNED_BY_PEOPLE if self._folder.find_draft(role)]
            dropped = tuple(role for role in drafts if role in roles)
            if len(dropped) < len(drafts) and self._folder.find_published(TrustRole.ROOT) is None:
                raise NotAllowed(
                    "nothing is published yet, and none of the first documents counts alone: drop them all"
                )
            self._folder.drop_drafts(dropped)
        return dropped

    # --- what they sign

    def list_releases(self, *, published: bool = False) -> tuple[Release, ...]:
        """Every build that is listed, drafts included; or those that guests see."""
        document = self._load(TrustRole.RELEASES, published)
        listed = document.signed.targets.values() if document else ()
        return tuple(
            Release(sha256=file.hashes["sha256"], size=file.length, **file.custom[documents.RELEASE]) for file in listed
        )

    def add_release(self, release: Release, data: bytes, now: datetime) -> None:
        """Draft a list of releases with one more build."""
        fields = {name: getattr(release, name) for name in ("version", "machine", "come_from", "back_to")}
        self._put_file(TrustRole.RELEASES, release.path, data, fields, now)

    def read_state(self, *, published: bool = False) -> bytes | None:
        """The desired state as it will be, or as guests see it; None before the first pin."""
        document = self._load(TrustRole.DESIRED, published)
        return self._folder.read_file(document, STATE) if document else None

    def _load(self, role: TrustRole, published: bool) -> Metadata[Any] | None:
        return self._folder.find_published(role) if published else self._folder.load(role)

    def write_state(self, data: bytes, now: datetime) -> None:
        """Draft a desired state."""
        self._put_file(TrustRole.DESIRED, STATE, data, {}, now)

    def _put_file(self, role: TrustRole, path: str, data: bytes, fields: dict[str, Any], now: datetime) -> None:
        with self._folder.locked():
            document = self._revise(role, now)
            documents.put_file(document, path, data, fields)
            self._folder.write_file(path, data)
            self._folder.write_draft(role, document)

    # --- how it stands

    def list_standings(self) -> tuple[Standing, ...]:
        """Every document that is published, and every draft."""
        found = [(role, self._folder.find_published(role), False) for role in TrustRole]
        found += [(role, self._folder.find_draft(role), True) for role in SIGNED_BY_PEOPLE]
        return tuple(self._review.stand(role, document, draft) for role, document, draft in found if document)

    def read_thresholds(self, *, published: bool = False) -> Mapping[TrustRole, int]:
        """How many signatures each document needs, by the drafts or by what readers see."""
        return {role: count for role, (count, _) in self._read_thresholds(published).items()}

    def _read_thresholds(self, published: bool) -> Mapping[TrustRole, tuple[int, int]]:
        """And how many keys count for it."""
        root, targets = (self._load(role, published) for role in (TrustRole.ROOT, TrustRole.TARGETS))
        return documents.read_thresholds(root.signed, targets.signed) if root and targets else {}

    def list_threshold_gaps(self) -> tuple[ThresholdGap, ...]:
        """Where readers want another number of signatures than the policy; nothing before the first publication."""
        found = self._read_thresholds(published=True).items()
        gaps = (ThresholdGap(role, count, self._rules[role].threshold, keys) for role, (count, keys) in found)
        return tuple(gap for gap in gaps if gap.published != gap.wanted)

    def read_root(self) -> bytes:
        """The newest published root, which guests carry; ``NotAllowed`` before the first publication."""
        return documents.render(self._folder.need_published(TrustRole.ROOT))
