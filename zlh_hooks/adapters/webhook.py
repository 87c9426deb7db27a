"""Notices by webhook. Delivered means that the receiver answered 2xx.

The URLs come from customers. Each is looked up once, what it leads to is checked, and the connection goes to the very
address that was checked: a name that means something else a moment later gets nothing. Redirects are not followed.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zlh_hooks.adapters.public_address import find_addresses, is_public
from zlh_hooks.adapters.web import Reply, Request, Web
from zlh_hooks.adapters.webhook_shape import Shape
from zlh_hooks.domain.address import parse_url, render_host
from zlh_hooks.domain.errors import RoadError, TargetError
from zlh_hooks.domain.notice import Customer, Message
from zlh_hooks.domain.plain_text import render_line

LIMIT_BYTES = 64 * 1024
_PASSING = (408, 425, 429)
_LONGEST_WORDS = 60


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """One POST for each message; whoever calls counts the attempts.

    ``allow_private`` permits URLs that lead to private, link-local and loopback addresses.
    """

    web: Web
    shape: Shape
    allow_private: bool = False
    find: Callable[[str, int], Sequence[str]] = find_addresses

    @property
    def name(self) -> str:
        """For tables and the ledger."""
        return "webhook"

    def find_address(self, customer: Customer) -> str | None:
        """The customer's URL, which may be a secret."""
        return customer.webhook

    def send_notice(self, address: str, message: Message) -> str:
        """The receiver's answer; the message's number too, if it is Discord."""
        request = self.shape.render(_check(address), message, self.web.clock.now())
        return _judge(self.web.ask(request, self._choose_addresses(request)), render_host(address))

    def _choose_addresses(self, request: Request) -> Sequence[str]:
        """All that the name means, if the settings let us go to each of them."""
        addresses = self.find(request.host, request.port)
        hidden = [] if self.allow_private else [one for one in addresses if not is_public(one)]
        if hidden:
            raise TargetError(f"{request.host} leads to {hidden[0]}, which is no public address (allow_private)")
        return addresses


def _check(url: str) -> str:
    try:
        return parse_url(url)
    except ValueError as error:
        raise TargetError(str(error)) from error


def _judge(reply: Reply, host: str) -> str:
    answer = f"{reply.status} {render_line(reply.reason, _LONGEST_WORDS)}".strip()
    if 200 <= reply.status < 300:
        return answer + _find_number(reply.body)
    if reply.status in _PASSING or not 300 <= reply.status < 500:
        wait = render_line(reply.headers.get("retry-after", ""), _LONGEST_WORDS)
        raise RoadError(f"{host} answered {answer}" + (f"; it asks to wait for {wait} s or until then" if wait else ""))
    redirect = "; redirects are not followed" if reply.status < 400 else ""
    raise TargetError(f"{host} answered {answer}{redirect}")


def _find_number(body: bytes) -> str:
    """Of the message that Discord made of ours."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    number = document.get("id") if isinstance(document, dict) else None
    return f", message {number}" if isinstance(number, str) and number.isascii() and number.isdigit() else ""
