"""Who has signed a document of the agents' repository, and who still must."""

from collections.abc import Callable, Sequence
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from zlh_hooks.adapters import tuf_document as documents
from zlh_hooks.adapters.tuf_folder import TufFolder
from zlh_hooks.adapters.tuf_key import KeyFolder, holder_of
from zlh_hooks.domain.agent_trust import PURPOSE_OF, Standing, TrustRole
from zlh_hooks.domain.errors import NotAllowed

Find = Callable[[TrustRole], Metadata[Any] | None]
"""The documents that count then."""


class TufReview:
    """Judges documents by the rules that readers have: those of the published root, and of one that is drafted."""

    def __init__(self, folder: TufFolder) -> None:
        self._folder = folder

    def list_roots(self, find: Find) -> list[Metadata[Root]]:
        """The published root, and the one that ``find`` knows, as far as there are."""
        found = self._folder.find_published(TrustRole.ROOT), find(TrustRole.ROOT)
        return [root for root in found if root is not None]

    def count(
        self, role: TrustRole, document: Metadata[Any], find: Find | None = None
    ) -> tuple[set[str], set[str], int]:
        """Key ids that have signed, that may, and how many signatures are missing under the strictest rule.

        ``find``: the documents beside which it will count; left out: drafts, where there are some.
        """
        return documents.count_signatures(role, document, self._verifiers(role, find or self._folder.find))

    def _verifiers(self, role: TrustRole, find: Find) -> Sequence[Root | Targets]:
        if role in documents.PATHS:
            targets = find(TrustRole.TARGETS)
            return [targets.signed] if targets else []
        return [root.signed for root in self.list_roots(find)]

    def known_keys(self) -> dict[str, Key]:
        """Every key that any of the documents knows, by its id."""
        keys = {keyid: key for root in self.list_roots(self._folder.find) for keyid, key in root.signed.keys.items()}
        for targets in (self._folder.find_published(TrustRole.TARGETS), self._folder.load(TrustRole.TARGETS)):
            keys |= documents.list_delegated_keys(targets.signed) if targets else {}
        return keys

    def sign(self, role: TrustRole, document: Metadata[Any], holder: str, keys: KeyFolder) -> bool:
        """Sign it in the holder's name; False if nobody waits for that signature, ``NotAllowed`` with another key."""
        unsigned, purpose = self.count(role, document)[1], PURPOSE_OF[role]
        if not any(holder_of(key) == holder for keyid, key in self.known_keys().items() if keyid in unsigned):
            return False
        signer = keys.open_signer(holder, purpose)
        if signer.public_key.keyid not in unsigned:
            raise NotAllowed(f"the {purpose} key of {holder} on this machine is not the one that the repository knows")
        document.sign(signer, append=True)
        return True

    def stand(self, role: TrustRole, document: Metadata[Any], is_draft: bool, find: Find | None = None) -> Standing:
        """How the document stands beside those of ``find``, for people.

        Left out: a draft beside all drafts, and one that is published beside what is published.
        """
        find = find or (self._folder.find if is_draft else self._folder.find_published)
        signed, unsigned, missing = self.count(role, document, find)
        keys = self.known_keys()
        by, may = (tuple(sorted({holder_of(keys[keyid]) for keyid in ids})) for ids in (signed, unsigned))
        return Standing(role, document.signed.version, document.signed.expires, is_draft, by, may, missing)
