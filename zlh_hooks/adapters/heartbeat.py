"""A heartbeat: a URL of a service that tells a person when nobody calls it any more."""

from dataclasses import dataclass, field

from zlh_hooks.adapters.web import Request, Web
from zlh_hooks.domain.address import parse_url, render_host
from zlh_hooks.domain.errors import RoadError, SettingsError

LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class UrlPulse:
    """The Pulse port: one GET, which all such services understand. The URL is a secret."""

    url: str = field(repr=False)
    web: Web

    def beat(self) -> None:
        """Call once; ``RoadError`` unless the answer is 2xx."""
        reply = self.web.ask(Request("GET", self.url))
        if not 200 <= reply.status < 300:
            raise RoadError(f"{render_host(self.url)} answered {reply.status}; expected 200 to 299")


def check_url(text: str, key: str) -> str:
    """A URL that was read from a file; ``SettingsError`` shows its host at most."""
    try:
        return parse_url(text)
    except ValueError as error:
        raise SettingsError("zlh-hooks.toml", key, render_host(text), str(error)) from error
