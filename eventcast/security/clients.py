"""The address and the user of a client, as far as they can be trusted: for limits, logs and the admin's list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.security import addresses
from eventcast.server import daphne


def address_of(scope: Mapping[str, Any]) -> str:
    """The address of the client behind an ASGI scope, see ``eventcast.security.addresses``; empty if there is none."""
    trusted = conf.TRUSTED_PROXIES
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for") if trusted else b""
    return addresses.client_address(_peer(scope), forwarded.decode("latin-1"), addresses.proxies(*trusted))


def group_of(request: HttpRequest) -> str:
    """What the client of a request counts for in limits: its address, or its IPv6 network; empty if there is none."""
    scope = getattr(request, "scope", None)
    if scope is not None:
        return addresses.group(address_of(scope))
    meta, trusted = request.META, addresses.proxies(*conf.TRUSTED_PROXIES)
    return addresses.group(
        addresses.client_address(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""), trusted)
    )


def counted_for(scope: Mapping[str, Any]) -> str:
    """As :func:`group_of`, for a subscriber. Empty where subscribers are not limited by address, because finding the
    address takes some microseconds."""
    return addresses.group(address_of(scope)) if conf.MAX_SUBSCRIBERS_PER_ADDRESS else ""


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


def describe_user(scope: Mapping[str, Any]) -> str:
    """The name of an ASGI scope's user, set by middleware of Channels or of the site; else an empty string."""
    user: Any = scope.get("user")
    return str(user.get_username()) if user is not None and user.is_authenticated else ""


def _peer(scope: Mapping[str, Any]) -> str:
    """The other end of the connection. With Daphne's ``--proxy-headers`` the scope's client is only what the client
    says about itself."""
    if (protocol := scope.get("eventcast.protocol")) is not None and (peer := daphne.peer_of(protocol)) is not None:
        return peer
    client = scope.get("client")
    return str(client[0]) if client else ""


def described(request: HttpRequest, user: str, identity: str) -> dict[str, str]:
    """What a subscriber is told of its client.

    :param user: the user that its permit names; empty if it names none.
    """
    peer: str | None = getattr(request, "peer", None)
    if peer is not None and not conf.TRUSTED_PROXIES and not conf.MAX_SUBSCRIBERS_PER_ADDRESS:
        # As the door has read it: no middleware has put a user there, and no proxy is believed.
        return {"peer": peer, "user": user, "identity": identity, "address": ""}
    scope: dict[str, Any] = getattr(request, "scope", {})
    user = user or describe_user(scope)
    return {"peer": describe(scope), "user": user, "identity": identity, "address": counted_for(scope)}
