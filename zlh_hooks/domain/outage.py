"""What is known of a guest's downtime, before it is counted: outages, and gaps in what was seen. Pure values."""

from dataclasses import dataclass

from zlh_hooks.domain.span import Span, Spans
from zlh_hooks.domain.window_rule import Component


@dataclass(frozen=True, slots=True)
class KnownGuest:
    """A customer's guest. ``node`` is None if nobody says where it runs; ``kind`` and ``line`` if it has none."""

    vmid: int
    name: str
    node: str | None = None
    kind: str | None = None
    line: str | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a guest could not be used. ``cause`` is for people.

    ``announced``: the times of which its customer was told before; what lies in them is planned. ``is_open``: it had
    not ended when it was last looked at, and ``span`` ends there. ``rollout``: the one whose act it was, or empty.
    ``component``: whose windows it is looked up in; ``security``: freezes that spare security fixes did not stop it.
    ``in_windows``: what of it lay in such windows.
    """

    vmid: int
    span: Span
    cause: str
    announced: Spans = ()
    is_open: bool = False
    rollout: str = ""
    component: Component = Component.TEMPLATE
    security: bool = False
    in_windows: Spans = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nobody can say whether a guest could be used, and why not."""

    vmid: int
    span: Span
    cause: str
