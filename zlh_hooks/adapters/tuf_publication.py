"""Shows readers what people have signed, in the order in which a reader never meets half of it.

Files first, then the documents that list them, then the snapshot that names those, and at last, by one rename, the
timestamp that names the snapshot. A new root comes after all that: what lies below it is signed so that it counts under
the old root and the new one, and a second timestamp makes readers look for the root.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata, Root, Snapshot, Targets

from zlh_hooks.adapters import tuf_document as documents
from zlh_hooks.adapters.tuf_folder import TufFolder, Write, public_path
from zlh_hooks.adapters.tuf_key import KeyFolder, holder_of
from zlh_hooks.adapters.tuf_review import TufReview
from zlh_hooks.domain.agent_trust import Purpose, RoleRules, TrustRole
from zlh_hooks.domain.errors import NotAllowed

BELOW_ROOT = (TrustRole.TARGETS, TrustRole.RELEASES, TrustRole.DESIRED)
Documents = Mapping[TrustRole, Metadata[Targets]]


class TufPublication:
    """Signs what machines sign, and writes the public folder."""

    def __init__(self, folder: TufFolder, keys: KeyFolder, rules: RoleRules) -> None:
        self._folder, self._keys, self._rules = folder, keys, rules
        self._review = TufReview(folder)

    def publish(self, now: datetime) -> tuple[str, ...]:
        """Show what is signed; the paths that were written. Run again after a crash, it goes on.

        ``NotAllowed`` says which signature is missing or what has ended; then nothing is written.
        """
        with self._folder.locked():
            writes = self._plan(now)
            for path, data in writes:
                self._folder.write_public(path, data)
            self._folder.clear_drafts()
        return tuple(path for path, _ in writes)

    def show(self, desired: Metadata[Targets], state: bytes, now: datetime) -> None:
        """This desired state and nothing else that waits; ``NotAllowed`` if it is not signed as readers want it.

        To be called while the folder is locked.
        """
        below = {role: self._folder.need_published(role) for role in (TrustRole.TARGETS, TrustRole.RELEASES)}
        self._refuse_unready(TrustRole.DESIRED, desired, now, is_draft=False)
        root = self._folder.need_published(TrustRole.ROOT)
        files = [(public_path(file), state) for file in desired.signed.targets.values()]
        snapshot, writes = self._make_snapshot({**below, TrustRole.DESIRED: desired}, now, root)
        timestamp = self._make_timestamp(snapshot, 1, now, root)
        body = [*files, _render(f"{desired.signed.version}.{TrustRole.DESIRED}", desired)]
        for path, data in [*body, *writes, _render("timestamp", timestamp)]:
            self._folder.write_public(path, data)

    def _plan(self, now: datetime) -> list[Write]:
        """All writes in their order."""
        below = {role: self._folder.load(role) for role in BELOW_ROOT}
        documents.check_delegators(below)
        for role, document in {**below, TrustRole.ROOT: self._folder.load(TrustRole.ROOT)}.items():
            self._refuse_unready(role, document, now, is_draft=True)
        body = [*self._folder.list_new_files([below[role] for role in documents.PATHS]), *self._list_drafts(below)]
        newest = self._review.list_roots()[-1]
        snapshot, writes = self._make_snapshot(below, now, newest)
        timestamps = [self._make_timestamp(snapshot, step, now, newest) for step in (1, 2)]
        root = self._folder.find_draft(TrustRole.ROOT)
        if root is None:
            return [*body, *writes, _render("timestamp", timestamps[0])]
        news = _render(f"{root.signed.version}.root", root)
        if self._folder.find_published(TrustRole.ROOT) is None or not self._is_bridged(timestamps[0]):
            return [news, *body, *writes, _render("timestamp", timestamps[0])]
        return [*body, *writes, _render("timestamp", timestamps[0]), news, _render("timestamp", timestamps[1])]

    def _refuse_unready(self, role: TrustRole, document: Metadata[Any], now: datetime, *, is_draft: bool) -> None:
        standing = self._review.stand(role, document, is_draft)
        known = f"{role} {standing.version}"
        if not standing.is_signed:
            who = ", ".join(standing.may_sign)
            raise NotAllowed(f"{known} lacks {standing.missing} of its signatures: agent keys sign, by one of {who}")
        if standing.expires <= now:
            raise NotAllowed(f"{known} ended on {standing.expires:%Y-%m-%d}: agent keys renew {role}, and sign it")

    def _list_drafts(self, below: Documents) -> list[Write]:
        drafts = [(role, document) for role, document in below.items() if self._folder.find_draft(role)]
        return [_render(f"{document.signed.version}.{role}", document) for role, document in drafts]

    def _make_snapshot(
        self, below: Documents, now: datetime, root: Metadata[Root]
    ) -> tuple[Metadata[Snapshot], list[Write]]:
        """The snapshot that counts then, and its write unless it is there already."""
        published = self._folder.find_published(TrustRole.SNAPSHOT)
        if published and not self._is_stale(published, below, now):
            return published, []
        number = published.signed.version + 1 if published else 1
        made = documents.make_snapshot(below, number, self._rules, now)
        self._sign(TrustRole.SNAPSHOT, made, root)
        return made, [_render(f"{number}.snapshot", made)]

    def _is_stale(self, published: Metadata[Snapshot], below: Documents, now: datetime) -> bool:
        """Something is new, half of its life is over, or a new root does not know its key."""
        listed = {name: meta.version for name, meta in published.signed.meta.items()}
        versions = {f"{role}.json": document.signed.version for role, document in below.items()}
        life = self._rules[TrustRole.SNAPSHOT].life
        unknown = self._review.count(TrustRole.SNAPSHOT, published)[2]
        return listed != versions or published.signed.expires - now < life / 2 or unknown > 0

    def _make_timestamp(
        self, snapshot: Metadata[Snapshot], step: int, now: datetime, root: Metadata[Root]
    ) -> Metadata[Any]:
        published = self._folder.find_published(TrustRole.TIMESTAMP)
        number = (published.signed.version if published else 0) + step
        made = documents.make_timestamp(snapshot.signed.version, number, self._rules, now)
        self._sign(TrustRole.TIMESTAMP, made, root)
        return made

    def _sign(self, role: TrustRole, document: Metadata[Any], root: Metadata[Root]) -> None:
        """With every online key that a root names and this machine has; ``NotAllowed`` without that of ``root``."""
        roots = self._review.list_roots()
        keys = {keyid: root.signed.keys[keyid] for root in roots for keyid in root.signed.roles[role].keyids}
        for holder in sorted({holder_of(key) for key in keys.values()}):
            if self._keys.has(holder, Purpose.ONLINE):
                document.sign(self._keys.open_signer(holder, Purpose.ONLINE), append=True)
        if documents.count_signatures(role, document, [root.signed])[2]:
            needed = ", ".join(holder_of(keys[keyid]) for keyid in root.signed.roles[role].keyids)
            raise NotAllowed(f"{role} is signed with the online key of {needed}, which is not on this machine")

    def _is_bridged(self, timestamp: Metadata[Any]) -> bool:
        """Whether readers of the old root accept it too. If the old online key is lost, the root must come first."""
        return self._review.count(TrustRole.TIMESTAMP, timestamp)[2] == 0


def _render(name: str, document: Metadata[Any]) -> Write:
    return f"metadata/{name}.json", documents.render(document)
