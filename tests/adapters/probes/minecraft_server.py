"""A Minecraft server's status answer, byte by byte, so that tests can break it at any place."""

import json
import socket
import struct
from collections.abc import Callable

STATUS: dict[str, object] = {
    "version": {"name": "1.20.4", "protocol": 765},
    "players": {"max": 20, "online": 3},
    "description": {"text": "A Minecraft Server"},
}


def varint(value: int) -> bytes:
    """Little-endian base 128; negative numbers as their 32-bit two's complement."""
    value &= 0xFFFFFFFF
    out = b""
    while value > 0x7F:
        out += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    return out + struct.pack("B", value)


def status_packet(status: object = STATUS, packet_id: int = 0) -> bytes:
    text = json.dumps(status).encode()
    return framed(varint(packet_id) + varint(len(text)) + text)


def framed(packet: bytes) -> bytes:
    return varint(len(packet)) + packet


def tells(answer: Callable[[], bytes]) -> Callable[[socket.socket], None]:
    """A server that hears the client out (mcstatus sends its two packets apart) and waits for it to leave."""

    def talk(connection: socket.socket) -> None:
        heard = b""
        while not heard.endswith(framed(varint(0))):
            piece = connection.recv(4096)
            if not piece:
                return
            heard += piece
        connection.sendall(answer())
        connection.recv(1)

    return talk
