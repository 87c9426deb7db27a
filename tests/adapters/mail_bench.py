"""A real SMTP server on loopback that behaves well or badly."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.adapters.probes.stand_in import free_port
from zlh_hooks.adapters.mail import Letterhead, Login, MailChannel, MailServer
from zlh_hooks.adapters.trust import open_trust

LETTERHEAD = Letterhead("noc@example.com", "help@example.com", "https://status.example/")
LOGIN = Login("noc", "s3cret")


@dataclass
class Post:
    """What the server took, and how it is to behave: what it answers to each command or address, or what it does after the end."""

    answers: dict[str, str] = field(default_factory=dict)
    after_data: str = ""
    on_taken: Callable[[], None] = lambda: None
    taken: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    port: int = 0

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: Any) -> str:  # noqa: N802
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: Any) -> str:  # noqa: N802
        envelope.rcpt_tos.append(address)
        if self.answers.get("RCPT") == "":
            server.transport.abort()
        return self.answers.get(address, self.answers.get("RCPT", "250 OK"))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert envelope.mail_from is not None and isinstance(envelope.content, bytes)
        self.taken.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        self.on_taken()
        if self.after_data == "die":
            server.transport.abort()
        if self.after_data == "sleep":
            await asyncio.sleep(2)
        return self.answers.get("DATA", "250 2.0.0 Ok: queued as 4F1B")

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        return self.answers.get("QUIT", "221 Bye")

    def read_mails(self) -> list[EmailMessage]:
        """All that were taken, read by the standard library."""
        read = [message_from_bytes(content, policy=default) for _, _, content in self.taken]
        assert all(isinstance(one, EmailMessage) for one in read)
        return read  # type: ignore[return-value]

    def read_mail(self) -> EmailMessage:
        """The only one taken."""
        (mail,) = self.read_mails()
        return mail


class ImplicitTls(Controller):
    """The controller asks once whether the server is up, and its own way does not know TLS from the client's side."""

    def _trigger_server(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((self.hostname, self.port), 5) as plain, context.wrap_socket(plain) as secure:
            secure.recv(1024)


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"noc", b"s3cret")
    return AuthResult(success=known, handled=False)


@contextmanager
def mail_server(
    certificate: Path | None = None, *, implicit: bool = False, login: bool = False, **behaviour: Any
) -> Iterator[Post]:
    """Plain without a certificate; with one STARTTLS is demanded, or TLS from the beginning."""
    post = Post(port=free_port(), **behaviour)
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    options: dict[str, Any] = {}
    if login:  # aiosmtpd counts only STARTTLS as TLS
        options = {"authenticator": _authenticate, "auth_required": True, "auth_require_tls": not implicit}
    if implicit:
        controller: Controller = ImplicitTls(post, "127.0.0.1", post.port, ssl_context=context, **options)
    else:
        controller = Controller(
            post, "127.0.0.1", post.port, tls_context=context, require_starttls=context is not None, **options
        )
    controller.start()
    try:
        yield post
    finally:
        controller.stop()


def open_channel(
    post: Post, clock: Any, trusted: Path | None = None, security: str = "none", **options: Any
) -> MailChannel:
    """The channel under test, on that server."""
    more = {"timeout": timedelta(seconds=5), **options}
    server = MailServer("localhost", post.port, security, open_trust(trusted, "mail.ca_file"), **more)  # type: ignore[arg-type]
    return MailChannel(server, LETTERHEAD, clock)
