"""Where people are reached, checked before anything uses it: mail addresses, URLs, and names that stand on one line.

Errors say what would be right. Of a URL that is wrong only the host is shown: the rest may be a secret (a webhook's).
"""

import ipaddress
import re
import unicodedata
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from zlh_hooks.domain.flaw import Misfit

MAIL_EXPECTED = "a mail address such as noc@example.com, in ASCII (a domain with other letters as xn--...)"
URL_EXPECTED = "a URL such as https://example.com/path, in ASCII and without a user; http only on this machine itself"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAIL = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_URL = re.compile(r"https?://[!-~]+")
_LONGEST_MAIL, _LONGEST_URL, _LONGEST_LINE = 254, 2000, 200
_BREAKING = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def parse_mail(text: str) -> str:
    """The address itself; ValueError if it is none, or more than one could hide in it."""
    if len(text) > _LONGEST_MAIL or not _MAIL.fullmatch(text):
        raise ValueError(MAIL_EXPECTED)
    return text


def parse_url(text: str) -> str:
    """The URL itself; ValueError if it is none, or would send in the clear over a network."""
    parts = _split(text) if len(text) <= _LONGEST_URL and _URL.fullmatch(text) else None
    if parts is None or "@" in parts.netloc or (parts.scheme == "http" and not is_loopback(parts.hostname or "")):
        raise Misfit((), render_host(text), URL_EXPECTED)
    return text


def parse_line(text: str) -> str:
    """A name that may stand in a header or a table; ValueError if it breaks or turns the line."""
    if not text.strip() or len(text) > _LONGEST_LINE or any(_breaks(letter) for letter in text):
        raise ValueError(f"1 to {_LONGEST_LINE} characters on one line, without control characters")
    return text


def is_loopback(host: str) -> bool:
    """Whether the name or address means this machine itself, by its writing alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def render_host(url: str) -> str:
    """Scheme and host; what follows may be a secret."""
    parts = _split(url)
    return f"{parts.scheme}://{parts.hostname}/…" if parts else f"a text of {len(url)} characters"


def render_address(address: str) -> str:
    """A mail address whole; of a URL what :func:`render_host` shows."""
    return render_host(address) if "://" in address else address


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.scheme and parts.port != 0 else None
    except ValueError:
        return None


def _breaks(letter: str) -> bool:
    return unicodedata.category(letter) in _BREAKING or letter in _TURNING


MailAddress = Annotated[str, AfterValidator(parse_mail)]
WebAddress = Annotated[str, AfterValidator(parse_url)]
Line = Annotated[str, AfterValidator(parse_line)]
