"""The table ``[dead_man]`` of ``zlh-hooks.toml``: who is told when nobody looks after the work any more, and how."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from zlh_hooks.domain.address import MailAddress
from zlh_hooks.domain.flaw import Misfit
from zlh_hooks.domain.value import AbsolutePath, Value
from zlh_hooks.notice_settings import MailSettings, WebhookSettings

MEMORY = Path("/run/zlh-hooks-dead-man/memory.json")
"""In memory: a full disk may be what is amiss."""


class AlarmMailSettings(MailSettings):
    """A mail server for alarms, better not the one that takes notices."""

    to: tuple[MailAddress, ...] = Field(min_length=1, description="Addresses that wake whoever is on duty.")


class AlarmWebhookSettings(WebhookSettings):
    """Where alarms are posted."""

    url_file: AbsolutePath = Field(description="The URL, which is a secret; not world-readable.")


class DeadManSettings(Value):
    """At least one of the three; with the heartbeat a dead machine is noticed too."""

    heartbeat_url_file: AbsolutePath | None = Field(
        default=None, description="A URL that is called while all is well; not world-readable."
    )
    mail: AlarmMailSettings | None = Field(default=None, description="Tells by mail.")
    webhook: AlarmWebhookSettings | None = Field(default=None, description="Tells by webhook.")
    memory: AbsolutePath = Field(default=MEMORY, description="What was seen and told.")

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if self.heartbeat_url_file is None and self.mail is None and self.webhook is None:
            raise Misfit((), "nothing", "heartbeat_url_file, mail or webhook, or several")
        return self
