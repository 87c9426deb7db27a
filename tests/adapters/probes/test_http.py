"""HTTP probes against real servers, good and bad."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.adapters.probes.stand_in import drips, floods, free_port, http_server, measure, sends, silent, tcp_server
from tests.certificate import write_certificate
from zlh_hooks.adapters.probes.answer import BadAnswer
from zlh_hooks.adapters.probes.document import find_count, find_value, parse_document, render_scalar
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.probe import HttpProbe

SHORT = timedelta(milliseconds=300)
OK = b"HTTP/1.1 200 OK\r\n"


def http(port: int, **options: object) -> HttpProbe:
    return HttpProbe.model_validate({"kind": "http", "port": port, "timeout": SHORT, **options})


def ask_json(document: object, path: str, equals: str | None = None) -> Measurement:
    with http_server({"/": (200, json.dumps(document).encode())}) as port:
        return measure(http(port, json_path=path, json_equals=equals))


def test_the_expected_status_is_healthy() -> None:
    with http_server({"/ready": (204, b"")}) as port:
        found = measure(http(port, path="/ready", status=204))
    assert (found.verdict, found.detail, found.facts) == (Verdict.HEALTHY, "/ready answered 204", {"status": "204"})
    assert timedelta(0) < found.took < SHORT
    assert found.at.tzinfo is UTC


def test_another_status_is_unhealthy_and_told() -> None:
    with http_server({"/": (503, b"")}) as port:
        found = measure(http(port))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "/ answered 503, expected 200")


def test_a_redirect_is_an_answer_and_never_followed() -> None:
    asked: list[str] = []
    with http_server({"/old": (302, b""), "/": (200, b"")}, asked) as port:
        assert measure(http(port, path="/old")).detail == "/old answered 302, expected 200"
        assert measure(http(port, path="/old", status=302)).verdict is Verdict.HEALTHY
    assert asked == ["/old", "/old"]


def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with http_server({"/": (200, b"")}) as port:
        assert measure(http(port)).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("document", "path", "equals"),
    [
        ({"state": "running"}, "state", "running"),
        ({"servers": [{"state": "off"}, {"state": "on"}]}, "servers.1.state", "on"),
        ({"ready": True}, "ready", "true"),
        ({"count": 3}, "count", "3"),
        ({"load": 0.5}, "load", "0.5"),
        ({"error": None}, "error", "null"),
        ([["a"]], "0.0", "a"),
        ({"present": {}}, "present", None),
    ],
)
def test_a_value_in_the_body_is_found_by_its_path(document: object, path: str, equals: str | None) -> None:
    assert ask_json(document, path, equals).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("document", "path", "equals", "detail"),
    [
        ({"state": "crashed"}, "state", "running", "state is crashed, expected running"),
        ({"state": {"a": 1}}, "state", "running", "state is an object, expected running"),
        ({"state": ["running"]}, "state", "running", "state is a list, expected running"),
        ({"ready": "true "}, "ready", "true", "ready is true , expected true"),
        ({"a": {"b": 1}}, "a.c.d", None, "the answer has no a.c"),
        ({"a": [1]}, "a.1", None, "the answer has no a.1"),
        ({"a": [1]}, "a.-1", None, "the answer has no a.-1"),
        ({"a": "text"}, "a.0", None, "the answer has no a.0"),
        (7, "a", None, "the answer has no a"),
    ],
)
def test_a_wrong_value_or_type_is_unhealthy_and_says_where(
    document: object, path: str, equals: str | None, detail: str
) -> None:
    found = ask_json(document, path, equals)
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, detail)


def test_foreign_text_reaches_people_on_one_printable_line_of_bounded_length() -> None:
    found = ask_json({"state": "\x1b[31m\n\ud800" + "x" * 5000}, "state", "on")
    assert found.detail.startswith("state is ?[31m??xxx")
    assert len(found.detail) == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"\xff\xfe\x00", b"null x"]
)
def test_a_body_that_is_not_json_is_unhealthy(body: bytes) -> None:
    with http_server({"/": (200, body)}) as port:
        found = measure(http(port, json_path="a"))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "the answer is not JSON")


@pytest.mark.parametrize(
    ("start", "byte"),
    [
        (b"", b"H"),
        (OK + b"X-A: ", b"a"),
        (OK + b"Content-Length: 100000\r\n\r\n", b" "),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"H"),
    ],
)
def test_a_server_that_drips_is_left_at_the_deadline(start: bytes, byte: bytes) -> None:
    with tcp_server(drips(start, byte)) as port:
        found = measure(http(port, json_path="a"))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "127.0.0.1: no full answer within 0.3s")
    assert SHORT <= found.took < SHORT * 2


def test_a_body_nobody_asked_for_is_not_waited_for() -> None:
    with tcp_server(drips(OK + b"Content-Length: 100000\r\n\r\n", b" ")) as port:
        assert measure(http(port)).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    "start",
    [
        OK + b"\r\n",
        OK + b"Content-Length: 1000000000000000\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n",
    ],
)
def test_no_more_than_a_mebibyte_is_read(start: bytes) -> None:
    with tcp_server(floods(start, b"x" * 65536)) as port:
        found = measure(http(port, json_path="a", timeout=timedelta(seconds=5)))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "127.0.0.1: answer of more than 1048576 bytes")


def test_endless_headers_are_refused() -> None:
    with tcp_server(floods(OK, b"X-A: b\r\n" * 1000)) as port:
        assert measure(http(port)).verdict is Verdict.UNHEALTHY


def test_a_closed_port_is_unhealthy() -> None:
    found = measure(http(free_port()))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "127.0.0.1: Connection refused")


@pytest.mark.parametrize(
    ("talk", "detail"),
    [
        (sends(), "127.0.0.1: Remote end closed connection without response"),
        (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), "not a valid HTTP answer (BadStatusLine)"),
        (silent, "127.0.0.1: no full answer within 0.3s"),
    ],
)
def test_a_server_that_does_not_speak_http_is_unhealthy(talk: object, detail: str) -> None:
    with tcp_server(talk) as port:  # type: ignore[arg-type]
        found = measure(http(port))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, detail)


PIECES = st.lists(
    st.sampled_from(
        [OK, b"Transfer-Encoding: chunked\r\n", b"Content-Length: ", b"\r\n", b"-1", b"5", b"{}", b"\x00", b": "]
    )
    | st.binary(max_size=20),
    max_size=12,
).map(b"".join)


def test_whatever_a_server_says_becomes_a_measurement() -> None:
    said = [b""]

    def talk(connection: object) -> None:
        sends(said[0])(connection)  # type: ignore[arg-type]

    with tcp_server(talk) as port:

        @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
        @given(PIECES)
        def check(answer: bytes) -> None:
            said[0] = answer
            assert measure(http(port, json_path="a")).verdict is Verdict.UNHEALTHY

        check()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@settings(deadline=None)
@given(JSON, st.text(alphabet="a.0٣²-", max_size=6))
def test_walking_a_document_finds_a_value_or_says_what_is_missing(document: object, path: str) -> None:
    for find in (find_value, find_count):
        try:
            find(document, path)
        except BadAnswer as error:
            assert "answer has no" in str(error) or "not a count" in str(error)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_parsing_gives_a_document_or_a_bad_answer(body: bytes | str) -> None:
    try:
        render_scalar(parse_document(body))
    except BadAnswer as error:
        assert str(error) == "the answer is not JSON"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"json_equals": "x"}, "json_equals needs json_path"),
        ({"ca_file": "/etc/ca.pem"}, 'need scheme = "https"'),
        ({"path": "/a b"}, "path"),
        ({"path": "/a\r\nHost: b"}, "path"),
    ],
)
def test_options_that_could_not_work_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        http(80, **options)


# ------------------------------------------------------------------------------------------------------------- TLS


@contextmanager
def https_server(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def talk(connection: object) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:  # type: ignore[arg-type]
            sends(OK + b"Content-Length: 2\r\n\r\n{}")(secure)

    with tcp_server(talk) as port:
        yield port


def https(port: int, **options: object) -> HttpProbe:
    return http(port, scheme="https", timeout=timedelta(seconds=5), **options)


def test_a_self_signed_guest_is_healthy_if_its_certificate_is_the_trusted_one(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path, "agent.test")
    with https_server(certificate) as port:
        found = measure(https(port, ca_file=str(certificate), server_name="agent.test"))
    assert (found.verdict, found.detail) == (Verdict.HEALTHY, "/ answered 200")


@pytest.mark.parametrize(
    ("trusted", "name", "detail"),
    [
        ("agent.test", "other.test", "certificate is not valid for 'other.test'"),
        ("agent.test", None, "certificate is not valid for '127.0.0.1'"),
        ("stranger.test", "agent.test", "self-signed certificate"),
        (None, "agent.test", "self-signed certificate"),
    ],
)
def test_a_certificate_that_proves_nothing_is_unhealthy(
    tmp_path: Path, trusted: str | None, name: str | None, detail: str
) -> None:
    certificate = write_certificate(tmp_path, "agent.test")
    ca_file = None if trusted is None else str(tmp_path / f"{trusted}.pem")
    if trusted == "stranger.test":
        write_certificate(tmp_path, trusted)
    with https_server(certificate) as port:
        found = measure(https(port, ca_file=ca_file, server_name=name))
    assert found.verdict is Verdict.UNHEALTHY
    assert "certificate refused: " in found.detail
    assert detail in found.detail


def test_an_unreadable_ca_file_is_an_error_of_ours(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    found = measure(https(free_port(), ca_file=str(missing)))
    assert (found.verdict, found.detail) == (Verdict.ERROR, f"ca_file {missing}: No such file or directory")
    (tmp_path / "empty.pem").write_text("not a certificate")
    assert measure(https(free_port(), ca_file=str(tmp_path / "empty.pem"))).verdict is Verdict.ERROR


def test_plain_http_on_a_tls_port_is_unhealthy() -> None:
    with http_server({}) as port:
        found = measure(https(port))
    assert found.verdict is Verdict.UNHEALTHY
    assert "SSL" in found.detail


def test_a_tls_handshake_that_never_ends_is_left_at_the_deadline() -> None:
    with tcp_server(drips(b"\x16\x03\x03\x40\x00", b"\x00")) as port:
        found = measure(http(port, scheme="https"))
    assert found.verdict is Verdict.UNHEALTHY
    assert found.took < SHORT * 2
