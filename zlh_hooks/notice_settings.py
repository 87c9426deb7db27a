"""The tables of ``zlh-hooks.toml`` that say how customers are found and told. All may be left out."""

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, StrictBool, StrictInt, field_validator, model_validator

from zlh_hooks.domain.address import MailAddress, WebAddress, is_loopback
from zlh_hooks.domain.flaw import Misfit, render_found
from zlh_hooks.domain.value import AbsolutePath, PositiveDuration, Value

_PORTS = {"tls": 465, "starttls": 587, "none": 25}


class DirectorySettings(Value):
    """Who has which guests: exactly one of a file and a URL."""

    file: AbsolutePath | None = Field(default=None, description="A .csv or .json file.")
    url: WebAddress | None = Field(default=None, repr=False, description="Answers with the same JSON as the file has.")
    token_file: AbsolutePath | None = Field(default=None, description="Bearer token for the URL; not world-readable.")
    timeout: PositiveDuration = Field(default=timedelta(seconds=10), description="How long the URL's answer may take.")

    @field_validator("file")
    @classmethod
    def _check_kind(cls, file: Path | None) -> Path | None:
        if file is not None and file.suffix not in (".csv", ".json"):
            raise ValueError("a file whose name ends in .csv or .json")
        return file

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise Misfit((), "both" if self.file else "neither", "file or url, exactly one of them")
        if self.token_file and self.file:
            raise Misfit(("token_file",), render_found(self.token_file), "none: only a url needs it")
        return self


class MailSettings(Value):
    """The SMTP server that takes our mail. Certificates are always verified."""

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]+$", description="The server's name, as its certificate has it.")
    port: StrictInt = Field(default=0, ge=0, le=65535, description="0: 465 for tls, 587 for starttls, 25 for none.")
    security: Literal["tls", "starttls", "none"] = Field(
        default="starttls", description="none only where the host is this machine itself."
    )
    user: str | None = Field(default=None, pattern=r"^[!-~]+$", description="Whom to log in as; nobody if left out.")
    password_file: AbsolutePath | None = Field(default=None, description="The user's password; not world-readable.")
    sender: MailAddress = Field(description="From whom notices come.")
    reply_to: MailAddress | None = Field(default=None, description="Where answers go; to the sender if left out.")
    ca_file: AbsolutePath | None = Field(default=None, description="CA of the server; the system's trust if left out.")
    timeout: PositiveDuration = Field(default=timedelta(seconds=30), description="How long each answer may take.")

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            missing = "user" if self.user is None else "password_file"
            raise Misfit((missing,), "nothing", "user and password_file together, or neither")
        return self

    @model_validator(mode="after")
    def _check_security(self) -> Self:
        if self.security == "none" and not is_loopback(self.host):
            expected = (
                f'"tls" or "starttls": {self.host} is not this machine, and mail would cross the network in clear'
            )
            raise Misfit(("security",), '"none"', expected)
        return self

    @property
    def real_port(self) -> int:
        """The port, or what is usual for the kind of security."""
        return self.port or _PORTS[self.security]


class WebhookSettings(Value):
    """How messages to the URLs of customers are signed and shaped.

    ``allow_private``: the URLs come from customers, so by default none may lead to an address that only this network
    reaches (its routers, Proxmox itself, a cloud's metadata): a notice could be turned into a request to those.
    """

    shape: Literal["plain", "discord"] = Field(default="plain", description="Which document the URLs understand.")
    secret_file: AbsolutePath | None = Field(default=None, description="Signs plain messages; not world-readable.")
    timeout: PositiveDuration = Field(default=timedelta(seconds=10), description="How long one message may take.")
    allow_private: StrictBool = Field(
        default=False, description="Whether URLs may lead to private, link-local and loopback addresses."
    )
    ca_file: AbsolutePath | None = Field(default=None, description="CA of the URLs; the system's trust if left out.")

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if self.shape == "plain" and self.secret_file is None:
            raise Misfit(("secret_file",), "nothing", "a file: who gets a plain message checks its signature")
        if self.shape == "discord" and self.secret_file is not None:
            raise Misfit(("secret_file",), render_found(self.secret_file), "none: messages to Discord are not signed")
        return self


class FeedSettings(Value):
    """What everybody may read of changes to come and in work."""

    directory: AbsolutePath = Field(description="Where status.json and maintenance.ics are written.")
    url: WebAddress | None = Field(default=None, description="Where the public reads them.")


class DeferralSettings(Value):
    """How customers get to other dates by themselves: by signed links in notices."""

    url: WebAddress = Field(description="The page that passes the token of a link to `zlh-hooks defer --link -`.")
    key_file: AbsolutePath = Field(
        description="Signs the links: at least 32 characters, not world-readable. Another key ends all links."
    )

    @field_validator("url")
    @classmethod
    def _check_whole(cls, url: str) -> str:
        if "#" in url:
            raise ValueError("a URL without #: what stands behind it is never sent to the page")
        return url


class OperatorSettings(Value):
    """Whoever runs the platform: told of guests without an owner, and of guests that moved or have another address."""

    mail: MailAddress | None = Field(default=None, description="Where the operator gets mail.")
    webhook: WebAddress | None = Field(
        default=None, repr=False, description="Where the operator gets webhook messages."
    )

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if self.mail is None and self.webhook is None:
            raise Misfit((), "neither", "mail or webhook, or both")
        return self
