"""The address of a client. Nothing is believed that the client could have written itself. Pure: reads no setting.

- A request comes from its peer, the other end of the connection. ``X-Forwarded-For`` counts only if the peer is a
  trusted proxy, and only from the right: each trusted proxy vouches for the one entry that it has added.
- An entry that is no address ends the walk; the last address that a trusted proxy vouches for is the client's.
- Limits count an IPv6 network of 64 bits as one client, because a single customer is given that much (RFC 6177).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX = "unix"
"""Stands among the trusted proxies for all peers on a Unix socket, where there is no address."""

MAX_HOPS = 16
"""Entries of ``X-Forwarded-For`` that are looked at: a client may send thousands."""

PREFIX_V6 = 64

_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([\d.]+):\d{1,5}")


@functools.lru_cache(maxsize=16)
def proxies(*trusted: str) -> Callable[[Address | None], bool]:
    """Tells whether the peer with an address, or without one, is a trusted proxy.

    :param trusted: as ``TRUSTED_PROXIES`` lists them.
    :raises ValueError: one of them is no address, no network and not ``"unix"``.
    """
    networks = [ipaddress.ip_network(entry.strip(), strict=False) for entry in trusted if entry != UNIX]
    return lambda address: UNIX in trusted if address is None else any(address in network for network in networks)


def client_address(peer: str, forwarded: str, trusts: Callable[[Address | None], bool]) -> str:
    """The address of the client that a request comes from, in its shortest form.

    :param peer: the other end of the connection; an empty string for a Unix socket.
    :param forwarded: the request's ``X-Forwarded-For``; several of them joined by commas.
    :param trusts: made by :func:`proxies`.
    :returns: an empty string if no trusted proxy vouches for an address; ``peer`` unchanged if it is no address.
    """
    address = parse(peer.partition("%")[0])
    if peer and address is None:
        return peer
    if forwarded:
        hops = forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:]
        while hops and trusts(address):
            hop = parse(hops.pop())
            if hop is None:
                break
            address = hop
    return "" if address is None else str(address)


def parse(text: str) -> Address | None:
    """An address as it stands in ``X-Forwarded-For``, where some proxies add a port; None if it is no address.

    An IPv4 address that is written as an IPv6 one (RFC 4291 section 2.5.5.2) is the IPv4 address.
    """
    text = text.strip()
    if len(text) > 60:
        return None
    if (found := _WITH_PORT.fullmatch(text)) is not None:
        text = found[1] or found[2] or ""
    if "%" in text:  # a zone means something on its own machine only, and may be any text
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@functools.lru_cache(maxsize=4096)
def group(address: str) -> str:
    """What limits count as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, PREFIX_V6), strict=False))
    except ValueError:
        return address


@functools.lru_cache(maxsize=4096)
def group_of_peer(peer: str) -> str:
    """The :func:`group` of a client that comes by no proxy."""
    return group(client_address(peer, "", proxies()))
