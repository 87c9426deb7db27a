"""A customer directory behind a URL, which answers GET with the JSON document of ``directory``."""

from dataclasses import dataclass, field
from datetime import timedelta

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from zlh_hooks.adapters.directory import parse_customers, parse_document
from zlh_hooks.adapters.web import Reply, Request, Web
from zlh_hooks.domain.address import render_host
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.notice import Customer

ATTEMPTS = 3
KEPT = timedelta(minutes=5)
LIMIT_BYTES = 16 * 1024 * 1024
_TOO_MANY, _FIRST_SERVER_ERROR = 429, 500


@dataclass(slots=True)
class DirectoryUrl:
    """Asked at most every five minutes. What may pass by itself is tried again: no connection, no answer, 429, 5xx."""

    url: str = field(repr=False)
    web: Web
    token: str | None = field(default=None, repr=False)
    _read_at: float | None = None
    _customers: tuple[Customer, ...] = field(default=(), repr=False)

    def list_customers(self) -> tuple[Customer, ...]:
        """All of them, as they were at most five minutes ago."""
        now = self.web.clock.monotonic()
        if self._read_at is None or now - self._read_at >= KEPT.total_seconds():
            self._customers = parse_customers(parse_document(self._fetch(), self._name), self._name)
            self._read_at = now
        return self._customers

    @property
    def _name(self) -> str:
        """Without what may be secret in it."""
        return f"customer directory at {render_host(self.url)}"

    def _fetch(self) -> bytes:
        attempts = Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=0.5, max=5),
            sleep=lambda seconds: self.web.clock.sleep(timedelta(seconds=seconds)),
            reraise=True,
        )
        return attempts(self._ask).body

    def _ask(self) -> Reply:
        headers = {"Accept": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            reply = self.web.ask(Request("GET", self.url, headers))
        except RoadError as error:
            raise _Passing(f"{self._name}: {error}") from error
        if reply.status == _TOO_MANY or reply.status >= _FIRST_SERVER_ERROR:
            raise _Passing(f"{self._name}: answered {reply.status}")
        if reply.status != 200:
            raise RoadError(f"{self._name}: answered {reply.status}; expected 200 (redirects are not followed)")
        if reply.broken:
            raise _Passing(f"{self._name}: the answer is not whole ({reply.broken})")
        return reply


class _Passing(RoadError):
    """May pass by itself."""
