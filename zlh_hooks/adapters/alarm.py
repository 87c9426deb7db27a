"""A channel for notices that tells whoever is on duty at one address, by a server of its own."""

from dataclasses import dataclass, field

from zlh_hooks.application.ports import NoticeChannel
from zlh_hooks.domain.notice import Message


@dataclass(frozen=True, slots=True)
class ChannelAlarm:
    """The Alarm port. ``address`` may be a secret, ``name`` is none."""

    name: str
    channel: NoticeChannel
    address: str = field(repr=False)

    def raise_alarm(self, message: Message) -> None:
        """Tell it once; errors are those of the channel."""
        self.channel.send_notice(self.address, message)
