"""Tags that a guest has from the template it was cloned from, though what they say is true of the template alone."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from zlh_hooks.application.retag import ChannelPorts, recorded, write_all
from zlh_hooks.domain import tag
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.value import VmidRange

TAKEN_OFF = "inherited tags"


@dataclass(frozen=True, slots=True)
class InheritedTags:
    """Takes line, channel and revocation off clones; the version stays. ``scratch``: numbers of our own guests."""

    ports: ChannelPorts
    scratch: VmidRange
    say: Callable[[str], None]

    def take_off(self, guests: Collection[int]) -> None:
        """Off these of the guests that carry any. One that is in work, or that does not let us, keeps them for now."""
        refs = [
            guest.ref
            for guest in self.ports.list_guests()
            if guest.vmid in guests and guest.is_container and not guest.template and list_inherited(guest.tags)
        ]
        refs = [ref for ref in refs if ref.vmid not in self.scratch.numbers()]
        if not refs:
            return
        with recorded(self.ports, TAKEN_OFF, {"guests": [ref.vmid for ref in refs]}):
            written = write_all(self.ports, refs, self._write)
        for ref, tags in written.done.items():
            if tags:
                self.say(f"guest {ref} is no template: taken off {', '.join(tags)}")
        for ref, error in written.failed.items():
            self.say(f"guest {ref} keeps tags of its template until it is noted again: {error}")

    def _write(self, ref: GuestRef) -> tuple[str, ...]:
        """What was taken off. It is decided by the config: the listing is seconds old."""
        config = self.ports.inventory.read_config(ref)
        inherited = list_inherited(config.tags)
        if config.flag("template") or not inherited:
            return ()
        left = tag.render_tags(set(config.tags) - set(inherited))
        values, delete = ({"tags": left}, []) if left else ({}, ["tags"])
        self.ports.editor.write_config(ref, values, config.digest, delete=delete)
        return inherited


def list_inherited(tags: Iterable[str]) -> tuple[str, ...]:
    """Those that only a template may have; none of a guest in work, whose tags are its rollout's."""
    carried = tuple(tags)
    if tag.values_of(tag.ROLLOUT, carried):
        return ()
    return tuple(one for one in carried if one == tag.REVOKED or one.startswith((tag.LINE, tag.CHANNEL)))
