"""Rules of where people are reached: what passes here can neither break a header nor go in the clear."""

import pytest

from zlh_hooks.domain.address import is_loopback, parse_line, parse_mail, parse_url, render_host


@pytest.mark.parametrize("text", ["noc@example.com", "a.b+c@x.example", "root@localhost", "o'neil@xn--mnchen-3ya.de"])
def test_a_mail_address_passes_as_it_is(text: str) -> None:
    assert parse_mail(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "noc",
            "@example.com",
            "noc@",
            "noc@@example.com",
            "a b@example.com",
            "noc@example..com",
            ".a@example.com",
        ),
        *("a@example.com,b@example.com", "a@example.com\nBcc: b@example.com", "a@example.com\n", "<a@example.com>"),
        *("é@example.com", "a@münchen.de", "a@-example.com", "a@[127.0.0.1]", "a" * 65 + "@example.com"),
        "a@" + ".".join(["b" * 60] * 5),
    ],
)
def test_what_is_no_single_ascii_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a mail address such as"):
        parse_mail(text)


@pytest.mark.parametrize(
    "text",
    [
        *("https://example.com", "https://example.com:8443/a/b?c=d&e=%20", "https://[2001:db8::1]/"),
        *("http://localhost:8080/x", "http://127.0.0.1/x", "http://[::1]:80/"),
    ],
)
def test_a_url_passes_as_it_is(text: str) -> None:
    assert parse_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.com", "ftp://example.com/", "https:///path", "https://", "javascript:alert(1)", "file:///etc"),
        *("http://example.com/", "http://localhost.example.com/", "http://127.0.0.1.example.com/", "http://127.1/"),
        *("https://user:pass@example.com/", "https://example.com@evil.example/", "https://example.com:99999/"),
        *("https://example.com/a b", "https://example.com/\r\nX: 1", "https://münchen.de/", "https://example.com:0/"),
        *("https://[::1", "https://example.com/" + "a" * 2000),
    ],
)
def test_what_is_no_url_or_would_go_in_the_clear_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a URL such as"):
        parse_url(text)


def test_a_refused_url_is_shown_without_what_may_be_a_secret() -> None:
    with pytest.raises(ValueError, match=r"http://hooks.example/…") as refused:
        parse_url("http://hooks.example/services/s3cret?key=s3cret")
    assert "s3cret" not in str(refused.value)
    assert render_host("s3cret") == "a text of 6 characters"


@pytest.mark.parametrize("text", ["Fox & Sons", "Ünïcode GmbH", "株式会社", "می‌خواهم", "😀"])
def test_a_name_in_any_script_passes(text: str) -> None:
    assert parse_line(text) == text


@pytest.mark.parametrize(
    "text", ["", "  ", "a\nb", "a\rb", "a\x00b", "a\tb", "a\u2028b", "a\u202eb", "a\x85b", "a" * 201]
)
def test_a_name_that_breaks_or_turns_its_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="on one line"):
        parse_line(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True)),
        *(("10.0.0.1", False), ("0.0.0.0", False), ("localhost.example", False), ("2130706433", False), ("", False)),
    ],
)
def test_this_machine_is_known_by_its_names_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
