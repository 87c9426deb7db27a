"""One GET over HTTP(S): no redirects, no proxy, at most 1 MiB, all within one deadline.

``http.client`` and not ``requests``: the latter's time-out is per read and cannot bound the whole.
"""

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import cast

from zlh_hooks.adapters.probes.answer import BadAnswer, Unmeasured
from zlh_hooks.adapters.probes.wire import Deadline, open_wire

LIMIT_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Site:
    """Where to connect. ``name`` is asked for and must be proved (TLS) instead of ``host`` if it is given."""

    host: str
    port: int
    trust: ssl.SSLContext | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP answer; ``body`` is empty if it was not wanted."""

    status: int
    body: bytes


def read_page(site: Site, path: str, deadline: Deadline, *, with_body: bool = True) -> Page:
    """Ask and read; OSError if the peer does not answer, ``BadAnswer`` if what it says is not HTTP."""
    name = site.name or site.host.partition("%")[0]
    with open_wire(site.host, site.port, deadline, LIMIT_BYTES, site.trust, name) as wire:
        connection = http.client.HTTPConnection(name, site.port)
        connection.sock = cast(socket.socket, wire)
        try:
            connection.request("GET", path, headers={"User-Agent": "zlh-hooks", "Connection": "close"})
            answer = connection.getresponse()
            return Page(answer.status, _read_body(answer) if with_body else b"")
        except OSError:
            raise
        except (http.client.HTTPException, ValueError) as error:
            raise BadAnswer(f"not a valid HTTP answer ({type(error).__name__})") from error


def _read_body(answer: http.client.HTTPResponse) -> bytes:
    """In pieces: a false Content-Length must not make us reserve memory for it."""
    return b"".join(iter(lambda: answer.read(_PIECE_BYTES), b""))


def load_trust(ca_file: str | None) -> ssl.SSLContext:
    """Certificates are verified against ``ca_file`` alone, or against the system's authorities."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Unmeasured(f"ca_file {ca_file}: {error.strerror or error}") from error
