"""What of outages lay in windows of the policy. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from zlh_hooks.domain.outage import Outage
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.span import Span, Spans, intersect
from zlh_hooks.domain.window import list_usable
from zlh_hooks.domain.window_rule import Component


def place_in_windows(outages: Iterable[Outage], policy: Policy) -> list[Outage]:
    """The same, each with what of it lay in a window of its component as the policy has them now."""
    known = list(outages)
    usable = {kind: _list_usable(known, policy, *kind) for kind in {(one.component, one.security) for one in known}}
    return [replace(one, in_windows=intersect([one.span], usable[one.component, one.security])) for one in known]


def _list_usable(outages: Iterable[Outage], policy: Policy, component: Component, security: bool) -> Spans:
    """Windows of the whole time that such outages are spread over: to expand them for each takes minutes."""
    spans = [one.span for one in outages if (one.component, one.security) == (component, security)]
    whole = Span(min(span.begin for span in spans), max(span.end for span in spans))
    return list_usable(policy, component, whole, security=security)
