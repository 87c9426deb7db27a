"""The operator is told of guests that moved or have another address: once by each channel that reaches them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zlh_hooks.application.ports import Clock, NoteRecord, NoticeChannel
from zlh_hooks.domain.errors import RoadError, TargetError
from zlh_hooks.domain.guest_change import FRESH, GuestChange, draft_told, list_untold, read_changes, render_message
from zlh_hooks.domain.notice import Customer
from zlh_hooks.domain.value import VmidRange


@dataclass(frozen=True, slots=True)
class ChangeNotice:
    """``scratch``: numbers of our own guests, which come and go anywhere. ``controller``: its name, for the subject.

    What was told is recorded after it: who is killed in between tells it twice.
    """

    record: NoteRecord
    open_channels: Callable[[], Sequence[NoticeChannel]]
    operator: Customer
    controller: str
    scratch: VmidRange
    clock: Clock
    say: Callable[[str], None]

    def tell(self) -> tuple[RoadError, ...]:
        """All that is fresh and not told yet; why channels have failed, which are to be tried again."""
        entries = self.record.read_changes(self.clock.now() - FRESH)
        entries = tuple(one for one in entries if one.target not in self.scratch)
        if not any(read_changes(entries)):
            return ()
        failed = []
        for channel in self.open_channels():
            address, untold = channel.find_address(self.operator), list_untold(entries, channel.name)
            if address is not None and untold:
                failed += self._send(channel, address, untold)
        return tuple(failed)

    def _send(self, channel: NoticeChannel, address: str, untold: Sequence[GuestChange]) -> list[RoadError]:
        try:
            answer = channel.send_notice(address, render_message(untold, self.controller))
        except TargetError as error:
            self.say(f"the operator is not told by {channel.name}, which refuses the address: {error}")
            answer = f"refused: {error}"
        except RoadError as error:
            self.say(f"the operator could not be told by {channel.name}: {error}")
            return [error]
        self.record.append(draft_told(channel.name, untold, answer))
        return []
