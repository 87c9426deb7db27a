"""Minecraft Java Server List Ping, as since 1.7: handshake, status request, one JSON answer.

Packets are ``VarInt length, VarInt id, fields``; a VarInt is little-endian base 128 of at most five bytes (three for a
packet's length), a string is ``VarInt bytes, UTF-8``. Source: the protocol pages of the Minecraft wiki (formerly
wiki.vg), checked against PyPI mcstatus and npm minecraft-protocol.
"""

import io
from dataclasses import dataclass

from zlh_hooks.adapters.probes.answer import Answer, BadAnswer, Question
from zlh_hooks.adapters.probes.document import find_count, find_value, parse_document
from zlh_hooks.adapters.probes.wire import open_wire
from zlh_hooks.domain.probe import MinecraftProbe

LONGEST_PACKET = 2**21 - 1
# Servers may hang up on numbers that no version ever had; every one knows 1.8's.
_PROTOCOL = 47
_NEXT_STATUS = 1
_STATUS_ID = 0


@dataclass(frozen=True, slots=True)
class Status:
    """What a server tells its list."""

    players: int
    max_players: int
    version: str


def ask_minecraft(probe: MinecraftProbe, question: Question) -> Answer:
    """The answer is a server's own count; a proxy on that port would tell the proxy's."""
    with open_wire(question.address, probe.port, question.deadline, limit_bytes=LONGEST_PACKET + 3) as wire:
        wire.sendall(render_request(question.address, probe.port))
        status = read_status(wire.makefile())
    facts = {
        "players": str(status.players),
        "max_players": str(status.max_players),
        "server_version": status.version,
    }
    return Answer(f"{status.players} of {status.max_players} players, {status.version}", facts)


def render_request(host: str, port: int) -> bytes:
    """Handshake and status request in one piece."""
    name = host.encode()
    handshake = render_varint(0) + render_varint(_PROTOCOL) + render_varint(len(name)) + name
    return _frame(handshake + port.to_bytes(2, "big") + render_varint(_NEXT_STATUS)) + _frame(render_varint(0))


def _frame(packet: bytes) -> bytes:
    return render_varint(len(packet)) + packet


def render_varint(value: int) -> bytes:
    """A number from 0 to 2**31 - 1."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(source: io.BufferedIOBase, longest: int) -> int:
    """A number of at most ``longest`` bytes."""
    value = 0
    for place in range(longest):
        byte = _read_exactly(source, 1)[0]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value
    raise BadAnswer(f"not a Minecraft answer: a number of more than {longest} bytes")


def read_status(source: io.BufferedIOBase) -> Status:
    """Read one status packet; ``BadAnswer`` for anything else. Never holds more than one packet's longest size."""
    packet = io.BytesIO(_read_exactly(source, read_varint(source, 3)))
    kind = read_varint(packet, 5)
    if kind != _STATUS_ID:
        raise BadAnswer(f"not a Minecraft status: packet {kind}")
    return parse_status(_read_exactly(packet, read_varint(packet, 3)))


def _read_exactly(source: io.BufferedIOBase, count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:
        raise BadAnswer("the Minecraft answer ends too early")
    return data


def parse_status(text: bytes) -> Status:
    """The JSON of a status packet."""
    document = parse_document(text)
    version = find_value(document, "version.name")
    if not isinstance(version, str):
        raise BadAnswer("version.name is not text")
    return Status(find_count(document, "players.online"), find_count(document, "players.max"), version)
