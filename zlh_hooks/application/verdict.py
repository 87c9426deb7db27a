"""What becomes of one guest, other than what was wanted; each is answered differently by the story.

``HeldUp`` and ``GuestMissing`` of ``domain.errors`` belong to these.
"""

from zlh_hooks.domain.errors import TargetError


class Skipped(TargetError):
    """The guest is left as it is; the reason is for people."""


class Refused(TargetError):
    """Nothing is done to the guest, nor to others, until a person has decided."""


class Unhealthy(TargetError):
    """The proof failed: the guest must go back."""


class Inconclusive(TargetError):
    """Neither proved nor failed: measurements could not be made."""


class Deferred(TargetError):
    """The proof is owed until the guest runs again."""


class Replaced(TargetError):
    """Somebody has brought the guest another root: it is let go, on what it runs."""
