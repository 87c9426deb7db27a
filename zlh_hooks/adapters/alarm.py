"""A channel for notices that tells whoever is on duty: an address after the other, by servers of its own."""

from dataclasses import dataclass, field

from zlh_hooks.application.ports import NoticeChannel
from zlh_hooks.domain.errors import RoadError, TargetError, ZlhError
from zlh_hooks.domain.notice import Message


@dataclass(frozen=True, slots=True)
class ChannelAlarm:
    """The Alarm port."""

    channel: NoticeChannel
    addresses: tuple[str, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """The channel's."""
        return self.channel.name

    def raise_alarm(self, message: Message) -> None:
        """Tell all of them; ``RoadError`` if nobody was reached. An address that is refused keeps no other from it."""
        faults: list[ZlhError] = []
        for address in self.addresses:
            try:
                self.channel.send_notice(address, message)
            except (RoadError, TargetError) as error:
                faults.append(error)
        if len(faults) == len(self.addresses):
            raise RoadError("; ".join(str(fault) for fault in faults))
