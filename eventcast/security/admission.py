"""The checks of a request, in this order, before its body is read or its handshake is accepted:

1. May the page that sends it do so? (``origins``)
2. May its user, key or token do this? (``authorization``)
3. Is there room for it, within the limits? (``throttling``)

Each check raises ``Refused`` or returns. The handshake of a WebSocket is checked as the ``GET`` request that it is, see
:func:`request_of_websocket`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine.closing import REVOKED
from eventcast.engine.hub import current_hub
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import Forbidden, LayerUnavailable, Refused
from eventcast.security import origins, revocation, throttling
from eventcast.security.authorization import asking
from eventcast.security.authorization.base import Action, Authorization
from eventcast.security.authorization.permits import Permit
from eventcast.security.authorization.sessions import Viewers


async def check_publish(request: HttpRequest, channel: str) -> Permit:
    """Check that a request may publish to a channel. ``throttling.book`` books its messages later."""
    permit = await _ask(_check_origin(request), "publish", request, channel)
    throttling.book(request, permit, 0)
    return permit


def is_told_by_head(request: HttpRequest) -> bool:
    """Whether the check of a publish request uses only its head, so that its result holds for requests with the same
    head until the permit ends."""
    by_page = "HTTP_ORIGIN" in request.META or "HTTP_COOKIE" in request.META
    return asking.current().told_by_head and not by_page and not conf.PUBLISH_RATE


def publish_permit(request: HttpRequest, channel: str) -> Permit | None:
    """The permit that :func:`check_publish` would return; None if asking for it has to wait."""
    permit = asking.ask(asking.current(), "publish", request, channel)
    return permit if isinstance(permit, Permit) else None


async def check_websocket_publish(request: HttpRequest, channel: str) -> Permit:
    """Check that a WebSocket may publish to a channel. Called once, in the handshake, after :func:`check_subscribe`;
    ``throttling.book`` then checks the rate of each message."""
    return await _permit(asking.current(), "publish", request, channel)


async def check_subscribe(request: HttpRequest, wanted: str | Pattern) -> Permit:
    """Check that a request may subscribe to a channel, or to all channels that a pattern matches, and see their
    subscribers."""
    return await _permit(_check_origin(request), "subscribe", request, wanted)


async def check_watch(request: HttpRequest, wanted: str | Pattern) -> Permit:
    """Check that the handshake of a WebSocket comes from a page of the admin, and that its user may view channels."""
    origins.check(request, cookies=True)
    return await _permit(Viewers(), "subscribe", request, wanted)


async def _ask(authorization: Authorization, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
    permit = asking.ask(authorization, action, request, wanted)
    return permit if isinstance(permit, Permit) else await permit


async def _permit(authorization: Authorization, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
    """The permit of a subscriber, with the number of revocations before it: later ones may end it."""
    revocations = revocation.count()
    permit = await _ask(authorization, action, request, wanted)
    return Permit(permit.user, permit.expires_at, permit.claims, permit.identity, revocations)


def _check_origin(request: HttpRequest) -> Authorization:
    """Check the origin of a request, then return the authorization to ask about it."""
    authorization = asking.current()
    if "HTTP_ORIGIN" in request.META or "HTTP_COOKIE" in request.META:  # Programs have neither.
        origins.check(request, cookies=bool(authorization.uses_cookies))
    return authorization


def cookies_count() -> bool:
    """Whether the authorization uses cookies. A browser adds them to the requests of any page, of other sites too."""
    return bool(asking.current().uses_cookies)


def request_of_websocket(scope: Mapping[str, Any]) -> HttpRequest:
    """The handshake of a WebSocket (ASGI scope) as the ``GET`` request that it is (RFC 6455 section 4.1)."""
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    try:
        return ASGIRequest({**scope, "method": "GET", "scheme": scheme}, io.BytesIO())
    except (ValueError, TypeError) as error:
        raise Refused("The request cannot be read: {error!s:.200}.", error=error) from None


async def subscribe(subscriber: Subscriber, wanted: str | Pattern, permit: Permit) -> None:
    """Subscribe to a channel, or to all channels that match a pattern, while the permit holds.

    :raises LayerUnavailable: the channel layer cannot be reached, or the server is going away.
    :raises Refused: a limit on subscribers is reached.
    """
    hub = current_hub()
    if hub.stopping:
        raise LayerUnavailable("The server is going away. Connect again.")
    await hub.subscribe(wanted, subscriber)
    revocation.watch(hub, wanted, subscriber, permit)
    if subscriber.closed:  # The permission was revoked meanwhile.
        hub.unsubscribe(subscriber)
        raise Forbidden(REVOKED.reason)
