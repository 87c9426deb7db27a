"""Rules of notices by mail, against a real SMTP server."""

import re
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from tests.adapters.calendar_bench import check_lines, make_event
from tests.adapters.mail_bench import LOGIN, Post, mail_server, open_channel
from tests.adapters.probes.stand_in import free_port, tcp_server
from tests.certificate import write_certificate
from tests.clock import FakeClock
from zlh_hooks.adapters.mail import Login
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.domain.errors import RoadError, SettingsError, TargetError, Unanswered
from zlh_hooks.domain.notice import Customer, Message

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it is TLS from the start
TEXT = "Hello Fox,\n\nwir ändern Ihre Server.\n.\n. a dot\n" + "x" * 2000 + "\nStatus: https://status.example/\n"
NOTICE = Message("r7-1-0-announced-0f1a", "[r7] Wartung am Dienstag", TEXT, {"secret": "fact"})


def send(post: Post, clock: FakeClock, message: Message = NOTICE, address: str = "fox@example.org") -> str:
    return open_channel(post, clock).send_notice(address, message)


# ---------------------------------------------------------------------------------------------------- what is read


def test_the_customer_gets_the_text_as_it_was_written(clock: FakeClock) -> None:
    with mail_server() as post:
        send(post, clock)
    assert post.taken[0][:2] == ("noc@example.com", ["fox@example.org"])
    assert post.read_mail().get_content().replace("\r\n", "\n") == TEXT
    assert post.read_mail().get_content_type() == "text/plain"
    assert post.read_mail()["Subject"] == NOTICE.subject


def test_only_ascii_and_short_lines_travel(clock: FakeClock) -> None:
    with mail_server() as post:
        send(post, clock, Message("a", "Ünï " * 100, TEXT, {}, make_event(summary="ä" * 300)))
    lines = post.taken[0][2].split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert all(line.isascii() and b"\n" not in line for line in lines)
    assert post.read_mail()["Subject"] == ("Ünï " * 100).strip()


def test_a_mail_says_who_writes_when_and_that_no_robot_need_answer(clock: FakeClock) -> None:
    with mail_server() as post:
        send(post, clock)
    mail = post.read_mail()
    assert {name: mail[name] for name in mail if not name.startswith("Content-")} == {
        "From": "noc@example.com",
        "To": "fox@example.org",
        "Subject": "[r7] Wartung am Dienstag",
        "Date": "Mon, 23 Nov 2026 04:00:00 +0000",
        "Message-ID": "<r7-1-0-announced-0f1a@example.com>",
        "Reply-To": "help@example.com",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
        "List-Id": "Maintenance notices <maintenance.example.com>",
        "MIME-Version": "1.0",
    }


def test_the_same_notice_has_the_same_message_id_whenever_it_is_sent(clock: FakeClock) -> None:
    with mail_server() as post:
        for message in (NOTICE, NOTICE, Message("an id with <odd> letters", "s", "t")):
            send(post, clock, message)
            clock.advance(timedelta(hours=1))
    ids = [re.findall(rb"(?m)^Message-ID: (.*?)\r?$", content)[0] for _, _, content in post.taken]
    assert ids[0] == ids[1]
    assert re.fullmatch(rb"<[0-9a-f]{32}@example.com>", ids[2])


def test_an_event_comes_as_a_calendar_that_a_mail_program_offers_to_keep(clock: FakeClock) -> None:
    with mail_server() as post:
        send(post, clock, Message("a", "s", "t", {}, make_event(summary="Wartung für Fox")))
    (part,) = post.read_mail().iter_attachments()
    assert (part.get_content_type(), part.get_param("method"), part.get_filename()) == (
        *("text/calendar", "PUBLISH", "maintenance.ics"),
    )
    lines = check_lines(part.get_content().encode())
    wanted = {"METHOD:PUBLISH", "ORGANIZER:mailto:noc@example.com", "URL:https://status.example/"}
    assert wanted | {"SUMMARY:Wartung für Fox"} <= {*lines}


def test_a_cancelled_event_comes_as_a_cancellation(clock: FakeClock) -> None:
    with mail_server() as post:
        send(post, clock, Message("a", "s", "t", {}, make_event(cancelled=True)))
    (part,) = post.read_mail().iter_attachments()
    assert part.get_param("method") == "CANCEL"
    assert "METHOD:CANCEL" in check_lines(part.get_content().encode())


def test_no_text_can_bring_a_header_of_its_own(clock: FakeClock) -> None:
    with mail_server() as post:
        send(
            post, clock, Message("a\r\nX-Id: 1", "s\r\nBcc: evil@example.net\n\nbody", "t\r\n.\r\nMAIL FROM:<x@y>\x00")
        )
    assert len(post.taken) == 1
    assert post.taken[0][1] == ["fox@example.org"]
    assert (post.read_mail()["Bcc"], post.read_mail()["X-Id"]) == (None, None)
    assert post.read_mail()["Subject"] == "s Bcc: evil@example.net body"
    assert post.read_mail().get_content().splitlines() == ["t", ".", "MAIL FROM:<x@y>"]


@pytest.mark.parametrize(
    "address", ["fox@example.org\r\nRCPT TO:<evil@example.net>", "a@b,c@d", "", "f\u00f6x@example.org"]
)
def test_what_is_no_mail_address_is_refused_before_anything_is_sent(clock: FakeClock, address: str) -> None:
    with mail_server() as post, pytest.raises(TargetError, match="is no mail address"):
        send(post, clock, address=address)
    assert post.taken == []


def test_a_customer_without_mail_is_not_reached(clock: FakeClock) -> None:
    channel = open_channel(Post(), clock)
    assert channel.name == "mail"
    assert channel.find_address(Customer("7", "Fox", frozenset())) is None
    assert channel.find_address(Customer("7", "Fox", frozenset(), "fox@example.org")) == "fox@example.org"


# --------------------------------------------------------------------------------------------- what the server says


def test_the_answer_names_the_place_in_the_servers_queue(clock: FakeClock) -> None:
    with mail_server() as post:
        assert send(post, clock) == "250 2.0.0 Ok: queued as 4F1B"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("RCPT", "550 5.1.1 No such user here"),
        ("RCPT", "551 5.1.6 User moved"),
        ("DATA", "554 5.6.0 Message refused"),
    ],
)
def test_a_refusal_for_good_is_told_in_the_servers_words(clock: FakeClock, command: str, answer: str) -> None:
    with mail_server(answers={command: answer}) as post, pytest.raises(TargetError, match=re.escape(answer)):
        send(post, clock)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("MAIL", "450 4.3.2 Try later"),
        ("MAIL", "550 5.7.1 Sender not allowed"),
        ("RCPT", "450 4.2.1 Greylisted"),
        ("RCPT", "530 5.7.0 Authentication required"),
        ("DATA", "452 4.3.1 Out of memory"),
        ("DATA", "421 4.3.0 Shutting down"),
    ],
)
def test_what_may_pass_or_is_our_own_fault_is_a_broken_road(clock: FakeClock, command: str, answer: str) -> None:
    with mail_server(answers={command: answer}) as post, pytest.raises(RoadError, match=re.escape(answer)) as broken:
        send(post, clock)
    assert not isinstance(broken.value, Unanswered)


def test_words_of_several_lines_are_told_on_one(clock: FakeClock) -> None:
    answer = "550-5.7.1 \x1b[31mGo\r\n550 5.7.1 away"
    with mail_server(answers={"RCPT": answer}) as post, pytest.raises(TargetError) as refused:
        send(post, clock)
    assert str(refused.value).endswith("550 5.7.1 [31mGo 5.7.1 away")


@pytest.mark.parametrize("after_data", ["die", "sleep"])
def test_an_answer_lost_after_the_end_is_not_called_a_failure(clock: FakeClock, after_data: str) -> None:
    with mail_server(after_data=after_data) as post, pytest.raises(Unanswered, match=r"fox@example\.org was sent"):
        open_channel(post, clock, timeout=timedelta(seconds=0.5)).send_notice("fox@example.org", NOTICE)
    assert len(post.taken) == 1


def test_a_connection_lost_before_the_end_is_a_broken_road(clock: FakeClock) -> None:
    with mail_server(answers={"RCPT": ""}) as post, pytest.raises(RoadError, match="no connection") as broken:
        send(post, clock)
    assert not isinstance(broken.value, Unanswered)
    assert post.taken == []


def test_what_is_said_after_acceptance_does_not_matter(clock: FakeClock) -> None:
    with mail_server(answers={"QUIT": "500 what"}) as post:
        assert send(post, clock).startswith("250")


def test_a_server_that_is_not_there_is_a_broken_road(clock: FakeClock) -> None:
    post = Post(port=free_port())
    with pytest.raises(RoadError, match=f"mail server localhost:{post.port}: no connection"):
        send(post, clock)


def test_a_server_that_refuses_everybody_is_a_broken_road(clock: FakeClock) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"554 5.3.2 No mail service here\r\n")

    with tcp_server(talk) as port, pytest.raises(RoadError, match=r"refuses to talk to us: 554 5.3.2 No mail"):
        send(Post(port=port), clock)


# ----------------------------------------------------------------------------------------------------- TLS and login


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_over_tls_the_user_logs_in_and_the_mail_is_taken(tmp_path: Path, clock: FakeClock, security: str) -> None:
    file = write_certificate(tmp_path, "localhost")
    with mail_server(file, implicit=security == "tls", login=True) as post:
        channel = open_channel(post, clock, file, security, login=LOGIN)
        assert channel.send_notice("fox@example.org", NOTICE).startswith("250")
    assert len(post.taken) == 1


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize(("name", "trusted"), [("localhost", "other.test"), ("other.test", "other.test")])
def test_a_server_that_cannot_prove_its_name_gets_neither_password_nor_mail(
    tmp_path: Path, clock: FakeClock, security: str, name: str, trusted: str
) -> None:
    file, other = write_certificate(tmp_path, name), write_certificate(tmp_path, trusted)
    with (
        mail_server(file, implicit=security == "tls", login=True) as post,
        pytest.raises(RoadError, match="no safe connection"),
    ):
        open_channel(post, clock, other, security, login=LOGIN).send_notice("fox@example.org", NOTICE)
    assert post.taken == []


def test_a_server_without_starttls_gets_nothing(clock: FakeClock) -> None:
    with mail_server() as post, pytest.raises(RoadError, match="refuses to talk to us: STARTTLS"):
        open_channel(post, clock, None, "starttls", login=LOGIN).send_notice("fox@example.org", NOTICE)
    assert post.taken == []


def test_a_wrong_password_is_a_broken_road_and_is_not_shown(tmp_path: Path, clock: FakeClock) -> None:
    file = write_certificate(tmp_path, "localhost")
    channel_login = Login("noc", "wr0ng")
    with (
        mail_server(file, login=True) as post,
        pytest.raises(RoadError, match="refuses the user or the password") as no,
    ):
        open_channel(post, clock, file, "starttls", login=channel_login).send_notice("fox@example.org", NOTICE)
    assert "wr0ng" not in f"{no.value} {no.value.__cause__!r} {channel_login!r}"


def test_a_ca_file_that_holds_none_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(SettingsError, match=r"empty.pem: mail.ca_file: found no certificate"):
        open_trust(tmp_path / "empty.pem", "mail.ca_file")
    with pytest.raises(SettingsError, match=r"found No such file"):
        open_trust(tmp_path / "nowhere.pem", "mail.ca_file")
