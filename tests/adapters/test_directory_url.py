"""Rules of the customer directory behind a URL, against a real HTTP server."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.adapters.probes.stand_in import free_port
from tests.adapters.test_directory import CUSTOMERS, ROWS
from tests.adapters.web_bench import CLOSE, NONSENSE, RESET, STALL, Receiver, receiver
from tests.certificate import write_certificate
from tests.clock import FakeClock
from zlh_hooks.adapters.directory_url import DirectoryUrl
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.web import Web
from zlh_hooks.domain.errors import RoadError, SettingsError

DOCUMENT = json.dumps(ROWS).encode()
PATH = "/customers?key=s3cret"


def open_directory(port: int, clock: FakeClock, scheme: str = "http", **options: object) -> DirectoryUrl:
    trust = open_trust(options.pop("trusted", None), "ca_file")  # type: ignore[arg-type]
    values = {"timeout": timedelta(seconds=5), "limit_bytes": 100_000, **options}
    token = values.pop("token", None)
    return DirectoryUrl(f"{scheme}://localhost:{port}{PATH}", Web(clock, trust, **values), token)  # type: ignore[arg-type]


def refusal(server: Receiver, clock: FakeClock, **options: object) -> str:
    with pytest.raises(RoadError) as broken:
        open_directory(server.port, clock, **options).list_customers()
    assert "s3cret" not in f"{broken.value} {broken.value.__cause__}"
    return str(broken.value)


def test_the_url_answers_with_the_document_that_a_file_would_hold(clock: FakeClock) -> None:
    with receiver(body=DOCUMENT) as server:
        directory = open_directory(server.port, clock, token="s3cret")
        assert directory.list_customers() == CUSTOMERS
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.headers["Authorization"]) == ("GET", PATH, "Bearer s3cret")
    assert asked.headers["Host"] == f"localhost:{server.port}"
    assert "s3cret" not in repr(directory)


def test_without_a_token_none_is_sent(clock: FakeClock) -> None:
    with receiver(body=DOCUMENT) as server:
        open_directory(server.port, clock).list_customers()
    assert "Authorization" not in server.asked[0].headers


def test_over_tls_the_server_must_prove_its_name(tmp_path: Path, clock: FakeClock) -> None:
    right, wrong = (write_certificate(tmp_path, name) for name in ("localhost", "other.test"))
    with receiver(right, body=DOCUMENT) as server:
        assert open_directory(server.port, clock, "https", trusted=right).list_customers() == CUSTOMERS
    with receiver(wrong, body=DOCUMENT) as server:
        assert "Hostname mismatch" in refusal(server, clock, scheme="https", trusted=wrong)
        assert server.asked == []


def test_it_is_asked_again_after_five_minutes_and_not_before(clock: FakeClock) -> None:
    with receiver(body=DOCUMENT) as server:
        directory = open_directory(server.port, clock)
        directory.list_customers()
        clock.advance(timedelta(minutes=4, seconds=59))
        directory.list_customers()
        assert len(server.asked) == 1
        server.body = b"[]"
        clock.advance(timedelta(seconds=1))
        assert directory.list_customers() == ()


def test_old_news_are_not_given_for_new_ones(clock: FakeClock) -> None:
    with receiver(body=DOCUMENT) as server:
        directory = open_directory(server.port, clock)
        directory.list_customers()
        clock.advance(timedelta(minutes=5))
        server.statuses = [503]
        for _ in range(2):
            with pytest.raises(RoadError, match="answered 503"):
                directory.list_customers()


@pytest.mark.parametrize("passing", [503, 429, CLOSE, RESET, NONSENSE])
def test_what_may_pass_is_tried_three_times_with_growing_pauses(clock: FakeClock, passing: int) -> None:
    pauses: list[float] = [clock.monotonic()]
    clock.on_sleep.append(lambda _: pauses.append(clock.monotonic()))
    with receiver(body=DOCUMENT, statuses=[passing, passing, 200]) as server:
        assert open_directory(server.port, clock).list_customers() == CUSTOMERS
    assert len(server.asked) == 3
    assert 0 < pauses[1] - pauses[0] < pauses[2] - pauses[1]


@pytest.mark.parametrize("status", [204, 301, 302, 307, 308, 400, 401, 404])
def test_redirects_and_refusals_are_not_tried_again_nor_followed(clock: FakeClock, status: int) -> None:
    with receiver(statuses=[status], body=b"", headers={"Location": "http://localhost/other"}) as server:
        assert f"answered {status}; expected 200" in refusal(server, clock, token="s3cret")
    assert [asked.path for asked in server.asked] == [PATH]


def test_a_server_that_does_not_answer_is_given_up(clock: FakeClock) -> None:
    with receiver(statuses=[STALL]) as server:
        assert "no answer came" in refusal(server, clock, timeout=timedelta(milliseconds=100))


def test_a_server_that_is_not_there_is_a_broken_road(clock: FakeClock) -> None:
    assert "no connection (Connection refused)" in refusal(Receiver(port=free_port()), clock)


def test_a_document_that_is_too_long_is_not_read_to_its_end(clock: FakeClock) -> None:
    with receiver(body=b"[" + b" " * 200_000 + b"]") as server:
        assert "not whole (answer of more than 100000 bytes)" in refusal(server, clock)


def test_a_document_that_is_cut_short_is_not_taken_for_a_whole_one(clock: FakeClock) -> None:
    with receiver(body=b"[]", headers={"Content-Length": "3", "Connection": "close"}) as server:
        assert "not whole (cut short)" in refusal(server, clock)


def test_a_document_that_makes_no_sense_is_a_fault_of_the_directory(clock: FakeClock) -> None:
    with receiver(body=b'[{"id": 7}]') as server, pytest.raises(SettingsError) as refused:
        open_directory(server.port, clock).list_customers()
    assert str(refused.value) == (
        "customer directory at http://localhost/…: row 1: name: found nothing; expected a value; it has no default"
    )
