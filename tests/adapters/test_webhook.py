"""Rules of notices by webhook, against a real HTTP(S) server."""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.adapters.calendar_bench import make_event
from tests.adapters.probes.stand_in import free_port
from tests.adapters.web_bench import CLOSE, NONSENSE, RESET, STALL, Receiver, receiver
from tests.certificate import write_certificate
from tests.clock import FakeClock
from zlh_hooks.adapters.public_address import find_addresses, is_public
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.web import Web
from zlh_hooks.adapters.webhook import WebhookChannel
from zlh_hooks.adapters.webhook_shape import DiscordShape, PlainShape, Shape
from zlh_hooks.domain.errors import RoadError, TargetError, Unanswered
from zlh_hooks.domain.notice import Customer, Message, Stage

SECRET = "k3y"
PLAIN = PlainShape(SECRET)
FACTS = {"stage": Stage.ANNOUNCED, "customer": "7", "guests": [{"vmid": 5001, "name": "fox-survival"}]}
NOTICE = Message("r7-1-0-announced-0f1a", "[r7] Wartung für Sie", "Hallo Fox,\n@everyone\n", FACTS, make_event())
PATH = "/hook/s3cret?key=s3cret"


def open_channel(
    clock: FakeClock, shape: Shape = PLAIN, trusted: Path | None = None, seconds: float = 5, **options: object
) -> WebhookChannel:
    web = Web(clock, open_trust(trusted, "webhook.ca_file"), timedelta(seconds=seconds), 64 * 1024)
    return WebhookChannel(web, shape, **{"allow_private": True, **options})  # type: ignore[arg-type]


def send(server: Receiver, clock: FakeClock, message: Message = NOTICE, shape: Shape = PLAIN) -> str:
    return open_channel(clock, shape).send_notice(f"http://127.0.0.1:{server.port}{PATH}", message)


def refusal(server: Receiver, clock: FakeClock, seconds: float = 5) -> TargetError | RoadError:
    with pytest.raises((TargetError, RoadError)) as refused:
        open_channel(clock, seconds=seconds).send_notice(f"http://127.0.0.1:{server.port}{PATH}", NOTICE)
    assert not re.search("s3cret|k3y", f"{refused.value} {refused.value.__cause__}")
    return refused.value


# -------------------------------------------------------------------------------------------------------- our own shape


def test_a_program_gets_the_text_the_facts_and_the_event(clock: FakeClock) -> None:
    with receiver() as server:
        assert send(server, clock) == "200 OK"
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.headers["Content-Type"]) == ("POST", PATH, "application/json")
    assert json.loads(asked.body) == {
        "schema": 1,
        "id": "r7-1-0-announced-0f1a",
        "subject": "[r7] Wartung für Sie",
        "text": "Hallo Fox,\n@everyone\n",
        "facts": {"stage": "announced", "customer": "7", "guests": [{"vmid": 5001, "name": "fox-survival"}]},
        "event": {
            "uid": "r7-1@zlh-hooks",
            "sequence": 0,
            "start": "2026-12-01T03:00:00+00:00",
            "end": "2026-12-01T05:00:00+00:00",
            "summary": "Maintenance: game-base 2026.11.1",
            "description": "About 1m of interruption.",
            "cancelled": False,
        },
    }


def test_the_signature_covers_the_time_and_the_body(clock: FakeClock) -> None:
    with receiver() as server:
        send(server, clock)
    headers, body = server.asked[0].headers, server.asked[0].body
    assert headers["X-Zlh-Delivery"] == NOTICE.id
    assert headers["X-Zlh-Timestamp"] == str(int(clock.now().timestamp()))
    signed = headers["X-Zlh-Timestamp"].encode() + b"." + body
    assert headers["X-Zlh-Signature"] == "sha256=" + hmac.new(b"k3y", signed, hashlib.sha256).hexdigest()


def test_a_repeated_notice_has_the_same_delivery_and_a_time_of_its_own(clock: FakeClock) -> None:
    with receiver() as server:
        send(server, clock)
        clock.advance(timedelta(minutes=15))
        send(server, clock)
    first, second = (asked.headers for asked in server.asked)
    assert first["X-Zlh-Delivery"] == second["X-Zlh-Delivery"]
    assert first["X-Zlh-Signature"] != second["X-Zlh-Signature"]


def test_no_id_can_bring_a_header_of_its_own(clock: FakeClock) -> None:
    with receiver() as server:
        send(server, clock, Message("a\r\nX-Evil: 1 ü", "s", "t"))
    assert server.asked[0].headers["X-Zlh-Delivery"] == "a X-Evil: 1 ?"
    assert "X-Evil" not in server.asked[0].headers


def test_a_customer_without_webhook_is_not_reached(clock: FakeClock) -> None:
    channel = open_channel(clock)
    assert channel.name == "webhook"
    assert channel.find_address(Customer("7", "Fox", frozenset(), "fox@example.org")) is None
    assert channel.find_address(Customer("7", "Fox", frozenset(), webhook="https://x.example/")) == "https://x.example/"
    assert SECRET not in repr(channel)


# ------------------------------------------------------------------------------------------------------------ Discord


def test_discord_gets_subject_and_text_and_none_of_the_rest(clock: FakeClock) -> None:
    with receiver(body=b'{"id": "1043", "type": 0}') as server:
        assert send(server, clock, shape=DiscordShape()) == "200 OK, message 1043"
    (asked,) = server.asked
    assert asked.path == PATH + "&wait=true"
    assert json.loads(asked.body) == {
        "content": "[r7] Wartung für Sie",
        "embeds": [{"description": "Hallo Fox,\n@everyone"}],
        "allowed_mentions": {"parse": []},
    }
    assert not [name for name in asked.headers if name.startswith("X-Zlh")]


@pytest.mark.parametrize("letter", ["a", "ä", "😀"])
def test_what_is_too_long_for_discord_is_cut_with_an_ellipsis(letter: str, clock: FakeClock) -> None:
    with receiver() as server:
        send(server, clock, Message("a", letter * 5000, letter * 5000), DiscordShape())
    document = json.loads(server.asked[0].body)
    content, description = document["content"], document["embeds"][0]["description"]
    assert [len(text.encode("utf-16-le")) // 2 for text in (content, description)] == [
        *(2000 - (letter == "😀"), 4096 - (letter == "😀")),
    ]
    assert content.strip(letter) == description.strip(letter) == "…"


# -------------------------------------------------------------------------------------------- what the receiver answers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_accepted(clock: FakeClock, status: int) -> None:
    with receiver(statuses=[status], body=b"") as server:
        assert send(server, clock).startswith(str(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422, 301, 302, 307, 308])
def test_a_refusal_for_good_is_about_this_customer_alone(clock: FakeClock, status: int) -> None:
    with receiver(statuses=[status], headers={"Location": "/other"}) as server:
        error = refusal(server, clock)
    assert isinstance(error, TargetError) and f"http://127.0.0.1/… answered {status}" in str(error)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_a_broken_road_and_is_not_tried_again_here(clock: FakeClock, status: int) -> None:
    with receiver(statuses=[status], headers={"Retry-After": "120"}) as server:
        error = refusal(server, clock)
    assert type(error) is RoadError and f"answered {status}" in str(error) and "wait for 120 s" in str(error)
    assert (len(server.asked), clock.monotonic()) == (1, 0)


@pytest.mark.parametrize("how", [STALL, RESET, CLOSE, NONSENSE])
def test_an_answer_that_was_lost_is_not_called_a_failure(clock: FakeClock, how: int) -> None:
    with receiver(statuses=[how]) as server:
        assert isinstance(refusal(server, clock, seconds=0.3), Unanswered)
        assert len(server.asked) == 1


def test_an_answer_without_end_counts_by_its_status(clock: FakeClock) -> None:
    with receiver(body=b"x" * 100_000) as server:
        assert send(server, clock) == "200 OK"


def test_a_receiver_that_is_not_there_is_a_broken_road(clock: FakeClock) -> None:
    error = refusal(Receiver(port=free_port()), clock)
    assert type(error) is RoadError and "no connection (Connection refused)" in str(error)


# -------------------------------------------------------------------------------------------------- where it may lead


def leads_to(*addresses: str) -> dict[str, object]:
    """A name service that answers this, whatever it is asked."""

    def find(host: str, port: int) -> Sequence[str]:
        return addresses

    return {"find": find}


@pytest.mark.parametrize("address", ["http://example.com/", "https://a b/", "https://u:p@example.com/", "x", ""])
def test_what_is_no_safe_url_is_refused_before_anything_is_sent(clock: FakeClock, address: str) -> None:
    with pytest.raises(TargetError, match="a URL such as"):
        open_channel(clock).send_notice(address, NOTICE)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_a_url_that_leads_back_to_us_is_refused_unless_the_settings_allow_it(clock: FakeClock, name: str) -> None:
    with receiver() as server, pytest.raises(TargetError, match="which is no public address"):
        open_channel(clock, allow_private=False).send_notice(f"http://{name}:{server.port}/", NOTICE)
    assert server.asked == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(clock: FakeClock) -> None:
    channel = open_channel(clock, allow_private=False, **leads_to("8.8.8.8", "10.0.0.1"))
    with pytest.raises(TargetError, match=r"hooks.test leads to 10.0.0.1, which is no public address"):
        channel.send_notice("https://hooks.test/", NOTICE)


def test_the_connection_goes_to_the_address_that_was_checked_and_the_name_is_proved(
    tmp_path: Path, clock: FakeClock
) -> None:
    file, other = (write_certificate(tmp_path, name) for name in ("hooks.test", "other.test"))
    with receiver(file) as server:
        channel = open_channel(clock, trusted=file, **leads_to("127.0.0.1"))
        assert channel.send_notice(f"https://hooks.test:{server.port}/", NOTICE) == "200 OK"
        assert server.asked[0].headers["Host"] == f"hooks.test:{server.port}"
        with pytest.raises(RoadError, match="Hostname mismatch"):
            channel.send_notice(f"https://else.test:{server.port}/", NOTICE)
        with pytest.raises(RoadError, match="no connection"):
            open_channel(clock, trusted=other, **leads_to("127.0.0.1")).send_notice(
                f"https://hooks.test:{server.port}/", NOTICE
            )
    assert len(server.asked) == 1


def test_of_several_addresses_the_first_that_answers_is_taken(clock: FakeClock) -> None:
    with receiver() as server:
        channel = open_channel(clock, **leads_to("127.0.0.2", "127.0.0.1"))
        assert channel.send_notice(f"http://localhost:{server.port}/", NOTICE) == "200 OK"
    assert len(server.asked) == 1


def test_a_name_that_means_nothing_is_a_broken_road() -> None:
    with pytest.raises(RoadError, match=r"nobody.invalid: no address found"):
        find_addresses("nobody.invalid", 443)
    assert "127.0.0.1" in find_addresses("localhost", 443)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_an_address_that_the_internet_reaches_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *(
            "::1",
            "::",
            "fe80::1",
            "fe80::1%lo",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "::10.0.0.1",
        ),
        *("::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1"),
    ],
)
def test_an_address_that_only_some_network_reaches_is_not(address: str) -> None:
    assert not is_public(address)
