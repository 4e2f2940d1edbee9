"""The address and the user of a client, as far as they can be trusted: for limits, logs and the admin's list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.security import addresses
from eventcast.security.users import name_of
from eventcast.server import daphne


def address_of(scope: Mapping[str, Any]) -> str:
    """The address of the client behind an ASGI scope, see ``eventcast.security.addresses``; empty if there is none."""
    trusted, client, protocol = conf.TRUSTED_PROXIES, scope.get("client"), scope.get("eventcast.protocol")
    # With Daphne's --proxy-headers the scope's client is only what the client says about itself.
    peer = None if protocol is None else daphne.peer_of(protocol)
    if peer is None:
        peer = str(client[0]) if client else ""
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for") if trusted else b""
    return addresses.client_address(peer, forwarded.decode("latin-1"), addresses.proxies(*trusted))


def group_of(request: HttpRequest) -> str:
    """What the client of a request counts for in limits: its address, or its IPv6 network; empty if there is none."""
    scope, trusted, meta = vars(request).get("scope"), conf.TRUSTED_PROXIES, request.META
    if scope is not None:
        return addresses.group(address_of(scope))
    peer = meta.get("REMOTE_ADDR", "")  # of WSGI; and of the door: a scope is made only when asked for
    if not trusted:
        return addresses.group_of_peer(peer)
    forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")
    return addresses.group(addresses.client_address(peer, forwarded, addresses.proxies(*trusted)))


def describe(scope: Mapping[str, Any]) -> str:
    """The client behind an ASGI scope for people to read, ``host:port``; a port only if it is the connection's own.

    An empty string where the server tells no address, as for Unix sockets.
    """
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
