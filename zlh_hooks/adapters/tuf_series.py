"""A rollout's desired states as signed documents: drafted and signed together, shown one after another.

Each act has a version of its own, above that of all before it, so that readers take whichever is shown next.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from tuf.api.metadata import Metadata, Targets

from zlh_hooks.adapters import tuf_document as documents
from zlh_hooks.adapters.tuf_folder import TufFolder
from zlh_hooks.adapters.tuf_key import KeyFolder
from zlh_hooks.adapters.tuf_publication import TufPublication
from zlh_hooks.adapters.tuf_repository import STATE
from zlh_hooks.adapters.tuf_review import TufReview
from zlh_hooks.domain.agent_series import Series
from zlh_hooks.domain.agent_trust import RoleRules, TrustRole
from zlh_hooks.domain.errors import NotAllowed, Overtaken

ROLE = TrustRole.DESIRED
PATIENCE = timedelta(seconds=30)
"""For the daily publication, or whoever else is at the folder for a moment: no rollout pauses for that."""


class TufSeries:
    """``keys`` are people's; the machine's own belong to ``publication``. ``permit`` is asked before guests are shown
    anything.
    """

    def __init__(
        self,
        folder: TufFolder,
        keys: KeyFolder,
        publication: TufPublication,
        rules: RoleRules,
        read_now: Callable[[], datetime],
        permit: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._keys, self._publication, self._rules = folder, keys, publication, rules
        self._read_now, self._permit = read_now, permit
        self._review = TufReview(folder)

    def clear(self, rollouts: Collection[str]) -> None:
        """Forget what was signed for these. ``NotAllowed`` while another process is at the folder."""
        with self._folder.locked(PATIENCE):
            for rollout in rollouts:
                self._folder.clear_acts(rollout)

    def draft(self, rollout: str, series: Series) -> None:
        """Unsigned; ``NotAllowed`` while another change of the desired state, or a release, waits to be published."""
        with self._folder.locked():
            published = self._folder.need_published(ROLE)
            for role in (ROLE, TrustRole.RELEASES):
                if self._folder.find_draft(role) is not None:
                    raise NotAllowed(f"a change of {role} is not published yet: zlh-hooks agent publish")
            if self._folder.read_file(published, STATE) != series.before:
                raise NotAllowed("the desired state was changed since this was planned: plan it again")
            end = documents.end_of(ROLE, self._rules, self._read_now())
            for version, (act, state) in enumerate(series.states.items(), published.signed.version + 1):
                document = documents.revise(published, version, end)
                documents.put_file(document, STATE, state, {})
                self._folder.write_act(rollout, act, document, state)

    def sign(self, rollout: str, holder: str) -> None:
        """All acts, in the holder's name; ``NotAllowed`` if the holder's signature counts for nothing."""
        with self._folder.locked():
            for act, document in self._list(rollout).items():
                if not self._review.sign(ROLE, document, holder, self._keys):
                    raise NotAllowed(f"{holder} has no operator's key, or has signed already")
                self._folder.write_act(rollout, act, document)

    def count_missing(self, rollout: str) -> int:
        """How many signatures are missing at the worst; all acts count as one."""
        missing = (self._review.count(ROLE, document)[2] for document in self._list(rollout).values())
        return max(missing, default=1)

    def publish(self, rollout: str, act: str) -> None:
        """Show readers this act. Again after a crash, or if it is shown already: then it is only said anew.

        ``Overtaken`` if somebody else has changed the desired state since it was drafted, or its signatures have ended.
        """
        with self._folder.locked(PATIENCE):
            document, state = self._need(rollout, act)
            self._refuse_overtaken(rollout, document.signed.version)
            if document.signed.expires <= self._read_now():
                raise Overtaken(f"what was signed for {rollout} ended on {document.signed.expires:%Y-%m-%d}")
            self._permit()
            self._publication.show(document, state, self._read_now())

    def _refuse_overtaken(self, rollout: str, version: int) -> None:
        published = self._folder.need_published(ROLE)
        own = {document.signed.version: document for document in self._list(rollout).values()}
        is_own = own.get(published.signed.version, published).signed == published.signed
        if not is_own or not min(own) - 1 <= published.signed.version <= version:
            raise Overtaken(
                f"others have changed the desired state since {rollout} began: say by agent pin which release, or"
                " by agent wish which packages are to be had now"
            )

    def has_draft(self) -> bool:
        """Whether a change of the desired state waits to be published; showing an act takes its place."""
        return self._folder.find_draft(ROLE) is not None

    def find_shown(self, rollout: str) -> str | None:
        """The act that readers see now; None if it is none of this rollout."""
        published = self._folder.find_published(ROLE)
        acts = self._list(rollout).items()
        return next((act for act, one in acts if published and one.signed == published.signed), None)

    def _list(self, rollout: str) -> dict[str, Metadata[Targets]]:
        return {act: self._need(rollout, act)[0] for act in self._folder.list_acts(rollout)}

    def _need(self, rollout: str, act: str) -> tuple[Metadata[Targets], bytes]:
        found = self._folder.find_act(rollout, act)
        if found is None:
            raise NotAllowed(f"{act} of rollout {rollout} is not in this repository's folder: it was not signed here")
        return found
