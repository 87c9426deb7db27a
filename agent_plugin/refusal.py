"""Why a check ends without an answer. Each cause has one name, which the guest reports."""

from enum import Enum


class Refusal(str, Enum):
    """The cause's name. Those of ``TROUBLE`` happen without anybody's ill will."""

    UNREACHABLE = "unreachable"  # no connection: the server is off, or the way to it
    UNTRUSTED_TLS = "untrusted-tls"  # the certificate is not the server's
    STALLED = "stalled"  # the server accepted, and then said nothing
    TOO_SLOW = "too-slow"  # it speaks, so slowly that it will never end
    BROKEN_OFF = "broken-off"  # the connection ended in the middle, or spoke no HTTP
    SERVER_BUSY = "server-busy"  # 429 or 503: later
    SERVER_ERROR = "server-error"  # another answer that is neither the file nor its absence
    REDIRECTED = "redirected"  # the server points elsewhere; nobody goes there
    MISSING = "missing"  # a file that must be there is not
    TOO_LONG = "too-long"  # more bytes than were signed, or than such a file can have
    ALTERED = "altered"  # other bytes than were signed
    MALFORMED = "malformed"  # no document of this kind
    NEWER_FORMAT = "newer-format"  # written for a later version of this program
    SIGNATURES = "signatures"  # too few valid signatures of keys that count
    ROLLED_BACK = "rolled-back"  # older than what was seen before
    REPLAYED = "replayed"  # valid by itself, and older than the mark that outlives the cache
    MIXED = "mixed"  # parts that were never published together
    EXPIRED = "expired"  # nobody signed for too long, or somebody hides what was signed
    NOT_RELEASED = "not-released"  # wanted by the operators, and no release key signed it
    DISAGREEMENT = "disagreement"  # operators and release keys speak of different bytes, or of other ways back
    CLOCK_BEHIND = "clock-behind"  # this machine's clock shows a time that is over
    CLOCK_AHEAD = "clock-ahead"  # it shows a time that is not credible yet
    LOCKED = "locked"  # another check is at work
    DISK = "disk"  # this machine's disk does not take or give what it must
    MARKS_DAMAGED = "marks-damaged"  # the file of marks is not as it was written


REFUSALS = frozenset(refusal.value for refusal in Refusal)
TROUBLE = frozenset(
    {
        Refusal.UNREACHABLE,
        Refusal.STALLED,
        Refusal.BROKEN_OFF,
        Refusal.SERVER_BUSY,
        Refusal.SERVER_ERROR,
        Refusal.MISSING,
        Refusal.NEWER_FORMAT,
        Refusal.LOCKED,
        Refusal.DISK,
    }
)
"""What happens on ordinary days. All else is either an attack or a mistake that a person must look at."""


class Refused(Exception):
    """Nothing is installed. ``where`` names the document or file, ``detail`` says what was found there."""

    def __init__(self, refusal: Refusal, where: str, detail: str) -> None:
        self.refusal, self.where, self.detail = refusal, where, detail
        super().__init__(f"{refusal.value} at {where}: {detail}")

    @property
    def is_suspicious(self) -> bool:
        """Whether a person must look at it now."""
        return self.refusal not in TROUBLE
