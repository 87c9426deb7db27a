"""A question to Prometheus about a guest. Whatever goes wrong with Prometheus itself says nothing about the guest."""

import ipaddress
import math
import operator
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from zlh_hooks.adapters.probes.answer import Answer, BadAnswer, Question, Unmeasured, describe_error
from zlh_hooks.adapters.probes.document import find_value, parse_document
from zlh_hooks.adapters.probes.page import Page, Site, load_trust, read_page
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.probe import PrometheusProbe

_PLACE = re.compile(r"\{(vmid|address|node)\}")
_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?\Z")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Sample = tuple[str, float]
"""Which series (its labels, for people) and its value."""


def ask_prometheus(probe: PrometheusProbe, question: Question) -> Answer:
    """Every sample must satisfy the comparison; NaN never does, and no sample at all is a bad answer."""
    page = _read(probe.url, fill_query(probe.query, question.guest, question.address), question)
    samples = parse_samples(page)
    if not samples:
        raise BadAnswer("the query finds no sample")
    satisfies = _COMPARE[probe.compare]
    wanted = f"{probe.compare} {probe.value:g}"
    bad = [each for each in samples if math.isnan(each[1]) or not satisfies(each[1], probe.value)]
    if bad:
        raise BadAnswer(f"{len(bad)} of {len(samples)} samples not {wanted}: {bad[0][1]:g} {bad[0][0]}".rstrip())
    return Answer(f"{len(samples)} of {len(samples)} samples {wanted}")


def fill_query(query: str, guest: GuestRef, address: str) -> str:
    """Put guest facts into the query; what could mean something to PromQL besides itself is refused."""
    if not _NODE.match(guest.node):
        raise Unmeasured(f"{guest.node!r} is not a node name")
    ip = ipaddress.ip_address(address.partition("%")[0])
    values = {"vmid": f"{guest.vmid:d}", "address": str(ip), "node": guest.node}
    return _PLACE.sub(lambda place: values[place[1]], query)


def _read(url: str, query: str, question: Question) -> Page:
    try:
        parts = urlsplit(url)
        trust = load_trust(None) if parts.scheme == "https" else None
        site = Site(parts.hostname or "", parts.port or (80 if trust is None else 443), trust)
        path = f"{parts.path.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
        return read_page(site, path, question.deadline)
    except OSError as error:
        raise Unmeasured(f"Prometheus: {describe_error(error, question.deadline)}") from error
    except (BadAnswer, ValueError) as error:
        raise Unmeasured(f"Prometheus: {error}") from error


def parse_samples(page: Page) -> tuple[Sample, ...]:
    """The samples of an instant query's answer; ``Unmeasured`` for errors and for what is not one."""
    try:
        document = parse_document(page.body)
        if page.status != 200:
            raise Unmeasured(f"Prometheus answered {page.status}: {find_value(document, 'error')}")
        kind, result = find_value(document, "data.resultType"), find_value(document, "data.result")
    except BadAnswer as error:
        raise Unmeasured(f"Prometheus answered {page.status}: {error}") from error
    if kind == "scalar":
        return (("", _parse_value(result)),)
    if kind != "vector" or not isinstance(result, list):
        raise Unmeasured("Prometheus: the query gives neither a vector nor a scalar")
    return tuple(_parse_sample(each) for each in result)


def _parse_sample(sample: object) -> Sample:
    if not isinstance(sample, dict) or "value" not in sample:
        raise Unmeasured("Prometheus: a sample without a value (a histogram?)")
    return _render_labels(sample.get("metric")), _parse_value(sample["value"])


def _render_labels(labels: object) -> str:
    pairs = labels.items() if isinstance(labels, dict) else ()
    return ", ".join(f"{name}={value}" for name, value in pairs if name != "__name__")


def _parse_value(pair: object) -> float:
    """``[seconds, "text"]``, where the text may be NaN, +Inf or -Inf."""
    match pair:
        case [_, str(text)]:
            try:
                return float(text)
            except ValueError as error:
                raise Unmeasured("Prometheus: a value that is not a number") from error
    raise Unmeasured("Prometheus: a value of another form than [time, text]")
