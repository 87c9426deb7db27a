"""Tags that a guest has from the one it was cloned from, though what they say is true of that alone."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from zlh_hooks.application.mark import is_in_work
from zlh_hooks.application.retag import ChannelPorts, recorded, write_all
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import GuestMissing
from zlh_hooks.domain.guest import GuestRef, GuestSummary
from zlh_hooks.domain.value import VmidRange

TAKEN_OFF = "inherited tags"


@dataclass(frozen=True, slots=True)
class InheritedTags:
    """Takes line, channel, revocation and the sign of work off clones; the version stays, and whose work it was.

    ``scratch``: numbers of our own guests.
    """

    ports: ChannelPorts
    scratch: VmidRange
    say: Callable[[str], None]

    def take_off(self, guests: Collection[int]) -> None:
        """Off these of the guests that carry any. One that is in work, or that does not let us, keeps them for now."""
        containers = (guest for guest in self.ports.list_guests() if guest.is_container and not guest.template)
        noted = (guest for guest in containers if guest.vmid in guests and guest.vmid not in self.scratch)
        refs = [guest.ref for guest in noted if list_inherited(guest.tags) and not self._is_in_work(guest)]
        if not refs:
            return
        with recorded(self.ports, TAKEN_OFF, {"guests": [ref.vmid for ref in refs]}):
            written = write_all(self.ports, refs, self._write)
        for ref, tags in written.done.items():
            if tags:
                self.say(f"guest {ref} is no template: taken off {', '.join(tags)}")
        for ref, error in written.failed.items():
            self.say(f"guest {ref} keeps tags of its template until it is noted again: {error}")

    def _is_in_work(self, guest: GuestSummary) -> bool:
        """One that went meanwhile has no tags to lose."""
        if not tag.values_of(tag.ROLLOUT, guest.tags):
            return False
        try:
            return is_in_work(self.ports.inventory.read_config(guest.ref))
        except GuestMissing:
            return True

    def _write(self, ref: GuestRef) -> tuple[str, ...]:
        """What was taken off. It is decided by the config: the listing is seconds old."""
        config = self.ports.inventory.read_config(ref)
        inherited = list_inherited(config.tags)
        if config.flag("template") or is_in_work(config) or not inherited:
            return ()
        left = tag.render_tags(set(config.tags) - set(inherited))
        values, delete = ({"tags": left}, []) if left else ({}, ["tags"])
        self.ports.editor.write_config(ref, values, config.digest, delete=delete)
        return inherited


def list_inherited(tags: Iterable[str]) -> tuple[str, ...]:
    """Those that only a template may have, or a guest in work."""
    return tuple(one for one in tags if one == tag.REVOKED or one.startswith((tag.LINE, tag.CHANNEL, tag.BUSY)))
