"""Valve's A2S_INFO over UDP, as Source games and many others answer it.

Datagrams begin with -1 (whole) or -2 (split: ``int32 id, uint8 total, uint8 number, uint16 size``, all little-endian).
A server may first answer ``A`` and four bytes to be sent back. Source: Valve's page "Server queries", checked against
PyPI python-a2s.
"""

import socket
import struct
from dataclasses import dataclass, field

from zlh_hooks.adapters.probes.answer import Answer, BadAnswer, Question
from zlh_hooks.adapters.probes.wire import Deadline
from zlh_hooks.domain.probe import SourceProbe

REQUEST = b"\xff\xff\xff\xffTSource Engine Query\0"
_WHOLE = b"\xff\xff\xff\xff"
_SPLIT = b"\xfe\xff\xff\xff"
_CHALLENGE, _INFO = 0x41, 0x49
_RESEND_SECONDS = 0.5
_MOST_CHALLENGES = 5
_LONGEST_DATAGRAM = 65535
_LONGEST_INFO = 65535
_COMPRESSED = 0x80000000


@dataclass(frozen=True, slots=True)
class Info:
    """What a server tells its list."""

    players: int
    max_players: int
    map: str


def ask_source(probe: SourceProbe, question: Question) -> Answer:
    """Datagrams get lost, so the question is repeated until the deadline."""
    [(family, kind, protocol, _, address)] = socket.getaddrinfo(question.address, probe.port, type=socket.SOCK_DGRAM)
    with socket.socket(family, kind, protocol) as sock:
        # Connected: only this peer's datagrams arrive, and a closed port is told as "refused".
        sock.connect(address)
        info = _exchange(sock, question.deadline)
    facts = {"players": str(info.players), "max_players": str(info.max_players), "map": info.map}
    return Answer(f"{info.players} of {info.max_players} players on {info.map}", facts)


def _exchange(sock: socket.socket, deadline: Deadline) -> Info:
    challenge = b""
    for _ in range(_MOST_CHALLENGES + 1):
        payload = _ask_until_answered(sock, REQUEST + challenge, deadline)
        if payload[:1] != bytes([_CHALLENGE]):
            return parse_info(payload)
        challenge = payload[1:5]
    raise BadAnswer(f"asked for a challenge {_MOST_CHALLENGES + 1} times and never answered")


def _ask_until_answered(sock: socket.socket, request: bytes, deadline: Deadline) -> bytes:
    while True:
        sock.settimeout(deadline.remaining_seconds())
        sock.send(request)
        payload = _receive(sock, deadline)
        if payload is not None:
            return payload


def _receive(sock: socket.socket, deadline: Deadline) -> bytes | None:
    """A whole payload, or None if nothing more came for a while."""
    parts = Parts()
    while True:
        sock.settimeout(min(_RESEND_SECONDS, deadline.remaining_seconds()))
        try:
            datagram = sock.recv(_LONGEST_DATAGRAM)
        except TimeoutError:
            return None
        payload = parts.add(datagram)
        if payload is not None:
            return payload


@dataclass(slots=True)
class Parts:
    """Puts split answers together; holds one answer at most."""

    answer_id: int = 0
    total: int = 0
    payloads: dict[int, bytes] = field(default_factory=dict)

    def add(self, datagram: bytes) -> bytes | None:
        """The payload when it is whole, else None; ``BadAnswer`` for what makes no sense."""
        if datagram.startswith(_WHOLE):
            return datagram[len(_WHOLE) :]
        if not datagram.startswith(_SPLIT) or len(datagram) < 12:
            raise BadAnswer("not an A2S answer")
        answer_id, total, number, _ = struct.unpack_from("<IBBH", datagram, 4)
        self._check(answer_id, total, number)
        self.payloads[number] = datagram[12:]
        return self._join()

    def _check(self, answer_id: int, total: int, number: int) -> None:
        if answer_id & _COMPRESSED:
            raise BadAnswer("the A2S answer is compressed (bzip2), which is not supported")
        if number >= total:
            raise BadAnswer(f"A2S part {number} of {total}")
        if (answer_id, total) != (self.answer_id, self.total):
            self.answer_id, self.total, self.payloads = answer_id, total, {}

    def _join(self) -> bytes | None:
        if sum(map(len, self.payloads.values())) > _LONGEST_INFO:
            raise BadAnswer(f"an A2S answer of more than {_LONGEST_INFO} bytes")
        if len(self.payloads) < self.total:
            return None
        whole = b"".join(self.payloads[number] for number in range(self.total))
        return whole.removeprefix(_WHOLE)


def parse_info(payload: bytes) -> Info:
    """``I, protocol, name\\0, map\\0, folder\\0, game\\0, uint16 app, uint8 players, uint8 max...``."""
    if payload[:1] != bytes([_INFO]):
        raise BadAnswer(f"A2S answer of kind 0x{payload[:1].hex() or '?'}, expected 0x49")
    fields = payload[2:].split(b"\0", 4)
    if len(fields) < 5 or len(fields[4]) < 4:
        raise BadAnswer("the A2S answer ends too early")
    return Info(players=fields[4][2], max_players=fields[4][3], map=fields[1].decode(errors="replace"))
