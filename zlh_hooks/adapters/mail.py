"""Notices by SMTP. Delivered means that the server took it over: its answer to the end of DATA was 2xx."""

import hashlib
import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from typing import Literal

from zlh_hooks.adapters.calendar import Publisher, choose_method, render_event
from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.address import parse_mail
from zlh_hooks.domain.errors import RoadError, TargetError, Unanswered
from zlh_hooks.domain.notice import CalendarEvent, Customer, Message
from zlh_hooks.domain.plain_text import render_line, render_lines

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_OURS = 530
"""That we must log in or use TLS first: the settings are wrong, not the address."""
_LONGEST_ANSWER = 300


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to the server."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailServer:
    """How the server is reached. ``trust`` decides whose certificate it may show; each answer may take ``timeout``."""

    host: str
    port: int
    security: Literal["tls", "starttls", "none"]
    trust: ssl.SSLContext
    login: Login | None = None
    timeout: timedelta = timedelta(seconds=30)

    def __str__(self) -> str:
        return f"mail server {self.host}:{self.port}"

    @contextmanager
    def open_session(self) -> Iterator[smtplib.SMTP]:
        """Connected, encrypted as asked and logged in; no answer to QUIT matters any more."""
        session = self._connect()
        try:
            if self.security == "starttls":
                session.starttls(context=self.trust)
            if self.login is not None:
                session.login(self.login.user, self.login.password)
            session.ehlo_or_helo_if_needed()
            yield session
            with suppress(OSError):
                session.quit()
        finally:
            session.close()

    def _connect(self) -> smtplib.SMTP:
        seconds = self.timeout.total_seconds()
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=seconds, context=self.trust)
        return smtplib.SMTP(self.host, self.port, timeout=seconds)


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What every mail says of whoever writes it. ``url``: where the public reads of maintenance; ``label``: a sort."""

    sender: str
    reply_to: str | None = None
    url: str | None = None
    label: str = "maintenance"

    @property
    def domain(self) -> str:
        """The sender's."""
        return self.sender.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class MailChannel:
    """One connection for each message: notices are few, and a lost connection then says of which one."""

    server: MailServer
    letterhead: Letterhead
    clock: Clock

    @property
    def name(self) -> str:
        """For tables and the ledger."""
        return "mail"

    def find_address(self, customer: Customer) -> str | None:
        """The customer's mail address."""
        return customer.mail

    def send_notice(self, address: str, message: Message) -> str:
        """The server's answer to the end of the message, with its queue's number if it tells."""
        document = render_mail(message, _check(address), self.letterhead, self.clock.now()).as_bytes(policy=SMTP)
        try:
            with self.server.open_session() as session:
                return _hand_over(session, self.letterhead.sender, address, document)
        except smtplib.SMTPResponseException as error:
            words = _render_answer(error.smtp_code, error.smtp_error)
            raise RoadError(f"{self.server}: {_explain(error)}: {words}") from error
        except (OSError, UnicodeError) as error:
            raise RoadError(f"{self.server}: {_explain(error)}: {error}") from error


def _check(address: str) -> str:
    try:
        return parse_mail(address)
    except ValueError as error:
        raise TargetError(f"{address!r} is no mail address") from error


def _hand_over(session: smtplib.SMTP, sender: str, address: str, document: bytes) -> str:
    code, words = session.mail(sender)
    if not 200 <= code < 300:
        raise RoadError(f"the mail server refuses the sender {sender}: {_render_answer(code, words)}")
    _expect(2, f"does not take mail for {address}", session.rcpt(address))
    _expect(3, f"does not take the message to {address}", session.docmd("DATA"))
    session.send(re.sub(rb"(?m)^\.", b"..", document) + b".\r\n")
    return _expect(2, f"does not take the message to {address}", _read_last(session, address))


def _read_last(session: smtplib.SMTP, address: str) -> tuple[int, bytes]:
    """From here on the server may have taken it, whatever we hear."""
    try:
        code, words = session.getreply()
    except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException) as error:
        raise Unanswered(f"the message to {address} was sent, and the mail server's answer was lost") from error
    if not 200 <= code < 600:
        raise Unanswered(f"the message to {address} was sent, and the mail server's answer makes no sense")
    return code, words


def _expect(first: int, refusal: str, answer: tuple[int, bytes]) -> str:
    """The answer if its first digit is that one; 5 is for good, all else may pass."""
    code, words = answer
    text = _render_answer(code, words)
    if code // 100 == first:
        return text
    if code // 100 == 5 and code != _OURS:
        raise TargetError(f"the mail server {refusal}: {text}")
    raise RoadError(f"the mail server {refusal} now: {text}")


def _explain(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "refuses the user or the password"
    if isinstance(error, smtplib.SMTPResponseException | smtplib.SMTPNotSupportedError):
        return "refuses to talk to us"
    return "no safe connection" if isinstance(error, ssl.SSLError) else "no connection"


def _render_answer(code: int, words: bytes | str) -> str:
    """The server's words on one line: they are foreign, and go to the ledger."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return render_line(f"{code} {text}", _LONGEST_ANSWER)


def render_mail(message: Message, address: str, letterhead: Letterhead, now: datetime) -> EmailMessage:
    """The message as mail. Robots are asked not to answer, but bounces are welcome: they say who was not reached."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = letterhead.sender
    mail["To"] = address
    mail["Subject"] = render_line(message.subject)
    mail["Date"] = now
    mail["Message-ID"] = f"<{_name(message.id)}@{letterhead.domain}>"
    if letterhead.reply_to:
        mail["Reply-To"] = letterhead.reply_to
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    mail["List-Id"] = f"{letterhead.label.capitalize()} notices <{letterhead.label}.{letterhead.domain}>"
    mail.set_content(render_lines(message.text) + "\n", charset="utf-8", cte="quoted-printable")
    if message.event is not None:
        _attach(mail, message.event, letterhead)
    return mail


def _attach(mail: EmailMessage, event: CalendarEvent, letterhead: Letterhead) -> None:
    document = render_event(event, Publisher(letterhead.url, letterhead.sender))
    mail.add_attachment(
        document.decode("utf-8"),
        subtype="calendar",
        charset="utf-8",
        cte="base64",
        filename="maintenance.ics",
        params={"method": choose_method(event)},
    )


def _name(id_: str) -> str:
    """The id where it may stand in a Message-ID (RFC 5322), else its digest: the same for the same id."""
    return id_ if _PLAIN_ID.fullmatch(id_) else hashlib.sha256(id_.encode("utf-8", "replace")).hexdigest()[:32]
