"""HTTP: a status and, if asked for, one value in a JSON body."""

from zlh_hooks.adapters.probes.answer import Answer, BadAnswer, Question
from zlh_hooks.adapters.probes.document import find_value, parse_document, render_scalar
from zlh_hooks.adapters.probes.page import Site, load_trust, read_page
from zlh_hooks.domain.probe import HttpProbe


def ask_http(probe: HttpProbe, question: Question) -> Answer:
    """The body is read only when a value in it matters."""
    trust = load_trust(probe.ca_file) if probe.scheme == "https" else None
    site = Site(question.address, probe.port, trust, probe.server_name)
    page = read_page(site, probe.path, question.deadline, with_body=probe.json_path is not None)
    if page.status != probe.status:
        raise BadAnswer(f"{probe.path} answered {page.status}, expected {probe.status}")
    if probe.json_path is not None:
        _check_value(page.body, probe.json_path, probe.json_equals)
    return Answer(f"{probe.path} answered {page.status}", {"status": str(page.status)})


def _check_value(body: bytes, path: str, expected: str | None) -> None:
    found = find_value(parse_document(body), path)
    if expected is None:
        return
    text = render_scalar(found)
    if text is None:
        raise BadAnswer(f"{path} is {'a list' if isinstance(found, list) else 'an object'}, expected {expected}")
    if text != expected:
        raise BadAnswer(f"{path} is {text}, expected {expected}")
