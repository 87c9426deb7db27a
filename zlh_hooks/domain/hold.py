"""Claims on guests: *hold*, we do no work there; *down*, it must not start. Each has an owner, a reason and an end.

A claim is a tag, ``zlh-hold.END`` or ``zlh-down.END``, which alone counts, and a line in the guest's notes that says
whose it is and why: ``zlh-down END by OWNER: REASON``, as ``hookscripts/zlh-guest-hook`` prints it. A line of templates
is held by ``zlh-line-hold.END`` on each of them: clones inherit tags, and that one counts on templates only.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from zlh_hooks.domain import tag
from zlh_hooks.domain.busy import is_busy
from zlh_hooks.domain.duration import render_duration
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.domain.guest import GuestConfig, Power, render_ha_resource
from zlh_hooks.domain.guest_hook import is_guest_hook, render_vmids
from zlh_hooks.domain.plain_text import render_line

LONGEST_OWNER, LONGEST_REASON = 64, 200
"""Characters; as many as the guest hook prints."""
LONGEST_CLAIM = timedelta(days=366)
"""From the moment in which it is made: what stands longer than that nobody remembers."""
IGNORED = "ignored"
"""The state of an HA resource that its manager leaves alone."""


class Claim(StrEnum):
    """What is claimed; the value is how its tag begins."""

    HOLD = tag.HOLD
    DOWN = tag.DOWN
    LINE = tag.LINE_HOLD

    @property
    def word(self) -> str:
        """Its name in a guest's notes and for people."""
        return self.value.removesuffix(".")


_NOTE = re.compile(r"(?P<tag>zlh-(?:hold|down|line-hold) \d{8}t\d{4}z) by (?P<owner>[^:]+): (?P<reason>.+)")


@dataclass(frozen=True, slots=True)
class Hold:
    """One claim. ``end`` as it stands in the tag; who and why are empty where the notes do not say."""

    claim: Claim
    end: str
    owner: str = ""
    reason: str = ""

    @property
    def tag(self) -> str:
        """As it stands on the guest."""
        return self.claim.value + self.end

    @property
    def until(self) -> datetime | None:
        """Its end, aware; None if nobody can read it."""
        return tag.parse_time(self.end)

    def is_over(self, now: datetime) -> bool:
        """Whether its end has come. One that nobody can read never comes for a hold, and is over for *down*."""
        return self.claim is Claim.DOWN if self.until is None else self.until <= now

    def render_note(self) -> str:
        """As it stands in the guest's notes."""
        return f"{self.claim.word} {self.end} by {self.owner}: {self.reason}"

    def __str__(self) -> str:
        until = f"{self.until:%Y-%m-%d %H:%M} UTC" if self.until else f"{self.end}, which is no time"
        return f"until {until}" + (f", by {self.owner}: {self.reason}" if self.owner else "")


def make_hold(claim: Claim, until: datetime, owner: str, reason: str) -> Hold:
    """A claim to the whole minute, with what people typed made fit for one line of notes."""
    who = render_line(owner.replace(":", " "), LONGEST_OWNER)
    return Hold(claim, tag.render_time(until), who, render_line(reason, LONGEST_REASON))


def find_end(now: datetime, length: timedelta) -> datetime:
    """When a claim of that length ends; ``SettingsError`` if that is too far away."""
    if length > LONGEST_CLAIM:
        raise SettingsError("hold", "its end", f"{render_duration(length)} from now", _ALLOWED)
    return now + length


def check_end(now: datetime, until: datetime) -> None:
    """``SettingsError`` if a claim may not end then."""
    if not now < until <= now + LONGEST_CLAIM:
        raise SettingsError("hold", "its end", f"{until:%Y-%m-%d %H:%M} UTC", _ALLOWED)


_ALLOWED = f"a minute that is to come, at most {LONGEST_CLAIM.days} days from now"


def list_loopholes(config: GuestConfig, power: Power, now: datetime) -> tuple[str, ...]:
    """Why the guest would start although it is marked down, each with what closes it; empty if nothing is known.

    While it is ``ignored``, all that is asked of Proxmox passes the HA manager by (pve-ha-manager 5.2, ``state``).
    """
    named, ref = config.values.get("hookscript", ""), config.ref
    found = []
    if not named:
        install = f"zlh-hooks-node install {render_vmids([ref.vmid])}, and without --vmid on each node before"
        found.append(f"guest {ref} does not name the guest hook, which alone would keep it from starting: {install}")
    elif not is_guest_hook(named):
        found.append(f"guest {ref} names {named}, not the guest hook, which alone would keep it from starting")
    if power.ha_managed and power.ha_state != IGNORED:
        free = f"ha-manager set {render_ha_resource(ref)} --state {IGNORED}"
        found.append(f"guest {ref} is under HA, which would try each node and leave it in error: {free}")
    elif power.ha_state == IGNORED and is_busy(config.tags, now):
        found.append(f"guest {ref} is in work, and HA gets it back after that: wait until its tag {tag.BUSY}… has gone")
    return tuple(found)


def list_holds(tags: Iterable[str], notes: str = "") -> tuple[Hold, ...]:
    """Every claim that the tags make, ended ones too; ``notes`` say whose they are."""
    matches = filter(None, map(_NOTE.match, notes.splitlines()))
    told = {match["tag"]: (match["owner"], match["reason"]) for match in matches}
    ends = [(claim, end) for claim in Claim for end in sorted(tag.values_of(claim.value, tags))]
    return tuple(Hold(claim, end, *told.get(f"{claim.word} {end}", ("", ""))) for claim, end in ends)


def find_hold(claim: Claim, tags: Iterable[str], now: datetime, notes: str = "") -> Hold | None:
    """The claim of that kind that lasts longest and is not over, if there is one."""
    lasting = [hold for hold in list_holds(tags, notes) if hold.claim is claim and not hold.is_over(now)]
    return max(lasting, key=lambda hold: (hold.until is None, hold.end), default=None)


def without_holds(notes: str, holds: Collection[Hold]) -> str:
    """The notes without what they say of these claims; all else stays as it is."""
    gone = {f"{hold.claim.word} {hold.end}" for hold in holds}
    lines = [line for line in notes.splitlines() if not ((match := _NOTE.match(line)) and match["tag"] in gone)]
    return "\n".join(lines)
