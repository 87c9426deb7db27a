"""Which addresses a URL from a customer may lead to: those of the whole Internet, and nothing behind our routers."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from zlh_hooks.domain.errors import RoadError

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""Of networks without IPv4: the last 32 bits are the IPv4 address that a router translates to (RFC 6052)."""


def find_addresses(host: str, port: int) -> Sequence[str]:
    """What the name means now, each address once; ``RoadError`` if it means nothing."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RoadError(f"{host}: no address found ({type(error).__name__})") from error
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


def is_public(text: str) -> bool:
    """Whether the whole Internet reaches this address, an IPv4 address inside an IPv6 one included."""
    address = ip_address(text)
    inner = _find_inner(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return is_public(str(inner))
    odd = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    return address.is_global and not odd


def _find_inner(address: IPv6Address) -> IPv4Address | None:
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
