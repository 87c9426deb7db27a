"""Shows readers what people have signed, in the order in which a reader never meets half of it.

Files first, then the documents that list them, then the snapshot that names those, and at last, by one rename, the
timestamp that names the snapshot. A new root comes after all that: what lies below it is signed so that it counts under
the old root and the new one, and a second timestamp makes readers look for the root.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from tuf.api.metadata import Metadata, Snapshot, Targets

from zlh_hooks.adapters import tuf_document as documents
from zlh_hooks.adapters.tuf_choice import BELOW_ROOT, Choice, Documents, TufChooser, find_unready
from zlh_hooks.adapters.tuf_folder import TufFolder, Write, public_path
from zlh_hooks.adapters.tuf_key import KeyFolder, holder_of
from zlh_hooks.adapters.tuf_review import TufReview
from zlh_hooks.domain.agent_trust import Publication, Purpose, RoleRules, TrustRole
from zlh_hooks.domain.errors import NotAllowed


class TufPublication:
    """Signs what machines sign, and writes the public folder."""

    def __init__(self, folder: TufFolder, keys: KeyFolder, rules: RoleRules) -> None:
        self._folder, self._keys, self._rules = folder, keys, rules
        self._review = TufReview(folder)

    def publish(self, now: datetime, held: Mapping[TrustRole, str] = MappingProxyType({})) -> Publication:
        """Show what is signed, but for drafts that are ``held``, and say which drafts wait. Run again after a crash,
        it goes on.

        ``NotAllowed`` if nothing would count: what is published has ended, or the first documents are not signed.
        """
        with self._folder.locked():
            choice = TufChooser(self._folder, now, held).choose()
            writes = self._plan(choice, now)
            for path, data in writes:
                self._folder.write_public(path, data)
            self._folder.clear_drafts()
        return Publication(tuple(path for path, _ in writes), choice.waiting)

    def show(self, desired: Metadata[Targets], state: bytes, now: datetime) -> None:
        """This desired state and nothing else that waits; ``NotAllowed`` if it is not signed as readers want it.

        To be called while the folder is locked.
        """
        published = {role: self._folder.need_published(role) for role in (TrustRole.ROOT, *BELOW_ROOT)}
        choice = Choice({**published, TrustRole.DESIRED: desired}, (TrustRole.DESIRED,))
        fault = find_unready(self._review, TrustRole.DESIRED, desired, now, choice.documents, is_draft=True)
        if fault:
            raise NotAllowed(fault)
        files = [(public_path(file), state) for file in desired.signed.targets.values()]
        snapshot, writes = self._make_snapshot(choice, now)
        timestamp = self._make_timestamp(snapshot, 1, now, choice)
        for path, data in [*files, *_render_drafts(choice), *writes, _render("timestamp", timestamp)]:
            self._folder.write_public(path, data)

    def _plan(self, choice: Choice, now: datetime) -> list[Write]:
        """All writes in their order."""
        files = self._folder.list_new_files([choice.documents[role] for role in documents.PATHS])
        snapshot, writes = self._make_snapshot(choice, now)
        timestamps = [self._make_timestamp(snapshot, step, now, choice) for step in (1, 2)]
        body = [*files, *_render_drafts(choice), *writes]
        root = choice.new.get(TrustRole.ROOT)
        if root is None:
            return [*body, _render("timestamp", timestamps[0])]
        news = _render(f"{root.signed.version}.root", root)
        if self._folder.find_published(TrustRole.ROOT) is None or not self._is_bridged(timestamps[0], choice):
            return [news, *body, _render("timestamp", timestamps[0])]
        return [*body, _render("timestamp", timestamps[0]), news, _render("timestamp", timestamps[1])]

    def _make_snapshot(self, choice: Choice, now: datetime) -> tuple[Metadata[Snapshot], list[Write]]:
        """The snapshot that counts then, and its write unless it is there already."""
        published = self._folder.find_published(TrustRole.SNAPSHOT)
        if published and not self._is_stale(published, choice, now):
            return published, []
        number = published.signed.version + 1 if published else 1
        made = documents.make_snapshot(choice.below, number, self._rules, now)
        self._sign(TrustRole.SNAPSHOT, made, choice.documents)
        return made, [_render(f"{number}.snapshot", made)]

    def _is_stale(self, published: Metadata[Snapshot], choice: Choice, now: datetime) -> bool:
        """Something is new, half of its life is over, or a new root does not know its key."""
        listed = {name: meta.version for name, meta in published.signed.meta.items()}
        versions = {f"{role}.json": document.signed.version for role, document in choice.below.items()}
        life = self._rules[TrustRole.SNAPSHOT].life
        unknown = self._review.count(TrustRole.SNAPSHOT, published, choice.documents.get)[2]
        return listed != versions or published.signed.expires - now < life / 2 or unknown > 0

    def _make_timestamp(self, snapshot: Metadata[Snapshot], step: int, now: datetime, choice: Choice) -> Metadata[Any]:
        published = self._folder.find_published(TrustRole.TIMESTAMP)
        number = (published.signed.version if published else 0) + step
        made = documents.make_timestamp(snapshot.signed.version, number, self._rules, now)
        self._sign(TrustRole.TIMESTAMP, made, choice.documents)
        return made

    def _sign(self, role: TrustRole, document: Metadata[Any], chosen: Documents) -> None:
        """With every online key that a root names and this machine has; ``NotAllowed`` without that of the new root."""
        root = chosen[TrustRole.ROOT]
        roots = self._review.list_roots(chosen.get)
        keys = {keyid: root.signed.keys[keyid] for root in roots for keyid in root.signed.roles[role].keyids}
        for holder in sorted({holder_of(key) for key in keys.values()}):
            if self._keys.has(holder, Purpose.ONLINE):
                document.sign(self._keys.open_signer(holder, Purpose.ONLINE), append=True)
        if documents.count_signatures(role, document, [root.signed])[2]:
            needed = ", ".join(holder_of(keys[keyid]) for keyid in root.signed.roles[role].keyids)
            raise NotAllowed(f"{role} is signed with the online key of {needed}, which is not on this machine")

    def _is_bridged(self, timestamp: Metadata[Any], choice: Choice) -> bool:
        """Whether readers of the old root accept it too. If the old online key is lost, the root must come first."""
        return self._review.count(TrustRole.TIMESTAMP, timestamp, choice.documents.get)[2] == 0


def _render_drafts(choice: Choice) -> list[Write]:
    """All that the snapshot names; the root has its own place in the order."""
    return [
        _render(f"{document.signed.version}.{role}", document)
        for role, document in choice.new.items()
        if role in BELOW_ROOT
    ]


def _render(name: str, document: Metadata[Any]) -> Write:
    return f"metadata/{name}.json", documents.render(document)
