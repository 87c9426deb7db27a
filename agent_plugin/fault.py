"""What can go wrong, named by what happens next."""


class PluginError(RuntimeError):
    """Says what, where, and what would be right."""


class BadInput(PluginError):
    """Wrong options or settings: a person must mend them."""


class NotNow(PluginError):
    """Nothing has been changed, and the release is not to blame: it may be tried again."""


class Changed(NotNow):
    """Something came after a patch: its way back would undo that as well, now and later."""


class FailedHere(NotNow):
    """The release failed in this guest: it is not tried again until it is pinned anew, or a person says so."""


class Interrupted(PluginError):
    """The system around the swap is not there to judge it, as in a shutdown: taken up again later, as after a crash."""


class AtFault(PluginError):
    """What was brought is wrong itself."""


class BadRelease(AtFault):
    """The release is: this guest does not try it again until somebody says so."""


class BadPatch(AtFault):
    """The packages are: they are taken back."""
