"""The way to Proxmox's REST API: one request, answered, refused or lost. Reads are repeated, writes never."""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import requests
from proxmoxer import ProxmoxAPI, ResourceException
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_exponential
from urllib3.exceptions import NewConnectionError

from zlh_hooks.adapters.proxmox_access import Access
from zlh_hooks.adapters.proxmox_error import Request, is_passing, translate_refusal
from zlh_hooks.domain.errors import RoadError, Unanswered, ZlhError

_LONGEST_ANSWER = timedelta(seconds=35)
"""pveproxy waits 30 s for another node before it answers itself: giving up earlier on a write only creates doubt."""
_ATTEMPTS = 6
"""Of a read, within about 5 s when each is refused at once: longer than a guest needs to restart its init."""
_GARBLED = (KeyError, TypeError, AttributeError)
"""What comes of an answer that is not Proxmox's ``{"data": ...}``, e.g. a page of a proxy in between."""


def permit_all() -> None:
    """For those who need nobody's permission to write."""


class Link:
    """Sends requests; safe to share between threads. Errors are the library's own, never the token in them.

    ``permit`` is called right before each write and raises if it must not be sent (any more).
    """

    def __init__(self, access: Access, permit: Callable[[], None] = permit_all) -> None:
        self._access = access
        self._permit = permit
        self._local = threading.local()

    def get(self, *path: object, of_guest: bool = False, **params: Any) -> Any:
        """The ``data`` of the answer. Repeated a few times while only the road fails."""
        request = _make_request("GET", path, of_guest)
        attempts = Retrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_attempt(_ATTEMPTS) | stop_after_delay(60),
            wait=wait_exponential(multiplier=0.2, max=2),
            reraise=True,
        )
        try:
            return attempts(self._send, self._reading_api(), request, params)
        except (ResourceException, OSError, *_GARBLED) as error:
            raise self._translate(error, request) from error

    def write(self, method: str, *path: object, of_guest: bool = True, **values: Any) -> Any:
        """The ``data`` of the answer to a POST, PUT or DELETE, sent once.

        On a connection of its own: one kept open may be closed by the server in the moment it is used again, and then
        nobody could tell whether the write arrived.
        """
        request = _make_request(method, path, of_guest)
        self._permit()
        try:
            return self._send(self._open(max(self._access.timeout, _LONGEST_ANSWER)), request, values)
        except (ResourceException, OSError, *_GARBLED) as error:
            raise self._translate(error, request) from error

    def _reading_api(self) -> ProxmoxAPI:
        if not hasattr(self._local, "api"):
            self._local.api = self._open(self._access.timeout)
        return self._local.api

    def _open(self, timeout: timedelta) -> ProxmoxAPI:
        access = self._access
        return ProxmoxAPI(
            access.host,
            port=access.port,
            user=access.user,
            token_name=access.token_name,
            token_value=access.token,
            verify_ssl=str(access.ca_file) if access.ca_file else True,
            timeout=timeout.total_seconds(),
        )

    @staticmethod
    def _send(api: ProxmoxAPI, request: Request, values: Mapping[str, object]) -> Any:
        resource = api([quote(part, safe="") for part in request.path])  # a UPID holds ":" and may hold ">"
        answer = getattr(resource, request.method.lower())(**values)
        if isinstance(answer, dict) and isinstance(answer.get("errors"), bytes):
            raise TypeError("not JSON")  # proxmoxer hands such a body on as if it were an answer
        return answer

    def _translate(self, error: Exception, request: Request) -> ZlhError:
        if isinstance(error, ResourceException):
            return translate_refusal(error, request)
        where = f"{self._access.host}:{self._access.port}"
        if isinstance(error, _GARBLED):
            lost: type[RoadError] = Unanswered if request.changing else RoadError
            return lost(f"{request}: {where} did not answer as Proxmox does")
        return _translate_loss(error, request, where)


def _make_request(method: str, path: tuple[object, ...], of_guest: bool) -> Request:
    return Request(method, tuple(str(part) for part in path), of_guest)


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, ResourceException):
        return is_passing(error)
    passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, passing) and not isinstance(error, requests.exceptions.SSLError)


def _translate_loss(error: Exception, request: Request, where: str) -> RoadError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RoadError(f"the certificate of {where} is not trusted: set ca_file, e.g. to /etc/pve/pve-root-ca.pem")
    if not request.changing or _never_sent(error):
        return RoadError(f"{request}: {where} cannot be reached ({_name(error)})")
    return Unanswered(f"{request}: sent to {where}, but its answer was lost ({_name(error)})")


def _never_sent(error: Exception) -> bool:
    if isinstance(error, requests.ConnectTimeout) or not isinstance(error, requests.RequestException):
        return True  # a plain OSError is a missing ca_file
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)


def _name(error: Exception) -> str:
    cause = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return f"{type(error).__name__}: {cause}"
