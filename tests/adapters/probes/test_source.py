"""A2S_INFO against a stand-in server, good, split, lossy and hostile, with python-a2s as the peer."""

import socket
import struct
from collections.abc import Callable
from datetime import timedelta

import a2s
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.adapters.probes.stand_in import free_port, measure, udp_server
from zlh_hooks.adapters.probes.answer import BadAnswer
from zlh_hooks.adapters.probes.source import REQUEST, Parts, parse_info
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.probe import SourceProbe

SHORT = timedelta(milliseconds=300)
WHOLE = b"\xff\xff\xff\xff"
CHALLENGE = b"\x01\x02\x03\x04"


def source(port: int, timeout: timedelta = SHORT) -> SourceProbe:
    return SourceProbe(kind="source", port=port, timeout=timeout)


def info(players: int = 3, most: int = 16, game_map: str = "de_dust2", name: str = "server") -> bytes:
    """A payload of kind ``I`` with the optional fields of a current server."""
    texts = b"".join(text.encode() + b"\0" for text in (name, game_map, "cstrike", "Counter-Strike"))
    counts = struct.pack("<HBBBccBB", 240, players, most, 1, b"d", b"l", 0, 1)
    return b"I\x11" + texts + counts + b"1.0.0.1\0" + b"\x80" + struct.pack("<H", 27015)


def split(payload: bytes, size: int, answer_id: int = 7) -> list[bytes]:
    pieces = [payload[i : i + size] for i in range(0, len(payload), size)]
    head = (struct.pack("<BBH", len(pieces), number, size) for number in range(len(pieces)))
    return [
        b"\xfe\xff\xff\xff" + struct.pack("<I", answer_id) + h + piece for h, piece in zip(head, pieces, strict=True)
    ]


def with_challenge(answers: list[bytes]) -> Callable[[bytes], list[bytes]]:
    return lambda asked: answers if asked == REQUEST + CHALLENGE else [WHOLE + b"A" + CHALLENGE]


def ask(reply: Callable[[bytes], list[bytes]], timeout: timedelta = SHORT) -> Measurement:
    with udp_server(reply) as port:
        return measure(source(port, timeout))


def always(*answers: bytes) -> Callable[[bytes], list[bytes]]:
    return lambda asked: list(answers)


def test_a_server_that_answers_is_healthy_and_its_counts_are_facts() -> None:
    found = ask(always(WHOLE + info()))
    assert (found.verdict, found.detail) == (Verdict.HEALTHY, "3 of 16 players on de_dust2")
    assert found.facts == {"players": "3", "max_players": "16", "map": "de_dust2"}


def test_a_challenge_is_sent_back() -> None:
    asked: list[bytes] = []
    with udp_server(with_challenge([WHOLE + info()]), asked) as port:
        assert measure(source(port)).verdict is Verdict.HEALTHY
    assert asked == [REQUEST, REQUEST + CHALLENGE]


def test_a_server_that_only_ever_asks_for_challenges_is_unhealthy() -> None:
    found = ask(always(WHOLE + b"A" + CHALLENGE))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "asked for a challenge 6 times and never answered")


@pytest.mark.parametrize("order", ["as sent", "reversed", "each twice"])
@pytest.mark.parametrize("header", [b"", WHOLE])
def test_a_split_answer_is_put_together_in_any_order(order: str, header: bytes) -> None:
    parts = split(header + info(), 20)
    parts = {"as sent": parts, "reversed": parts[::-1], "each twice": [p for p in parts for _ in (1, 2)]}[order]
    assert ask(always(*parts)).facts == {"players": "3", "max_players": "16", "map": "de_dust2"}


def test_a_lost_question_is_asked_again() -> None:
    asked: list[bytes] = []
    with udp_server(lambda _: [WHOLE + info()] if len(asked) > 2 else [], asked) as port:
        found = measure(source(port, timedelta(seconds=5)))
    assert found.verdict is Verdict.HEALTHY
    assert asked == [REQUEST] * 3


def test_an_answer_that_lost_a_part_is_asked_for_again_and_never_mixed() -> None:
    asked: list[bytes] = []

    def reply(_: bytes) -> list[bytes]:
        return split(info(game_map="old_map"), 20, 1)[:-1] if len(asked) == 1 else split(info(), 20, 2)

    with udp_server(reply, asked) as port:
        assert measure(source(port, timedelta(seconds=5))).facts["map"] == "de_dust2"


def test_parts_of_two_answers_never_make_one() -> None:
    parts = Parts()
    for part in split(info(game_map="old_map"), 20, 1)[:-1]:
        assert parts.add(part) is None
    assert parts.add(split(info(game_map="new_map"), 20, 2)[-1]) is None


def test_a_silent_server_is_left_at_the_deadline() -> None:
    found = ask(always())
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "127.0.0.1: no full answer within 0.3s")
    assert SHORT <= found.took < SHORT * 2


def test_endless_parts_are_left_at_the_deadline() -> None:
    unfinished = split(info(), 20)[:-1]
    found = ask(always(*unfinished * 50))
    assert found.verdict is Verdict.UNHEALTHY
    assert found.took < SHORT * 2


def test_a_closed_port_is_unhealthy_at_once() -> None:
    found = measure(source(free_port(socket.SOCK_DGRAM), timedelta(seconds=5)))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "127.0.0.1: Connection refused")


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"", "not an A2S answer"),
        (b"hello", "not an A2S answer"),
        (b"\xfe\xff\xff\xff\x01", "not an A2S answer"),
        (WHOLE, "A2S answer of kind 0x?, expected 0x49"),
        (WHOLE + b"m127.0.0.1", "A2S answer of kind 0x6d, expected 0x49"),
        (WHOLE + b"I\x11name\0map", "the A2S answer ends too early"),
        (WHOLE + b"I\x11name\0map\0folder\0game\0\x01\x00\x02", "the A2S answer ends too early"),
        (
            split(info(), 2000, 0x80000007)[0],
            "the A2S answer is compressed (bzip2), which is not supported",
        ),
        (b"\xfe\xff\xff\xff" + struct.pack("<IBBH", 7, 2, 2, 1248), "A2S part 2 of 2"),
        (b"\xfe\xff\xff\xff" + struct.pack("<IBBH", 7, 0, 0, 1248), "A2S part 0 of 0"),
    ],
)
def test_a_malformed_answer_is_unhealthy_and_says_how(answer: bytes, detail: str) -> None:
    found = ask(always(answer))
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, detail)


def test_parts_of_one_answer_are_kept_up_to_a_limit() -> None:
    parts = Parts()
    parts.add(split(b"x" * 90_000, 40_000)[0])
    with pytest.raises(BadAnswer, match="more than 65535 bytes"):
        parts.add(split(b"x" * 90_000, 40_000)[1])


def test_python_a2s_reads_the_same_from_any_well_formed_answer() -> None:
    said: list[bytes] = []
    counts = st.integers(0, 255)
    text = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)

    with udp_server(lambda asked: with_challenge(said)(asked)) as port:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(counts, counts, text, text, st.integers(12, 200) | st.none())
        def check(players: int, most: int, game_map: str, name: str, size: int | None) -> None:
            payload = info(players, most, game_map, name)
            said[:] = [WHOLE + payload] if size is None else split(WHOLE + payload, size)
            theirs = a2s.info(("127.0.0.1", port), timeout=5)
            ours = measure(source(port, timedelta(seconds=5)))
            assert ours.verdict is Verdict.HEALTHY
            assert ours.facts == {
                "players": str(theirs.player_count),
                "max_players": str(theirs.max_players),
                "map": theirs.map_name,
            }

        check()


HEADERS = st.sampled_from([b"", WHOLE, b"\xfe\xff\xff\xff", b"\xfe\xff\xff\xff\x07\0\0\0\x02", WHOLE + b"I"])


@settings(deadline=None)
@given(
    st.lists(st.tuples(HEADERS, st.binary(max_size=40)).map(b"".join) | st.sampled_from(split(info(), 20)), max_size=8)
)
def test_any_datagrams_are_an_answer_or_a_bad_one(datagrams: list[bytes]) -> None:
    parts = Parts()
    for datagram in datagrams:
        try:
            payload = parts.add(datagram)
            if payload is not None:
                parse_info(payload)
        except BadAnswer as error:
            assert str(error)
