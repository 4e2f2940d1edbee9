"""The address and the user of a client, as far as they can be trusted: for limits, logs and the admin's list.

Nothing is believed that the client could have written itself:

- A request comes from its peer, the other end of the connection. ``X-Forwarded-For`` counts only if the peer is a
  trusted proxy, and only from the right: each trusted proxy vouches for the one entry that it has added.
- An entry that is no address ends the walk; the last address that a trusted proxy vouches for is the client's.
- Limits count an IPv6 network of 64 bits as one client, because a single customer is given that much (RFC 6177).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.security.users import name_of
from eventcast.server import daphne

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX = "unix"
"""Stands among the trusted proxies for all peers on a Unix socket, where there is no address."""

MAX_HOPS = 16
"""Entries of ``X-Forwarded-For`` that are looked at: a client may send thousands."""

PREFIX_V6 = 64

_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([\d.]+):\d{1,5}")


@functools.lru_cache(maxsize=16)
def proxies(*trusted: str) -> Callable[[Address | None], bool]:
    """Tells whether the peer with an address, or without one, is a trusted proxy, as ``TRUSTED_PROXIES`` lists them.

    :raises ValueError: one of them is no address, no network and not ``"unix"``.
    """
    networks = [ipaddress.ip_network(entry.strip(), strict=False) for entry in trusted if entry != UNIX]
    return lambda address: UNIX in trusted if address is None else any(address in network for network in networks)


def client_address(peer: str, forwarded: str, trusts: Callable[[Address | None], bool]) -> str:
    """The address of the client that a request comes from, in its shortest form.

    :param peer: the other end of the connection; an empty string for a Unix socket.
    :param forwarded: the request's ``X-Forwarded-For``; several of them joined by commas.
    :returns: an empty string if no trusted proxy vouches for an address; ``peer`` unchanged if it is no address.
    """
    address = parse_address(peer.partition("%")[0])
    if peer and address is None:
        return peer
    if forwarded:
        hops = forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:]
        while hops and trusts(address):
            hop = parse_address(hops.pop())
            if hop is None:
                break
            address = hop
    return "" if address is None else str(address)


def parse_address(text: str) -> Address | None:
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


def address_of(scope: Mapping[str, Any]) -> str:
    """The address of the client behind an ASGI scope; empty if there is none."""
    trusted, client, protocol = conf.TRUSTED_PROXIES, scope.get("client"), scope.get("eventcast.protocol")
    # With Daphne's --proxy-headers the scope's client is only what the client says about itself.
    peer = None if protocol is None else daphne.peer_of(protocol)
    if peer is None:
        peer = str(client[0]) if client else ""
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for") if trusted else b""
    return client_address(peer, forwarded.decode("latin-1"), proxies(*trusted))


def group_of(request: HttpRequest) -> str:
    """What the client of a request counts for in limits: its address, or its IPv6 network; empty if there is none."""
    scope, trusted, meta = vars(request).get("scope"), conf.TRUSTED_PROXIES, request.META
    if scope is not None:
        return group(address_of(scope))
    peer = meta.get("REMOTE_ADDR", "")  # of WSGI; and of the door: a scope is made only when asked for
    if not trusted:
        return group_of_peer(peer)
    forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")
    return group(client_address(peer, forwarded, proxies(*trusted)))


def describe(scope: Mapping[str, Any]) -> str:
    """The client behind an ASGI scope for people to read, ``host:port``; a port only if it is the connection's own;
    empty where the server tells no address."""
    client = scope.get("client")
    # A server that believes X-Forwarded-For, as Daphne with --proxy-headers, has put there what the client wrote.
    peer = names.printable(f"{client[0]:.60}:{client[1]}") if client else ""
    if not conf.TRUSTED_PROXIES:
        return peer
    address = address_of(scope)
    return peer if client and address == client[0] else names.printable(address[:60])


def described(request: HttpRequest, user: str, identity: str) -> dict[str, str]:
    """What a subscriber is told of its client.

    :param user: the user that its permit names; empty if it names none, and then it is that of Channels' middleware.
    """
    address = group_of(request) if conf.MAX_SUBSCRIBERS_PER_ADDRESS else ""
    peer: str | None = None if conf.TRUSTED_PROXIES else getattr(request, "peer", None)
    if peer is None:
        scope: dict[str, Any] = getattr(request, "scope", {})
        peer, user = describe(scope), user or name_of(scope.get("user"))
    return {"peer": peer, "user": user, "identity": identity, "address": address}
